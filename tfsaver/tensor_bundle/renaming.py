"""Gives a bundle another prefix: neither index nor data files know what they are called."""

from __future__ import annotations

import contextlib

from tfsaver.lib import file_io
from tfsaver.table.table import Table
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.header import HEADER_KEY, decode_header
from tfsaver.tensor_bundle.placement import place_bundle


def rename_bundle(prefix: str, new_prefix: str, *, durable: bool = True) -> None:
    """Renames the files of a bundle, in one step as `placement` has it; what has the new prefix is replaced.

    Args:
        prefix: What it is called now.
        new_prefix: What it is to be called, in the same directory.
        durable: Whether to return only once disks have the bytes and the names.

    Raises:
        FileNotFoundError: A file is not there.
        DataLossError: The index is damaged.
    """
    index_path, new_index_path = naming.index_path(prefix), naming.index_path(new_prefix)
    with contextlib.closing(file_io.open_for_reading(index_path)) as file:
        table = Table(file)
        header = decode_header(table.get(HEADER_KEY), index_path)
        data_paths = [naming.data_path(prefix, shard_id, header.num_shards) for shard_id in range(header.num_shards)]
        if durable:
            for path in (*data_paths, index_path):
                file_io.sync_file(path)
        if file_io.exists(new_index_path):
            entries = [item for item in table.items() if item[0] != HEADER_KEY]
            place_bundle(new_prefix, data_paths, header, entries, durable=durable)
            file_io.remove(index_path)
            return
    for shard_id, path in enumerate(data_paths):
        file_io.replace(path, naming.data_path(new_prefix, shard_id, header.num_shards))
    if durable:
        file_io.sync_directory(file_io.split(new_prefix)[0])
    file_io.replace(index_path, new_index_path)
    if durable:
        file_io.sync_directory(file_io.split(new_prefix)[0])


def remove_bundle(prefix: str) -> None:
    """Removes whatever files of a prefix there are, also those that a writer was not done with."""
    directory, base = file_io.split(prefix)
    for name in file_io.list_directory(directory):
        if name.startswith(f"{base}."):
            with contextlib.suppress(OSError):
                file_io.remove(file_io.join(directory, name))
