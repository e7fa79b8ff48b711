"""A V2 checkpoint as the storage of `torch.distributed.checkpoint` (DCP).

    import torch.distributed.checkpoint as dcp
    from tfsaver.torch_dcp import BundleStorageReader, BundleStorageWriter

    dcp.save(state_dict, storage_writer=BundleStorageWriter("run/model-100"))        in every process
    dcp.load(state_dict, storage_reader=BundleStorageReader("run/model-100"))        in any number of processes

DCP decides which process writes what; each writes its share with a `ShardWriter`, and DCP's coordinator commits. The result
is a checkpoint like any other: TensorFlow and every verb read it, and any checkpoint can be loaded through DCP.

A tensor has the name that DCP gives it. What is not a tensor is a string with the bytes that DCP makes of it, which are a
pickle: DCP unpickles it when it loads it, so load only checkpoints that you trust, or tensors alone. `_dcp/planner_data` is
a string with JSON: how the names are made of the keys of nested dicts.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import uuid
from collections import ChainMap
from typing import Any, NamedTuple

import numpy as np

from tfsaver._lazy_imports import lazy_import
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.errors import InvalidArgumentError, MissingExtraError, UnimplementedError
from tfsaver.framework.dtypes import STRING
from tfsaver.lib import file_io
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.targets.trees.torch import as_torch_tensor, refusal
from tfsaver.tensor_bundle.writer import BundleWriter
from tfsaver.verbs.ranks import ShardWriter, commit

try:
    with lazy_import():
        import torch
        from torch.distributed.checkpoint.metadata import (
            BytesStorageMetadata,
            ChunkStorageMetadata,
            Metadata,
            TensorProperties,
            TensorStorageMetadata,
        )
        from torch.distributed.checkpoint.planner import (
            LoadItemType,
            LoadPlan,
            LoadPlanner,
            ReadItem,
            SavePlan,
            SavePlanner,
            WriteItem,
            WriteItemType,
        )
        from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
        from torch.futures import Future
except ImportError as error:
    raise MissingExtraError("torch", extra="torch", purpose="torch.distributed.checkpoint") from error

__all__ = ["BundleStorageReader", "BundleStorageWriter"]

_PLANNER_DATA = "_dcp/planner_data"


class _Share(NamedTuple):
    """What one process is told of the save: `planner_data` is for one of them."""

    rank: int
    world_size: int
    save_id: str
    planner_data: str | None


class BundleStorageWriter(StorageWriter):
    """Writes what `torch.distributed.checkpoint.save` saves as a V2 checkpoint.

    A checkpoint of that name stays whole until all processes have written, and is replaced in one step. If a process fails,
    its save is in `tfsaver.pending`, and `tfsaver.abandon` removes it.

    Args:
        prefix: The checkpoint's path without suffix; `checkpoint_id` of a save comes before it.
        durable: Whether to fsync before a save returns.
        wait: How many seconds the coordinator waits for parts that it does not see yet, on file systems that are slow to
            tell.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.
    """

    @takes_storage_options("prefix")
    def __init__(
        self,
        prefix: file_io.PathLike,
        *,
        durable: bool = True,
        wait: float = 60.0,
        storage_options: StorageOptions | None = None,
        fs: OpenFileSystem | None = None,
    ) -> None:
        self._prefix = file_io.as_path(prefix)
        self._durable = durable
        self._wait = wait
        self._save: _Share | None = None

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begins the next save."""
        if checkpoint_id is not None:
            self._prefix = file_io.in_store_of(self._prefix, file_io.as_path(checkpoint_id))
        self._save = None

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Checks that the processes plan together.

        Raises:
            UnimplementedError: They do not (``use_collectives=False``).
        """
        if not kwargs.get("use_collectives", True):
            raise UnimplementedError("use_collectives=False: the processes must agree on a save; ShardWriter needs no plan")

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """The plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Tells each process its number, and what the save is called."""
        save_id = uuid.uuid4().hex
        mappings = dict(ChainMap(*(plan.planner_data for plan in plans if isinstance(plan.planner_data, dict))))
        planner_data = json.dumps([[name, list(path)] for name, path in sorted(mappings.items())])
        shares = [_Share(rank, len(plans), save_id, planner_data if rank == 0 else None) for rank in range(len(plans))]
        self._save = shares[0]
        return [dataclasses.replace(plan, storage_data=share) for plan, share in zip(plans, shares, strict=True)]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Writes one process's part."""
        share: _Share = plan.storage_data
        results = []
        with ShardWriter(
            self._prefix, rank=share.rank, world_size=share.world_size, save_id=share.save_id, durable=self._durable
        ) as shard:
            for item in plan.items:
                results.append(_write(shard, item, planner.resolve_data(item)))
            if share.planner_data is not None:
                shard.add(_PLANNER_DATA, np.array(share.planner_data.encode(), object))
        future: Future[list[WriteResult]] = Future()
        future.set_result(results)
        return future

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Makes the checkpoint appear; the coordinator calls it when all have written."""
        if self._save is None:
            raise InvalidArgumentError("finish comes after prepare_global_plan, in the same process")
        commit(
            self._prefix,
            world_size=self._save.world_size,
            save_id=self._save.save_id,
            wait=self._wait,
            durable=self._durable,
        )

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether it is a path."""
        return _is_path(checkpoint_id)


def _write(shard: BundleWriter, item: WriteItem, value: Any) -> WriteResult:
    name = item.index.fqn
    if item.type == WriteItemType.BYTE_IO:
        data = value.getvalue()
        shard.add(name, np.array(data, object))
        return WriteResult(index=item.index, size_in_bytes=len(data), storage_data=None)
    tensor, whole = value.detach(), item.tensor_data
    if whole is None:
        raise InvalidArgumentError(f"{name!r}: the plan does not say which part of the tensor it is")
    if str(tensor.dtype).removeprefix("torch.") in ("complex32", "float8_e8m0fnu", "float4_e2m1fn_x2"):
        raise UnimplementedError(f"{name!r}: a checkpoint has no {tensor.dtype}; view it as another type")
    shape, offsets, sizes = tuple(whole.size), whole.chunk.offsets, whole.chunk.sizes
    # Of a tensor that is dealt out unevenly, some processes have nothing.
    if math.prod(sizes) or not math.prod(shape):
        region = tuple(slice(start, start + size) for start, size in zip(offsets, sizes, strict=True))
        shard.add_slice(name, shape, region, tensor)
    return WriteResult(index=item.index, size_in_bytes=tensor.numel() * tensor.element_size(), storage_data=None)


class BundleStorageReader(StorageReader):
    """Reads a checkpoint for `torch.distributed.checkpoint.load`, in any number of processes, whoever wrote it.

    Each process reads the slices that it needs, several at a time, and every byte is checked.

    Args:
        checkpoint: A path; `checkpoint_id` of a load comes before it.
        trusted: If false, a name in a file that leads out of the file's directory is an error.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.
    """

    @takes_storage_options("checkpoint")
    def __init__(
        self,
        checkpoint: file_io.PathLike,
        *,
        trusted: bool = True,
        storage_options: StorageOptions | None = None,
        fs: OpenFileSystem | None = None,
    ) -> None:
        self._path = file_io.as_path(checkpoint)
        self._trusted = trusted
        self._reader: CheckpointReader | None = None

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begins the next load."""
        if checkpoint_id is not None:
            self._path = file_io.in_store_of(self._path, file_io.as_path(checkpoint_id))
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """What the checkpoint holds: every tensor is one chunk, of which any part can be read."""
        reader = self._opened()
        found: dict[str, Any] = {}
        for name in reader.names:
            dtype, shape = reader.dtype_and_shape(name)
            if dtype is STRING:
                found[name] = BytesStorageMetadata()
            # What is not PyTorch's type is left to those that ask for it.
            elif not refusal(dtype, torch):
                size = torch.Size(shape)
                chunk = ChunkStorageMetadata(offsets=torch.Size([0] * len(shape)), sizes=size)
                found[name] = TensorStorageMetadata(TensorProperties(dtype=getattr(torch, dtype.name)), size, [chunk])
        planner_data = None
        if found.pop(_PLANNER_DATA, None) is not None:
            planner_data = {name: tuple(path) for name, path in json.loads(reader.read(_PLANNER_DATA).item())}
        return Metadata(found, planner_data)

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Nothing to do."""

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """The plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """The plans as they are."""
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Reads what one process needs.

        Raises:
            InvalidArgumentError: A tensor has another type than the checkpoint's.
            DataLossError: The bytes are damaged, or slices that are needed are missing.
        """
        reader = self._opened()
        waiting = list(plan.items)
        while waiting:
            # Several parts of one tensor come one after the other.
            batch = {item.storage_index.fqn: item for item in waiting}
            waiting = [item for item in waiting if batch[item.storage_index.fqn] is not item]
            values = reader.read_regions({name: _region(item) for name, item in batch.items()})
            for name, item in batch.items():
                if item.type == LoadItemType.BYTE_IO:
                    planner.load_bytes(item, io.BytesIO(values[name].item()))
                else:
                    _assign(planner, item, as_torch_tensor(values[name], torch))
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def _opened(self) -> CheckpointReader:
        if self._reader is None:
            self._reader = load_checkpoint(self._path, trusted=self._trusted)
        return self._reader

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether it is a path."""
        return _is_path(checkpoint_id)


def _region(item: ReadItem) -> tuple[slice, ...] | None:
    if item.type == LoadItemType.BYTE_IO:
        return None
    starts = item.storage_offsets
    return tuple(slice(start, start + size) for start, size in zip(starts, item.lengths, strict=True))


def _assign(planner: LoadPlanner, item: ReadItem, value: Any) -> None:
    target = planner.resolve_tensor(item).detach()
    if target.dtype != value.dtype:
        raise InvalidArgumentError(
            f"{item.dest_index.fqn!r} is {target.dtype}, in the checkpoint {value.dtype}: load it as what it is and convert "
            "it, or write another checkpoint with tfsaver.cast"
        )
    target.copy_(value.reshape(target.shape))
    planner.commit_tensor(item, target)


def _is_path(checkpoint_id: Any) -> bool:
    return isinstance(checkpoint_id, (str, os.PathLike)) and bool(os.fspath(checkpoint_id))
