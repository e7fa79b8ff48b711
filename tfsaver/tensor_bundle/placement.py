"""Makes a bundle appear under its prefix in one step, also where another one has the name: that step is an index's rename.

The number of shards is part of the data files' names: what an old index needs is out of the way of another number of them.
Where a new bundle has as many shards as the old one, it makes a detour by a bundle of more::

    1  model.data-00000-of-00002, -00001-of-00002    the data, and an empty file for the shard that is one too many
    2  model.index                                   says two shards, and replaces the old one: the step
    3  model.data-00000-of-00001                     the data once more, under the name that it is to have (a link)
    4  model.index                                   says one shard
    5  model.data-0000?-of-00002                     go

Whoever looks at any moment, or finds what a stop at any moment has left, finds the old bundle whole or the new one. Where a
file system has no links, the bundle stays as it is after 2. One process at a time places files in a directory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from tfsaver.errors import SaverError
from tfsaver.lib import file_io
from tfsaver.lib.directory_lock import directory_lock
from tfsaver.table.table import Table
from tfsaver.table.table_builder import TableBuilder
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.header import HEADER_KEY, BundleHeader, decode_header


def place_bundle(
    prefix: str,
    data_paths: Sequence[str],
    header: BundleHeader,
    entries: Sequence[tuple[bytes, bytes]],
    *,
    durable: bool = True,
) -> None:
    """Gives data files their names and writes their index; on an error the prefix is as it was.

    Args:
        prefix: The bundle's prefix.
        data_paths: The data files in the order of their shards, whole, and synced if that is wanted. They are gone
            afterwards, as they are after an error.
        header: The index's header.
        entries: The index's other keys and their values, sorted.
        durable: Whether to return only once disks have the names and the index.

    Raises:
        OSError: The system refuses something.
    """
    directory = file_io.split(prefix)[0]
    try:
        with directory_lock(directory):
            old = _num_shards_of(prefix)
            detour = header.num_shards
            # Links are what the second half needs; a store has none, and its renames are copies anyway.
            if old == header.num_shards and not file_io.is_remote(prefix):
                detour = _free_number(prefix, old + 1)
            _place(prefix, data_paths, BundleHeader(detour, header.byte_order), entries, durable)
            if detour != header.num_shards:
                with contextlib.suppress(OSError):
                    _take_names(prefix, detour, header, entries, durable)
            elif old is not None and old != header.num_shards:
                _remove_data(prefix, range(old), old)
    finally:
        for path in data_paths:
            with contextlib.suppress(OSError):
                file_io.remove(path)


def write_index(
    prefix: str, header: BundleHeader, entries: Iterable[tuple[bytes, bytes]], *, durable: bool = True
) -> None:
    """Writes the index of a bundle whose data files are in place; its appearing makes the checkpoint."""
    with file_io.atomic_writer(naming.index_path(prefix), durable=durable) as file:
        table = TableBuilder(file)
        table.add(HEADER_KEY, header.encode())
        for key, value in entries:
            table.add(key, value)
        table.finish()


def _place(
    prefix: str, data_paths: Sequence[str], header: BundleHeader, entries: Sequence[tuple[bytes, bytes]], durable: bool
) -> None:
    placed: list[int] = []
    try:
        for shard_id in range(header.num_shards):
            target = naming.data_path(prefix, shard_id, header.num_shards)
            if shard_id < len(data_paths):
                file_io.replace(data_paths[shard_id], target)
                placed.append(shard_id)
            else:
                placed.append(shard_id)
                file_io.open_for_writing(target).close()
        if durable:
            file_io.sync_directory(file_io.split(prefix)[0])
        write_index(prefix, header, entries, durable=durable)
    except BaseException:
        # An index that says so may be in place already, and only its being on the disk uncertain.
        if _num_shards_of(prefix) != header.num_shards:
            _remove_data(prefix, placed, header.num_shards)
        raise


def _take_names(
    prefix: str, detour: int, header: BundleHeader, entries: Sequence[tuple[bytes, bytes]], durable: bool
) -> None:
    """From the names of the detour to those that the bundle is to have."""
    for shard_id in range(header.num_shards):
        target = naming.data_path(prefix, shard_id, header.num_shards)
        temporary = file_io.temporary_name(target)
        file_io.link(naming.data_path(prefix, shard_id, detour), temporary)
        try:
            file_io.replace(temporary, target)
        except BaseException:
            file_io.remove(temporary)
            raise
    if durable:
        file_io.sync_directory(file_io.split(prefix)[0])
    write_index(prefix, header, entries, durable=durable)
    _remove_data(prefix, range(detour), detour)


def _num_shards_of(prefix: str) -> int | None:
    """The number of shards of the bundle that is there; None where there is none that can be read."""
    path = naming.index_path(prefix)
    try:
        with contextlib.closing(file_io.open_for_reading(path)) as file:
            return decode_header(Table(file).get(HEADER_KEY), path).num_shards
    except (SaverError, OSError):
        return None


def _free_number(prefix: str, num_shards: int) -> int:
    """The first number of shards, from one on, of which no data file is there: another stop may have left some."""
    while any(file_io.exists(naming.data_path(prefix, shard_id, num_shards)) for shard_id in range(num_shards)):
        num_shards += 1
    return num_shards


def _remove_data(prefix: str, shard_ids: Iterable[int], num_shards: int) -> None:
    for shard_id in shard_ids:
        with contextlib.suppress(OSError):
            file_io.remove(naming.data_path(prefix, shard_id, num_shards))
