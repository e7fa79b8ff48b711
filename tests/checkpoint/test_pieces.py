"""Tensors in pieces are the tensors, whatever they come from, and damage is found on the way."""

from __future__ import annotations

import pathlib
import tracemalloc
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.checkpoint.editing.edited import assert_same, read
from tfsaver import load_checkpoint, save_checkpoint
from tfsaver.checkpoint.tensor_source import ArraySource, as_source
from tfsaver.errors import CheckpointNotFoundError, ChecksumError, DataLossError, InvalidArgumentError, TruncatedError
from tfsaver.framework import array_pieces, dtypes
from tfsaver.framework.array_pieces import blocks, cut, recut
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.tensor_bundle.writer import BundleWriter


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> int:
    """Pieces of so few elements that small tensors have many."""
    monkeypatch.setattr(array_pieces, "PIECE_ELEMENTS", 5)
    return 5


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (4,), (5,), (23,), (2, 3, 4), (3, 11), (7, 1, 2), (1, 1, 40)])
def test_blocks_are_the_tensor_in_its_order(small_pieces: int, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    parts = [array[block.indices] for block in blocks(shape)]
    assert all(part.size <= small_pieces for part in parts)
    assert [element for part in parts for element in part.reshape(-1).tolist()] == array.reshape(-1).tolist()


def test_pieces_are_cut_anew(small_pieces: int) -> None:
    sizes = [3, 4, 0, 11, 1, 1]
    array = np.arange(sum(sizes))
    pieces = list(recut(np.split(array, np.cumsum(sizes)[:-1])))
    assert list(map(len, pieces)) == [5, 5, 5, 5]
    assert np.concatenate(pieces).tolist() == array.tolist()
    assert list(map(len, recut([np.arange(7)]))) == [5, 2]
    assert list(recut([])) == []


@pytest.mark.parametrize("array", [np.arange(24).reshape(4, 6).T, np.arange(9, dtype=">f8"), np.array(3.0), np.zeros((0, 2))])
def test_any_layout_is_cut_in_c_order(small_pieces: int, array: np.ndarray[Any, Any]) -> None:
    pieces = list(cut(array))
    assert [element for piece in pieces for element in piece.tolist()] == array.reshape(-1).tolist()
    assert all(piece.dtype == array.dtype.newbyteorder("=") for piece in pieces)


@pytest.mark.parametrize("options", [{}, {"format": "V1"}, {"byte_order": "big"}])
def test_stored_tensors_come_in_pieces(small_pieces: int, tmp_path: pathlib.Path, options: dict[str, Any]) -> None:
    arrays: dict[str, Any] = {
        "matrix": np.arange(33, dtype=np.float32).reshape(3, 11),
        "bytes": np.arange(16, dtype=np.int8),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 3), np.int32),
        "words": np.array([b"a", b"b" * 9], object),
    }
    if "byte_order" in options:
        with BundleWriter(tmp_path / "m", durable=False, **options) as writer:
            for name, value in arrays.items():
                writer.add(name, value)
    else:
        save_checkpoint(arrays, tmp_path / "m", durable=False, **options)
    with load_checkpoint(tmp_path / "m") as source:
        for name, value in arrays.items():
            pieces = [piece.copy() for piece in source.pieces(name)]
            assert all(piece.ndim == 1 for piece in pieces)
            assert [len(piece) for piece in pieces[:-1]] == [small_pieces] * (len(pieces) - 1)
            assert [element for piece in pieces for element in piece.tolist()] == value.reshape(-1).tolist()


def test_slices_come_by_themselves_and_as_one(small_pieces: int, partitioned: str) -> None:
    with load_checkpoint(partitioned) as source:
        expected = np.arange(40, dtype=np.float32).reshape(10, 4)
        for name in ("rows", "columns"):
            assert len(source.slices(name)) == 2
            for stored in source.slices(name):
                piece = np.concatenate([piece.copy() for piece in source.pieces(name, stored)])
                assert piece.tolist() == expected[stored.resolve((10, 4)).indices].reshape(-1).tolist()
            whole = [piece.copy() for piece in source.pieces(name)]
            assert [len(piece) for piece in whole] == [5] * 8
            assert np.concatenate(whole).tolist() == expected.reshape(-1).tolist()
        assert source.slices("whole") == ()
        with pytest.raises(InvalidArgumentError, match="not stored in a slice"):
            list(source.pieces("rows", TensorSlice(((0, 1), (0, 4)))))


@pytest.mark.parametrize("name", ["rows", "whole", "words"])
def test_damage_is_found_before_anything_is_visible(partitioned: str, tmp_path: pathlib.Path, name: str) -> None:
    with load_checkpoint(partitioned) as reader:
        piece = reader.info(name).pieces[0]
    assert piece.offset is not None and piece.size is not None
    path = pathlib.Path(piece.path)
    content = bytearray(path.read_bytes())
    content[piece.offset + piece.size - 1] ^= 1
    path.write_bytes(content)
    for verb in (tfsaver.reshard, lambda *a: tfsaver.reshard(*a, merge_slices=True)):
        with pytest.raises(ChecksumError, match=f"tensor '{name}'"):
            verb(partitioned, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_missing_and_short_files_are_errors_of_their_own(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"a": np.arange(100)})
    data = tmp_path / "m.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(TruncatedError, match="tensor 'a'"):
        tfsaver.reshard(prefix, tmp_path / "out")
    data.unlink()
    with pytest.raises((CheckpointNotFoundError, DataLossError), match="data-00000-of-00001"):
        tfsaver.reshard(prefix, tmp_path / "out")


def test_only_mappings_are_sources() -> None:
    source = ArraySource({"a": [1]})
    assert as_source(source) is source
    assert as_source({"a": [1]}).names == ["a"]
    with pytest.raises(InvalidArgumentError, match="not list"):
        as_source([1])


def test_memory_does_not_grow_with_tensors(tmp_path: pathlib.Path) -> None:
    size = 128 << 20
    prefix = str(tmp_path / "large")
    piece = np.arange(1 << 20, dtype=np.float32)
    with BundleWriter(prefix, durable=False) as writer:
        writer.add_pieces("w", dtypes.from_name("float32"), (32, 1 << 20), (piece + row for row in range(32)))
    edits: list[Any] = [
        lambda out: tfsaver.rename(prefix, out, {"w": "v"}, durable=False, overwrite=True),
        lambda out: tfsaver.cast(prefix, out, "bfloat16", durable=False, overwrite=True),
        lambda out: tfsaver.average([prefix, prefix], out, durable=False, overwrite=True),
        lambda out: tfsaver.diff(prefix, prefix),
        lambda out: tfsaver.merge([prefix, prefix], out, durable=False, overwrite=True),
    ]
    for edit in edits:
        tracemalloc.start()
        try:
            edit(tmp_path / "out")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < size // 3
    with load_checkpoint(tmp_path / "out") as reader:
        assert reader.read("w", np.s_[31, -1]) == np.float32(31) + piece[-1]


def test_saved_sources_are_the_files_of_saved_arrays(save: Any, tmp_path: pathlib.Path) -> None:
    words = np.array([b"x", b"yy"], object)
    arrays = {"a": np.arange(12.0).reshape(3, 4).T, "b": words, "c": np.float32(1), "d": np.zeros((0, 2))}
    for options in ({}, {"num_shards": 3}, {"format": "V1"}, {"format": "V1", "num_shards": 2}):
        for kind, source in (("arrays", arrays), ("source", ArraySource(arrays))):
            (tmp_path / kind).mkdir(exist_ok=True)
            save_checkpoint(source, tmp_path / kind / "m", durable=False, **options)
        for path in (tmp_path / "arrays").iterdir():
            assert path.read_bytes() == (tmp_path / "source" / path.name).read_bytes(), (path.name, options)
    with load_checkpoint(tmp_path / "arrays" / "m") as reader:
        assert_same(read(save("again", reader)), arrays)
