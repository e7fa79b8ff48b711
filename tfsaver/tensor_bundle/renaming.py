"""Gives a bundle another prefix: neither index nor data files know what they are called."""

from __future__ import annotations

import contextlib

from tfsaver.lib import file_io
from tfsaver.tensor_bundle import naming


def rename_bundle(prefix: str, new_prefix: str, *, num_shards: int, durable: bool = True) -> None:
    """Renames the files of a bundle, the index last: until then there is no checkpoint of the new prefix, or the old one.

    Args:
        prefix: What it is called now.
        new_prefix: What it is to be called, on the same file system.
        num_shards: How many data files it has.
        durable: Whether to return only once disks have the bytes and the names.

    Raises:
        FileNotFoundError: A file is not there.
    """
    moves = [
        (naming.data_path(prefix, shard_id, num_shards), naming.data_path(new_prefix, shard_id, num_shards))
        for shard_id in range(num_shards)
    ]
    moves.append((naming.index_path(prefix), naming.index_path(new_prefix)))
    if durable:
        for source, _ in moves:
            file_io.sync_file(source)
    for source, target in moves:
        file_io.replace(source, target)
    if durable:
        file_io.sync_directory(file_io.split(new_prefix)[0])


def remove_bundle(prefix: str) -> None:
    """Removes whatever files of a prefix there are, also those that a writer was not done with."""
    directory, base = file_io.split(prefix)
    for name in file_io.list_directory(directory):
        if name.startswith(f"{base}."):
            with contextlib.suppress(OSError):
                file_io.remove(file_io.join(directory, name))
