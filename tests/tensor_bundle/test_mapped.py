"""A mapped tensor is the file's own bytes: equal, read-only, checked, and there after the file is gone."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tensor_bundle.tensors import FIXED, SHAPES, assert_equal, random_array
from tfsaver import load_checkpoint, save_checkpoint
from tfsaver.errors import (
    ChecksumError,
    InvalidArgumentError,
    TensorNotFoundError,
    TruncatedError,
    UnimplementedError,
)
from tfsaver.framework.dtypes import DType
from tfsaver.tensor_bundle import bundle_files
from tfsaver.tensor_bundle.writer import BundleWriter

WHOLE_BYTES = [dtype for dtype in FIXED if dtype.num_bits == 8 * dtype.size]


@pytest.mark.parametrize("dtype", WHOLE_BYTES, ids=str)
def test_mapped_equals_read(dtype: DType, tmp_path: Path) -> None:
    # A byte in front, so that nothing is aligned.
    tensors = {"a": np.zeros((), np.uint8), **{f"t{shape}": random_array(dtype, shape) for shape in SHAPES}}
    save_checkpoint(tensors, tmp_path / "model")
    with load_checkpoint(tmp_path / "model") as reader:
        for name, value in tensors.items():
            found = reader.map(name)
            assert_equal(found, value)
            assert not found.flags.writeable and not found.flags.owndata
            with pytest.raises(ValueError, match="WRITEABLE"):
                found.flags.writeable = True


def test_array_outlives_reader_and_file(tmp_path: Path) -> None:
    value = np.arange(100_000, dtype=np.float64)
    save_checkpoint({"small": np.arange(3), "value": value}, tmp_path / "model")
    with load_checkpoint(tmp_path / "model") as reader:
        found = reader.map("value")
    for path in tmp_path.iterdir():
        path.unlink()
    np.testing.assert_array_equal(found, value)
    assert found.reshape(-1, 5).sum(0).tolist() == value.reshape(-1, 5).sum(0).tolist()


def test_checkpoint_that_is_replaced_leaves_the_array_as_it_was(tmp_path: Path) -> None:
    save_checkpoint({"v": np.zeros(1000)}, tmp_path / "model")
    with load_checkpoint(tmp_path / "model") as reader:
        found = reader.map("v")
    save_checkpoint({"v": np.ones(1000)}, tmp_path / "model")
    assert not found.any()
    with load_checkpoint(tmp_path / "model") as reader:
        assert reader.map("v").all()


def test_no_memory_is_taken_for_the_tensor(tmp_path: Path) -> None:
    save_checkpoint({"v": np.zeros(1 << 20)}, tmp_path / "model")
    with load_checkpoint(tmp_path / "model") as reader:
        found = reader.map("v")
        owner: Any = found
        while isinstance(owner, np.ndarray):
            owner = owner.base
        assert isinstance(owner, mmap.mmap)


@pytest.mark.parametrize("position", [0, 999, 1000, 7999])
def test_damage_is_found_unless_nobody_asks(position: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_files, "_MAPPED_PIECE_SIZE", 1000)
    save_checkpoint({"a": np.arange(3), "v": np.arange(1000), "z": np.arange(3)}, tmp_path / "model")
    path = tmp_path / "model.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[24 + position] ^= 8
    path.write_bytes(data)
    # A disk that loses a bit does not say when.
    os.utime(path, ns=(0, 0))
    with load_checkpoint(tmp_path / "model") as reader:
        with pytest.raises(ChecksumError, match="tensor 'v'") as caught:
            reader.map("v")
        assert (caught.value.path, caught.value.offset, caught.value.size) == (str(path), 24, 8000)
        assert np.count_nonzero(reader.map("v", verify=False) != np.arange(1000)) == 1
        assert reader.map("z").tolist() == [0, 1, 2]


def test_what_does_not_lie_as_in_memory_is_for_read(tmp_path: Path) -> None:
    other = "big" if sys.byteorder == "little" else "little"
    with BundleWriter(tmp_path / "other", byte_order=other) as writer:
        writer.add("wide", np.arange(3))
        writer.add("bytes", np.arange(3, dtype=np.uint8))
    with BundleWriter(tmp_path / "model") as writer:
        writer.add("text", np.array([b"a"], object))
        writer.add_slice("sliced", (4,), np.s_[:2], np.arange(2))
        writer.add_slice("sliced", (4,), np.s_[2:], np.arange(2))
        narrow = [dtype for dtype in FIXED if dtype.num_bits < 8]
        for dtype in narrow:
            writer.add(dtype.name, random_array(dtype, (3,)))
    with load_checkpoint(tmp_path / "model") as reader:
        for name in ("text", "sliced", *(dtype.name for dtype in narrow)):
            with pytest.raises(UnimplementedError, match=rf"{name}'.*read\(\) reads it"):
                reader.map(name)
            assert reader.read(name).size
    with load_checkpoint(tmp_path / "other") as reader:
        with pytest.raises(UnimplementedError, match=f"is stored {other}-endian.*read"):
            reader.map("wide")
        assert reader.map("bytes").tolist() == [0, 1, 2]


def test_v1_checkpoint_is_for_read(tmp_path: Path) -> None:
    save_checkpoint({"v": np.arange(3)}, tmp_path / "model", format="V1")
    with load_checkpoint(tmp_path / "model") as reader, pytest.raises(UnimplementedError, match=r"V1.*read\(\)"):
        reader.map("v")


def test_remote_file_is_for_read() -> None:
    pytest.importorskip("fsspec")
    save_checkpoint({"v": np.arange(3)}, "memory://mapped/model")
    with load_checkpoint("memory://mapped/model") as reader:
        with pytest.raises(UnimplementedError, match=r"no local file.*read\(\)"):
            reader.map("v")
        assert reader.read("v").tolist() == [0, 1, 2]


def test_errors_before_a_map_is_made(tmp_path: Path) -> None:
    save_checkpoint({"v": np.arange(1000)}, tmp_path / "model")
    reader = load_checkpoint(tmp_path / "model")
    with pytest.raises(TensorNotFoundError, match="did you mean 'v'|not found"):
        reader.map("w")
    path = tmp_path / "model.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TruncatedError, match="tensor 'v'"):
        reader.map("v")
    reader.close()
    with pytest.raises(InvalidArgumentError, match="closed"):
        reader.map("v")
