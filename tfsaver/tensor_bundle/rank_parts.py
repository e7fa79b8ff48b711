"""A checkpoint that several processes write, each a part, without speaking to each other: then anybody commits it.

    model.data-00002-of-00004                               the data of rank 2, under the name that it keeps
    model.parts/SAVE_ID/rank-00002-of-00004                 its manifest: a table like an index's, with these data's entries
    model.index                                             the commit: the manifests, merged
    model.parts/SAVE_ID/committed                           that it is over

A manifest is a sorted string table (see `table.format`). The value of the empty key is JSON::

    {"version": 1, "rank": 2, "world_size": 4, "num_shards": 4, "byte_order": "little", "data_size": 123,
     "replicas": {"step": ["int64", [], 1234567890, 2]}}

and every other key and value is what the index will have: a data file has its rank as its number. Of a replicated tensor
one rank has the bytes; the others have its dtype, its shape, the CRC-32C of their own value and the rank that writes it.

No index that is there uses the data files' names: their number of shards is another one, the same for all ranks, since all
see the same index. The appearing of the index is the commit, so a commit that was stopped anywhere can be repeated.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import re
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from tfsaver.errors import (
    CheckpointReplacedError,
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    UnimplementedError,
)
from tfsaver.framework import array_chunks, tensor_slice, tensor_util
from tfsaver.framework.dtypes import DType
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet
from tfsaver.lib import crc32c, file_io
from tfsaver.table.table import Table
from tfsaver.table.table_builder import TableBuilder
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.cleaning import num_shards_of
from tfsaver.tensor_bundle.entry import BundleEntry, decode_entry
from tfsaver.tensor_bundle.header import HEADER_KEY, BundleHeader
from tfsaver.tensor_bundle.placement import FileNames, write_index
from tfsaver.tensor_bundle.writer import BundleWriter

_VERSION = 1
_DIRECTORY = ".parts"
_COMMITTED = "committed"
_REPLACED = "replaces"
_MANIFEST = re.compile(r"rank-(\d{5,})-of-(\d{5,})")
_SAVE_ID = re.compile(r"[\w.-]+")
# A slice that is larger is cut, so that a reader who needs a part of it reads little more.
_MAX_SLICE_SIZE = 64 << 20
_POLL_SECONDS = 0.2
_MAX_NAMED = 5


class ShardWriter(BundleWriter):
    """Writes one process's part of a checkpoint: `commit` makes a checkpoint of all parts.

    No process waits for another, and nothing is renamed or locked. A part that was stopped is written again under the same
    `save_id`.

    Args:
        prefix: The checkpoint's path without suffix, the same for all ranks.
        rank: The number of this process, from 0 on.
        world_size: How many processes write.
        save_id: What this save is called, the same for all ranks and another one for each save: the step, for example.
        byte_order: See `BundleWriter`.
        durable: Whether to fsync before the manifest appears.

    Raises:
        InvalidArgumentError: The rank is not below `world_size`, or `save_id` is not letters, digits, ``.``, ``-``, ``_``.
        WriteError: The system does not let anything be written.

    Example:
        >>> with ShardWriter("run/model-100", rank=rank, world_size=4, save_id="100") as shard:  # doctest: +SKIP
        ...     shard.add_slice("embedding", (4000, 64), np.s_[1000 * rank : 1000 * (rank + 1)], rows)
        ...     shard.add("step", 100, replicated=True)
    """

    def __init__(
        self,
        prefix: file_io.PathLike,
        *,
        rank: int,
        world_size: int,
        save_id: str | int,
        byte_order: Literal["little", "big"] = "little",
        durable: bool = True,
    ) -> None:
        if world_size < 1 or not 0 <= rank < world_size:
            raise InvalidArgumentError(f"rank {rank} of world_size {world_size}: ranks are 0 to world_size - 1")
        self.rank = rank
        self.world_size = world_size
        self._save = _Save(file_io.as_path(prefix), _checked_id(save_id))
        self._replicas: dict[str, tuple[str, list[int], int, int]] = {}
        super().__init__(prefix, byte_order=byte_order, durable=durable)

    def _file_names(self) -> FileNames:
        # A part that is written again keeps the names of the first try, whatever index there is by now.
        known = next(self._save.manifests(), None)
        if known is not None:
            return FileNames(known.num_shards)
        with contextlib.suppress(DataLossError):
            if num_shards_of(self.prefix) == self.world_size:
                return FileNames(self.world_size + 1)
        return FileNames(self.world_size)

    def _data_path(self, shard_id: int) -> str:
        return naming.data_path(self.prefix, self.rank, self._names.num_shards)

    def add(self, name: str | bytes, value: Any, *, shard_id: int = 0, replicated: bool = False) -> None:
        """Appends a tensor that is wholly in this part.

        Args:
            name: Any text but the empty one.
            value: An array or what numpy makes one of.
            shard_id: A part has one data file: 0.
            replicated: Whether every rank adds the same tensor: one of them writes it, and `commit` compares all.

        Raises:
            SaverError: As `BundleWriter.add`.
        """
        if not replicated:
            super().add(name, value)
            return
        text = name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
        owner = zlib.crc32(text.encode("utf-8", "surrogateescape")) % self.world_size
        array, dtype = tensor_util.as_tensor(value, text)
        if not dtype.has_fixed_size:
            # Their bytes are known when they are written: rank 0 has them.
            owner = 0
        if owner == self.rank:
            super().add(name, array)
        self._replicas[text] = (dtype.name, list(array.shape), _checksum(array, dtype), owner)

    def add_slice(
        self, name: str | bytes, full_shape: Sequence[int], region: Region, value: Any, *, shard_id: int = 0
    ) -> None:
        """Appends a slice of a tensor whose other slices other ranks have; see `BundleWriter.add_slice`.

        A slice of more than 64 MiB is stored as several.
        """
        full_shape = tuple(full_shape)
        stored, _ = as_tensor_slice(region, full_shape, str(name))
        resolved = stored.resolve(full_shape, repr(name))
        array, _ = tensor_util.as_tensor(value, str(name))
        if array.shape != resolved.shape or array.nbytes <= _MAX_SLICE_SIZE:
            super().add_slice(name, full_shape, region, array)
            return
        for part in _cut(array.shape, array.itemsize):
            moved = tuple(
                slice(each.start + at.start, each.start + at.stop) for each, at in zip(resolved.indices, part, strict=True)
            )
            super().add_slice(name, full_shape, moved, array[part])

    def _place(self, data_paths: list[str]) -> None:
        [data_path] = data_paths
        path = self._data_path(0)
        data_size = self._shards[0].offset
        file_io.replace(data_path, path)
        if self._durable:
            file_io.sync_directory(file_io.split(self.prefix)[0])
        head = {
            "version": _VERSION,
            "rank": self.rank,
            "world_size": self.world_size,
            "num_shards": self._names.num_shards,
            "byte_order": self._header.byte_order,
            "data_size": data_size,
            "replicas": self._replicas,
        }
        self._save.write(self.rank, self.world_size, head, self._entries, durable=self._durable)


class PendingSave(NamedTuple):
    """A save whose parts are not committed.

    Attributes:
        save_id: What it is called.
        world_size: How many parts it has.
        ranks: Those that are written.
    """

    save_id: str
    world_size: int
    ranks: tuple[int, ...]

    @property
    def missing(self) -> tuple[int, ...]:
        """The ranks that have not written their part."""
        return tuple(sorted(set(range(self.world_size)).difference(self.ranks)))


def commit(
    checkpoint: file_io.PathLike, *, world_size: int, save_id: str | int, wait: float = 0.0, durable: bool = True
) -> str:
    """Makes a checkpoint of the parts that all ranks have written: its index appears, or nothing does.

    Any process may call it, several times and after it was stopped at any point.

    Args:
        checkpoint: The checkpoint's path without suffix.
        world_size: How many parts there are.
        save_id: What the ranks called the save.
        wait: How many seconds to wait for parts that are missing.
        durable: Whether to fsync before returning.

    Returns:
        The prefix.

    Raises:
        NotFoundError: Ranks have not written their part; names them.
        InvalidArgumentError: Two ranks have one tensor, their slices differ in dtype or shape, or replicas differ; names the
            ranks and the tensors.
        DataLossError: Slices overlap or leave a hole, or a part's data are not what its manifest says.
        CheckpointReplacedError: Another save was committed meanwhile.
    """
    save = _Save(file_io.as_path(checkpoint), _checked_id(save_id))
    if save.is_committed():
        return save.prefix
    parts = save.wait_for(world_size, wait)
    numbers = {part.num_shards for part in parts}
    if len(numbers) > 1:
        raise CheckpointReplacedError(
            save.prefix, what="another checkpoint was written there while its ranks began: save again under another save_id"
        )
    [num_shards] = numbers
    old = _old_num_shards(save.prefix)
    if old != num_shards:
        save.check_data(parts)
        _check_replicas(parts)
        with contextlib.ExitStack() as stack:
            merged = _Merged(save.prefix, [stack.enter_context(part.opened()) for part in parts])
            entries = list(merged.entries())
            merged.check_slices()
        save.note_old(old)
        for shard_id in range(world_size, num_shards):
            file_io.open_for_writing(naming.data_path(save.prefix, shard_id, num_shards)).close()
        write_index(save.prefix, BundleHeader(num_shards, parts[0].byte_order), entries, durable=durable)
    save.end(parts, num_shards)
    return save.prefix


def pending(checkpoint: file_io.PathLike) -> list[PendingSave]:
    """The saves of a checkpoint's name whose parts are not committed, by their names."""
    text = file_io.as_path(checkpoint)
    found = []
    for save_id in file_io.list_directory(f"{text}{_DIRECTORY}"):
        save = _Save(text, save_id)
        ranks = save.ranks()
        if ranks and not save.is_committed():
            found.append(PendingSave(save_id, max(size for _, size in ranks), tuple(rank for rank, _ in ranks)))
    return found


def abandon(checkpoint: file_io.PathLike, *, save_id: str | int) -> None:
    """Removes the parts of a save that is not to be committed; it is no error when there are none."""
    save = _Save(file_io.as_path(checkpoint), _checked_id(save_id))
    parts = list(save.manifests())
    used = _old_num_shards(save.prefix)
    for part in parts:
        if part.num_shards != used:
            file_io.remove(naming.data_path(save.prefix, part.rank, part.num_shards))
    save.remove()


class _Part(NamedTuple):
    """What a manifest's head says."""

    path: str
    rank: int
    world_size: int
    num_shards: int
    byte_order: str
    data_size: int
    replicas: Mapping[str, Any]

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[int, Iterator[tuple[bytes, bytes]]]]:
        with contextlib.closing(file_io.open_for_reading(self.path)) as file:
            items = Table(_InMemory(self.path, file.read(0, file.size))).items()
            yield self.rank, (item for item in items if item[0] != HEADER_KEY)


class _InMemory:
    """A manifest that was read whole, as a file."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.size = len(data)
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]

    def readinto(self, offset: int, buffer: memoryview) -> int:
        data = self.read(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        pass


class _Save:
    """The manifests of one save."""

    def __init__(self, prefix: str, save_id: str) -> None:
        self.prefix = prefix
        self.save_id = save_id
        self._parent = f"{prefix}{_DIRECTORY}"
        self._directory = file_io.join(self._parent, save_id)

    def write(
        self, rank: int, world_size: int, head: dict[str, Any], entries: dict[bytes, BundleEntry], *, durable: bool
    ) -> None:
        file_io.make_directory(self._directory, durable=durable)
        with file_io.atomic_writer(self._path(rank, world_size), durable=durable) as file:
            table = TableBuilder(file)
            table.add(HEADER_KEY, json.dumps(head).encode())
            for key in sorted(entries):
                table.add(key, entries[key]._replace(shard_id=rank).encode())
            table.finish()

    def _path(self, rank: int, world_size: int) -> str:
        return file_io.join(self._directory, f"rank-{rank:05d}-of-{world_size:05d}")

    def ranks(self) -> list[tuple[int, int]]:
        """The rank and the world size of every manifest."""
        found = map(_MANIFEST.fullmatch, file_io.list_directory(self._directory))
        return [(int(match[1]), int(match[2])) for match in found if match]

    def manifests(self) -> Iterator[_Part]:
        """The heads of the manifests that are there."""
        for rank, world_size in self.ranks():
            with contextlib.suppress(FileNotFoundError):
                yield self._read(self._path(rank, world_size))

    def _read(self, path: str) -> _Part:
        with contextlib.closing(file_io.open_for_reading(path)) as file:
            data = Table(_InMemory(path, file.read(0, file.size))).first_value(HEADER_KEY)
        try:
            head = json.loads(data or b"")
            if head["version"] > _VERSION:
                raise UnimplementedError(f"{path} is of version {head['version']}; tfsaver knows {_VERSION}")
            fields = (head[name] for name in _Part._fields[1:])
            return _Part(path, *fields)
        except (ValueError, KeyError, TypeError) as error:
            raise DataLossError(f"{path} is not the manifest of a rank: {error!r}") from error

    def is_committed(self) -> bool:
        """Whether a commit has noted that it is over."""
        return file_io.exists(file_io.join(self._directory, _COMMITTED))

    def wait_for(self, world_size: int, seconds: float) -> list[_Part]:
        """The parts of all ranks, in their order.

        Raises:
            NotFoundError: Some are not there.
        """
        deadline = time.monotonic() + seconds
        while True:
            ranks = self.ranks()
            missing = sorted(set(range(world_size)).difference(rank for rank, size in ranks if size == world_size))
            if not missing:
                break
            if time.monotonic() >= deadline:
                raise NotFoundError(self._what_is_missing(missing, world_size, ranks))
            time.sleep(_POLL_SECONDS)
        return [self._read(self._path(rank, world_size)) for rank in range(world_size)]

    def _what_is_missing(self, missing: list[int], world_size: int, ranks: list[tuple[int, int]]) -> str:
        others = sorted({size for _, size in ranks if size != world_size})
        hint = f"; there are parts of world_size {', '.join(map(str, others))}" if others else ""
        return (
            f"{self.prefix}, save_id {self.save_id!r}: {_ranks(missing)} of {world_size} "
            f"{'has' if len(missing) == 1 else 'have'} not written a part{hint}"
        )

    def check_data(self, parts: list[_Part]) -> None:
        """Checks that every part has its data file, and locally that it has the size that its manifest says."""
        there = set(file_io.names_beginning(f"{self.prefix}.data-"))
        for part in parts:
            path = naming.data_path(self.prefix, part.rank, part.num_shards)
            if file_io.split(path)[1] not in there:
                raise DataLossError(f"{path}: rank {part.rank} has written a manifest, and its data are not there")
            if not file_io.is_remote(path):
                with contextlib.closing(file_io.open_for_reading(path)) as file:
                    if file.size != part.data_size:
                        said = f"{part.data_size:,} in rank {part.rank}'s manifest"
                        raise DataLossError(f"{path}: {file.size:,} bytes, {said}")

    def note_old(self, old: int | None) -> None:
        """Notes the number of shards of the bundle that is replaced, which goes even if the commit is stopped in between."""
        if old is not None:
            file_io.write_file(file_io.join(self._directory, _REPLACED), str(old).encode())

    def _noted_old(self) -> int:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(file_io.read_file(file_io.join(self._directory, _REPLACED)))
        return 0

    def end(self, parts: list[_Part], num_shards: int) -> None:
        """Notes that the save is committed; removes the manifests, the old data, and what earlier commits have noted."""
        old = self._noted_old()
        for shard_id in range(old) if old != num_shards else ():
            with contextlib.suppress(OSError):
                file_io.remove(naming.data_path(self.prefix, shard_id, old))
        file_io.write_file(file_io.join(self._directory, _COMMITTED), b"")
        file_io.remove(file_io.join(self._directory, _REPLACED))
        for part in parts:
            file_io.remove(part.path)
        for save_id in file_io.list_directory(self._parent):
            earlier = _Save(self.prefix, save_id)
            if save_id != self.save_id and earlier.is_committed():
                earlier.remove()

    def remove(self) -> None:
        """Removes everything of the save but data."""
        for name in file_io.list_directory(self._directory):
            file_io.remove(file_io.join(self._directory, name))
        file_io.remove_directories([self._parent, self._directory])


class _Merged:
    """The entries of all parts in the order of their keys; those of whole tensors are not decoded.

    Args:
        prefix: The checkpoint, for errors.
        parts: Of each part its rank and its entries.
    """

    def __init__(self, prefix: str, parts: Sequence[tuple[int, Iterator[tuple[bytes, bytes]]]]) -> None:
        self._prefix = prefix
        self._parts = parts
        self._sliced: dict[bytes, BundleEntry] = {}
        self._owners: dict[bytes, list[tuple[int, tuple[TensorSlice, ...]]]] = {}

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        streams = [_numbered(rank, items) for rank, items in self._parts]
        last: tuple[bytes, int, bytes] | None = None
        same: list[tuple[bytes, int, bytes]] = []
        for item in heapq.merge(*streams):
            if last is not None and item[0] == last[0]:
                same.append(item)
                continue
            if last is not None:
                yield self._one(last, same)
                same = []
            last = item
        if last is not None:
            yield self._one(last, same)

    def _one(self, first: tuple[bytes, int, bytes], others: list[tuple[bytes, int, bytes]]) -> tuple[bytes, bytes]:
        key, rank, value = first
        if not others:
            # The field of slices, 7, is the only one of its tag.
            if b"\x3a" in value and not key.startswith(b"\0"):
                entry = decode_entry(value, repr(key))
                if entry.is_sliced:
                    self._sliced[key] = entry
                    self._owners[key] = [(rank, entry.slices)]
            return key, value
        found = [(number, decode_entry(data, repr(key))) for _, number, data in (first, *others)]
        entry = found[0][1]
        ranks = [number for number, _ in found]
        name = tensor_slice.readable_key(key)
        if not all(each.is_sliced for _, each in found):
            what = f"{_ranks(ranks)} all have {name!r}; replicated=True says that it is one tensor"
            raise InvalidArgumentError(f"{self._prefix}: {what}")
        for number, each in found[1:]:
            if (each.dtype, each.shape) != (entry.dtype, entry.shape):
                raise InvalidArgumentError(
                    f"{self._prefix}: {name!r} is {entry.dtype} {list(entry.shape)} in rank {ranks[0]}, "
                    f"{each.dtype} {list(each.shape)} in rank {number}"
                )
        entry = entry._replace(slices=tuple(stored for _, each in found for stored in each.slices))
        self._sliced[key] = entry
        self._owners[key] = [(number, each.slices) for number, each in found]
        return key, entry.encode()

    def check_slices(self) -> None:
        """Checks that the slices of each partitioned tensor are the whole tensor."""
        for key, entry in self._sliced.items():
            name = tensor_slice.readable_key(key)
            try:
                TensorSliceSet(name, entry.shape, entry.slices).check_coverage()
            except DataLossError as error:
                ranks = _ranks([rank for rank, _ in self._owners[key]])
                error.add_context(f"{self._prefix}: tensor {name!r}, of which {ranks} wrote slices")
                raise


def _numbered(rank: int, items: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, int, bytes]]:
    return ((key, rank, value) for key, value in items)


def _check_replicas(parts: list[_Part]) -> None:
    """Checks that all ranks that have a replicated tensor have the same, and that one has written it."""
    first: dict[str, tuple[int, Any]] = {}
    ranks = {part.rank: part for part in parts}
    for part in parts:
        for name, form in part.replicas.items():
            rank, known = first.setdefault(name, (part.rank, form))
            if known != form:
                what = "dtype" if known[0] != form[0] else "shape" if known[1] != form[1] else "values"
                raise InvalidArgumentError(
                    f"the replicated tensor {name!r} has other {what} in rank {part.rank} than in rank {rank}"
                )
    for name, (_, form) in first.items():
        if name not in ranks[form[3]].replicas:
            raise InvalidArgumentError(f"rank {form[3]} has not added the replicated tensor {name!r}, which others have")


def _checksum(array: np.ndarray[Any, Any], dtype: DType) -> int:
    if not dtype.has_fixed_size:
        crc = 0
        for element in array.reshape(-1).tolist():
            data = element if isinstance(element, bytes) else str(element).encode("utf-8", "surrogateescape")
            crc = crc32c.extend(crc32c.extend(crc, len(data).to_bytes(8, "little")), data)
        return crc
    crc = 0
    for chunk in array_chunks.iterate_chunks(array, dtype, "little"):
        crc = crc32c.extend(crc, chunk)
    return crc


def _cut(shape: tuple[int, ...], item_size: int) -> Iterator[tuple[slice, ...]]:
    """Cuts a shape into parts of at most the largest size, along as few axes as that takes."""
    size = item_size
    for length in shape:
        size *= length
    if size <= _MAX_SLICE_SIZE or not shape:
        yield tuple(slice(0, length) for length in shape)
        return
    row = size // shape[0]
    if row > _MAX_SLICE_SIZE:
        for index in range(shape[0]):
            for rest in _cut(shape[1:], item_size):
                yield (slice(index, index + 1), *rest)
        return
    step = max(1, _MAX_SLICE_SIZE // row)
    for start in range(0, shape[0], step):
        yield (slice(start, min(start + step, shape[0])), *(slice(0, length) for length in shape[1:]))


def _old_num_shards(prefix: str) -> int | None:
    try:
        return num_shards_of(prefix)
    except DataLossError:
        return None


def _checked_id(save_id: str | int) -> str:
    text = str(save_id)
    if not _SAVE_ID.fullmatch(text) or text in (".", ".."):
        raise InvalidArgumentError(f"save_id {save_id!r} is not made of letters, digits, '.', '-' and '_'")
    return text


def _ranks(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_MAX_NAMED]))
    more = f" and {len(numbers) - _MAX_NAMED} more" if len(numbers) > _MAX_NAMED else ""
    return f"{'rank' if len(numbers) == 1 else 'ranks'} {shown}{more}"
