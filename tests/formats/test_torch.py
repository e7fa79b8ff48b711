"""PyTorch's files: torch's own reader and ours give the same, and nothing of a file is ever run."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.neighbours import (
    NUMBERS,
    FailingSource,
    assert_nothing_is_left,
    every_tensor,
    lines_of,
    strings,
    types_but,
)
from tests.tensor_bundle.tensors import assert_equal
from tfsaver.checkpoint.execution import Execution
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import DataLossError, UnimplementedError
from tfsaver.formats.torch import TorchTarget, open_torch

torch = pytest.importorskip("torch")

_NO_TYPE = [
    *("qint8", "quint8", "qint16", "quint16", "qint32"),
    *("float8_e4m3b11fnuz", "int4", "uint4", "int2", "uint2", "float4_e2m1fn"),
]
_HELD = [name for name in types_but(*_NO_TYPE) if hasattr(torch, name)]


def saved(arrays: dict[str, Any], path: Path) -> Path:
    Execution(ArraySource(arrays), TorchTarget(path, durable=False)).run()
    return path


def test_every_type_and_shape_comes_back(tmp_path: Path) -> None:
    tensors = every_tensor(_HELD)
    with open_torch(saved(tensors, tmp_path / "x.pt")) as source:
        assert source.names == sorted(tensors)
        for name, expected in tensors.items():
            assert_equal(source[name], expected)
            info = source.info(name)
            assert (info.dtype.numpy, info.shape, info.num_bytes) == (expected.dtype, expected.shape, expected.nbytes)


def test_torch_reads_the_same(tmp_path: Path) -> None:
    tensors = every_tensor(_HELD)
    loaded = torch.load(saved(tensors, tmp_path / "x.pt"), weights_only=True)
    assert type(loaded) is dict
    assert set(loaded) == set(tensors)
    for name, expected in tensors.items():
        assert str(loaded[name].dtype) == f"torch.{name.split('/')[0]}"
        assert tuple(loaded[name].shape) == expected.shape
        if expected.size:
            assert loaded[name].reshape(-1).view(torch.uint8).numpy().tobytes() == expected.tobytes()


def test_module_loads_the_file_as_its_state(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    values = {name: np.random.default_rng(0).random(tuple(value.shape), np.float32) for name, value in module.state_dict().items()}
    module.load_state_dict(torch.load(saved(values, tmp_path / "x.pth"), weights_only=True), strict=True)
    for name, value in module.state_dict().items():
        assert_equal(value.numpy(), values[name])


@pytest.mark.parametrize("is_archive", [True, False])
def test_files_of_torch_are_read(is_archive: bool, tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = OrderedDict(
        w=torch.nn.Parameter(base),
        turned=base.t()[1:3],
        conjugate=torch.tensor([1 + 2j]).conj(),
        half=torch.tensor([1.5], dtype=torch.bfloat16),
    )
    torch.save(state, tmp_path / "x.pt", _use_new_zipfile_serialization=is_archive)
    with open_torch(tmp_path / "x.pt") as source:
        assert source.names == sorted(state)
        assert_equal(source["w"], base.numpy())
        assert_equal(source["turned"], base.numpy().T[1:3])
        assert_equal(source.read("turned", np.s_[0, 2:]), base.numpy().T[1, 2:])
        assert source["conjugate"].tolist() == [1 - 2j]
        assert str(source["half"].dtype) == "bfloat16"


def test_dicts_in_dicts_have_names_with_slashes(tmp_path: Path) -> None:
    content = {
        "model": {"fc.weight": torch.ones(2)},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": [0], "name": "all"}]},
        "epoch": 7,
        "done": True,
    }
    torch.save(content, tmp_path / "x.pt")
    with open_torch(tmp_path / "x.pt") as source:
        assert source.names == [
            *("done", "epoch", "model/fc.weight", "optimizer/param_groups/0/lr"),
            *("optimizer/param_groups/0/name", "optimizer/param_groups/0/params/0", "optimizer/state/0/step"),
        ]
        assert_equal(source["epoch"], np.int64(7))
        assert_equal(source["done"], np.bool_(True))
        assert_equal(source["optimizer/param_groups/0/lr"], np.float64(0.1))
        assert source["optimizer/state/0/step"] == 3
        with pytest.raises(UnimplementedError, match="'optimizer/param_groups/0/name' is a str, no tensor"):
            source.read("optimizer/param_groups/0/name")


def test_two_values_of_one_name_are_an_error(tmp_path: Path) -> None:
    torch.save({"a": {"b": torch.ones(1)}, "a/b": torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(UnimplementedError, match="two values whose keys both read 'a/b'"):
        open_torch(tmp_path / "x.pt")


class _Runs:
    def __reduce__(self) -> Any:
        return (os.mkdir, ("it-ran",))


def test_code_in_a_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": _Runs()}, tmp_path / "x.pt")
    with pytest.raises(UnimplementedError, match="runs no code of a file"):
        open_torch(tmp_path / "x.pt")
    (tmp_path / "y.pt").write_bytes(pickle.dumps(_Runs()))
    with pytest.raises((UnimplementedError, DataLossError)):
        open_torch(tmp_path / "y.pt")
    assert sorted(os.listdir(tmp_path)) == ["x.pt", "y.pt"]


def test_what_is_no_file_of_torch_is_data_loss(tmp_path: Path) -> None:
    path = saved(every_tensor(["float32"]), tmp_path / "x.pt")
    content = path.read_bytes()
    for bad in (b"", content[: len(content) // 2], b"\0" * 100):
        path.write_bytes(bad)
        with pytest.raises((DataLossError, UnimplementedError), match=r"x\.pt (is no sound file of torch|holds more than)"):
            open_torch(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(DataLossError, match="is no sound file of torch"):
        open_torch(path)
    with pytest.raises(FileNotFoundError):
        open_torch(tmp_path / "missing.pt")


def test_a_list_is_read_and_one_tensor_is_not(tmp_path: Path) -> None:
    torch.save([torch.ones(1), torch.zeros(2)], tmp_path / "x.pt")
    with open_torch(tmp_path / "x.pt") as source:
        assert source.names == ["0", "1"]
    torch.save(torch.ones(1), tmp_path / "x.pt")
    with pytest.raises(UnimplementedError, match="holds a Tensor, a dict of tensors is needed"):
        open_torch(tmp_path / "x.pt")


def test_one_error_names_all_that_cannot_go(tmp_path: Path) -> None:
    tensors = every_tensor([*_NO_TYPE, "float32"], [(2,)]) | {"text": strings(b"a")}
    with pytest.raises(UnimplementedError) as error:
        Execution(ArraySource(tensors), TorchTarget(tmp_path / "x.pt")).run()
    expected = {f"no type for {name}: '{name}/0'" for name in _NO_TYPE if name in NUMBERS}
    assert set(lines_of(error)[1:-1]) == expected | {"no type for string: 'text'"}
    assert_nothing_is_left(tmp_path)


def test_damaged_source_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved({"old": np.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(DataLossError, match="w is damaged"):
        Execution(FailingSource({"a": np.ones(9), "w": np.ones(9)}, "w"), TorchTarget(path)).run()
    assert os.listdir(tmp_path) == ["x.pt"]
    assert list(torch.load(path, weights_only=True)) == ["old"]


def test_arrays_that_must_not_be_written_to_are_saved(tmp_path: Path) -> None:
    value = np.arange(6, dtype=np.float32).reshape(2, 3).T
    value.flags.writeable = False
    with open_torch(saved({"w": value}, tmp_path / "x.pt")) as source:
        assert_equal(source["w"], value)


def test_equal_tensors_make_equal_bytes(tmp_path: Path) -> None:
    tensors = every_tensor(["float32"])
    assert saved(tensors, tmp_path / "x.pt").read_bytes() == saved(tensors, tmp_path / "other.pt").read_bytes()
