"""Many tensors at once: what one by one gives, in few reads, and damage found and named all the same."""

from __future__ import annotations

import collections
import gc
import itertools
import os
import sys
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tensor_bundle.tensors import SHAPES, STORABLE, assert_equal, random_array
from tfsaver.errors import (
    CheckpointNotFoundError,
    ChecksumError,
    DataLossError,
    InvalidArgumentError,
    SaverError,
    ShapeMismatchError,
    TensorNotFoundError,
    TruncatedError,
)
from tfsaver.framework import dtypes
from tfsaver.lib.local_file_system import LocalRandomAccessFile
from tfsaver.lib.recycled_memory import RecycledMemory
from tfsaver.tensor_bundle import read_many, region_pieces, slabs
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.slabs import ALIGNMENT, aligned_empty
from tfsaver.tensor_bundle.writer import BundleWriter

WORKERS = [1, 2, 3, 4, None]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes at which a tensor of some kilobytes is a large one in several pieces."""
    monkeypatch.setattr(read_many, "_PIECE_SIZE", 1000)
    monkeypatch.setattr(read_many, "_SCRATCH_SIZE", 400)
    monkeypatch.setattr(region_pieces, "MAX_PIECE_SIZE", 400)
    monkeypatch.setattr(read_many, "_SMALL_SIZE", 100)
    monkeypatch.setattr(read_many, "_GROUP_SIZE", 400)
    monkeypatch.setattr(read_many, "_MAX_GAP", 50)
    monkeypatch.setattr(slabs, "_SLAB_SIZE", 4096)
    monkeypatch.setattr(slabs, "_MIN_RECYCLED_SIZE", 4096)


@pytest.fixture
def num_reads(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[str]:
    """How often each file was read from."""
    counts: collections.Counter[str] = collections.Counter()
    read, readinto = LocalRandomAccessFile.read, LocalRandomAccessFile.readinto

    def counted_read(self: LocalRandomAccessFile, offset: int, size: int) -> bytes:
        counts[os.path.basename(self.path)] += 1
        return read(self, offset, size)

    def counted_readinto(self: LocalRandomAccessFile, offset: int, buffer: memoryview) -> int:
        counts[os.path.basename(self.path)] += 1
        return readinto(self, offset, buffer)

    monkeypatch.setattr(LocalRandomAccessFile, "read", counted_read)
    monkeypatch.setattr(LocalRandomAccessFile, "readinto", counted_readinto)
    return counts


def write(prefix: Path, tensors: dict[str, Any], **options: Any) -> BundleReader:
    with BundleWriter(prefix, durable=False, **options) as writer:
        for number, (name, value) in enumerate(tensors.items()):
            writer.add(name, value, shard_id=number % options.get("num_shards", 1))
    return BundleReader(prefix)


def read_tensors(reader: BundleReader, names: Iterable[str], **options: Any) -> dict[str, Any]:
    return reader.read_many(dict.fromkeys(names), **options)


def verify_tensors(reader: BundleReader, names: Iterable[str], **options: Any) -> None:
    assert reader.read_many(dict.fromkeys(names), verify_only=True, **options) == {}


def of_every_kind() -> dict[str, Any]:
    tensors = {}
    for dtype in STORABLE:
        for shape in SHAPES:
            name = f"{dtype.name}/{'x'.join(map(str, shape))}"
            tensors[name] = random_array(dtype, shape)
    return tensors


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("num_workers", WORKERS)
@pytest.mark.parametrize("num_shards", [1, 3])
@pytest.mark.usefixtures("small_pieces")
def test_every_dtype_and_shape_is_what_reading_one_by_one_gives(
    num_shards: int, num_workers: int | None, tmp_path: Path
) -> None:
    tensors = of_every_kind()
    with write(tmp_path / "model", tensors, num_shards=num_shards) as reader:
        names = list(reversed(tensors))
        found = read_tensors(reader, names, num_workers=num_workers)
        assert list(found) == names
        for name, value in found.items():
            assert_equal(value, reader.read(name))
            assert_equal(value, tensors[name])


@pytest.mark.usefixtures("small_pieces")
def test_memory_of_arrays_that_are_gone_is_filled_anew(tmp_path: Path) -> None:
    memory = RecycledMemory(1 << 30)
    tensors = of_every_kind() | {f"large/{number}": np.full(5000 + number, number) for number in range(9)}
    with write(tmp_path / "model", tensors) as reader:
        first = read_tensors(reader, tensors, memory=memory)
        kept = {name: value for number, (name, value) in enumerate(first.items()) if number % 3}
        del first
        was_kept = memory.num_bytes_kept
        second = read_tensors(reader, tensors, memory=memory)
        assert memory.num_bytes_kept < was_kept
    for name, value in second.items():
        assert_equal(value, tensors[name])
    for name, value in kept.items():
        assert_equal(value, tensors[name])


def test_usual_sizes_give_the_same(tmp_path: Path) -> None:
    tensors: dict[str, Any] = {
        "large": np.random.default_rng(1).random((2_500_000,)),
        **{f"small/{index}": np.full(index, index, np.int16) for index in range(2000)},
        "middle": np.arange(100_000, dtype=np.int64),
    }
    with write(tmp_path / "model", tensors) as reader:
        for name, value in read_tensors(reader, tensors).items():
            assert_equal(value, tensors[name])


@pytest.mark.usefixtures("small_pieces")
def test_big_endian_bundle_is_read_in_the_machines_order(tmp_path: Path) -> None:
    tensors = {name: value for name, value in of_every_kind().items() if not name.startswith("variant")}
    other = "big" if sys.byteorder == "little" else "little"
    with write(tmp_path / "model", tensors, byte_order=other) as reader:
        for name, value in read_tensors(reader, tensors).items():
            assert_equal(value, tensors[name])
        verify_tensors(reader, tensors)


@pytest.mark.usefixtures("small_pieces")
def test_slices_are_put_together(tmp_path: Path) -> None:
    whole = np.arange(600, dtype=np.float32).reshape(30, 20)
    with BundleWriter(tmp_path / "model", num_shards=2) as writer:
        writer.add("a", np.arange(5))
        writer.add_slice("sliced", whole.shape, np.s_[:10], whole[:10])
        writer.add_slice("sliced", whole.shape, np.s_[10:], whole[10:], shard_id=1)
        writer.add("z", np.arange(7))
    with BundleReader(tmp_path / "model") as reader:
        found = read_tensors(reader, reader.names, num_workers=2)
        assert_equal(found["sliced"], whole)
        assert_equal(found["z"], np.arange(7))
        verify_tensors(reader, reader.names)


def test_nothing_is_asked_for(tmp_path: Path) -> None:
    with write(tmp_path / "model", {}) as reader:
        assert read_tensors(reader, []) == {}
        verify_tensors(reader, [])


def test_name_that_is_asked_for_twice_comes_once(tmp_path: Path) -> None:
    with write(tmp_path / "model", {"a": np.arange(3), "b": np.arange(4)}) as reader:
        assert list(read_tensors(reader, ["b", "a", "b"])) == ["b", "a"]


@pytest.mark.usefixtures("small_pieces")
def test_given_arrays_are_filled_and_returned(tmp_path: Path) -> None:
    tensors: dict[str, Any] = {
        "whole": np.arange(1000, dtype=np.float64),
        "turned": np.arange(600, dtype=np.int32).reshape(20, 30),
        "text": np.array([b"a", b"bc"], object),
        "other": np.arange(9),
    }
    out = {
        "whole": np.empty(1000, np.float64),
        "turned": np.empty((30, 20), np.int32).T,
        "text": np.empty(2, object),
    }
    with write(tmp_path / "model", tensors) as reader:
        found = read_tensors(reader, tensors, out=out)
    for name, value in tensors.items():
        assert_equal(found[name], value)
    assert all(found[name] is array for name, array in out.items())


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.empty(4, np.float32), ShapeMismatchError),
        (np.empty((1, 3), np.float32), ShapeMismatchError),
        (np.empty(3, np.float64), InvalidArgumentError),
        (np.empty((3, 2), np.float64)[:, 0], InvalidArgumentError),
        (np.frombuffer(bytes(12), np.float32), InvalidArgumentError),
    ],
)
def test_array_that_cannot_be_filled_is_named(array: Any, error: type[SaverError], tmp_path: Path) -> None:
    with (
        write(tmp_path / "model", {"t": np.arange(3, dtype=np.float32)}) as reader,
        pytest.raises(error, match="out for '?t"),
    ):
        read_tensors(reader, ["t"], out={"t": array})


@pytest.mark.usefixtures("small_pieces")
def test_arrays_that_are_made_begin_where_tensorflow_wants_them(tmp_path: Path) -> None:
    tensors = {f"t{index}": np.full(index * 7 + 1, index, np.uint8) for index in range(40)}
    with write(tmp_path / "model", tensors) as reader:
        found = read_tensors(reader, tensors)
    assert {value.ctypes.data % ALIGNMENT for value in found.values()} == {0}


@pytest.mark.usefixtures("small_pieces")
def test_no_two_arrays_overlap(tmp_path: Path) -> None:
    tensors: dict[str, Any] = {f"t{index}": np.full(index * 13 % 700 + 1, index, np.int16) for index in range(60)}
    out = {name: np.empty_like(tensors[name]) for name in list(tensors)[::3]}
    with write(tmp_path / "model", tensors) as reader:
        found = read_tensors(reader, tensors, out=out)
    spans = sorted((value.ctypes.data, value.ctypes.data + value.nbytes) for value in found.values())
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    for value in found.values():
        value[...] = -1
    assert all((value == -1).all() for value in found.values())
    with BundleReader(tmp_path / "model") as reader:
        assert_equal(reader.read("t1"), tensors["t1"])


def test_memory_goes_with_the_last_array(tmp_path: Path) -> None:
    tensors = {f"t{index}": np.full(100, index) for index in range(20)}
    with write(tmp_path / "model", tensors) as reader:
        found = read_tensors(reader, tensors)
        owner = found["t0"]
        while owner.base is not None:
            owner = owner.base
        watched = weakref.ref(owner)
        kept = found["t1"]
        del found, owner
        gc.collect()
        assert watched() is not None and (kept == 1).all()
        del kept
        gc.collect()
        assert watched() is None


def test_ten_thousand_small_tensors_take_few_reads(tmp_path: Path, num_reads: collections.Counter[str]) -> None:
    tensors = {f"layer/{index:05d}": np.full(100, index, np.float32) for index in range(10_000)}
    with write(tmp_path / "model", tensors) as reader:
        num_reads.clear()
        found = read_tensors(reader, tensors)
        # 4 MB, a megabyte at a time.
        assert num_reads["model.data-00000-of-00001"] <= 5
        assert num_reads["model.index"] <= 300
        assert all(value[0] == index for index, value in enumerate(found.values()))
        num_reads.clear()
        verify_tensors(reader, tensors)
        assert num_reads["model.data-00000-of-00001"] <= 5


def test_few_of_many_are_read_without_the_others(tmp_path: Path, num_reads: collections.Counter[str]) -> None:
    tensors = {f"t{index:03d}": np.full(10_000, index, np.float32) for index in range(100)}
    with write(tmp_path / "model", tensors) as reader:
        num_reads.clear()
        found = read_tensors(reader, ["t090", "t010"])
        assert num_reads["model.data-00000-of-00001"] == 2
        assert [value[0] for value in found.values()] == [90, 10]


@pytest.mark.parametrize("num_workers", WORKERS)
@pytest.mark.parametrize("position", [0, 999, 1000, 2500, 7999])
@pytest.mark.usefixtures("small_pieces")
def test_damage_in_any_piece_of_a_large_tensor_is_found(position: int, num_workers: int | None, tmp_path: Path) -> None:
    tensors: dict[str, Any] = {"a": np.arange(3), "large": np.arange(1000, dtype=np.int64), "z": np.arange(4)}
    reader = write(tmp_path / "model", tensors)
    path = tmp_path / "model.data-00000-of-00001"
    entry = reader.entry("large")
    assert entry.size == 8000
    flip(path, entry.offset + position)
    with reader:
        for work in (read_tensors, verify_tensors):
            with pytest.raises(ChecksumError) as caught:
                work(reader, tensors, num_workers=num_workers)
            error = caught.value
            assert (error.path, error.offset, error.size) == (str(path), entry.offset, entry.size)
            assert "tensor 'large'" in str(error)
            assert error.stored != error.computed
        assert_equal(read_tensors(reader, ["a", "z"])["z"], tensors["z"])


def test_damage_in_a_small_tensor_is_its_own(tmp_path: Path) -> None:
    tensors = {f"t{index}": np.full(10, index, np.int32) for index in range(50)}
    reader = write(tmp_path / "model", tensors)
    flip(tmp_path / "model.data-00000-of-00001", reader.entry("t7").offset)
    with reader, pytest.raises(ChecksumError, match="tensor 't7': .*bytes"):
        read_tensors(reader, tensors)


@pytest.mark.parametrize("dtype", STORABLE, ids=str)
@pytest.mark.usefixtures("small_pieces")
def test_verifying_finds_what_reading_finds(dtype: dtypes.DType, tmp_path: Path) -> None:
    tensors = {"before": np.arange(3), "victim": random_array(dtype, (300,)), "behind": np.arange(3)}
    path = tmp_path / "model.data-00000-of-00001"
    with write(tmp_path / "model", tensors) as reader:
        entry = reader.entry("victim")
        sound = path.read_bytes()
        for position in np.random.default_rng(2).integers(0, entry.size, 8):
            damaged = bytearray(sound)
            damaged[entry.offset + int(position)] ^= 4
            path.write_bytes(damaged)
            outcomes = []
            for work in (read_tensors, verify_tensors):
                with pytest.raises(DataLossError) as caught:
                    work(reader, tensors, num_workers=2)
                outcomes.append((type(caught.value), str(caught.value)))
            with pytest.raises(DataLossError):
                reader.read("victim")
            assert outcomes[0] == outcomes[1]
            path.write_bytes(sound)
        verify_tensors(reader, tensors)


def test_missing_shard_is_named(tmp_path: Path) -> None:
    reader = write(tmp_path / "model", {"a": np.arange(3), "b": np.arange(3)}, num_shards=2)
    (tmp_path / "model.data-00001-of-00002").unlink()
    with reader:
        for work in (read_tensors, verify_tensors):
            with pytest.raises(CheckpointNotFoundError, match="data shard 1 is not"):
                work(reader, ["a", "b"])
        assert_equal(read_tensors(reader, ["a"])["a"], np.arange(3))


def test_file_that_ends_early_is_found_before_anything_is_made(tmp_path: Path) -> None:
    reader = write(tmp_path / "model", {"a": np.arange(3), "b": np.arange(1000)})
    path = tmp_path / "model.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-1])
    with reader, pytest.raises(TruncatedError, match="tensor 'b'") as caught:
        read_tensors(reader, ["a", "b"])
    assert (caught.value.wanted, caught.value.available) == (8000, 7999)
    assert caught.value.path == str(path)


def test_file_that_is_cut_short_while_it_is_open_is_found(tmp_path: Path) -> None:
    with write(tmp_path / "model", {"a": np.arange(3), "b": np.arange(1000)}) as reader:
        reader.read("a")
        os.truncate(tmp_path / "model.data-00000-of-00001", 1000)
        for work in (read_tensors, verify_tensors):
            with pytest.raises(TruncatedError, match="tensor 'b'"):
                work(reader, ["b"])


def test_unknown_name_is_named_with_the_nearest(tmp_path: Path) -> None:
    with write(tmp_path / "model", {"dense/kernel": np.arange(3)}) as reader:
        for work in (read_tensors, verify_tensors):
            with pytest.raises(TensorNotFoundError, match="did you mean 'dense/kernel'"):
                work(reader, ["dense/kernle"])


@pytest.mark.parametrize("shape", [(), (3, 5), (1 << 16,)])
def test_aligned_empty_is_aligned(shape: tuple[int, ...]) -> None:
    for dtype in (np.dtype(np.uint8), np.dtype(np.complex128)):
        array = aligned_empty(shape, dtype)
        assert array.shape == shape and array.dtype == dtype
        assert array.ctypes.data % ALIGNMENT == 0 and array.flags.writeable
    assert aligned_empty((2,), np.dtype(object)).tolist() == [None, None]
