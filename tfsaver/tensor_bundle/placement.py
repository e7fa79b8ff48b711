"""Makes a bundle appear under its prefix in one step, also where another one has the name: that step is an index's rename.

    1  model.data-00000-of-00002.tmp...            the data, whole, and synced: the writer's part
    2  model.index.tmp...                          the index, whole, and synced: from here on no disk need have room
    3  model.data-00000-of-00002, -00001-of-00002  the data files' names, synced
    4  model.index                                 the step, synced
    5  what only the old index used goes

The number of shards is part of the data files' names: what an old index needs is out of the way of another number of them.
Where a new bundle has as many shards as the old one, it makes a detour by a bundle of more::

    3  model.data-00000-of-00002, -00001-of-00002  the data, and an empty file for the shard that is one too many
    4  model.index                                 says two shards, and replaces the old one: the step
    5  model.data-00000-of-00001                   the data once more, under the name that it is to have (a link)
    6  model.index                                 says one shard
    7  model.data-0000?-of-00002                   go

Without a lock (in an object store, and where the file system refuses `flock`), another writer of the same prefix may be at
work. Every data file then gets a name that no index uses, with one shard more where the old bundle has as many:

    1  model.data-0000?-of-00002                   claimed by exclusive creation; a name that is taken means another number
    2  the data get these names                    in a store they are uploaded under them
    3  model.index                                 the step: a rename, or the end of an upload
    4  what the index before that one used goes    see `_Generation`

The index that is there last is whole, and so are the data that it uses. Nothing goes back after 3: others may have gone on.

Whoever looks at any moment, or finds what a stop at any moment has left, finds the old bundle whole or the new one. Until
all is done, every index that was or will be is kept under a temporary name as well. It brings the old bundle back where
a sync fails after the step, and says to the next save what data files a stop has left (see `cleaning`). Where a file system
has no links, the bundle stays as it is after 4. One process at a time places files in a directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tfsaver.errors import DataLossError, SaverError
from tfsaver.lib import file_io
from tfsaver.lib.directory_lock import directory_lock
from tfsaver.lib.file_io import WritableFile
from tfsaver.lib.write_errors import write_errors
from tfsaver.table.replacing import copy_with_first_value
from tfsaver.table.table_builder import TableBuilder
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.cleaning import num_shards_of
from tfsaver.tensor_bundle.header import HEADER_KEY, BundleHeader


def place_bundle(
    prefix: str,
    data_paths: Sequence[str],
    header: BundleHeader,
    entries: Iterable[tuple[bytes, bytes]],
    *,
    durable: bool = True,
    keeps_data: bool = False,
    like: str | None = None,
    names: FileNames | None = None,
) -> None:
    """Gives data files their names and writes their index; on an error the prefix is as it was.

    Args:
        prefix: The bundle's prefix.
        data_paths: The data files in the order of their shards, whole, and synced if that is wanted. They are gone
            afterwards, as they are after an error.
        header: The index's header.
        entries: The index's other keys and their values, sorted; they may be asked for more than once.
        durable: Whether to return only once disks have the names and the index.
        keeps_data: Whether the data files also keep the names that they have, where the file system has links: then a stop
            loses nothing of the bundles that they are of.
        like: The path of an index that has these entries, if there is one: most of it is then copied.
        names: In a store, what `file_names` returned before the data were written; None for data under other names.

    Raises:
        OSError: The system refuses something.
    """
    if file_io.is_remote(prefix):
        _place_without_lock(prefix, data_paths, header, entries, names, durable=False, keeps_data=False)
        return
    try:
        with directory_lock(file_io.split(prefix)[0]) as is_held:
            if not is_held:
                _place_without_lock(prefix, data_paths, header, entries, None, durable=durable, keeps_data=keeps_data)
                return
            placement = _Placement(prefix, header, entries, durable, like)
            try:
                placement.place(data_paths, keeps_data)
            finally:
                placement.clear()
    finally:
        for path in () if keeps_data else data_paths:
            with contextlib.suppress(OSError):
                file_io.remove(path)


class FileNames(NamedTuple):
    """The names that a bundle's data files get.

    Attributes:
        num_shards: The number of shards that is part of the names. In a store it may be more than were asked for.
        old: The number of shards of the bundle that is there, in a store; None where there is none.
    """

    num_shards: int
    old: int | None = None


def file_names(prefix: str, num_shards: int) -> FileNames:
    """The names for a bundle of so many data files; in a store, names that the index there does not use."""
    return _unused_names(prefix, num_shards) if file_io.is_remote(prefix) else FileNames(num_shards)


def _unused_names(prefix: str, num_shards: int) -> FileNames:
    there = set(file_io.names_beginning(prefix + "."))
    base = file_io.split(prefix)[1]
    old = None
    if f"{base}.index" in there:
        # An index that nobody can read uses nothing.
        with contextlib.suppress(DataLossError):
            old = num_shards_of(prefix)
    number = num_shards
    while number == old or any(naming.data_path(base, shard_id, number) in there for shard_id in range(number)):
        number += 1
    return FileNames(number, old)


def _place_without_lock(
    prefix: str,
    data_paths: Sequence[str],
    header: BundleHeader,
    entries: Iterable[tuple[bytes, bytes]],
    names: FileNames | None,
    *,
    durable: bool,
    keeps_data: bool,
) -> None:
    is_local = not file_io.is_remote(prefix)
    directory = file_io.split(prefix)[0]
    named: list[str] = []
    replaced = None
    try:
        if is_local:
            names = _claim_names(prefix, header.num_shards, named)
        elif names is None:
            names = file_names(prefix, header.num_shards)
        for shard_id in range(names.num_shards):
            path = naming.data_path(prefix, shard_id, names.num_shards)
            if shard_id < len(data_paths):
                if not (keeps_data and _link(data_paths[shard_id], path)):
                    file_io.replace(data_paths[shard_id], path)
            elif not is_local:
                file_io.create(path)
            named.append(path)
        if durable:
            file_io.sync_directory(directory)
        with file_io.atomic_writer(naming.index_path(prefix), durable=False) as file:
            _write_table(file, BundleHeader(names.num_shards, header.byte_order), entries)
            if durable:
                file.sync()
            if is_local:
                # As late as can be: what another writer replaces between this and the step, nobody removes.
                replaced = _Generation.found_at(prefix)
    except BaseException:
        if names is None or not _is_used(prefix, names.num_shards):
            for path in reversed(dict.fromkeys((*named, *(() if is_local else data_paths)))):
                with contextlib.suppress(OSError):
                    file_io.remove(path)
        raise
    if durable:
        file_io.sync_directory(directory)
    if replaced is not None and replaced.num_shards != names.num_shards:
        replaced.remove(prefix)
    if not is_local and names.old not in (None, names.num_shards):
        # Without this the new bundle is as good; the doctor names what is left.
        _remove_data(prefix, names.old)


def _claim_names(prefix: str, num_shards: int, claimed: list[str]) -> FileNames:
    """Makes empty files under names that no index uses; `claimed` lists them as they are made."""
    while True:
        names = _unused_names(prefix, num_shards)
        try:
            # A number belongs to whoever has the first file. The others are missing then: they go before it does.
            for shard_id in range(names.num_shards):
                path = naming.data_path(prefix, shard_id, names.num_shards)
                file_io.create(path)
                claimed.append(path)
        except FileExistsError:
            while claimed:
                file_io.remove(claimed.pop())
        else:
            return names


def _is_used(prefix: str, num_shards: int) -> bool:
    """Whether the index uses, or may use, data files of that number."""
    try:
        return num_shards_of(prefix) == num_shards
    except DataLossError:
        return False
    except OSError:
        return True


def _remove_data(prefix: str, num_shards: int) -> None:
    # The first one last: as long as it is there, nobody else takes the number.
    for shard_id in reversed(range(num_shards)):
        with contextlib.suppress(OSError):
            file_io.remove(naming.data_path(prefix, shard_id, num_shards))


class _Generation(NamedTuple):
    """The data files of one index, told from later ones of the same names.

    Two writers may have replaced the same index, and a third may have claimed its names as soon as the first of them has
    removed the files. Whoever removes files of a generation has first created a file named after it, exclusively, and has
    then looked whether the generation still is there: no other process can remove it meanwhile. A process that is killed
    with that file leaves this generation's files behind, and keeps no one from anything else.
    """

    num_shards: int
    identity: tuple[int, ...]

    @classmethod
    def found_at(cls, prefix: str) -> _Generation | None:
        """The generation that the index uses; None if there is none, or if it changes at this moment."""
        index_path = naming.index_path(prefix)
        with contextlib.suppress(OSError, SaverError):
            before = _identity(index_path)
            num_shards = num_shards_of(prefix)
            if num_shards is not None:
                identity = _identity(naming.data_path(prefix, 0, num_shards))
                # If the index is still the same, so were the data when they were looked at.
                if _identity(index_path) == before:
                    return cls(num_shards, identity)
        return None

    def remove(self, prefix: str) -> None:
        """Removes the files if nobody has done so, or is about to; their index has been replaced."""
        digest = hashlib.sha256(repr(tuple(self)).encode()).hexdigest()
        claim = f"{naming.index_path(prefix)}.tmp{digest[:10]}"
        with contextlib.suppress(OSError):
            file_io.create(claim)
            try:
                if _identity(naming.data_path(prefix, 0, self.num_shards)) == self.identity:
                    _remove_data(prefix, self.num_shards)
            finally:
                file_io.remove(claim)


def _identity(path: str) -> tuple[int, ...]:
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _link(source: str, target: str) -> bool:
    """Gives a file a second name, in the place of any that has it; returns whether the file system can do that."""
    temporary = file_io.temporary_name(target)
    try:
        file_io.link(source, temporary)
    except OSError:
        return False
    try:
        file_io.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            file_io.remove(temporary)
        raise
    return True


def write_index(
    prefix: str,
    header: BundleHeader,
    runs: Iterable[tuple[Sequence[bytes], Sequence[bytes]]],
    *,
    durable: bool = True,
    exclusive: bool = False,
) -> None:
    """Writes the index of a bundle whose data files are in place; its appearing makes the checkpoint.

    Args:
        prefix: The bundle's prefix.
        header: What holds for all of it.
        runs: Keys and their entries, in order; an error while they are asked for leaves everything as it was.
        durable: Whether to fsync before returning.
        exclusive: Whether an index that is in a store meanwhile is an error.

    Raises:
        AlreadyExistsError: See `exclusive`.
        WriteError: The system refuses it.
    """
    with file_io.atomic_writer(naming.index_path(prefix), durable=durable, exclusive=exclusive) as file:
        table = TableBuilder(file)
        table.add(HEADER_KEY, header.encode())
        for keys, values in runs:
            table.add_all(keys, values)
        table.finish()


def _write_table(file: WritableFile, header: BundleHeader, entries: Iterable[tuple[bytes, bytes]]) -> None:
    table = TableBuilder(file)
    table.add(HEADER_KEY, header.encode())
    for key, value in entries:
        table.add(key, value)
    table.finish()


class _Placement:
    """One bundle on its way to its names; the directory's lock is held."""

    def __init__(
        self, prefix: str, header: BundleHeader, entries: Iterable[tuple[bytes, bytes]], durable: bool, like: str | None
    ) -> None:
        self._prefix = prefix
        self._index_path = naming.index_path(prefix)
        self._header = header
        self._entries = entries
        self._like = like
        self._durable = durable
        # By the number of shards: data files that go unless the index says that number in the end.
        self._data: dict[int, set[int]] = {}
        self._notes: list[str] = []
        self._held: list[WritableFile] = []

    def place(self, data_paths: Sequence[str], keeps_data: bool) -> None:
        """All of it, from the data files to the last name."""
        num_shards = self._header.num_shards
        old = self._old_num_shards()
        has_detour = old == num_shards
        first = _free_number(self._prefix, num_shards + 1) if has_detour else num_shards
        index = self._new_index(first)
        last = self._new_index(num_shards) if has_detour else None
        old_index = self._note(self._index_path) if file_io.exists(self._index_path) else None
        self._name_data(data_paths, first, keeps_data)
        again = self._note(index, needs_link=True) if has_detour else None
        self._switch(index, old_index)
        # The old bundle's own, of which a detour takes the names again.
        if old is not None and old != first:
            self._data.setdefault(old, set()).update(range(old))
        if last is not None and again is not None:
            with contextlib.suppress(OSError):
                self._take_names(first, last, again)

    def clear(self) -> None:
        """Removes the data files that the index, as it is now, does not use, and whatever has a temporary name."""
        try:
            used = num_shards_of(self._prefix) if self._data else None
        except (SaverError, OSError):
            # It cannot be read just now. The notes stay, and the next save goes by them.
            self._release()
            return
        for num_shards, shard_ids in self._data.items():
            for shard_id in sorted(shard_ids) if num_shards != used else ():
                with contextlib.suppress(OSError):
                    file_io.remove(naming.data_path(self._prefix, shard_id, num_shards))
        for note in self._notes:
            with contextlib.suppress(OSError):
                file_io.remove(note)
        self._release()

    def _release(self) -> None:
        for file in self._held:
            file.release()

    def _old_num_shards(self) -> int | None:
        """The number of shards of the bundle that is there; None where there is none that anybody can read."""
        with write_errors(self._index_path):
            try:
                return num_shards_of(self._prefix)
            except SaverError:
                return None

    def _new_index(self, num_shards: int) -> str:
        """The index under a temporary name, for a bundle of so many shards."""
        file = file_io.open_temporary(self._index_path)
        self._held.append(file)
        self._notes.append(file.path)
        try:
            header = BundleHeader(num_shards, self._header.byte_order)
            if not self._copy_index(file, header):
                _write_table(file, header, self._entries)
            if self._durable:
                file.sync()
        finally:
            file.close()
        self._like = file.path
        return file.path

    def _copy_index(self, file: WritableFile, header: BundleHeader) -> bool:
        """Writes the index as a copy of one with another number of shards; returns whether that can be done."""
        if self._like is None:
            return False
        with contextlib.closing(file_io.open_for_reading(self._like)) as source:
            return copy_with_first_value(source, file, header.encode())

    def _note(self, index: str, *, needs_link: bool = False) -> str | None:
        """Another temporary name for an index, or a copy of it; None where there are no links and a copy does not do."""
        note = file_io.temporary_name(self._index_path)
        try:
            file_io.link(index, note)
            self._notes.append(note)
        except OSError:
            if needs_link:
                return None
            file = file_io.open_temporary(self._index_path)
            self._held.append(file)
            self._notes.append(file.path)
            note = file.path
            try:
                file.append(file_io.read_file(index))
            finally:
                file.close()
        return note

    def _name_data(self, data_paths: Sequence[str], num_shards: int, keeps_data: bool) -> None:
        named = self._data.setdefault(num_shards, set())
        for shard_id in range(num_shards):
            target = naming.data_path(self._prefix, shard_id, num_shards)
            if shard_id >= len(data_paths):
                named.add(shard_id)
                file_io.open_for_writing(target).close()
            else:
                if not (keeps_data and _link(data_paths[shard_id], target)):
                    file_io.replace(data_paths[shard_id], target)
                named.add(shard_id)
        self._sync()

    def _switch(self, index: str, back: str | None) -> None:
        """Gives an index the name. If the disk does not take that, what was there before comes back."""
        file_io.replace(index, self._index_path)
        self._notes.remove(index)
        try:
            self._sync()
        except BaseException:
            if back is not None:
                file_io.replace(back, self._index_path)
                self._notes.remove(back)
            else:
                file_io.remove(self._index_path)
            raise

    def _take_names(self, num_shards: int, index: str, back: str) -> None:
        """From the names of the detour, of which there are so many, to those that the bundle is to have."""
        named = self._data.setdefault(self._header.num_shards, set())
        for shard_id in range(self._header.num_shards):
            source = naming.data_path(self._prefix, shard_id, num_shards)
            target = naming.data_path(self._prefix, shard_id, self._header.num_shards)
            named.add(shard_id)
            if not _link(source, target):
                return
        self._sync()
        self._switch(index, back)

    def _sync(self) -> None:
        if self._durable:
            file_io.sync_directory(file_io.split(self._prefix)[0])


def _free_number(prefix: str, num_shards: int) -> int:
    """The first number of shards, from one on, of which no data file is there: another stop may have left some."""
    while any(file_io.exists(naming.data_path(prefix, shard_id, num_shards)) for shard_id in range(num_shards)):
        num_shards += 1
    return num_shards
