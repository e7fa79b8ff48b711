"""The one place where data files are read: bounds, leased descriptors, and what has been checked already."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfsaver.errors import CheckpointReplacedError, ChecksumError, DataLossError, InvalidArgumentError
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import local_file_system
from tfsaver.lib.local_file_system import LocalRandomAccessFile
from tfsaver.tensor_bundle import read_many, region_pieces
from tfsaver.tensor_bundle.bundle_files import BundleFiles, Span
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.writer import BundleWriter

UINT8 = dtypes.from_name("uint8")


def entry(offset: int, size: int, shard_id: int = 0) -> BundleEntry:
    return BundleEntry(UINT8, (size,), shard_id, offset, size)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[BundleFiles]:
    """Two data files of ten bytes."""
    with BundleWriter(tmp_path / "model", num_shards=2, durable=False) as writer:
        for shard_id in range(2):
            writer.add(f"w{shard_id}", np.arange(10, dtype=np.uint8), shard_id=shard_id)
    with BundleReader(tmp_path / "model") as reader:
        yield reader.files


def read(reader: BundleReader, start: int, length: int) -> Any:
    return reader.read("w", TensorSlice(((start, length),)))


# Bounds.


def test_file_that_is_filled_to_its_end_is_right(files: BundleFiles) -> None:
    files.promise(1, entry(0, 4))
    files.check_present(entry(0, 4))
    files.promise(2, entry(4, 6))
    files.promise(3, entry(10, 0))
    for _ in range(2):
        files.check_present(entry(4, 6))


def test_one_byte_twice_is_data_loss_from_then_on(files: BundleFiles) -> None:
    files.promise(1, entry(0, 10))
    files.check_present(entry(0, 10))
    files.promise(2, entry(9, 1))
    for _ in range(2):
        with pytest.raises(DataLossError, match="data-00000-of-00002: tensors of 11 bytes are to be in its 10"):
            files.fill(Span(0, 9, 1), memoryview(bytearray(1)))


def test_entry_that_is_asked_for_again_counts_once(files: BundleFiles) -> None:
    for _ in range(3):
        files.promise(1, entry(0, 10))
        files.check_present(entry(0, 10))


def test_each_file_is_counted_by_itself_and_only_what_lies_in_it(files: BundleFiles) -> None:
    files.promise(1, entry(0, 10))
    files.promise(2, entry(0, 10, shard_id=1))
    files.promise(3, entry(5, 10))
    files.promise(4, entry((1 << 63) - 1, (1 << 63) - 1))
    files.check_present(entry(0, 10))
    files.check_present(entry(0, 10, shard_id=1))


# What has been checked.


@pytest.fixture
def num_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each read took."""
    sizes: list[int] = []
    readinto = LocalRandomAccessFile.readinto

    def counted(self: LocalRandomAccessFile, offset: int, buffer: memoryview) -> int:
        sizes.append(len(buffer))
        return readinto(self, offset, buffer)

    monkeypatch.setattr(LocalRandomAccessFile, "readinto", counted)
    return sizes


@pytest.fixture
def long(tmp_path: Path) -> Iterator[BundleReader]:
    """A tensor of 64 parts, written some time ago."""
    with BundleWriter(tmp_path / "long", durable=False) as writer:
        writer.add("w", np.arange(64 * 5000, dtype=np.float32))
    for path in tmp_path.glob("long.*"):
        os.utime(path, ns=(10**18 + 5, 10**18 + 5))
    with BundleReader(tmp_path / "long") as reader:
        yield reader


def test_tensor_that_is_read_in_64_parts_is_hashed_once(long: BundleReader, num_read: list[int]) -> None:
    for number in range(64):
        assert read(long, number * 5000, 5000)[0] == number * 5000
    assert sum(num_read) == 64 * 5000 * 4


def test_tensor_too_large_to_be_kept_is_read_once_and_then_in_the_pieces_that_are_wanted(
    long: BundleReader, num_read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_many, "_MAX_KEPT_SIZE", 1000)
    monkeypatch.setattr(region_pieces, "MAX_PIECE_SIZE", 20_000)
    for number in range(64):
        assert read(long, number * 5000, 5000)[0] == number * 5000
    assert sum(num_read) == 64 * 5000 * 4 + 63 * 5000 * 4


@pytest.mark.parametrize("max_kept", [0, 1 << 30], ids=["in pieces", "kept"])
@pytest.mark.parametrize("hides", [False, True], ids=["written", "written with its old time"])
def test_byte_that_flips_between_two_parts_is_damage(
    hides: bool, max_kept: int, long: BundleReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_many, "_MAX_KEPT_SIZE", max_kept)
    path = tmp_path / "long.data-00000-of-00001"
    assert read(long, 0, 10).tolist() == list(range(10))
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(20)
        file.write(b"?")
    if hides:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ChecksumError, match="tensor 'w'"):
        read(long, 0, 10)


# Leases.


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BundleReader]:
    """Twenty data files, with at most three open at a time."""
    monkeypatch.setattr(local_file_system, "descriptors_for_reading", lambda: 3)
    with BundleWriter(tmp_path / "many", num_shards=20, durable=False) as writer:
        for shard_id in range(20):
            writer.add(f"w{shard_id:02d}", np.full(100, shard_id), shard_id=shard_id)
    with BundleReader(tmp_path / "many") as reader:
        yield reader


def num_descriptors(reader: BundleReader) -> int:
    return sum(file._descriptor is not None for file in reader.files._files.values())  # type: ignore[attr-defined]


def test_few_of_many_data_files_have_a_descriptor(many: BundleReader) -> None:
    for _ in range(2):
        for shard_id, name in enumerate(many.names):
            assert many.read(name)[0] == shard_id
            assert num_descriptors(many) <= 3
    found = many.read_many(dict.fromkeys(many.names), num_workers=8)
    assert [value[0] for value in found.values()] == list(range(20))
    many.read_many(dict.fromkeys(many.names), verify_only=True, num_workers=8)
    # A thread that has just leased one more parks another after that.
    assert num_descriptors(many) <= 3 + 8


def test_file_that_is_opened_again_must_be_the_same(many: BundleReader, tmp_path: Path) -> None:
    for name in many.names:
        many.read(name)
    path = tmp_path / "many.data-00000-of-00020"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(CheckpointReplacedError, match="data-00000-of-00020 is another file now"):
        many.read("w00")


def test_descriptors_that_run_out_are_taken_from_idle_files(many: BundleReader, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = os.open
    num_open = 0

    def scarce(path: Any, flags: int, *options: Any, **named: Any) -> int:
        nonlocal num_open
        if ".data-" in str(path) and num_descriptors(many) >= 2:
            raise OSError(24, "Too many open files", path)
        return real_open(path, flags, *options, **named)

    monkeypatch.setattr(os, "open", scarce)
    for shard_id, name in enumerate(many.names):
        assert many.read(name)[0] == shard_id


def test_reader_that_another_thread_closes_gives_an_error_of_ours(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "model", num_shards=4, durable=False) as writer:
        for number in range(40):
            writer.add(f"w{number:02d}", np.full(1000, number), shard_id=number % 4)
    # What a descriptor number is given to when it is free.
    (tmp_path / "other").write_bytes(b"\xff" * 1_000_000)
    for _ in range(20):
        reader = BundleReader(tmp_path / "model")
        outcomes: list[Any] = []

        def use(reader: BundleReader = reader, outcomes: list[Any] = outcomes) -> None:
            try:
                while True:
                    for number in range(40):
                        value = reader.read(f"w{number:02d}", verify=False)
                        if set(value.tolist()) != {number}:
                            outcomes.append(value)
            except Exception as error:  # noqa: BLE001 - looked at below
                outcomes.append(error)

        threads = [threading.Thread(target=use) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.002)
        reader.close()
        others = [os.open(tmp_path / "other", os.O_RDONLY) for _ in range(8)]
        for thread in threads:
            thread.join()
        for descriptor in others:
            os.close(descriptor)
        assert len(outcomes) == 3 and all(isinstance(each, InvalidArgumentError) for each in outcomes), outcomes
