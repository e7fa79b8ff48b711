"""Checkpoints that several processes write and read: `ShardWriter`, `commit`, `pending`, `abandon`, `load_slices`.

    with tfsaver.ShardWriter("run/model-100", rank=rank, world_size=4, save_id="100") as shard:    in each process
        shard.add_slice("embedding", (4000, 64), np.s_[1000 * rank : 1000 * (rank + 1)], rows)
    tfsaver.commit("run/model-100", world_size=4, save_id="100", wait=60)                          in any of them

The processes do not speak to each other. `docs/more_than_one_machine.md` has the launchers.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.framework.region import Region
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.targets.trees.jax import jax_leaf
from tfsaver.targets.trees.torch import torch_leaf
from tfsaver.tensor_bundle import rank_parts
from tfsaver.tensor_bundle.rank_parts import PendingSave, abandon, commit, pending
from tfsaver.verbs.open_source import Checkpoint, open_source

__all__ = ["PendingSave", "ShardWriter", "abandon", "commit", "load_slices", "pending"]


class ShardWriter(rank_parts.ShardWriter):
    """Writes one process's part of a checkpoint; takes tensors of PyTorch (a DTensor's local part) and arrays of JAX too.

    See `tfsaver.tensor_bundle.rank_parts.ShardWriter` for arguments and errors.
    """

    def add(self, name: str | bytes, value: Any, *, shard_id: int = 0, replicated: bool = False) -> None:
        super().add(name, _as_array(value), shard_id=shard_id, replicated=replicated)

    def add_slice(
        self, name: str | bytes, full_shape: Sequence[int], region: Region, value: Any, *, shard_id: int = 0
    ) -> None:
        super().add_slice(name, full_shape, region, _as_array(value), shard_id=shard_id)


@takes_storage_options("checkpoint")
def load_slices(
    checkpoint: Checkpoint,
    regions: Mapping[str, Region | None],
    *,
    out: Mapping[str, np.ndarray[Any, Any]] | None = None,
    trusted: bool = True,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> dict[str, np.ndarray[Any, Any]]:
    """Reads parts of tensors, whatever the number of processes that wrote them; every byte that is read is checked.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        regions: For each tensor the part to read, as in ``np.s_[0:1000, :64]``; None for all of it.
        out: Arrays to fill, by name, each of its part's shape.
        trusted: If false, a name in a file that leads out of the file's directory is an error.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        The arrays by name.

    Raises:
        TensorNotFoundError: There is no such tensor.
        InvalidArgumentError: A region leaves its tensor.
        DataLossError: The bytes are damaged, or slices that are needed are missing.
    """
    with open_source(checkpoint, trusted=trusted) as source:
        if isinstance(source, CheckpointReader):
            return source.read_regions(regions, out=out)
        found = {}
        for name, region in regions.items():
            value = source.read(name, region)
            if out is not None and name in out:
                out[name][...] = value
                value = out[name]
            found[name] = value
        return found


def _as_array(value: Any) -> Any:
    """A tensor of another framework as an array without a copy, where there is one."""
    tensor_class = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", None)
    if tensor_class is not None and isinstance(value, tensor_class):
        value = value.to_local()
    leaf = torch_leaf(value) or jax_leaf(value)
    return value if leaf is None else leaf.all()
