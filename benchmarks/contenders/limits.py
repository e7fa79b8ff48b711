"""What the machine can do at all with so many bytes: copy them, hash them, write them, read them, and nothing else.

    memcpy        from one piece of memory into another that is new
    checksum      CRC32C of all of it, one thread
    write         one thread, one new file
    write_synced  the same, and then waits for the disk
    write_shards  two threads, a new file each
    read          into memory that is new, with as many threads as there are cores

New memory and new files cost page faults, which everybody pays who reads into fresh arrays or writes what was not there.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import crc32c
import numpy as np

from benchmarks import places
from benchmarks.contenders.contender import Contender, Work
from benchmarks.workloads import Array, Workload

# Large enough that a call's cost vanishes, small enough that threads end together.
_PIECE_SIZE = 8 << 20
_NUM_SHARDS = 2


class Limits(Contender):
    """The bytes of a workload, in one piece of memory."""

    def __init__(self, workload: Workload, directory: Path) -> None:
        super().__init__(workload, directory)
        self._num_threads = len(os.sched_getaffinity(0))
        self._source = directory / "source"
        self._kept: Array | None = None

    @property
    def _data(self) -> Array:
        if self._kept is None:
            self._kept = np.concatenate([self.workload.array(number) for number in range(self.workload.num_tensors)])
            self._kept = self._kept.view(np.uint8)
        return self._kept

    def make_source(self) -> None:
        if not self._source.exists():
            self._source.mkdir(parents=True)
            _write(self._source / "0", memoryview(self._data))

    @contextlib.contextmanager
    def memcpy(self) -> Iterator[Work]:
        data = self._data
        yield Work(data.copy)

    @contextlib.contextmanager
    def checksum(self) -> Iterator[Work]:
        data = self._data
        yield Work(lambda: crc32c.crc32c(data))

    @contextlib.contextmanager
    def write(self) -> Iterator[Work]:
        view = memoryview(self._data)
        with places.emptied(self.directory / "written") as directory:
            yield Work(lambda: _write(directory / "0", view))

    @contextlib.contextmanager
    def write_synced(self) -> Iterator[Work]:
        view = memoryview(self._data)
        with places.emptied(self.directory / "written") as directory:
            yield Work(lambda: _write(directory / "0", view, is_synced=True))

    @contextlib.contextmanager
    def write_shards(self) -> Iterator[Work]:
        view = memoryview(self._data)
        half = -(-len(view) // _NUM_SHARDS)
        with (
            places.emptied(self.directory / "written") as directory,
            concurrent.futures.ThreadPoolExecutor(_NUM_SHARDS) as pool,
        ):
            paths = [directory / str(number) for number in range(_NUM_SHARDS)]
            parts = [view[start : start + half] for start in range(0, len(view), half)]
            yield Work(lambda: list(pool.map(_write, paths, parts)))

    @contextlib.contextmanager
    def read(self) -> Iterator[Work]:
        self.make_source()
        self._kept = None
        with concurrent.futures.ThreadPoolExecutor(self._num_threads) as pool:
            yield Work(lambda: _read(self._source / "0", pool))

    @contextlib.contextmanager
    def read_cold(self) -> Iterator[Work]:
        self.make_source()
        places.evict(self._source)
        with self.read() as work:
            yield work


def _write(path: Path, view: memoryview, *, is_synced: bool = False) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        while view:
            view = view[os.write(descriptor, view[:_PIECE_SIZE]) :]
        if is_synced:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, pool: concurrent.futures.Executor) -> Array:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = np.empty(os.fstat(descriptor).st_size, np.uint8)
        view = memoryview(data)

        def read_piece(start: int) -> None:
            end = min(start + _PIECE_SIZE, len(view))
            while start < end:
                start += os.preadv(descriptor, [view[start:end]], start)

        for _ in pool.map(read_piece, range(0, len(view), _PIECE_SIZE)):
            pass
        return data
    finally:
        os.close(descriptor)
