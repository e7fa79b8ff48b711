"""Reads many tensors of a bundle at once, in the order of their bytes, on several threads.

    data file    [a][b][c] [      large      ][d][e] ...
    tasks         one       one for each piece  one

Small neighbours are read by one system call and copied out of its buffer, large tensors are cut into pieces that several
threads read into their places; the checksum of a piece is computed while its bytes are in the cache, and those of one
tensor are put together at the end. What is stored in another form than it has in memory (strings, slices, bytes of the
other order) is read as always, each by one thread.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tfsaver.errors import DataLossError, TruncatedError
from tfsaver.lib import crc32c, file_io, workers
from tfsaver.lib.recycled_memory import RecycledMemory
from tfsaver.tensor_bundle import out_array
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.slabs import Slabs

Array: TypeAlias = "np.ndarray[Any, Any]"

# Large enough that a task's cost vanishes, small enough that the threads end together.
_PIECE_SIZE = 8 << 20
# Between reading and hashing, bytes stay in a processor's cache up to this.
_HASHED_SIZE = 1 << 20
# Tensors below this share a system call with their neighbours, as long as what lies between them is little.
_SMALL_SIZE = 256 << 10
_GROUP_SIZE = 1 << 20
_MAX_GAP = 4 << 10
Task: TypeAlias = "Callable[[], None]"


class _Whole(NamedTuple):
    """A tensor that lies in the file as it does in memory; `raw` is where its bytes go, None when nobody wants them."""

    name: str
    entry: BundleEntry
    raw: Array | None


def read_tensors(
    reader: BundleReader,
    names: Iterable[str],
    *,
    out: Mapping[str, Array] | None = None,
    num_workers: int | None = None,
    memory: RecycledMemory | None = None,
) -> dict[str, Array]:
    """Reads tensors whole; every byte is checked against its checksum.

    Args:
        reader: The open bundle.
        names: Which tensors.
        out: Arrays to fill, by name; the others are made.
        num_workers: How many threads read; None for as many as there are cores.
        memory: What the arrays that are made lie in; new memory when None.

    Returns:
        The arrays by name, in the order of `names`. Those that are made begin at multiples of 64 bytes, and small ones
        share their memory with their neighbours in the file: all of it is kept as long as one of them is.

    Raises:
        TensorNotFoundError: There is no such tensor.
        DataLossError: The bytes are not those that were written, or some are missing.
        ShapeMismatchError: An array to fill has another shape.
        InvalidArgumentError: An array to fill has another dtype, or cannot be filled.
    """
    out = out or {}
    order = list(dict.fromkeys(names))
    entries = _entries_by_place(reader, order)
    arrays: dict[str, Array] = {}
    others = []
    wholes = []
    slabs = Slabs(sum(entry.size for entry in entries.values()), memory)
    for name, entry in entries.items():
        if not _lies_as_in_memory(reader, entry) or (name in out and not out[name].flags.c_contiguous):
            others.append(name)
            continue
        if name in out:
            arrays[name] = out_array.checked(out[name], name, entry.shape, entry.dtype)
        else:
            arrays[name] = slabs.empty(entry.shape, entry.dtype)
        wholes.append(_Whole(name, entry, arrays[name].reshape(-1).view(np.uint8)))

    def read_other(name: str) -> None:
        arrays[name] = reader.read(name, out=out.get(name))

    _read_wholes(reader, wholes, [lambda name=name: read_other(name) for name in others], num_workers)  # type: ignore[misc]
    return {name: arrays[name] for name in order}


def verify_tensors(reader: BundleReader, names: Iterable[str], *, num_workers: int | None = None) -> None:
    """Reads tensors and compares their checksums, and keeps nothing of them.

    Args:
        reader: The open bundle.
        names: Which tensors.
        num_workers: How many threads read; None for as many as there are cores.

    Raises:
        TensorNotFoundError: There is no such tensor.
        DataLossError: The bytes are not those that were written, or some are missing.
    """
    entries = _entries_by_place(reader, names)
    wholes = [_Whole(name, entry, None) for name, entry in entries.items() if _lies_as_in_memory(reader, entry)]
    others = entries.keys() - {whole.name for whole in wholes}

    def verify_other(name: str) -> None:
        try:
            for _ in reader.verify_tensor(name, with_doubt=True):
                pass
        except DataLossError as error:
            error.add_context(f"tensor {name!r}")
            raise

    _read_wholes(reader, wholes, [lambda name=name: verify_other(name) for name in others], num_workers)  # type: ignore[misc]


def _entries_by_place(reader: BundleReader, names: Iterable[str]) -> dict[str, BundleEntry]:
    """The entries of tensors in the order of their bytes; each file holds what its entries promise."""
    entry_of = reader.index.entry
    entries = {name: entry_of(name) for name in names}
    sizes: dict[int, int] = {}
    for name, entry in entries.items():
        if not entry.slices and entry.offset + entry.size > sizes.get(entry.shard_id, -1):
            try:
                sizes[entry.shard_id] = reader.data_file(entry).size
            except DataLossError as error:
                with reader.located(entry):
                    error.add_context(f"tensor {name!r}")
                    raise
    return dict(sorted(entries.items(), key=lambda item: (item[1].shard_id, item[1].offset)))


def _read_wholes(reader: BundleReader, wholes: list[_Whole], others: list[Task], num_workers: int | None) -> None:
    checksums: list[tuple[_Whole, list[tuple[int, int]]]] = []
    run_tasks([*_in_runs(_tasks_of(reader, wholes, checksums)), *others], num_workers)
    for whole, pieces in checksums:
        crc = pieces[0][0]
        for piece_crc, size in pieces[1:]:
            crc = crc32c.combine(crc, piece_crc, size)
        _check(reader, whole, crc)


def run_tasks(tasks: Collection[Task], num_workers: int | None = None) -> None:
    """Runs tasks on several threads; the first error ends it, and is raised when no task runs any more."""
    num_workers = min(workers.num_usable_cores() if num_workers is None else num_workers, len(tasks))
    if num_workers <= 1:
        for task in tasks:
            task()
        return
    waiting = iter(tasks)
    errors: list[BaseException] = []

    def work() -> None:
        # An iterator over a list gives each of its items to one thread.
        for task in waiting:
            if errors:
                return
            try:
                task()
            except BaseException as error:  # noqa: BLE001 - raised again below, by the thread that called
                errors.append(error)
                return

    with concurrent.futures.ThreadPoolExecutor(num_workers, "tfsaver-reader") as pool:
        for _ in range(num_workers - 1):
            pool.submit(work)
        work()
    if errors:
        raise errors[0]


def _lies_as_in_memory(reader: BundleReader, entry: BundleEntry) -> bool:
    dtype = entry.dtype
    if entry.is_sliced or not dtype.has_fixed_size or dtype.num_bits < 8 * dtype.size:
        return False
    return reader.header.byte_order == sys.byteorder or dtype.swap <= 1


def _tasks_of(
    reader: BundleReader, wholes: list[_Whole], checksums: list[tuple[_Whole, list[tuple[int, int]]]]
) -> Iterator[tuple[Task, int]]:
    """What is to be done, in the order of the bytes, each with how many bytes it reads."""
    group: list[_Whole] = []
    for whole in wholes:
        entry = whole.entry
        if entry.size > _SMALL_SIZE:
            num_pieces = -(-entry.size // _PIECE_SIZE)
            pieces = [(0, 0)] * num_pieces
            checksums.append((whole, pieces))
            for number in range(num_pieces):
                size = min(_PIECE_SIZE, entry.size - number * _PIECE_SIZE)
                yield functools.partial(_read_piece, reader, whole, number, pieces), size
            continue
        if group and not _is_near(group, entry):
            yield functools.partial(_read_group, reader, group), _size_of(group)
            group = []
        group.append(whole)
    if group:
        yield functools.partial(_read_group, reader, group), _size_of(group)


def _in_runs(tasks: Iterable[tuple[Task, int]]) -> Iterator[Task]:
    """Neighbours as one task: two threads that fill one huge page would both ask for it, and clear it."""
    run: list[Task] = []
    run_size = 0
    for task, size in tasks:
        if run and run_size + size > _PIECE_SIZE:
            yield functools.partial(_one_after_the_other, run)
            run, run_size = [], 0
        run.append(task)
        run_size += size
    if run:
        yield functools.partial(_one_after_the_other, run)


def _one_after_the_other(tasks: list[Task]) -> None:
    for task in tasks:
        task()


def _size_of(group: list[_Whole]) -> int:
    first, last = group[0].entry, group[-1].entry
    return last.offset + last.size - first.offset


def _is_near(group: list[_Whole], entry: BundleEntry) -> bool:
    first, last = group[0].entry, group[-1].entry
    if entry.shard_id != last.shard_id or not 0 <= entry.offset - (last.offset + last.size) <= _MAX_GAP:
        return False
    return entry.offset + entry.size - first.offset <= _GROUP_SIZE


def _read_piece(reader: BundleReader, whole: _Whole, number: int, pieces: list[tuple[int, int]]) -> None:
    start = number * _PIECE_SIZE
    size = min(_PIECE_SIZE, whole.entry.size - start)
    scratch = np.empty(min(size, _HASHED_SIZE) if whole.raw is None else 0, np.uint8)
    file = reader.data_file(whole.entry)
    crc = 0
    for position in range(start, start + size, _HASHED_SIZE):
        chunk_size = min(_HASHED_SIZE, start + size - position)
        chunk = scratch[:chunk_size] if whole.raw is None else whole.raw[position : position + chunk_size]
        _fill(reader, whole, file, whole.entry.offset + position, chunk.data)
        crc = crc32c.extend(crc, chunk.data)
    pieces[number] = (crc, size)


def _read_group(reader: BundleReader, group: list[_Whole]) -> None:
    first = group[0]
    offset = first.entry.offset
    buffer = np.empty(_size_of(group), np.uint8)
    _fill(reader, first, reader.data_file(first.entry), offset, buffer.data)
    for whole in group:
        start = whole.entry.offset - offset
        raw = buffer[start : start + whole.entry.size]
        if whole.raw is not None:
            whole.raw[:] = raw
        _check(reader, whole, crc32c.value(raw.data))


def _fill(
    reader: BundleReader, whole: _Whole, file: file_io.RandomAccessFile, offset: int, buffer: memoryview
) -> None:
    count = file.readinto(offset, buffer)
    if count != len(buffer):
        with _about(reader, whole):
            raise TruncatedError(f"bytes at {offset} of {file.path}", wanted=len(buffer), available=count)


def _check(reader: BundleReader, whole: _Whole, crc: int) -> None:
    if crc32c.unmask(whole.entry.crc32c) != crc:
        with _about(reader, whole):
            reader.check_crc(whole.entry, crc)
    if reader.has_doubts:
        reader.prove(whole.entry)


@contextlib.contextmanager
def _about(reader: BundleReader, whole: _Whole) -> Iterator[None]:
    """Says of an error which tensor and which bytes it is about, or that they are another checkpoint's."""
    try:
        with reader.located(whole.entry):
            yield
    except DataLossError as error:
        error.add_context(f"tensor {whole.name!r}")
        raise
