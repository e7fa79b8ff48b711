"""Writes a mapping from names to arrays as a checkpoint."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfsaver.checkpoint import saved_tensor_slices
from tfsaver.checkpoint.editing.write import write_source
from tfsaver.checkpoint.objects.object_based import object_based_source
from tfsaver.checkpoint.objects.object_graph_like import as_object_graph
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter, finish_together
from tfsaver.checkpoint.tensor_source import ArraySource, TensorSource
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import tensor_util
from tfsaver.lib import file_io
from tfsaver.lib.lanes import Lanes
from tfsaver.tensor_bundle.writer import BundleWriter, Writes

_FORMATS = ("v2", "v1")


def save_checkpoint(
    mapping: Mapping[str, Any],
    prefix: file_io.PathLike,
    *,
    format: str = "v2",  # noqa: A002 - the word every saver uses for it
    num_shards: int = 1,
    durable: bool = True,
    object_graph: Any = None,
) -> str:
    """Writes tensors as a checkpoint that TensorFlow reads, in the order of their names.

    The files are those that TensorFlow's Saver writes for variables of these names and values, byte for byte. Values are
    taken from the mapping one at a time, so that a mapping which makes them on demand (an open checkpoint is one) is
    never in memory as a whole, and of a source's large tensors there are only pieces; a V1 checkpoint's file is written at
    the end and does hold them until then.

    Args:
        mapping: Names to arrays, or to what numpy makes arrays of; strings as str or bytes.
        prefix: The checkpoint's path without suffix. Missing directories are made.
        format: ``v2``, or ``v1`` for programs that know nothing newer.
        num_shards: How many data files there are; tensors go to the one that has least.
        durable: Whether to return only once disks have the bytes.
        object_graph: The objects that `tf.train.Checkpoint` is to restore the tensors into; None writes names alone. An
            ObjectGraph, its bytes, a dict or list (of dicts and lists) of names in the mapping, or the path of another
            object-based checkpoint or SavedModel whose objects these are. A tensor is for the variable of that key, full
            name or path; `object_based_source` says how they are found, and can leave some out.

    Returns:
        The checkpoint's name as `load_checkpoint` takes it: `prefix`, or the pattern of a V1 checkpoint in several files.

    Raises:
        InvalidArgumentError: An unknown format, a name that is no str or empty, fewer shards than one, a prefix that ends
            with a slash; or tensors that do not fit the objects, or are none of theirs.
        NotFoundError: The objects have values that no tensor is for; says everything that is wrong.
        UnimplementedError: A value of a type that the format cannot hold.
        WriteError: The system refuses it, or there is no room. Then everything is as it was.
    """
    path = file_io.as_path(prefix)
    if format not in _FORMATS:
        raise InvalidArgumentError(f"format {format!r} is unknown; known are {' and '.join(map(repr, _FORMATS))}")
    if num_shards < 1:
        raise InvalidArgumentError(f"num_shards is {num_shards}, at least 1 is needed")
    if not isinstance(mapping, Mapping):
        raise InvalidArgumentError(f"a mapping from names to arrays is needed, not {type(mapping).__name__}")
    for name in mapping:
        if not isinstance(name, str) or not name:
            raise InvalidArgumentError(f"a tensor's name must be a str that is not empty, not {name!r}")
    if object_graph is not None:
        if format == "v1":
            raise InvalidArgumentError("object_graph with format 'v1': TensorFlow restores objects from V2 alone")
        tensors = mapping if isinstance(mapping, TensorSource) else ArraySource(mapping)
        mapping = object_based_source(tensors, as_object_graph(object_graph))
    directory, base = file_io.split(path)
    if not base:
        raise InvalidArgumentError(f"{path!r} ends with a slash: a prefix is a directory and a name in it")
    if isinstance(mapping, TensorSource):
        return write_source(mapping, path, format=format, num_shards=num_shards, keep_slices=False, durable=durable)
    with file_io.directory_made(directory, durable=durable):
        return (_save_v2 if format == "v2" else _save_v1)(mapping, path, num_shards, durable)


def _in_key_order(mapping: Mapping[str, Any]) -> list[str]:
    return sorted(mapping)


def _save_v2(mapping: Mapping[str, Any], prefix: str, num_shards: int, durable: bool) -> str:
    sizes = [0] * num_shards
    # Of a mapping that makes its values on demand nothing is known before.
    known = [value for value in mapping.values() if isinstance(value, np.ndarray)] if type(mapping) is dict else []
    size = sum(value.nbytes for value in known if not value.dtype.hasobject)
    # Lanes are threads enough.
    writes: Writes = "overlapped" if num_shards == 1 else "gathered"
    with (
        BundleWriter(prefix, num_shards=num_shards, durable=durable, writes=writes, expected_size=size) as writer,
        Lanes(num_shards) as lanes,
    ):
        for name in _in_key_order(mapping):
            array, _ = tensor_util.as_tensor(mapping[name], name)
            shard_id = sizes.index(min(sizes))
            sizes[shard_id] += array.nbytes
            if num_shards == 1:
                writer.add(name, array)
            else:
                lanes.hand_over(shard_id, functools.partial(writer.add, name, array, shard_id=shard_id), array.nbytes)
    return prefix


def _save_v1(mapping: Mapping[str, Any], prefix: str, num_shards: int, durable: bool) -> str:
    names = _in_key_order(mapping)
    if num_shards == 1:
        paths = [prefix]
    else:
        paths = [saved_tensor_slices.shard_path(prefix, number, num_shards) for number in range(num_shards)]
    writers = [TensorSliceWriter(path, durable=durable) for path in paths]
    sizes = [0] * num_shards
    for name in names:
        array, _ = tensor_util.as_tensor(mapping[name], name)
        shard_id = sizes.index(min(sizes))
        sizes[shard_id] += array.nbytes
        writers[shard_id].add(name, array)
    finish_together(writers)
    return prefix if num_shards == 1 else saved_tensor_slices.shard_pattern(prefix, num_shards)
