"""The objects that converted tensors are for, and values for what the tensors have nothing for.

A program of TensorFlow 2 has variables that one of TensorFlow 1 never saved: the learning rate of a Keras optimizer, the
step of a metric. Such a value is given by the path of its object, and takes the dtype and, if it is one number, the shape
that the objects have for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfsaver.checkpoint.losses import Losses, cast_array
from tfsaver.checkpoint.names.name_steps import split_attribute
from tfsaver.checkpoint.objects.object_graph import ObjectGraph
from tfsaver.checkpoint.objects.object_graph_like import as_object_graph, moved_under, with_save_counter
from tfsaver.checkpoint.tensor_source import Array
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.errors import nearest_names, raise_problems
from tfsaver.framework import tensor_util
from tfsaver.saved_model.object_graph import object_graph_like


def objects_of(like: Any, under: str | Sequence[str] = (), *, trusted: bool = True) -> ObjectGraph:
    """The objects that a caller means.

    Args:
        like: A path of a SavedModel, with or without its variables, or of an object-based checkpoint; a nest of names, a
            graph or its bytes.
        under: Where their root is to be: ``model`` for what `tf.train.Checkpoint(model=...)` restores. A path has a slash
            between its names, or is a sequence of them.
        trusted: If false, a name in a file that leads out of the file's directory is an error.

    Raises:
        InvalidArgumentError: It is no such thing.
        CheckpointNotFoundError: There is nothing at the path.
        DataLossError: What is there is damaged.
    """
    path = [name for name in under.split("/") if name] if isinstance(under, str) else list(under)
    if isinstance(like, (str, os.PathLike)):
        return object_graph_like(like, under=path, trusted=trusted)
    graph = as_object_graph(like)
    return with_save_counter(moved_under(graph, path)) if path else graph


def values_by_key(graph: ObjectGraph, values: Mapping[str, Any]) -> dict[str, Array]:
    """The values by the keys that they have among the objects.

    Args:
        graph: The objects.
        values: By key, or by the path of the object.

    Raises:
        InvalidArgumentError: The objects have no such value, or one of another dtype or shape; says all.
    """
    keys = {attribute.key for attribute in graph.attributes}
    paths = {split_attribute(key)[0]: key for key in keys}
    found: dict[str, Array] = {}
    problems = []
    for name, value in values.items():
        key = name if name in keys else paths.get(name)
        if key is None:
            near = nearest_names(name, paths)
            hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
            problems.append(f"{name!r} is no value of the objects{hint}")
            continue
        try:
            found[key] = _fitted(value, graph.tensors.get(key))
        except (TypeError, ValueError, OverflowError) as error:
            problems.append(f"{name!r}: {error}")
    raise_problems("the values that were given", problems)
    return found


def _fitted(value: Any, wanted: WantedTensor | None) -> Array:
    array, dtype = tensor_util.as_tensor(value)
    if wanted is None:
        return array
    if dtype is not wanted.dtype:
        # From Python come 64 bits, whatever is meant.
        if not (dtype.has_fixed_size and wanted.dtype.has_fixed_size):
            raise TypeError(f"{wanted.dtype} is needed, not {dtype}")
        losses = Losses(dtype, wanted.dtype)
        array = cast_array(array, losses)
        if losses.is_refused:
            raise TypeError(f"{wanted.dtype} is needed, which {value!r} is not")
    if not array.shape and wanted.shape is not None and None not in wanted.shape:
        return np.full(wanted.shape, array)
    return array
