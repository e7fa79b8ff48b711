"""Graphs of objects out of what a caller has: a tree of names, another checkpoint, the bytes of a graph.

    {"model": {"dense": {"kernel": "w", "bias": "b"}}}     each leaf the name of a tensor; a list's children are 0, 1, ...
    {"a": "w", "b": ["w"]}                                 one name twice: one variable that two paths lead to
    "ckpt/model-1000"                                      an object-based checkpoint, or a SavedModel of TensorFlow 2

`tf.train.Checkpoint(...).save` counts its saves in a variable beside the objects, and what `restore` gives back finds fault
with a checkpoint that has none, so that graphs for it get one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.checkpoint.objects.object_graph import (
    DESCRIPTIONS,
    VARIABLE_VALUE,
    Attribute,
    Node,
    ObjectGraph,
    escape,
    key_of,
    parse_object_graph,
    read_object_graph,
)
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder, Path
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes

SAVE_COUNTER = "save_counter"
SAVE_COUNTER_KEY = key_of((SAVE_COUNTER,))

_COUNTER_DTYPE = dtypes.from_name("int64")
_SLOT = "/.OPTIMIZER_SLOT/"


def object_graph_like(
    checkpoint: str | os.PathLike[str] | CheckpointReader, *, under: Sequence[str] = (), trusted: bool = True
) -> ObjectGraph:
    """The objects that another checkpoint was written from, with the dtypes and shapes of its tensors.

    Args:
        checkpoint: Whatever names a checkpoint that was written from objects, a SavedModel of TensorFlow 2 among them; or
            the open checkpoint.
        under: Where its root is to be: ``("model",)`` for what `tf.train.Checkpoint(model=...)` restores, when the
            checkpoint is the model itself, as a SavedModel is.

    Raises:
        CheckpointNotFoundError: There is none.
        InvalidArgumentError: It was written from names.
        DataLossError: It is damaged.
    """
    if not isinstance(checkpoint, CheckpointReader):
        with load_checkpoint(checkpoint, trusted=trusted) as reader:
            return object_graph_like(reader, under=under)
    graph = read_object_graph(checkpoint)
    if graph is None:
        raise InvalidArgumentError(f"{checkpoint.prefix} was written from names: it says nothing of any objects")
    infos = (checkpoint.info(name) for name in checkpoint.names if name not in DESCRIPTIONS)
    graph = ObjectGraph(graph.nodes, {info.name: WantedTensor(info.name, info.dtype, tuple(info.shape)) for info in infos})
    return with_save_counter(moved_under(graph, under))


def as_object_graph(value: Any, *, trusted: bool = True) -> ObjectGraph:
    """A graph of objects out of what a caller may give for one; the module says what that is.

    Raises:
        InvalidArgumentError: It is no such thing.
        CheckpointNotFoundError: It is a path where no checkpoint is.
        DataLossError: It is the bytes of something else.
    """
    if isinstance(value, ObjectGraph):
        return value
    if isinstance(value, bytes):
        return parse_object_graph(value)
    if isinstance(value, (str, os.PathLike, CheckpointReader)):
        return object_graph_like(value, trusted=trusted)
    if isinstance(value, (Mapping, Sequence)):
        return object_graph_of_names(value)
    kinds = "an ObjectGraph, its bytes, a dict or list of names, or the path of a checkpoint that has one"
    raise InvalidArgumentError(f"object_graph is {kinds}, not {type(value).__name__}")


def object_graph_of_names(tree: Mapping[str, Any] | Sequence[Any]) -> ObjectGraph:
    """The objects that dicts and lists of names describe; a name that comes again is the same variable.

    Args:
        tree: Dicts, lists and tuples, in each other; each leaf the name of a tensor, which becomes the variable's full
            name. A dict or list that comes again is the same object.

    Raises:
        InvalidArgumentError: A leaf is no name, or a dict's key no str; names the place.
    """
    if isinstance(tree, str) or not isinstance(tree, (Mapping, Sequence)):
        raise InvalidArgumentError(f"objects are described by a dict or a list, not by {tree!r}")
    builder = ObjectGraphBuilder()
    places: dict[int, Path] = {id(tree): ()}
    variables: dict[str, Path] = {}
    waiting: list[tuple[Path, Any]] = [((), tree)]
    for path, value in waiting:
        items = value.items() if isinstance(value, Mapping) else ((str(index), item) for index, item in enumerate(value))
        for name, item in items:
            place = (*path, name)
            if isinstance(item, str):
                if item in variables:
                    builder.link(place, variables[item])
                else:
                    variables[item] = place
                    builder.variable(place, item)
            elif not isinstance(item, (Mapping, Sequence)) or isinstance(item, bytes):
                raise InvalidArgumentError(f"object_graph at {'/'.join(map(str, place))}: {item!r} is no tensor's name")
            elif id(item) in places:
                builder.link(place, places[id(item)])
            else:
                places[id(item)] = place
                builder.node(place)
                waiting.append((place, item))
    if SAVE_COUNTER not in tree:
        add_save_counter(builder)
    return builder.build()


def add_save_counter(builder: ObjectGraphBuilder) -> None:
    """Puts beside the root's children, as the last of them, what counts the saves."""
    builder.variable((SAVE_COUNTER,), SAVE_COUNTER, dtype=_COUNTER_DTYPE, shape=())


def with_save_counter(graph: ObjectGraph) -> ObjectGraph:
    """The same objects, and beside them what counts the saves, if nothing does yet."""
    if not graph.nodes or SAVE_COUNTER in graph.nodes[0].children:
        return graph
    counter = Node({}, (Attribute(VARIABLE_VALUE, SAVE_COUNTER, SAVE_COUNTER_KEY),))
    root = graph.nodes[0]._replace(children={**graph.nodes[0].children, SAVE_COUNTER: len(graph.nodes)})
    kind = WantedTensor(SAVE_COUNTER_KEY, _COUNTER_DTYPE, ())
    return ObjectGraph((root, *graph.nodes[1:], counter), {**graph.tensors, SAVE_COUNTER_KEY: kind})


def moved_under(graph: ObjectGraph, path: Sequence[str]) -> ObjectGraph:
    """The same objects with their root at the end of a path, where the keys begin with it."""
    for name in reversed(path):
        graph = _moved_under(graph, name)
    return graph


def _moved_under(graph: ObjectGraph, name: str) -> ObjectGraph:
    keys = {key: _key_under(key, escape(name)) for key in (*graph.tensors, *(item.key for item in graph.attributes))}
    # What counts the saves stays beside the objects.
    keys[SAVE_COUNTER_KEY] = SAVE_COUNTER_KEY
    nodes = [
        node._replace(
            children={edge: child + 1 for edge, child in node.children.items()},
            attributes=tuple(item._replace(key=keys[item.key]) for item in node.attributes),
            slots=tuple(slot._replace(variable_id=slot.variable_id + 1, node_id=slot.node_id + 1) for slot in node.slots),
        )
        for node in graph.nodes
    ]
    root = {name: 1}
    if nodes and SAVE_COUNTER in nodes[0].children:
        root[SAVE_COUNTER] = nodes[0].children.pop(SAVE_COUNTER)
    tensors = {keys[key]: WantedTensor(keys[key], item.dtype, item.shape) for key, item in graph.tensors.items()}
    return ObjectGraph((Node(root), *nodes), tensors)


def _key_under(key: str, name: str) -> str:
    # A slot's key has two paths from the root; that of the root itself is empty, and a / follows it.
    return _SLOT.join(f"{name}{part}" if part.startswith("/") else f"{name}/{part}" for part in key.split(_SLOT))
