"""Keras's weights in HDF5: h5py, Keras itself and our reader give the same."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
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
from tfsaver.formats.keras_h5 import KerasTarget, open_keras

h5py = pytest.importorskip("h5py")

_NO_TYPE = [name for name, dtype in NUMBERS.items() if dtype.numpy.isbuiltin == 2 and name != "bfloat16"]
_HELD = types_but(*_NO_TYPE)

# Run by another interpreter, whose Keras has a backend that needs no TensorFlow.
_KERAS = """
import sys
import numpy as np
import keras

def model(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([
        keras.layers.Input((3,)), keras.layers.Dense(4, name="d"), keras.layers.BatchNormalization(),
        keras.layers.Dense(2, dtype="bfloat16"),
    ])

def values(model):
    return [np.asarray(value).astype(np.float32) for value in model.get_weights()]

"""


def run_keras(code: str, directory: Path, *arguments: str) -> None:
    for program in ("keras", "jax"):
        # Imported here, Keras would take TensorFlow with it.
        if importlib.util.find_spec(program) is None:
            pytest.skip(f"needs {program}: pip install {program}")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", _KERAS + code, *arguments]
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def of_keras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one model in Keras's two layouts, and of its values: from one process, which takes seconds to start."""
    folder = tmp_path_factory.mktemp("keras")
    code = "m = model(1); m.save_weights('theirs.weights.h5'); m.save('old.h5'); m.save('theirs.keras'); np.savez('theirs.npz', *values(m))"
    run_keras(code, folder)
    return folder


def saved(arrays: dict[str, Any], path: Path, like: Path | None = None) -> Path:
    Execution(ArraySource(arrays), KerasTarget(path, like=like, durable=False)).run()
    return path


def test_every_type_and_shape_comes_back(tmp_path: Path) -> None:
    tensors = every_tensor(_HELD)
    with open_keras(saved(tensors, tmp_path / "x.weights.h5")) as source:
        assert source.names == sorted(tensors)
        for name, expected in tensors.items():
            assert_equal(source[name], expected)
            info = source.info(name)
            assert (info.dtype.numpy, info.shape, info.num_bytes) == (expected.dtype, expected.shape, expected.nbytes)


def test_h5py_reads_the_same(tmp_path: Path) -> None:
    tensors = every_tensor([name for name in _HELD if name != "bfloat16"])
    with h5py.File(saved(tensors, tmp_path / "x.weights.h5")) as file:
        for name, expected in tensors.items():
            assert_equal(file[name][()], expected)


def test_parts_are_read(tmp_path: Path) -> None:
    tensors = every_tensor(_HELD, [(4, 5)])
    with open_keras(saved(tensors, tmp_path / "x.weights.h5")) as source:
        for name, expected in tensors.items():
            for region in (np.s_[1:3], np.s_[2, :], np.s_[:, 1:1], np.s_[..., -1], np.s_[3, 4]):
                assert_equal(source.read(name, region), expected[region])


def test_keras_loads_our_file_and_we_read_its(of_keras: Path, tmp_path: Path) -> None:
    with open_keras(of_keras / "theirs.weights.h5") as source:
        tensors = dict(source)
        paths = {name: tensors[name] for name in source.file_paths}
        paths = {source.file_paths[name]: value for name, value in paths.items()}
        expected = np.load(of_keras / "theirs.npz")
    normalized = [f"batch_normalization/{word}" for word in ("gamma", "beta", "moving_mean", "moving_variance")]
    names = ["d/kernel", "d/bias", *normalized, "dense/kernel", "dense/bias"]
    assert list(tensors) == sorted(names)
    assert sorted(paths) == [
        *(f"layers/batch_normalization/vars/{number}" for number in range(4)),
        *("layers/dense/vars/0", "layers/dense/vars/1", "layers/dense_1/vars/0", "layers/dense_1/vars/1"),
    ]
    assert str(tensors["dense/kernel"].dtype) == "bfloat16"
    for name, number in zip(names, expected.files, strict=True):
        assert_equal(tensors[name].astype(np.float32), expected[number])

    saved(tensors, tmp_path / "ours.weights.h5", like=of_keras / "theirs.weights.h5")
    saved(tensors, tmp_path / "archive.weights.h5", like=of_keras / "theirs.keras")
    saved(paths, tmp_path / "paths.weights.h5", like=of_keras / "theirs.weights.h5")
    saved(paths, tmp_path / "plain.weights.h5")
    tfsaver.convert(of_keras / "theirs.keras", tmp_path / "again.weights.h5")
    assert tfsaver.convert(of_keras / "theirs.npz", tmp_path / "lost.weights.h5", dry_run=True).notes
    run_keras(
        "for path in ('ours', 'archive', 'paths', 'plain', 'again'):\n"
        "    path += '.weights.h5'\n"
        "    m = model(2); m.load_weights(path)\n"
        "    for mine, theirs in zip(values(m), np.load(sys.argv[1]).values(), strict=True):\n"
        "        assert mine.tobytes() == theirs.tobytes(), path\n",
        tmp_path,
        str(of_keras / "theirs.npz"),
    )


def test_layers_without_names_in_the_file_have_those_of_the_configuration(of_keras: Path, tmp_path: Path) -> None:
    path = tmp_path / "older.keras"
    with zipfile.ZipFile(of_keras / "theirs.keras") as theirs, zipfile.ZipFile(path, "w") as older:
        (tmp_path / "weights").write_bytes(theirs.read("model.weights.h5"))
        with h5py.File(tmp_path / "weights", "r+") as file:
            file.visititems(lambda _, item: item.attrs.pop("name", None) and None)
        older.writestr("config.json", theirs.read("config.json"))
        older.write(tmp_path / "weights", "model.weights.h5")
    with open_keras(path) as source, open_keras(of_keras / "theirs.keras") as theirs_source:
        assert source.file_paths == theirs_source.file_paths and "d/kernel" in source
    with open_keras(tmp_path / "weights") as source:
        assert "layers/dense/vars/0" in source and "d/kernel" not in source


def test_variables_of_unknown_layers_keep_their_paths(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        for group, name, count in (("my_layer", "mine", 2), ("dense", "one", 1), ("layer_normalization", "half", 1), ("dense_1", "odd", 3)):
            variables = file.create_group(f"layers/{group}/vars")
            variables.attrs["name"] = name
            for number in range(count):
                variables[str(number)] = np.ones(2)
    with open_keras(tmp_path / "x.weights.h5") as source:
        assert set(source.names) == {
            *("one/kernel", "layers/layer_normalization/vars/0", "layers/my_layer/vars/0", "layers/my_layer/vars/1"),
            *(f"layers/dense_1/vars/{number}" for number in range(3)),
        }


def test_older_files_have_the_names_of_variables(tmp_path: Path) -> None:
    values = {
        "conv/kernel:0": np.arange(6.0).reshape(2, 3),
        "conv/bias:0": np.ones(3),
        "shared/w:0": np.zeros(2),
        "Adam/iter:0": np.int64(7),
    }
    with h5py.File(tmp_path / "old.h5", "w") as file:
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"conv", b"shared", b"again", b"empty"]
        for layer, names in {
            "conv": ["conv/kernel:0", "conv/bias:0"],
            "shared": ["shared/w:0"],
            "again": ["shared/w:0"],
            "empty": [],
        }.items():
            group = weights.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name in names:
                group[name] = values[name]
        optimizer = file.create_group("optimizer_weights")
        optimizer.attrs["weight_names0"] = [b"Adam/iter:0"]
        optimizer["Adam/iter:0"] = values["Adam/iter:0"]
    with open_keras(tmp_path / "old.h5") as source:
        assert source.names == [
            *("Adam/iter", "conv/bias", "conv/kernel"),
            *("model_weights/again/shared/w:0", "model_weights/shared/shared/w:0"),
        ]
        assert_equal(source["conv/kernel"], values["conv/kernel:0"])
        assert_equal(source["Adam/iter"], values["Adam/iter:0"])


def test_older_files_of_keras_itself(of_keras: Path) -> None:
    with open_keras(of_keras / "old.h5") as source:
        assert_equal(source["sequential/d/kernel"], np.load(of_keras / "theirs.npz")["arr_0"])
        assert "sequential/batch_normalization/moving_mean" in source
        # The older layout forgets which type two bytes are.
        with pytest.raises(UnimplementedError, match="two opaque bytes"):
            source.info("sequential/dense/kernel")


def test_what_like_has_and_what_there_is_must_be_the_same(tmp_path: Path) -> None:
    like = saved({"layers/a/vars/0": np.ones((2, 3)), "layers/b/vars/0": np.ones(1)}, tmp_path / "like.weights.h5")
    given = {"layers/a/vars/0": np.ones((3, 2)), "layers/c/vars/0": np.ones(1)}
    with pytest.raises(InvalidArgumentError) as error:
        saved(given, tmp_path / "x.weights.h5", like=like)
    assert lines_of(error)[1:] == [
        "layers/a/vars/0: [3, 2] here, [2, 3] there",
        "layers/b/vars/0 is missing; did you mean 'layers/c/vars/0', 'layers/a/vars/0'?",
        "layers/c/vars/0 is not in the model",
    ]
    assert os.listdir(tmp_path) == ["like.weights.h5"]


def test_one_error_names_all_that_cannot_go(tmp_path: Path) -> None:
    tensors = every_tensor([*_NO_TYPE, "float32"], [(2,)])
    tensors |= {"text": strings(b"a"), "w": np.ones(1), "w/Adam": np.ones(1), "a//b": np.ones(1), "./c": np.ones(1)}
    with pytest.raises(UnimplementedError) as error:
        Execution(ArraySource(tensors), KerasTarget(tmp_path / "x.weights.h5")).run()
    expected = {f"no type for {name}: '{name}/0'" for name in _NO_TYPE}
    assert set(lines_of(error)[1:-1]) == expected | {
        "no type for string: 'text'",
        "its name is a folder in another tensor's: 'w'",
        "its name has another tensor's in the place of a folder: 'w/Adam'",
        "an empty part in its name: 'a//b'",
        "a name that HDF5 would change: './c'",
    }
    assert_nothing_is_left(tmp_path)


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"x\.h5 does not end in \.weights\.h5"):
        Execution(ArraySource({"w": np.ones(1)}), KerasTarget(tmp_path / "x.h5")).run()
    assert_nothing_is_left(tmp_path)


def test_damaged_source_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved({"old": np.ones(1)}, tmp_path / "x.weights.h5")
    with pytest.raises(DataLossError, match="w is damaged"):
        Execution(FailingSource({"a": np.ones(9), "w": np.ones(9)}, "w"), KerasTarget(path)).run()
    assert os.listdir(tmp_path) == ["x.weights.h5"]
    with open_keras(path) as source:
        assert source.names == ["old"]


def test_values_in_other_files_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"12345678")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["w"] = np.ones(1)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("outside", (1,), "f8", external=[(str(tmp_path / "secret"), 0, 8)])
        file["link"] = h5py.ExternalLink("other.h5", "/w")
        layout = h5py.VirtualLayout((1,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "w", (1,))
        file.create_virtual_dataset("virtual", layout)
    with open_keras(tmp_path / "x.h5") as source:
        assert source.names == ["outside", "virtual"]
        for name in source.names:
            with pytest.raises(UnimplementedError, match="has its values in another file"):
                source.read(name)


def test_what_is_no_hdf5_file_is_data_loss(tmp_path: Path) -> None:
    path = saved(every_tensor(["float32"]), tmp_path / "x.weights.h5")
    content = path.read_bytes()
    for bad in (b"", content[:100], b"\0" * 1000):
        path.write_bytes(bad)
        with pytest.raises(DataLossError, match="is no sound HDF5 file"):
            open_keras(path)
    with pytest.raises(FileNotFoundError):
        open_keras(tmp_path / "missing.h5")


def test_names_that_keras_does_not_look_for_are_noted_before_anything_is_written(tmp_path: Path) -> None:
    path = str(tmp_path / "new.weights.h5")
    target = KerasTarget(path)
    target.check(ArraySource({"layers/dense/vars/0": np.ones(2), "dense/bias": np.ones(2)}))
    assert len(target.notes) == 1 and "'dense/bias'" in target.notes[0] and "load_weights" in target.notes[0]
    target = KerasTarget(path)
    target.check(ArraySource({"layers/dense/vars/0": np.ones(2)}))
    assert not target.notes and not any(tmp_path.iterdir())
