"""safetensors files: the library's own reader and ours give the same."""

from __future__ import annotations

import os
import tracemalloc
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
from tfsaver.errors import DataLossError, InvalidArgumentError, UnimplementedError
from tfsaver.formats.safetensors import SafetensorsTarget, open_safetensors

safetensors = pytest.importorskip("safetensors")

_NO_TYPE = [
    *("complex128", "qint8", "quint8", "qint16", "quint16", "qint32"),
    *("float8_e4m3b11fnuz", "int4", "uint4", "int2", "uint2", "float4_e2m1fn"),
]
_HELD = types_but(*_NO_TYPE)


def saved(arrays: dict[str, Any], path: Path) -> Path:
    Execution(ArraySource(arrays), SafetensorsTarget(path, durable=False)).run()
    return path


def test_every_type_and_shape_comes_back(tmp_path: Path) -> None:
    tensors = every_tensor(_HELD)
    with open_safetensors(saved(tensors, tmp_path / "x.safetensors")) as source:
        assert source.names == sorted(tensors)
        for name, expected in tensors.items():
            assert_equal(source[name], expected)
            info = source.info(name)
            assert (info.dtype.numpy, info.shape, info.num_bytes) == (expected.dtype, expected.shape, expected.nbytes)


def test_parts_are_those_of_the_whole(tmp_path: Path) -> None:
    tensors = every_tensor(_HELD, [(4, 5)])
    with open_safetensors(saved(tensors, tmp_path / "x.safetensors")) as source:
        for name, expected in tensors.items():
            for region in (np.s_[1:3], np.s_[2, :], np.s_[:, 1:1], np.s_[..., -1], np.s_[3, 4]):
                assert_equal(source.read(name, region), expected[region])
        with pytest.raises(InvalidArgumentError, match="outside dimension 0"):
            source.read(name, np.s_[4])


def test_the_library_reads_the_same(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    tensors = every_tensor([name for name in _HELD if "float8" not in name])
    loaded = load_file(saved(tensors, tmp_path / "x.safetensors"))
    assert set(loaded) == set(tensors)
    for name, expected in tensors.items():
        assert_equal(loaded[name], expected)


def test_torchs_side_of_the_library_reads_the_same(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    tensors = every_tensor([name for name in _HELD if hasattr(torch, name)])
    assert {"bfloat16/0", "float8_e5m2/0", "float8_e4m3fn/0"} < set(tensors)
    loaded = load_file(saved(tensors, tmp_path / "x.safetensors"))
    assert set(loaded) == set(tensors)
    for name, expected in tensors.items():
        assert str(loaded[name].dtype) == f"torch.{name.split('/')[0]}"
        assert tuple(loaded[name].shape) == expected.shape
        if expected.size:
            assert loaded[name].reshape(-1).view(torch.uint8).numpy().tobytes() == expected.tobytes()


def test_files_of_the_library_are_read(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    tensors = every_tensor(["float32", "int64", "bool", "uint16"])
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "np"})
    with open_safetensors(tmp_path / "x.safetensors") as source:
        assert set(source.names) == set(tensors)
        for name, expected in tensors.items():
            assert_equal(source[name], expected)


def test_our_file_is_the_librarys_byte_for_byte(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    tensors = every_tensor(["float32", "int64", "bool", "uint16", "float64"])
    save_file(tensors, tmp_path / "theirs.safetensors")
    assert saved(tensors, tmp_path / "ours").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


def test_metadata_stands_in_the_header(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    Execution(ArraySource({"w": np.ones(1)}), SafetensorsTarget(path, metadata={"format": "pt"})).run()
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata() == {"format": "pt"}
    with open_safetensors(path) as source:
        assert source.names == ["w"]


def test_one_error_names_all_that_cannot_go(tmp_path: Path) -> None:
    tensors = every_tensor([*_NO_TYPE, "float32"], [(2,)]) | {"text": strings(b"a"), "__metadata__": np.ones(1)}
    with pytest.raises(UnimplementedError) as error:
        Execution(ArraySource(tensors), SafetensorsTarget(tmp_path / "x.safetensors")).run()
    expected = {f"no type for {name}: '{name}/0'" for name in _NO_TYPE if name in NUMBERS}
    expected |= {"no type for string: 'text'", "the format keeps this name for itself: '__metadata__'"}
    assert set(lines_of(error)[1:-1]) == expected
    assert_nothing_is_left(tmp_path)


def test_damaged_source_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved({"old": np.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(DataLossError, match="w is damaged"):
        Execution(FailingSource({"a": np.ones(9), "w": np.ones(9)}, "w"), SafetensorsTarget(path)).run()
    assert os.listdir(tmp_path) == ["x.safetensors"]
    with open_safetensors(path) as source:
        assert source.names == ["old"]


def test_what_is_no_safetensors_file_is_data_loss(tmp_path: Path) -> None:
    path = saved(every_tensor(["float32"]), tmp_path / "x.safetensors")
    content = path.read_bytes()
    for bad in (b"", content[:4], content[:-1], b"\xff" * 100, content + b"x"):
        path.write_bytes(bad)
        with pytest.raises(DataLossError, match="is no sound safetensors file"):
            open_safetensors(path)
    with pytest.raises(DataLossError, match="is a directory"):
        open_safetensors(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_safetensors(tmp_path / "missing")


def test_no_tensors_are_a_file_too(tmp_path: Path) -> None:
    with open_safetensors(saved({}, tmp_path / "x.safetensors")) as source:
        assert source.names == []


def test_writing_takes_the_memory_of_a_piece(tmp_path: Path) -> None:
    class Zeros(ArraySource):
        def read(self, name: str, region: Any = None) -> Any:
            return np.zeros(1 << 21, np.float32)

    # The arrays that describe the tensors take no memory, those that are read 8 MiB each.
    shape = np.broadcast_to(np.float32(0), (1 << 21,))
    source = Zeros({f"w{number}": shape for number in range(16)})
    tracemalloc.start()
    Execution(source, SafetensorsTarget(tmp_path / "x.safetensors", durable=False)).run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert os.path.getsize(tmp_path / "x.safetensors") > 16 << 23
    assert peak < 4 << 23
