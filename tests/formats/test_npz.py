"""npz files: numpy's own reader and ours give the same, for every type and any name."""

from __future__ import annotations

import zipfile
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
from tfsaver.errors import DataLossError, TensorNotFoundError, UnimplementedError
from tfsaver.formats.npz import NpzTarget, open_npz
from tfsaver.framework.variant import Variant

_OURS = [name for name, dtype in NUMBERS.items() if dtype.numpy.isbuiltin == 2]


def saved(arrays: dict[str, Any], path: Path) -> Path:
    Execution(ArraySource(arrays), NpzTarget(path, durable=False)).run()
    return path


def test_every_type_and_shape_comes_back(tmp_path: Path) -> None:
    tensors = every_tensor(types_but()) | {"text": strings(b"", b"\xff\x00x", b"long" * 99), "no text": strings()}
    with open_npz(saved(tensors, tmp_path / "x.npz")) as source:
        assert source.names == sorted(tensors)
        for name, expected in tensors.items():
            assert_equal(source[name], expected)
            assert source.info(name).shape == expected.shape
            assert source.info(name).dtype.numpy == expected.dtype


def test_numpy_reads_what_numpy_has(tmp_path: Path) -> None:
    tensors = every_tensor(types_but(*_OURS))
    with np.load(saved(tensors, tmp_path / "x.npz"), allow_pickle=False) as loaded:
        assert set(loaded.files) == set(tensors)
        for name, expected in tensors.items():
            assert_equal(loaded[name], expected)


@pytest.mark.parametrize("name", _OURS)
def test_numpy_reads_the_name_and_the_bits_of_other_types(name: str, tmp_path: Path) -> None:
    tensors = every_tensor([name])
    with np.load(saved(tensors, tmp_path / "x.npz"), allow_pickle=False) as loaded:
        for key, expected in tensors.items():
            assert loaded[key].dtype.names == (name,)
            assert_equal(loaded[key][name].view(expected.dtype), expected)


def test_files_of_numpy_are_read(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "text": np.array(["cat", "hæl"]),
        "bytes": np.array([b"cat", b""]),
    }
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    with open_npz(tmp_path / "x.npz") as source:
        assert_equal(source["fortran"], arrays["fortran"])
        assert source["fortran"].flags.c_contiguous
        assert_equal(source["big"], arrays["big"])
        assert source["text"].tolist() == [b"cat", "hæl".encode()]
        assert source["bytes"].tolist() == [b"cat", b""]
        assert_equal(source.read("fortran", np.s_[1, :2]), arrays["fortran"][1, :2])


def test_what_only_pickle_reads_is_named_and_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", objects=np.array([{}], object), times=np.zeros(2, "M8[s]"), w=np.ones(2))
    with open_npz(tmp_path / "x.npz") as source:
        assert source.names == ["objects", "times", "w"]
        assert source["w"].tolist() == [1, 1]
        with pytest.raises(UnimplementedError, match="'objects' holds Python objects, which only pickle could read"):
            source.info("objects")
        with pytest.raises(UnimplementedError, match="'times' is of type datetime64"):
            source.read("times")


@pytest.mark.parametrize("name", ["a/b", "a/b.npy", "../out", "/root", "a\\b", "ключ", " ", "a:0", "x" * 60000])
def test_any_name_stays_what_it_is(name: str, tmp_path: Path) -> None:
    path = saved({name: np.ones(2)}, tmp_path / "x.npz")
    with open_npz(path) as source:
        assert source.names == [name]
    with np.load(path) as loaded:
        assert loaded.files == [name]
        assert loaded[name].tolist() == [1, 1]


def test_one_error_names_all_that_cannot_go(tmp_path: Path) -> None:
    variants = np.empty(1, object)
    variants[0] = Variant(b"")
    arrays = {
        "list": variants,
        "text": strings(b"a", b"b\0"),
        "a": np.ones(1),
        "a.npy": np.ones(1),
        "nul\0": np.ones(1),
        "\udcff": np.ones(1),
        "w": np.ones(1),
    }
    with pytest.raises(UnimplementedError) as error:
        Execution(ArraySource(arrays), NpzTarget(tmp_path / "x.npz")).run()
    assert lines_of(error)[0] == "an npz file cannot hold 5 of 7 tensors, and nothing was written:"
    assert sorted(lines_of(error)[1:-1]) == [
        "a name that is another tensor's with .npy at its end, which numpy takes off: 'a'",
        "a name that is no UTF-8 text: '\\udcff'",
        "a name that no zip archive can hold: 'nul\\x00'",
        "no type for variant: 'list'",
        "strings that end with a zero byte, which numpy takes off: 'text'",
    ]
    assert_nothing_is_left(tmp_path)


def test_damaged_source_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved({"old": np.ones(1)}, tmp_path / "x.npz")
    with pytest.raises(DataLossError, match="w is damaged"):
        Execution(FailingSource({"a": np.ones(9), "w": np.ones(9)}, "w"), NpzTarget(path)).run()
    assert [item.name for item in tmp_path.iterdir()] == ["x.npz"]
    with open_npz(path) as source:
        assert source.names == ["old"]


@pytest.mark.parametrize("place", [0, 1, 4095, 40000, 65536, 79999])
def test_flipped_bit_is_data_loss(place: int, tmp_path: Path) -> None:
    values = np.ones(10000)
    path = saved({"w": values}, tmp_path / "x.npz")
    content = bytearray(path.read_bytes())
    # The bytes of the array lie in the archive as they are, behind headers whose length is the archive's matter.
    start = content.index(values.tobytes())
    content[start + place] ^= 1
    path.write_bytes(content)
    with open_npz(path) as source:
        with pytest.raises(DataLossError) as error:
            source.read("w")
        assert str(error.value).startswith(f"{path}: 'w' is damaged: ")


@pytest.mark.parametrize("content", [b"", b"PK", b"\0" * 100])
def test_other_files_are_no_npz_files(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(DataLossError, match="is no npz file"):
        open_npz(path)


def test_member_that_is_no_array_is_data_loss(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("w.npy", b"no array")
    with pytest.raises(DataLossError, match="member 'w.npy' is no array"):
        open_npz(tmp_path / "x.npz")


def test_header_that_says_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }"
    for shape in (b"(99999999999999,)", b"(-1, -8)"):
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            text = header.replace(b"(99999999999999,)", shape)
            archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64))
        with pytest.raises(DataLossError, match="member 'w.npy' has 64 bytes for float64"):
            open_npz(tmp_path / "x.npz")


def test_unknown_name_is_not_found(tmp_path: Path) -> None:
    path = saved({"dense/kernel": np.ones(1)}, tmp_path / "x.npz")
    with open_npz(path) as source, pytest.raises(TensorNotFoundError, match="did you mean 'dense/kernel'"):
        source.read("dens/kernel")


def test_equal_tensors_make_equal_bytes(tmp_path: Path) -> None:
    tensors = every_tensor(["float32", "bfloat16"])
    assert saved(tensors, tmp_path / "x.npz").read_bytes() == saved(tensors, tmp_path / "y.npz").read_bytes()


def test_progress_ends_at_all_bytes(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    Execution(ArraySource(every_tensor(["float32"])), NpzTarget(tmp_path / "x.npz"), progress=lambda *done: seen.append(done)).run()
    assert seen[-1] == (44 * 4, 44 * 4)
    assert seen == sorted(seen)
