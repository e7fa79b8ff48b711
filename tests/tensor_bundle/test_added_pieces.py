"""Tensors that a writer gets in pieces make the same files as tensors that it gets whole."""

from __future__ import annotations

import pathlib
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from tfsaver.errors import DuplicateKeyError, InvalidArgumentError, ShapeMismatchError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.writer import BundleWriter

FLOAT32 = dtypes.from_name("float32")


def files(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize("dtype", ["float32", "int64", "complex64", "bool", "int4", "qint8"])
def test_pieces_make_the_same_bytes(dtype: str, byte_order: str, tmp_path: pathlib.Path) -> None:
    kind = dtypes.from_name(dtype)
    value = np.arange(30).astype(np.uint8).repeat(16).view(np.uint8)[: 30 * kind.size].copy()
    kind.unpacked_bits(value)
    array = (value & 1 if dtype == "bool" else value).view(kind.numpy).reshape(5, 6)
    for name in ("whole", "pieces"):
        (tmp_path / name).mkdir()
        with BundleWriter(tmp_path / name / "m", byte_order=byte_order, durable=False) as writer:
            if name == "whole":
                writer.add("a", array)
                writer.add_slice("b", (10, 6), np.s_[5:], array)
            else:
                writer.add_pieces("a", kind, (5, 6), [array[:2], array[2:].reshape(-1)])
                writer.add_pieces("b", kind, (10, 6), (row for row in array), region=np.s_[5:])
    assert files(tmp_path / "whole") == files(tmp_path / "pieces")


def test_slice_that_is_everything_is_the_tensor(tmp_path: pathlib.Path) -> None:
    with BundleWriter(tmp_path / "m", durable=False) as writer:
        writer.add_pieces("a", FLOAT32, (2, 3), [np.ones(6, np.float32)], region=np.s_[0:2])
        writer.add_pieces("empty", FLOAT32, (0, 3), [])
        writer.add_pieces("scalar", FLOAT32, (), [np.array(3, np.float32)])
    with BundleReader(tmp_path / "m") as reader:
        assert not reader.entry("a").is_sliced
        assert reader.read("empty").shape == (0, 3)
        assert reader.read("scalar") == 3


def test_pieces_that_do_not_fit_are_refused(tmp_path: pathlib.Path) -> None:
    writer = BundleWriter(tmp_path / "m", durable=False)
    with pytest.raises(ShapeMismatchError, match=r"a, in pieces.*\[5\].*\[6\]"):
        writer.add_pieces("a", FLOAT32, (6,), [np.ones(5, np.float32)])
    with pytest.raises(InvalidArgumentError, match="a piece of float64 of a tensor of float32"):
        writer.add_pieces("a", FLOAT32, (6,), [np.ones(6)])
    with pytest.raises(UnimplementedError, match="string comes whole"):
        writer.add_pieces("a", dtypes.STRING, (1,), [np.array([b"x"], object)])
    with pytest.raises(InvalidArgumentError, match="shard 1"):
        writer.add_pieces("a", FLOAT32, (1,), [np.ones(1, np.float32)], shard_id=1)
    writer.add_pieces("a", FLOAT32, (1,), [np.ones(1, np.float32)])
    with pytest.raises(DuplicateKeyError):
        writer.add_pieces("a", FLOAT32, (1,), [np.ones(1, np.float32)])
    with pytest.raises(DuplicateKeyError):
        writer.add_pieces("a", FLOAT32, (2,), [np.ones(1, np.float32)], region=np.s_[:1])
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_what_a_refused_tensor_left_hurts_nobody(tmp_path: pathlib.Path) -> None:
    with BundleWriter(tmp_path / "m", durable=False) as writer:
        with pytest.raises(ShapeMismatchError):
            writer.add_pieces("a", FLOAT32, (6,), [np.ones(5, np.float32)])
        writer.add("b", np.arange(3, dtype=ml_dtypes.bfloat16))
    with BundleReader(tmp_path / "m") as reader:
        assert reader.names == ["b"]
        assert reader.read("b").astype(float).tolist() == [0, 1, 2]


def test_nothing_is_held_whole(tmp_path: pathlib.Path) -> None:
    piece_size = 1 << 20
    count = 64
    tracemalloc.start()
    try:
        with BundleWriter(tmp_path / "m", durable=False) as writer:
            pieces = (np.full(piece_size // 4, number, np.float32) for number in range(count))
            writer.add_pieces("a", FLOAT32, (count, piece_size // 4), pieces)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * piece_size
    with BundleReader(tmp_path / "m") as reader:
        assert (reader.read("a") == np.arange(count, dtype=np.float32)[:, None]).all()
