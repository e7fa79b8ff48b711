"""The data files of a bundle: the one place where their bytes are read and hashed.

Whoever reads a tensor, a part of one, or checks one, comes through `fill` (or `map`). So every reader has the same
guarantees:

    bounds      A span that leaves its file is an error before memory is taken for it. Writers put tensors one behind the
                other; an index whose entries promise more bytes than a file has (a thousand for one megabyte) is refused.
    the pin     The bytes are those of the checkpoint that was opened; see below.
    leases      However many data files there are, few have a descriptor at once, and none in use is ever closed.
    checksums   The CRC-32C of what was read is computed while the bytes are in the cache. Once all of an entry has been
                checked, its pieces have checksums of their own, and a part of it is read and checked alone.

The pin:

    1   the index is opened, and what is in it is known
    2   a data file is opened by its name, which may be much later
    3   is the name of the index still that of the file which was opened in 1?

If it is, the file of 2 is the index's: a checkpoint that replaces another changes the index before it changes a data file
that the old index needs (see `placement`). If it is another file, the checkpoint has been replaced. If it is gone, so is the
checkpoint, but the data file that was opened may be the right one.

TensorFlow renames data files first and the index last. Between the two, the answer of 3 is yes and the data are others; what
shows it is that they were written after the index. So may be files that somebody has copied. Such a file is doubtful, like
that of a checkpoint that is gone: nothing is taken from it without its checksum.
"""

from __future__ import annotations

import array
import contextlib
import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tfsaver.errors import (
    CheckpointNotFoundError,
    CheckpointReplacedError,
    ChecksumError,
    DataLossError,
    InvalidArgumentError,
    SaverError,
    TruncatedError,
)
from tfsaver.lib import crc32c, file_identity, file_io
from tfsaver.lib.fork_safe_lock import ForkSafeLock
from tfsaver.lib.local_file_system import DescriptorCache, LocalRandomAccessFile
from tfsaver.lib.workers import Task, run_tasks
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.header import BundleHeader
from tfsaver.tensor_bundle.index_file import Fate, IndexFile

# Between reading and hashing, bytes stay in a processor's cache up to this.
_HASHED_SIZE = 1 << 20
# Of a mapped tensor: large enough that a task's cost vanishes, small enough that the threads end together.
_MAPPED_PIECE_SIZE = 8 << 20


class Span(NamedTuple):
    """A run of bytes in one of a bundle's data files."""

    shard_id: int
    offset: int
    size: int


Array: TypeAlias = "np.ndarray[Any, Any]"
# What says where bytes lie: an entry does, too.
Place: TypeAlias = "Span | BundleEntry"


class BundleFiles:
    """The data files of one index. Several threads may read from them at once.

    Args:
        prefix: The checkpoint's path without suffix.
        header: How many data files there are, and in which byte order.
        index: The index that says so.
    """

    def __init__(self, prefix: str, header: BundleHeader, index: IndexFile) -> None:
        self.byte_order = header.byte_order
        self._prefix = prefix
        self._num_shards = header.num_shards
        self._index = index
        self._descriptors = DescriptorCache()
        self._files: dict[int, file_io.RandomAccessFile] = {}
        self._paths: dict[int, str] = {}
        # With what is odd about each.
        self._doubtful: dict[int, str] = {}
        self._pieces: dict[BundleEntry, tuple[int, ...]] = {}
        self._kept: tuple[BundleEntry, object, Array] | None = None
        self._lock = ForkSafeLock()
        self._promised = _PromisedBytes(self._lock)
        self._is_closed = False

    @property
    def num_open(self) -> int:
        """How many have been opened."""
        return len(self._files)

    def path(self, shard_id: int) -> str:
        """The file of a shard."""
        path = self._paths.get(shard_id)
        if path is None:
            path = self._paths[shard_id] = naming.data_path(self._prefix, shard_id, self._num_shards)
        return path

    # Bounds.

    def promise(self, key: int, entry: BundleEntry) -> None:
        """Notes that an entry is about to be read.

        Args:
            key: A hash of the name under which the index has the entry. The same name again promises no more bytes.
            entry: The entry.
        """
        self._promised.add(key, entry)

    def check_present(self, place: Place) -> None:
        """Checks that a file holds the bytes that are to be read from it: before an array is made for them.

        Raises:
            TruncatedError: It ends before.
            DataLossError: The entries that were promised take more bytes than the file has.
            CheckpointNotFoundError: There is no such file.
            CheckpointReplacedError: It is another checkpoint's.
        """
        self._checked_file(place)

    def _checked_file(self, place: Place) -> file_io.RandomAccessFile:
        file = self._files.get(place.shard_id) or self._file(place.shard_id)
        if place.offset + place.size > file.size:
            raise self.damage(place, _truncated(file.path, place.offset, place.size, file.size - place.offset))
        if self._promised.is_unchecked(place.shard_id):
            try:
                self._promised.check(place.shard_id, file)
            except DataLossError as error:
                raise self.damage(place, error) from None
        return file

    # Bytes.

    def fill(self, span: Span, buffer: memoryview, crc: int = 0) -> int:
        """Fills a buffer of a span's size; returns the CRC-32C of the bytes, as they lie in the file.

        Args:
            span: Where the bytes are.
            buffer: Where they go.
            crc: The checksum of what lies before them, which theirs then extends.

        Raises:
            TruncatedError: The file ends before.
            DataLossError: The entries that were promised take more bytes than the file has.
            CheckpointNotFoundError: There is no such file.
            CheckpointReplacedError: It is another checkpoint's.
            OSError: The system does not read it; says nothing about the bytes.
        """
        file = self._checked_file(span)
        # One request of a store brings all of it.
        step = _HASHED_SIZE if isinstance(file, LocalRandomAccessFile) else span.size
        for start in range(0, span.size, step or 1):
            piece = buffer[start : start + step]
            self._read(file, span, start, piece)
            crc = crc32c.extend(crc, piece)
        return crc

    def fill_run(self, span: Span, buffer: memoryview, parts: Sequence[tuple[int, int]]) -> list[int]:
        """Fills a buffer at once; returns the CRC-32C of each of its parts, which are (start, end) in the buffer."""
        self._read(self._checked_file(span), span, 0, buffer)
        return [crc32c.value(buffer[start:end]) for start, end in parts]

    def _read(self, file: file_io.RandomAccessFile, span: Span, start: int, buffer: memoryview) -> None:
        offset = span.offset + start
        try:
            count = file.readinto(offset, buffer)
        except FileNotFoundError:
            raise self.missing(span.shard_id) from None
        except CheckpointReplacedError as error:
            raise CheckpointReplacedError(self._prefix, what=error.what) from None
        if count != len(buffer):
            raise self.damage(span, _truncated(file.path, offset, len(buffer), count))

    def map(self, span: Span) -> memoryview:
        """The bytes of a span on the pages of their file, read-only and unread.

        Raises:
            UnimplementedError: The file is elsewhere.
            SaverError: As `fill`.
        """
        file = self._checked_file(span)
        try:
            return file_io.map_exactly(file, span.offset, span.size, "the tensor")
        except TruncatedError as error:
            raise self.damage(span, error) from None

    def hash_mapped(self, memory: memoryview) -> int:
        """The CRC-32C of what `map` has returned, on several threads."""
        starts = range(0, len(memory), _MAPPED_PIECE_SIZE)
        checksums = [0] * len(starts)

        def hash_piece(number: int) -> None:
            checksums[number] = crc32c.value(memory[starts[number] : starts[number] + _MAPPED_PIECE_SIZE])

        run_tasks([Task(functools.partial(hash_piece, number)) for number in range(len(starts))])
        return combined(zip(checksums, (min(_MAPPED_PIECE_SIZE, len(memory) - start) for start in starts), strict=True))

    # Checksums.

    def check(self, entry: BundleEntry, crc: int) -> None:
        """Compares the checksum of an entry's bytes with the one that the index has.

        Raises:
            ChecksumError: They differ.
            CheckpointReplacedError: They differ because the bytes are another checkpoint's.
        """
        stored = crc32c.unmask(entry.crc32c)
        if stored != crc:
            raise self._other_bytes(entry, stored, crc)

    def check_piece(self, span: Span, expected: int, crc: int) -> None:
        """Compares the checksum of a piece of an entry with what it was when all of the entry was checked."""
        if expected != crc:
            raise self._other_bytes(span, expected, crc)

    def _other_bytes(self, place: Place, stored: int, computed: int) -> DataLossError:
        what = f"bytes {place.offset} to {place.offset + place.size} of {self.path(place.shard_id)}"
        return self.damage(place, ChecksumError(what, stored=stored, computed=computed))

    def note_pieces(self, entry: BundleEntry, checksums: Sequence[int]) -> None:
        """Notes the checksum of each piece of an entry that has been checked: from now on a piece can be checked alone."""
        self._pieces[entry] = tuple(checksums)

    def piece_checksums(self, entry: BundleEntry) -> tuple[int, ...] | None:
        """What `note_pieces` has noted of an entry."""
        return self._pieces.get(entry)

    def version(self, shard_id: int) -> object:
        """What a data file is now; something else once somebody has written to it."""
        file = self._file(shard_id)
        if not isinstance(file, LocalRandomAccessFile):
            # An object is written whole, under the same name or another.
            return file_identity.of_open(file)
        try:
            status = file.status()
        except FileNotFoundError:
            raise self.missing(shard_id) from None
        except CheckpointReplacedError as error:
            raise CheckpointReplacedError(self._prefix, what=error.what) from None
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def keep(self, entry: BundleEntry, version: object, elements: Array) -> None:
        """Keeps the elements of an entry that has been checked, in the place of those that were kept before.

        Args:
            entry: The entry.
            version: What its file was before they were read.
            elements: All of them.
        """
        self._kept = entry, version, elements

    def kept(self, entry: BundleEntry) -> Array | None:
        """What is kept of an entry; None where nothing is, or somebody has written to its file since it was read."""
        kept = self._kept
        if kept is None or kept[0] != entry or kept[1] != self.version(entry.shard_id):
            return None
        return kept[2]

    @property
    def is_remote(self) -> bool:
        """Whether each read is a request, which takes long, and many of which can be under way."""
        return file_io.is_remote(self._prefix)

    def is_doubtful(self, shard_id: int) -> bool:
        """Whether only its checksum can tell that an entry's bytes are this checkpoint's; of a file that was opened."""
        return shard_id in self._doubtful

    def damage(self, place: Place, error: DataLossError) -> DataLossError:
        """An error about bytes, which says where they lie.

        Raises:
            CheckpointReplacedError: They are wrong because they are another checkpoint's.
        """
        if error.path is None:
            error.path, error.offset, error.size = self.path(place.shard_id), place.offset, place.size
        self.check_not_replaced()
        return error

    def explain(self, error: DataLossError) -> None:
        """Says in an error about a doubtful file what is odd about the file."""
        for shard_id, doubt in self._doubtful.items():
            if error.path == self.path(shard_id):
                error.add_context(doubt)

    # Files.

    def _file(self, shard_id: int) -> file_io.RandomAccessFile:
        file = self._files.get(shard_id)
        if file is not None:
            return file
        if self._is_closed:
            raise InvalidArgumentError(f"{self._prefix} is closed")
        # Without the lock: a store may have to be connected to, and its library imported.
        opened = self._open(shard_id)
        with self._lock:
            if not self._is_closed:
                file = self._files.setdefault(shard_id, opened)
        if file is not opened:
            opened.close()
        if file is None:
            raise InvalidArgumentError(f"{self._prefix} is closed")
        return file

    def _open(self, shard_id: int) -> file_io.RandomAccessFile:
        try:
            file = file_io.open_for_reading(self.path(shard_id), self._descriptors)
        except FileNotFoundError:
            raise self.missing(shard_id) from None
        if file_io.is_remote(file.path):
            # Another request would tell no more than the checksums do.
            self._doubtful[shard_id] = "data in an object store"
            return file
        try:
            fate = self._index.fate()
            if fate is Fate.REPLACED:
                raise self._index.replaced()
            if fate is Fate.REMOVED:
                self._doubtful[shard_id] = "the index was removed while it was open"
            elif self._is_newer_than_index(file):
                self._doubtful[shard_id] = "data newer than the index, as in a save that goes on or was stopped"
        except BaseException:
            file.close()
            raise
        return file

    def _is_newer_than_index(self, file: file_io.RandomAccessFile) -> bool:
        index = self._index.identity
        if index is None:
            return False
        return file_identity.of_open(file).modification_time_ns > index.modification_time_ns

    def check_not_replaced(self) -> None:
        """Checks, when something else has gone wrong, whether that is why.

        Raises:
            CheckpointReplacedError: The index has been replaced since it was opened.
        """
        if self._index.fate() is Fate.REPLACED:
            raise self._index.replaced()

    def missing(self, shard_id: int) -> SaverError:
        """The error for a data file that is not there."""
        fate = self._index.fate()
        if fate is Fate.REPLACED:
            return self._index.replaced()
        found = f"the index is there, its data shard {shard_id} is not"
        if fate is Fate.REMOVED:
            found = (
                f"the checkpoint was removed while it was read: its index was there when it was opened, and is gone now "
                f"like its data shard {shard_id}"
            )
        return CheckpointNotFoundError(self._prefix, looked_for=[self.path(shard_id)], found=found)

    def close(self) -> None:
        """Closes the files; nothing can be read afterwards. Reads that are under way end first."""
        with self._lock:
            self._is_closed = True
            files = list(self._files.values())
            self._files.clear()
            self._kept = None
        for file in files:
            with contextlib.suppress(OSError):
                file.close()


class _PromisedBytes:
    """Counts the bytes that the entries of one index take in each data file, as they are asked for.

    Args:
        lock: Taken for every count; what holds it counts nothing.
    """

    def __init__(self, lock: ForkSafeLock) -> None:
        self._lock = lock
        # Hashes, since names are long: two of one hash are counted as one, which is no harm.
        self._known: set[int] = set()
        # Of each shard, the end and the size of what is not counted yet: whether it lies in the file is seen when that is
        # open.
        self._waiting: dict[int, array.array[int]] = {}
        self._totals: dict[int, int] = {}
        # Shards that are found to have too many.
        self._exceeded: set[int] = set()

    def add(self, key: int, entry: BundleEntry) -> None:
        if not entry.size or key in self._known:
            return
        with self._lock.bare:
            if key not in self._known:
                self._known.add(key)
                self._waiting.setdefault(entry.shard_id, array.array("Q")).extend((entry.offset + entry.size, entry.size))

    def is_unchecked(self, shard_id: int) -> bool:
        """Whether a shard's entries must be compared with its size."""
        return shard_id in self._waiting or shard_id in self._exceeded

    def check(self, shard_id: int, file: file_io.RandomAccessFile) -> None:
        """Compares what lies in a shard's file with its size.

        Raises:
            DataLossError: It is more: tensors have bytes in common.
        """
        with self._lock.bare:
            waiting = self._waiting.pop(shard_id, array.array("Q"))
            # What ends behind the file is damage of another kind, and is never read.
            in_file = (size for end, size in zip(waiting[::2], waiting[1::2], strict=True) if end <= file.size)
            total = self._totals[shard_id] = self._totals.get(shard_id, 0) + sum(in_file)
        if total > file.size:
            self._exceeded.add(shard_id)
            raise DataLossError(
                f"{file.path}: tensors of {total} bytes are to be in its {file.size}: "
                "some have bytes in common, as no writer leaves them"
            )


def combined(pieces: Iterable[tuple[int, int]]) -> int:
    """The CRC-32C of runs of bytes, one behind the other, from the checksum and the size of each."""
    remaining: Iterator[tuple[int, int]] = iter(pieces)
    crc, _ = next(remaining, (0, 0))
    for piece_crc, size in remaining:
        crc = crc32c.combine(crc, piece_crc, size)
    return crc


def _truncated(path: str, offset: int, wanted: int, available: int) -> TruncatedError:
    return TruncatedError(f"{wanted} bytes at {offset} of {path}", wanted=wanted, available=max(0, available))

