"""Gives a bundle another prefix: neither index nor data files know what they are called."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from tfsaver.lib import file_io
from tfsaver.lib.directory_lock import directory_lock
from tfsaver.table.table import Table
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.header import HEADER_KEY, decode_header
from tfsaver.tensor_bundle.placement import place_bundle


def rename_bundle(prefix: str, new_prefix: str, *, durable: bool = True) -> None:
    """Renames the files of a bundle, in one step as `placement` has it; what has the new prefix is replaced.

    Args:
        prefix: What it is called now.
        new_prefix: What it is to be called, on the same file system.
        durable: Whether to return only once disks have the bytes and the names.

    Raises:
        FileNotFoundError: A file is not there.
        DataLossError: The index is damaged.
    """
    index_path, new_index_path = naming.index_path(prefix), naming.index_path(new_prefix)
    directory = file_io.split(new_prefix)[0]
    with directory_lock(directory) as is_held, contextlib.closing(file_io.open_for_reading(index_path)) as file:
        table = Table(file)
        header = decode_header(table.first_value(HEADER_KEY), index_path)
        data_paths = [naming.data_path(prefix, shard_id, header.num_shards) for shard_id in range(header.num_shards)]
        new_data_paths = [naming.data_path(new_prefix, number, header.num_shards) for number in range(header.num_shards)]
        if durable:
            for path, new_path in zip((*data_paths, index_path), (*new_data_paths, new_index_path), strict=True):
                file_io.sync_file(path, new_path)
        if not is_held or file_io.exists(new_index_path):
            place_bundle(
                new_prefix, data_paths, header, _Entries(table), durable=durable, keeps_data=not is_held, like=index_path
            )
            for path in (index_path, *(() if is_held else data_paths)):
                file_io.remove(path)
            return
        _rename_all(zip(data_paths, new_data_paths, strict=True), (index_path, new_index_path), durable)


class _Entries:
    """The entries of an index but its header, decoded when they are asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return (item for item in self._table.items() if item[0] != HEADER_KEY)


def _rename_all(data: Iterable[tuple[str, str]], index: tuple[str, str], durable: bool) -> None:
    """Renames data files and then the index; on an error all have their old names again."""
    directory = file_io.split(index[1])[0]
    renamed: list[tuple[str, str]] = []
    try:
        for source, target in data:
            file_io.replace(source, target)
            renamed.append((source, target))
        if durable:
            file_io.sync_directory(directory)
        file_io.replace(*index)
        renamed.append(index)
        if durable:
            file_io.sync_directory(directory)
    except BaseException:
        for source, target in reversed(renamed):
            with contextlib.suppress(OSError):
                file_io.replace(target, source)
        raise


def remove_bundle(prefix: str) -> None:
    """Removes whatever files of a prefix there are, also those that a writer was not done with."""
    directory, base = file_io.split(prefix)
    for name in file_io.list_directory(directory):
        if name.startswith(f"{base}."):
            with contextlib.suppress(OSError):
                file_io.remove(file_io.join(directory, name))
