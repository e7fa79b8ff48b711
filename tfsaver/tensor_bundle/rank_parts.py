"""A checkpoint that several processes write, each a part, without speaking to each other: then anybody commits it.

    model.data-00002-of-00004                               the data of rank 2, under the name that it keeps
    model.parts/SAVE_ID/ranks-00004-as-00004                how many ranks there are, and the number in their files' names
    model.parts/SAVE_ID/rank-00002-of-00004                 the manifest of rank 2: a table like an index's
    model.index                                             the commit: the manifests, merged; then model.parts goes

A manifest is a sorted string table (see `table.format`). The value of the empty key is JSON::

    {"version": 1, "rank": 2, "world_size": 4, "num_shards": 4, "byte_order": "little", "data_size": 123,
     "replicas": {"step": ["int64", [], 1234567890, 2]}}

and every other key and value is what the index will have: a data file has its rank as its number. Of a replicated tensor
one rank has the bytes; the others have its dtype, its shape, the CRC-32C of their own value and the rank that writes it.

No index and no other save uses the data files' names: their number of shards is another one, the same for all ranks, since
the first of them notes it. The appearing of the index is the commit. Its header names the save and the number of data files
that it replaces, so that a commit that was stopped anywhere can be repeated.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import json
import math
import re
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from tfsaver.errors import (
    AlreadyExistsError,
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
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.table.table import Table
from tfsaver.table.table_builder import TableBuilder
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.cleaning import clean_directory, header_of
from tfsaver.tensor_bundle.entry import BundleEntry, decode_entry
from tfsaver.tensor_bundle.header import HEADER_KEY, BundleHeader
from tfsaver.tensor_bundle.placement import FileNames, write_index
from tfsaver.tensor_bundle.writer import BundleWriter

_VERSION = 1
_DIRECTORY = ".parts"
_MANIFEST = re.compile(r"rank-(\d{5,})-of-(\d{5,})")
_NOTE = re.compile(r"ranks-(\d{5,})-as-(\d{5,})")
_SAVE_ID = re.compile(r"[\w.-]+")
# A part of a tensor that is larger is cut, so that a reader who needs some of it reads little more.
_MAX_SLICE_SIZE = 64 << 20
_MIN_SLICE_SIZE = 1 << 20
# In seconds: how long to wait before looking again for parts that are missing.
_FIRST_DELAY = 0.1
_MAX_DELAY = 2.0
_BLOCK_SIZE = 4 << 10
_BLOCKS_IN_RUN = 256
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
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        InvalidArgumentError: The rank is not below `world_size`, or `save_id` is not letters, digits, ``.``, ``-``, ``_``.
        WriteError: The system does not let anything be written.

    Example:
        >>> with ShardWriter("run/model-100", rank=rank, world_size=4, save_id="100") as shard:  # doctest: +SKIP
        ...     shard.add_slice("embedding", (4000, 64), np.s_[1000 * rank : 1000 * (rank + 1)], rows)
        ...     shard.add("step", 100, replicated=True)
    """

    # A rank that was stopped writes its part again.
    _is_exclusive = False

    @takes_storage_options("prefix")
    def __init__(
        self,
        prefix: file_io.PathLike,
        *,
        rank: int,
        world_size: int,
        save_id: str | int,
        byte_order: Literal["little", "big"] = "little",
        durable: bool = True,
        storage_options: StorageOptions | None = None,
        fs: OpenFileSystem | None = None,
    ) -> None:
        if world_size < 1 or not 0 <= rank < world_size:
            raise InvalidArgumentError(f"rank {rank} of world_size {world_size}: ranks are 0 to world_size - 1")
        self.rank = rank
        self.world_size = world_size
        self._save = _Save(file_io.as_path(prefix), _checked_id(save_id))
        self._replicas: dict[str, tuple[str, list[int], int, int]] = {}
        super().__init__(prefix, byte_order=byte_order, durable=durable)

    def _file_names(self) -> FileNames:
        return FileNames(self._save.number_for(self.world_size))

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
            array, dtype = tensor_util.as_tensor(value, str(name))
            if dtype.has_fixed_size and array.nbytes > _MAX_SLICE_SIZE:
                self.add_slice(name, array.shape, TensorSlice.full(array.ndim), array)
            else:
                super().add(name, value)
            return
        text = name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
        owner = zlib.crc32(text.encode("utf-8", "surrogateescape")) % self.world_size
        array, dtype = tensor_util.as_tensor(value, text)
        if not dtype.has_fixed_size:
            # Their bytes are known when they are written: rank 0 has them.
            owner = 0
        if owner == self.rank:
            self.add(name, array)
        self._replicas[text] = (dtype.name, list(array.shape), _checksum(array, dtype), owner)

    def add_slice(
        self, name: str | bytes, full_shape: Sequence[int], region: Region, value: Any, *, shard_id: int = 0
    ) -> None:
        """Appends a slice of a tensor whose other slices other ranks have; see `BundleWriter.add_slice`.

        What is a part of a tensor of more than 64 MiB is stored as several slices: see `_grid`.
        """
        full_shape = tuple(full_shape)
        stored, _ = as_tensor_slice(region, full_shape, str(name))
        resolved = stored.resolve(full_shape, repr(name))
        array, dtype = tensor_util.as_tensor(value, str(name))
        if array.shape != resolved.shape or not array.size or not dtype.has_fixed_size:
            super().add_slice(name, full_shape, region, array)
            return
        starts = [each.start for each in resolved.indices]
        for part in _cut(resolved.indices, _grid(full_shape, array.itemsize)):
            inside: tuple[Any, ...] = tuple(
                slice(each.start - at, each.stop - at) for each, at in zip(part, starts, strict=True)
            )
            super().add_slice(name, full_shape, part, np.asarray(array[inside]))

    def finish(self) -> str:
        self._save.announce(self.world_size, self._names.num_shards, durable=self._durable)
        return super().finish()

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


def prefixes_of_parts(directory: str, names: Iterable[str]) -> list[str]:
    """The checkpoints in a directory of which there may be saves that are not committed.

    Args:
        directory: The directory.
        names: What is in it.
    """
    found = [file_io.join(directory, name.removesuffix(_DIRECTORY)) for name in names if name.endswith(_DIRECTORY)]
    return [prefix for prefix in found if file_io.is_directory(prefix + _DIRECTORY)]


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


@takes_storage_options("checkpoint")
def commit(
    checkpoint: file_io.PathLike,
    *,
    world_size: int,
    save_id: str | int,
    wait: float = 0.0,
    durable: bool = True,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> str:
    """Makes a checkpoint of the parts that all ranks have written: its index appears, or nothing does.

    Any process may call it, several times and after it was stopped at any point.

    Args:
        checkpoint: The checkpoint's path without suffix.
        world_size: How many parts there are.
        save_id: What the ranks called the save.
        wait: How many seconds to wait for parts that are missing.
        durable: Whether to fsync before returning.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

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
    # What commits that were killed have left.
    clean_directory(file_io.split(save.prefix)[0])
    deadline = time.monotonic() + wait
    delay = _FIRST_DELAY
    while True:
        found = save.survey()
        old = found.header()
        if old is not None and old.save_id == save.save_id:
            save.end(found, old)
            return save.prefix
        missing = sorted(set(range(world_size)) - found.ranks(world_size).keys())
        if not missing:
            # Another process may commit it at this moment, and remove the manifests.
            with contextlib.suppress(FileNotFoundError):
                return _commit(save, found, world_size, old, durable)
            continue
        if time.monotonic() >= deadline:
            raise NotFoundError(found.what_is_missing(missing, world_size))
        time.sleep(min(delay, max(0.0, deadline - time.monotonic())))
        delay = min(2 * delay, _MAX_DELAY)


def _commit(save: _Save, found: _Survey, world_size: int, old: BundleHeader | None, durable: bool) -> str:
    paths = found.ranks(world_size)
    contents = file_io.read_files({path: found.sizes[path] for path in paths.values()})
    parts = [_Part(path, data) for path, data in zip(paths.values(), contents, strict=True)]
    numbers = {part.num_shards for part in parts}
    if len(numbers) > 1 or (old is not None and old.num_shards in numbers):
        what = "another checkpoint was written there while its ranks began: save again under another save_id"
        raise CheckpointReplacedError(save.prefix, what=what)
    [num_shards] = numbers
    found.check_data(parts)
    _check_replicas(parts)
    header = BundleHeader(num_shards, parts[0].byte_order, save.save_id, None if old is None else old.num_shards)
    for shard_id in range(world_size, num_shards):
        file_io.open_for_writing(naming.data_path(save.prefix, shard_id, num_shards)).close()
    merged = _Merged(save.prefix, [(part.rank, part.table) for part in parts])
    try:
        write_index(save.prefix, header, merged.runs(), durable=durable, exclusive=not found.has_index)
    except AlreadyExistsError:
        now = header_of(save.prefix)
        if now is None or now.save_id != save.save_id:
            raise CheckpointReplacedError(save.prefix, what="another save was committed meanwhile") from None
    save.end(found, header)
    return save.prefix


@takes_storage_options("checkpoint")
def pending(
    checkpoint: file_io.PathLike, *, storage_options: StorageOptions | None = None, fs: OpenFileSystem | None = None
) -> list[PendingSave]:
    """The saves of a checkpoint's name whose parts are not committed, by their names.

    Args:
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.
    """
    return _Save(file_io.as_path(checkpoint), "").survey().pending()


def parts_of(checkpoint: file_io.PathLike) -> tuple[list[PendingSave], set[str]]:
    """The saves of a checkpoint's name that are not committed, and the data files that are theirs."""
    found = _Save(file_io.as_path(checkpoint), "").survey()
    pending_saves = found.pending()
    header = found.header()
    numbers = {number for each in pending_saves for number in found.numbers(each.save_id)}
    if header is not None:
        numbers.discard(header.num_shards)
    return pending_saves, {path for number in numbers for path in found.data(number)}


@takes_storage_options("checkpoint")
def abandon(
    checkpoint: file_io.PathLike,
    *,
    save_id: str | int,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> None:
    """Removes the parts of a save that is not to be committed; it is no error when there are none.

    Args:
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.
    """
    save = _Save(file_io.as_path(checkpoint), _checked_id(save_id))
    found = save.survey()
    header = found.header()
    used = None if header is None else header.num_shards
    unused = [path for number in found.numbers(save.save_id) if number != used for path in found.data(number)]
    save.remove([*unused, *found.files_of(save.save_id)])


class _Part:
    """A manifest.

    Args:
        path: The file.
        data: What is in it.

    Attributes:
        path: The file.
        table: Its entries.
        rank, world_size, num_shards, byte_order, data_size, replicas: What its head says.

    Raises:
        DataLossError: It is damaged.
        UnimplementedError: It was written for a newer version.
    """

    rank: int
    world_size: int
    num_shards: int
    byte_order: str
    data_size: int
    replicas: Mapping[str, Any]

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.table = Table(_InMemory(path, data), num_cached_blocks=0)
        try:
            head = json.loads(self.table.first_value(HEADER_KEY) or b"")
            if head["version"] > _VERSION:
                raise UnimplementedError(f"{path} is of version {head['version']}; tfsaver knows {_VERSION}")
            for name in ("rank", "world_size", "num_shards", "byte_order", "data_size", "replicas"):
                setattr(self, name, head[name])
        except (ValueError, KeyError, TypeError) as error:
            raise DataLossError(f"{path} is not the manifest of a rank: {error!r}") from error


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


class _Survey:
    """The files of a checkpoint and of its saves, as they are at one moment; in a store one request.

    Args:
        prefix: The checkpoint's path without suffix.
        save_id: The save in question.

    Attributes:
        has_index: Whether there is an index.
        sizes: The sizes of all of these files.
    """

    def __init__(self, prefix: str, save_id: str) -> None:
        self._prefix = prefix
        self._save_id = save_id
        # Of each save the paths of its files by their names.
        self._saves: dict[str, dict[str, str]] = {}
        self._data: dict[int, dict[str, int]] = {}
        self.has_index = False
        self.sizes = file_io.files_beginning(prefix + ".")
        start = len(prefix)
        for path, size in self.sizes.items():
            name = path[start:]
            if name == ".index":
                self.has_index = True
            elif match := naming.DATA_NAME.fullmatch(name):
                self._data.setdefault(int(match[3]), {})[path] = size
            elif name.startswith(f"{_DIRECTORY}/") and name.count("/") == 2:
                _, save, file = name.split("/")
                self._saves.setdefault(save, {})[file] = path

    def header(self) -> BundleHeader | None:
        """The header of the index; None where there is none that anybody can read."""
        try:
            return header_of(self._prefix) if self.has_index else None
        except DataLossError:
            return None

    def ranks(self, world_size: int) -> dict[int, str]:
        """The manifests of the save by their ranks, in their order."""
        found = {
            int(match[1]): path
            for file, path in self._saves.get(self._save_id, {}).items()
            if (match := _MANIFEST.fullmatch(file)) and int(match[2]) == world_size
        }
        return dict(sorted(found.items()))

    def numbers(self, save_id: str, world_size: int | None = None) -> set[int]:
        """The numbers of shards that a save has noted; only for so many ranks if that is said."""
        noted = map(_NOTE.fullmatch, self._saves.get(save_id, {}))
        return {int(match[2]) for match in noted if match and world_size in (None, int(match[1]))}

    def data(self, number: int) -> dict[str, int]:
        """The data files of one number of shards, and their sizes."""
        return self._data.get(number, {})

    def files_of(self, save_id: str) -> list[str]:
        """All files of a save but its data."""
        return list(self._saves.get(save_id, {}).values())

    def number_for(self, world_size: int) -> int:
        """A number of shards whose names are free for the save; of several ranks all find the same."""
        if noted := self.numbers(self._save_id, world_size):
            return min(noted)
        header = self.header()
        used = {number for save in self._saves for number in self.numbers(save)} | self._data.keys()
        number = world_size
        while number in used or (header is not None and number == header.num_shards):
            number += 1
        return number

    def pending(self) -> list[PendingSave]:
        """The saves that are not committed."""
        header = self.header()
        committed = "" if header is None else header.save_id
        found = []
        for save, files in sorted(self._saves.items()):
            manifests = [(int(match[1]), int(match[2])) for match in map(_MANIFEST.fullmatch, files) if match]
            sizes = {size for _, size in manifests} | {int(match[1]) for match in map(_NOTE.fullmatch, files) if match}
            if sizes and save != committed:
                world_size = max(sizes)
                ranks = tuple(sorted(rank for rank, size in manifests if size == world_size))
                found.append(PendingSave(save, world_size, ranks))
        return found

    def check_data(self, parts: list[_Part]) -> None:
        """Checks that every part has its data file, of the size that its manifest says."""
        for part in parts:
            path = naming.data_path(self._prefix, part.rank, part.num_shards)
            size = self.data(part.num_shards).get(path)
            if size is None:
                raise DataLossError(f"{path}: rank {part.rank} has written a manifest, and its data are not there")
            if size != part.data_size:
                raise DataLossError(f"{path}: {size:,} bytes, {part.data_size:,} in rank {part.rank}'s manifest")

    def what_is_missing(self, missing: list[int], world_size: int) -> str:
        """The sentence of an error about ranks that have not written a part."""
        files = self._saves.get(self._save_id, {})
        others = sorted({int(match[2]) for match in map(_MANIFEST.fullmatch, files) if match} - {world_size})
        hint = f"; there are parts of world_size {', '.join(map(str, others))}" if others else ""
        has = "has" if len(missing) == 1 else "have"
        return f"{self._prefix}, save_id {self._save_id!r}: {_ranks(missing)} of {world_size} {has} not written a part{hint}"

    def leftovers(self, header: BundleHeader) -> list[str]:
        """What the commit of the save leaves without a use: its manifests, and all of the checkpoint before it."""
        found = self.files_of(self._save_id)
        if header.replaced not in (None, header.num_shards):
            found += self.data(header.replaced)
            for save in self._saves:
                if header.replaced in self.numbers(save):
                    found += self.files_of(save)
        return found


class _Save:
    """One save of a checkpoint."""

    def __init__(self, prefix: str, save_id: str) -> None:
        self.prefix = prefix
        self.save_id = save_id
        self._parent = prefix + _DIRECTORY
        self._directory = file_io.join(self._parent, save_id)
        # Whether another rank has said which data files are this save's.
        self._is_noted = False

    def survey(self) -> _Survey:
        return _Survey(self.prefix, self.save_id)

    def number_for(self, world_size: int) -> int:
        """See `_Survey.number_for`."""
        found = self.survey()
        self._is_noted = bool(found.numbers(self.save_id, world_size))
        return found.number_for(world_size)

    def announce(self, world_size: int, number: int, *, durable: bool) -> None:
        """Notes which data files are this save's, before there are any."""
        if not self._is_noted:
            file_io.make_directory(self._directory, durable=durable)
            note = file_io.join(self._directory, f"ranks-{world_size:05d}-as-{number:05d}")
            file_io.write_file(note, b"", durable=durable)

    def write(
        self, rank: int, world_size: int, head: dict[str, Any], entries: dict[bytes, BundleEntry], *, durable: bool
    ) -> None:
        file_io.make_directory(self._directory, durable=durable)
        path = file_io.join(self._directory, f"rank-{rank:05d}-of-{world_size:05d}")
        with file_io.atomic_writer(path, durable=durable) as file:
            # Small blocks: a merge has one of each manifest in memory.
            table = TableBuilder(file, block_size=_BLOCK_SIZE)
            table.add(HEADER_KEY, json.dumps(head).encode())
            for key in sorted(entries):
                table.add(key, entries[key]._replace(shard_id=rank).encode())
            table.finish()

    def end(self, found: _Survey, header: BundleHeader) -> None:
        """Removes what the commit leaves without a use."""
        self.remove(found.leftovers(header))

    def remove(self, paths: list[str]) -> None:
        """Removes files, and the directories that are empty then."""
        with contextlib.suppress(OSError):
            file_io.remove_all(paths)
        directories = sorted({file_io.split(path)[0] for path in paths if path.startswith(f"{self._parent}/")})
        file_io.remove_directories([self._parent, *directories])


class _Merged:
    """The entries of all parts in the order of their keys; those of whole tensors are not decoded.

    Args:
        prefix: The checkpoint, for errors.
        parts: Of each part its rank and its entries.
    """

    def __init__(self, prefix: str, parts: Sequence[tuple[int, Table]]) -> None:
        self._prefix = prefix
        self._parts = parts
        # Of each partitioned tensor its entry, and the ranks that have slices of it.
        self._sliced: dict[bytes, tuple[BundleEntry, list[int]]] = {}

    def runs(self) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """The keys and the values, some thousands at a time.

        Raises:
            InvalidArgumentError: Two ranks have one tensor, or their slices differ in dtype or shape.
            DataLossError: Slices overlap or leave a hole; known at the end.
        """
        cursors = [_Cursor(table) for _, table in self._parts]
        for bound in self._bounds():
            keys: list[bytes] = []
            values: list[bytes] = []
            # The part that each entry comes from begins at these places.
            starts = []
            for cursor in cursors:
                starts.append(len(keys))
                cursor.take(bound, keys, values)
            order = sorted(range(len(keys)), key=keys.__getitem__)
            run_keys, run_values = [keys[each] for each in order], [values[each] for each in order]
            if len(set(keys)) < len(keys):
                run_keys, run_values = self._joined(run_keys, run_values, order, starts)
            else:
                self._note_sliced(run_keys, run_values, order, starts)
            yield run_keys, run_values
        self._check_slices()

    def _bounds(self) -> Iterator[bytes | None]:
        """Keys between which there are some thousands of entries; None at the end."""
        keys = sorted(key for _, table in self._parts for key in table.index_keys)
        step = _BLOCKS_IN_RUN
        yield from dict.fromkeys(keys[step - 1 : -1 : step])
        yield None

    def _rank(self, place: int, starts: list[int]) -> int:
        return self._parts[bisect.bisect_right(starts, place) - 1][0]

    def _note_sliced(self, keys: list[bytes], values: list[bytes], order: list[int], starts: list[int]) -> None:
        # The field of slices, 7, is the only one of its tag.
        for number, value in enumerate(values):
            if b"\x3a" in value and not keys[number].startswith(b"\0"):
                entry = decode_entry(value, repr(keys[number]))
                if entry.is_sliced:
                    self._sliced[keys[number]] = entry, [self._rank(order[number], starts)]

    def _joined(
        self, keys: list[bytes], values: list[bytes], order: list[int], starts: list[int]
    ) -> tuple[list[bytes], list[bytes]]:
        """The same with the entries of each key as one."""
        single_keys: list[bytes] = []
        single_values: list[bytes] = []
        places: list[int] = []
        joined: dict[bytes, bytes] = {}
        for key, group in itertools.groupby(range(len(keys)), key=keys.__getitem__):
            first, *others = group
            if others:
                joined[key] = self._one(key, [(self._rank(order[each], starts), values[each]) for each in (first, *others)])
            else:
                single_keys.append(key)
                single_values.append(values[first])
                places.append(order[first])
        self._note_sliced(single_keys, single_values, places, starts)
        every = joined | dict(zip(single_keys, single_values, strict=True))
        in_order = sorted(every)
        return in_order, [every[key] for key in in_order]

    def _one(self, key: bytes, given: list[tuple[int, bytes]]) -> bytes:
        """The entry of a partitioned tensor of which several ranks have slices."""
        found = [(number, decode_entry(value, repr(key))) for number, value in given]
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
        self._sliced[key] = entry, ranks
        return entry.encode()

    def _check_slices(self) -> None:
        """Checks that the slices of each partitioned tensor are the whole tensor."""
        for key, (entry, ranks) in self._sliced.items():
            name = tensor_slice.readable_key(key)
            try:
                TensorSliceSet(name, entry.shape, entry.slices).check_coverage()
            except DataLossError as error:
                error.add_context(f"{self._prefix}: tensor {name!r}, of which {_ranks(ranks)} wrote slices")
                raise


class _Cursor:
    """A place in a manifest."""

    def __init__(self, table: Table) -> None:
        self._blocks = table.blocks()
        self._keys: list[bytes] = []
        self._values: list[bytes] = []
        self._position = 0

    def take(self, bound: bytes | None, keys: list[bytes], values: list[bytes]) -> None:
        """Appends the next entries up to a key, that included; all when None."""
        while True:
            end = len(self._keys) if bound is None else bisect.bisect_right(self._keys, bound, self._position)
            keys += self._keys[self._position : end]
            values += self._values[self._position : end]
            self._position = end
            if end < len(self._keys):
                return
            block = next(self._blocks, None)
            if block is None:
                return
            begins = 1 if block.keys[:1] == [HEADER_KEY] else 0
            self._keys, self._values, self._position = block.keys, block.values, begins


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


def _grid(shape: tuple[int, ...], item_size: int) -> tuple[int, ...]:
    """How long the slices of a tensor are along each axis.

    Cuts along an axis are such that what lies between two of them has at most 64 MiB: a reader of rows, or of columns, then
    reads at most that much more at each end. All ranks cut at the same places. Of a tensor of more than 4 GiB there would be
    too many slices: these have 1 MiB at least.
    """
    num_bytes = item_size * math.prod(shape)
    most = -(-num_bytes // _MAX_SLICE_SIZE)
    limit = max(most, num_bytes // _MIN_SLICE_SIZE)
    cuts = [1] * len(shape)
    while True:
        # The axis whose strips are the largest, of those that can be cut once more.
        more = {axis: min(2 * each, most, shape[axis]) for axis, each in enumerate(cuts)}
        fitting = [axis for axis in more if cuts[axis] < more[axis] and math.prod(cuts) // cuts[axis] * more[axis] <= limit]
        if not fitting:
            return tuple(-(-length // each) or 1 for length, each in zip(shape, cuts, strict=True))
        axis = min(fitting, key=cuts.__getitem__)
        cuts[axis] = more[axis]


def _cut(indices: tuple[slice, ...], steps: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Cuts a region where the coordinates are multiples of the steps."""
    axes = []
    for each, step in zip(indices, steps, strict=True):
        inner = range((each.start // step + 1) * step, each.stop, step)
        edges = [each.start, *inner, each.stop]
        axes.append([slice(start, stop) for start, stop in itertools.pairwise(edges)])
    return itertools.product(*axes)


def _checked_id(save_id: str | int) -> str:
    text = str(save_id)
    if not _SAVE_ID.fullmatch(text) or text in (".", ".."):
        raise InvalidArgumentError(f"save_id {save_id!r} is not made of letters, digits, '.', '-' and '_'")
    return text


def _ranks(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_MAX_NAMED]))
    more = f" and {len(numbers) - _MAX_NAMED} more" if len(numbers) > _MAX_NAMED else ""
    return f"{'rank' if len(numbers) == 1 else 'ranks'} {shown}{more}"
