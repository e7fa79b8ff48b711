"""A V1 checkpoint tells a caller of damage, tensor by tensor, as a V2 one does."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from tests.checkpoint.test_latest_verified import flip
from tests.table.stores import build, open_table
from tfsaver.checkpoint.tensor_slice_reader import TensorSliceReader
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter
from tfsaver.errors import DataLossError, InvalidArgumentError, MissingSlicesError, SaverError, UnimplementedError


def write(path: pathlib.Path, names: str = "abc") -> str:
    with TensorSliceWriter(path, durable=False) as writer:
        for name in names:
            writer.add(name, np.full(4, ord(name), np.int32))
        writer.add_slice("part", (4,), np.s_[:2], np.zeros(2))
    return str(path)


def without(path: str, name: bytes) -> None:
    """Takes the first record away whose key has the name."""
    entries = list(open_table(pathlib.Path(path).read_bytes()).items())
    [victim] = [key for key, _ in entries if key and name in key]
    pathlib.Path(path).write_bytes(build([entry for entry in entries if entry[0] != victim]))


def test_damaged_tensors_are_told_and_the_others_are_read(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "m")
    without(path, b"b\0")
    told: list[tuple[str, SaverError]] = []
    counted: list[int] = []
    with TensorSliceReader(path, [path]) as reader:
        found = reader.read_many(
            dict.fromkeys("cba"), on_damage=lambda name, error: told.append((name, error)), progress=counted.append
        )
        assert [(name, array.tolist()) for name, array in found.items()] == [("c", [99] * 4), ("a", [97] * 4)]
        [(name, error)] = told
        assert name == "b" and "record of 'b' -" in str(error) and "listed in the meta record, but missing" in str(error)
        assert counted == [reader.info("a").num_bytes * number for number in (1, 2, 3)]
        with pytest.raises(DataLossError, match="record of 'b'"):
            reader.read_many(dict.fromkeys("cba"))


def test_verification_tells_damaged_records_and_missing_slices(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "m")
    without(path, b"a\0")
    told: list[tuple[str, type]] = []
    with TensorSliceReader(path, [path]) as reader:
        wanted = dict.fromkeys(["a", "b", "part"])
        assert reader.read_many(wanted, verify_only=True, on_damage=lambda name, error: told.append((name, type(error)))) == {}
        assert told == [("a", DataLossError), ("part", MissingSlicesError)]
        with pytest.raises(DataLossError, match="'a'"):
            reader.read_many(wanted, verify_only=True)


def test_arrays_to_fill_are_filled(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "m")
    out = np.zeros(4, np.int32)
    with TensorSliceReader(path, [path]) as reader:
        found = reader.read_many(dict.fromkeys("ab"), out={"b": out})
    assert found["b"] is out and out.tolist() == [98] * 4 and found["a"].tolist() == [97] * 4


def test_records_that_no_tensor_lists_and_damaged_blocks_are_told(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "m")
    file = pathlib.Path(path)
    entries = list(open_table(file.read_bytes()).items())
    file.write_bytes(build([*entries, (b"\xff stranger", b"value")]))
    told: list[SaverError] = []
    with TensorSliceReader(path, [path]) as reader:
        assert reader.verify_index(told.append) == ["a", "b", "c", "part"]
        assert [str(error) for error in told] == [f"{path}: record b'\\xff stranger' belongs to no tensor"]
        with pytest.raises(DataLossError, match="belongs to no tensor"):
            reader.verify_index()
    file.write_bytes(build(entries, block_size=1))
    with TensorSliceReader(path, [path]) as reader:
        assert reader.verify_index() == ["a", "b", "c", "part"]
    flip(path, file.read_bytes().index(entries[2][1]) + 3)
    told.clear()
    with TensorSliceReader(path, [path]) as reader:
        assert reader.verify_index(told.append) == ["a", "b", "c", "part"]
        assert len(told) == 1


def test_files_are_counted_and_those_that_are_gone_are_named(tmp_path: pathlib.Path) -> None:
    paths = [write(tmp_path / f"m-0000{number}-of-00002", name) for number, name in enumerate("xy")]
    (tmp_path / "m-00001-of-00002").unlink()
    with TensorSliceWriter(paths[1], durable=False) as writer:
        writer.add("y", np.zeros(1))
    with TensorSliceReader("m", paths) as reader:
        assert reader.num_files == 2 and list(reader.missing_files()) == []
        pathlib.Path(paths[1]).unlink()
        assert list(reader.missing_files()) == [paths[1]]


def test_v1_cannot_be_mapped_and_a_closed_one_cannot_be_read(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "m")
    with TensorSliceReader(path, [path]) as reader:
        reader.read("a")
        with pytest.raises(UnimplementedError, match=f"{path}: a V1 checkpoint cannot be mapped"):
            reader.map("a")
    with pytest.raises(InvalidArgumentError, match=f"{path} is closed"):
        reader.read("a")
