"""What the two directions of the V1 format share.

A V1 checkpoint is one table, or several, each with

    ""                 -> SavedTensorSlices{ meta: for each tensor its name, shape, type and the slices in this file }
    (name, slice)      -> SavedTensorSlices{ data: name, slice, a TensorProto with the values and nothing else }

The key of a record is the name and the slice in ordered code. A tensor that was not partitioned is one slice that is
everything in each dimension. All of a tensor's values are in the record, so that no record reaches 2 GiB.
"""

from __future__ import annotations

from tfsaver import schemas

META_KEY = b""

DATA_FIELD = schemas.SavedTensorSlices.DESCRIPTOR.fields_by_name["data"].number
NAME_FIELD = schemas.SavedSlice.DESCRIPTOR.fields_by_name["name"].number
SLICE_FIELD = schemas.SavedSlice.DESCRIPTOR.fields_by_name["slice"].number
VALUES_FIELD = schemas.SavedSlice.DESCRIPTOR.fields_by_name["data"].number

# TensorFlow refuses what would not parse as one message.
MAX_RECORD_SIZE = (1 << 31) - 1


def shard_path(prefix: str, shard_id: int, num_shards: int) -> str:
    """The file of one shard of a sharded V1 checkpoint."""
    return prefix + f"-{shard_id:05d}-of-{num_shards:05d}"


def shard_pattern(prefix: str, num_shards: int) -> str:
    """The name of a sharded V1 checkpoint: the pattern that all its files match."""
    return prefix + f"-?????-of-{num_shards:05d}"
