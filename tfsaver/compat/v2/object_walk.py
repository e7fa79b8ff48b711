"""The objects of a program, by the edges that lead to them, and the same walk through the objects of a checkpoint.

TensorFlow restores a checkpoint that was written from objects by going from both roots along edges of the same names. So
does this, and takes edges for the same that only Keras's generations call differently:

    Keras 2                      Keras 3
    layer-2, layer_with_weights-1    _operations/2, and _functional between a Sequential and it
    layer/kernel                     layer/_kernel
    optimizer/iter                   optimizer/_iterations

The lists in which an optimizer numbers all that it has (``_variables/3``) are followed only where both sides number the same
variables: with one more number in front of it, Adam's two moments would change places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfsaver.checkpoint.objects.object_graph import VARIABLE_VALUE, Node, ObjectGraph
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.compat import _tensorflow
from tfsaver.compat.v2.object_state import StatePart
from tfsaver.targets.optimizers import is_optimizer, is_variable

_SYNONYMS = {"iter": "_iterations", "_iterations": "iter", "iterations": "_iterations"}
# What optimizers number: all that they have, and what they train.
_NUMBERED = ("_variables", "_trainable_variables")
_NUMBER = re.compile(r"_?\d+")
_NOT_FOLLOWED = frozenset({*_NUMBERED, "_trainable_variables_indices", "_index_dict"})
_NODES = frozenset({"_inbound_nodes", "_outbound_nodes", "_losses", "_losses_override", "_tracked"})


def is_trackable(value: Any) -> bool:
    """Whether TensorFlow would save it as an object with children."""
    return isinstance(value, _tensorflow.Trackable)


def children_of(value: Any) -> dict[str, Any]:
    """What an object, a dict or a list leads to, by the names of the edges."""
    if is_variable(value):
        return {}
    if isinstance(value, Mapping):
        return {str(name): child for name, child in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return {str(index): child for index, child in enumerate(value)}
    if not is_trackable(value):
        return {}
    hidden = _NOT_FOLLOWED | _NODES if is_optimizer(value) else _NODES
    children = dict(_tensorflow.tf.train.TrackableView(value).children(value))
    return {**_layer_edges(value), **{name: child for name, child in children.items() if name not in hidden}}


def paths_of_variables(root: Any) -> dict[int, tuple[str, ...]]:
    """The shortest path to each variable that is reached from an object, by the variable's id."""
    paths: dict[int, tuple[str, ...]] = {}
    seen = {id(root)}
    waiting: list[tuple[Any, tuple[str, ...]]] = [(root, ())]
    for value, path in waiting:
        for name, child in children_of(value).items():
            if id(child) in seen:
                continue
            seen.add(id(child))
            if is_variable(child):
                paths[id(child)] = (*path, name)
            else:
                waiting.append((child, (*path, name)))
    return paths


def objects_with_state(root: Any) -> list[tuple[str, Any]]:
    """What TensorFlow would save besides variables, such as tables and iterators, with the paths to it."""
    found: list[tuple[str, Any]] = []
    seen = {id(root)}
    # Held: wrappers that are made when they are asked for would be forgotten, and their ids given to others.
    waiting: list[tuple[Any, tuple[str, ...]]] = [(root, ())]
    for value, path in waiting:
        for name, child in children_of(value).items():
            if id(child) in seen or is_variable(child):
                continue
            seen.add(id(child))
            waiting.append((child, (*path, name)))
            if is_trackable(child) and _saves_more_than_children(child):
                found.append(("/".join((*path, name)), child))
    return found


def _saves_more_than_children(value: Any) -> bool:
    return bool(_tensorflow.saveable_objects_from_trackable(value))


def descend(root: Any, path: Sequence[str]) -> Any:
    """What a path leads to from an object of a program; None when it leads nowhere."""
    for name in path:
        root = children_of(root).get(name)
    return root


def keys_by_walking(
    root: Any,
    graph: ObjectGraph,
    source: TensorSource,
    parts: Mapping[int, Sequence[StatePart]],
    start: Sequence[str] = (),
) -> dict[int, tuple[str, ...]]:
    """The tensors of an object-based checkpoint that stand where a program has its variables, by the variables' ids.

    Args:
        root: The program's objects.
        graph: The checkpoint's.
        source: The checkpoint.
        parts: What of the program's objects is state and no variable, by the objects' ids.
        start: The path in the checkpoint to the object that stands for `root`.
    """
    node_id = graph.node_at(start)
    keys: dict[int, dict[str, None]] = {}
    waiting = [] if node_id is None else [(node_id, root)]
    seen = {(node_id, id(root))}
    # Children that are made when they are asked for would be forgotten, and their ids given to others.
    held = []
    for number, value in waiting:
        node = graph.nodes[number]
        for part in parts.get(id(value), ()):
            there = (f"{attribute.key}{part.ending}" for attribute in node.attributes if attribute.name == part.attribute)
            keys.setdefault(id(part), {}).update(dict.fromkeys(key for key in there if key in source))
        if is_variable(value):
            for attribute in node.attributes:
                if attribute.name == VARIABLE_VALUE:
                    keys.setdefault(id(value), {})[attribute.key] = None
            continue
        children = children_of(value)
        held.append(children)
        if is_optimizer(value):
            for name in _NUMBERED:
                waiting += _numbered_variables(value, name, node, graph, source)
        for name, child_id in node.children.items():
            child = next((children[other] for other in _spellings(name) if other in children), None)
            if child is None and name == "_functional":
                child = value
            if child is not None and (child_id, id(child)) not in seen:
                seen.add((child_id, id(child)))
                waiting.append((child_id, child))
    return {number: tuple(found) for number, found in keys.items()}


def _numbered_variables(
    optimizer: Any, name: str, node: Node, graph: ObjectGraph, source: TensorSource
) -> list[tuple[int, Any]]:
    """The objects of a checkpoint for the variables that an optimizer numbers, where both sides number the same ones.

    As many, and each pair of one dtype, shape and name, but for the numbers that Keras puts into names.
    """
    variables = getattr(optimizer, name, None)
    child = node.children.get(name)
    if child is None or not isinstance(variables, Sequence):
        return []
    numbered = graph.nodes[child].children
    if numbered.keys() != {str(index) for index in range(len(variables))}:
        return []
    pairs = [(numbered[str(index)], variable) for index, variable in enumerate(variables)]
    for number, variable in pairs:
        attribute = next((each for each in graph.nodes[number].attributes if each.name == VARIABLE_VALUE), None)
        if attribute is None or attribute.key not in source:
            return []
        info = source.info(attribute.key)
        if tuple(info.shape) != tuple(variable.shape) or info.dtype.name != _tensorflow.tf.as_dtype(variable.dtype).name:
            return []
        names = (attribute.full_name, getattr(variable, "path", variable.name))
        # In Keras 3 it is one word behind the optimizer's name, dense_kernel_momentum.
        if len({_NUMBER.sub("", each.removesuffix(":0").rpartition("/")[2]) for each in names}) > 1:
            return []
    return pairs


def _spellings(name: str) -> Iterator[str]:
    if name in _NOT_FOLLOWED:
        return
    yield name
    if name in _SYNONYMS:
        yield _SYNONYMS[name]
    yield name.removeprefix("_") if name.startswith("_") else f"_{name}"


def _layer_edges(model: Any) -> dict[str, Any]:
    """The edges to a model's layers, under the names that Keras 2 and Keras 3 have for them."""
    layers = getattr(model, "layers", None)
    if not isinstance(layers, list) or not hasattr(model, "get_layer"):
        return {}
    edges: dict[str, Any] = {}
    weighted = [layer for layer in layers if getattr(layer, "weights", None)] if model.built else []
    edges.update((f"layer_with_weights-{index}", layer) for index, layer in enumerate(weighted))
    edges.update((f"layer-{index}", layer) for index, layer in enumerate(layers))
    has_input = bool(layers) and type(layers[0]).__name__ == "InputLayer"
    edges["_operations"] = {str(index): layer for index, layer in enumerate(layers, 0 if has_input else 1)}
    return edges
