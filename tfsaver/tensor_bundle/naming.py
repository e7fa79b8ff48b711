"""The names of a bundle's files, apart from what is in them."""

from __future__ import annotations

import re

# A path or a name of each kind; the prefix is the first group, and empty where the checkpoint has no name of its own.
INDEX_NAME = re.compile(r"(.*)\.index\Z", re.DOTALL)
DATA_NAME = re.compile(r"(.*)\.data-(\d{5,})-of-(\d{5,})\Z", re.DOTALL)


def index_path(prefix: str) -> str:
    """The file whose existence makes `prefix` a V2 checkpoint."""
    return prefix + ".index"


def data_path(prefix: str, shard_id: int, num_shards: int) -> str:
    """The file of one shard; the number of shards is part of every shard's name."""
    return prefix + f".data-{shard_id:05d}-of-{num_shards:05d}"
