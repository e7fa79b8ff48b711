"""From a tree to what is written: the table of its nodes, its tensors, the graph of objects that TensorFlow restores by.

All of it is looked at before a byte is written, and all that cannot be stored is said at once. The walk goes breadth first,
so that a tensor which is found on several paths has the key that TensorFlow gives it, that of the shortest. To TensorFlow a
dict is an object with a child for each key, a sequence one with children 0, 1, ...; values of Python's own are no objects.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY, TREE_KEY, ObjectGraph, key_of
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import InvalidArgumentError, SaverError, TensorNotFoundError, UnimplementedError, nearest_names
from tfsaver.framework.region import Region
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.targets.trees import values as tree_values
from tfsaver.targets.trees.jax import jax_leaf
from tfsaver.targets.trees.leaves import ArrayLeaf, LongBytes, LongText, TensorLeaf, array_leaf
from tfsaver.targets.trees.structure import MAX_DEPTH, Branch, Leaf, Node, Value, serialize
from tfsaver.targets.trees.torch import torch_leaf

Path = tuple[str, ...]

# What TensorFlow's Checkpoint keeps beside what it is given, and asks for when it restores.
SAVE_COUNTER = "save_counter"


class PlannedTree(TensorSource):
    """The tensors of the checkpoint that a tree makes, ready to be read by whoever writes it.

    Args:
        tree: See `tfsaver.verbs.trees.save`.

    Raises:
        InvalidArgumentError: Something in the tree cannot be stored; says all of it.
    """

    def __init__(self, tree: Any) -> None:
        walk = _Walk(tree)
        self._leaves = walk.tensors
        self._leaves[OBJECT_GRAPH_KEY] = ArrayLeaf(_objects(walk).serialize())
        self._leaves[TREE_KEY] = ArrayLeaf(serialize(walk.nodes))

    @property
    def names(self) -> list[str]:
        return sorted(self._leaves)

    def __contains__(self, name: object) -> bool:
        return name in self._leaves

    def info(self, name: str) -> TensorInfo:
        leaf = self._leaf(name)
        return TensorInfo(name, leaf.dtype, leaf.shape, leaf.num_bytes, ())

    def read(self, name: str, region: Region | None = None) -> Array:
        return self._leaf(name).read(region, name)

    def is_stable(self, name: str) -> bool:
        return self._leaf(name).is_stable

    def _leaf(self, name: str) -> TensorLeaf:
        try:
            return self._leaves[name]
        except KeyError:
            raise TensorNotFoundError(name, checkpoint="the tree", near=nearest_names(name, self._leaves)) from None


class _Place(NamedTuple):
    """Where a node is: its path as TensorFlow spells it, the object itself, and the place that it is in."""

    path: Path
    value: Any
    parent: _Place | None


class _Walk:
    """One pass over a tree.

    Attributes:
        nodes: The nodes, breadth first.
        paths: The path of each.
        tensors: The tensors by their keys.
    """

    def __init__(self, tree: Any) -> None:
        self.nodes: list[Node] = []
        self.tensors: dict[str, TensorLeaf] = {}
        self._keys: dict[Hashable, str] = {}
        problems: list[str] = []
        # The list grows while it is walked: what is in a container comes behind all that is known.
        self._places = [_Place((), tree, None)]
        for place in self._places:
            known = len(self._places)
            try:
                self.nodes.append(self._node(place))
            except SaverError as error:
                del self._places[known:]
                self.nodes.append(Value(None))
                problems.append(f"{'/'.join(place.path) or 'the tree'}: {error}")
        self.paths = [place.path for place in self._places]
        if problems:
            raise InvalidArgumentError("\n  ".join(["the tree cannot be saved, nothing was written:", *problems]))

    def _node(self, place: _Place) -> Node:
        value = place.value
        if tree_values.is_value(value):
            if isinstance(value, bytes) and len(value) > tree_values.MAX_TEXT:
                return self._tensor(place.path, LongBytes(value))
            if isinstance(value, str) and len(value) > tree_values.MAX_TEXT and tree_values.is_unicode(value):
                return self._tensor(place.path, LongText(value))
            return Value(value)
        if type(value) in (list, tuple):
            children = self._branch(place, map(str, range(len(value))), value)
            return Branch(type(value).__name__, tuple(range(len(value))), children)
        if type(value) in (dict, OrderedDict):
            children = self._branch(place, _names_of_keys(value), value.values())
            if type(value) is dict:
                return Branch("dict", tuple(value), children)
            return Branch("ordered_dict", tuple(value), children, metadata=_metadata(value))
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return Branch("namedtuple", value._fields, self._branch(place, value._fields, value), type(value).__name__)
        for make_leaf in (array_leaf, torch_leaf, jax_leaf):
            if (leaf := make_leaf(value)) is not None:
                return self._tensor(place.path, leaf)
        raise UnimplementedError(_advice(value))

    def _tensor(self, path: Path, leaf: TensorLeaf) -> Leaf:
        key = key_of(path)
        if leaf.identity is not None:
            key = self._keys.setdefault(leaf.identity, key)
        self.tensors.setdefault(key, leaf)
        return Leaf(key, leaf.kind, leaf.options)

    def _branch(self, place: _Place, names: Iterable[str], values: Iterable[Any]) -> tuple[int, ...]:
        if len(place.path) >= MAX_DEPTH:
            raise UnimplementedError(f"nested deeper than {MAX_DEPTH} containers")
        outer = place.parent
        while outer is not None:
            if outer.value is place.value:
                raise UnimplementedError(f"it lies in itself: it is the same object as {'/'.join(outer.path) or 'the tree'}")
            outer = outer.parent
        first = len(self._places)
        self._places += [_Place((*place.path, name), value, place) for name, value in zip(names, values, strict=True)]
        return tuple(range(first, len(self._places)))


def _objects(walk: _Walk) -> ObjectGraph:
    """The graph of a tree's objects, with the counter that TensorFlow asks for; its value goes to the tensors."""
    builder = ObjectGraphBuilder()
    first_paths: dict[str, Path] = {}
    for node, path in zip(walk.nodes, walk.paths, strict=True):
        if isinstance(node, Branch):
            builder.node(path)
        elif isinstance(node, Leaf):
            if node.key in first_paths:
                builder.link(path, first_paths[node.key])
            else:
                first_paths[node.key] = path
                builder.variable(path, "/".join(path), node.key)
    for node, path in zip(walk.nodes, walk.paths, strict=True):
        if isinstance(node, Branch) and node.kind == "namedtuple":
            for position, (field, child) in enumerate(zip(node.keys, node.children, strict=True)):
                # TensorFlow finds what is in a namedtuple both ways.
                if not isinstance(walk.nodes[child], Value):
                    builder.link((*path, str(position)), (*path, str(field)))
    root = walk.nodes[0]
    if not isinstance(root, Branch) or SAVE_COUNTER not in root.keys:
        builder.variable((SAVE_COUNTER,), SAVE_COUNTER)
        walk.tensors[key_of((SAVE_COUNTER,))] = ArrayLeaf(np.int64(1))
    return builder.build()


def _names_of_keys(value: dict[Any, Any]) -> list[str]:
    names: dict[str, Any] = {}
    for key in value:
        if type(key) not in (str, int):
            raise UnimplementedError(f"the key {key!r} is {_a(type(key))}: keys are str or int")
        name = str(key)
        if not tree_values.is_unicode(name):
            raise UnimplementedError(f"the key {key!r} is no text that has a UTF-8 form")
        if name in names:
            raise UnimplementedError(f"the keys {names[name]!r} and {key!r} have one name in a checkpoint")
        names[name] = key
    return list(names)


def _metadata(value: OrderedDict[Any, Any]) -> dict[str, Any] | None:
    """The versions that PyTorch's modules note on their state_dict, by the modules' names."""
    metadata = getattr(value, "_metadata", None)
    if metadata is None:
        return None
    plain = (bool, int, str, type(None))
    is_plain = isinstance(metadata, dict) and all(
        type(name) is str and isinstance(of, dict) and all(type(k) is str and type(v) in plain for k, v in of.items())
        for name, of in metadata.items()
    )
    if not is_plain:
        raise UnimplementedError("its _metadata are not the versions of modules that PyTorch notes there")
    return {name: dict(of) for name, of in metadata.items()}


def _advice(value: Any) -> str:
    kind = type(value)
    if callable(getattr(value, "state_dict", None)):
        return f"{_a(kind)}: pass its state_dict()"
    if isinstance(value, Mapping):
        return f"{_a(kind)}: pass dict(...) of it"
    if isinstance(value, tuple | list):
        return f"{_a(kind)}: pass {'tuple' if isinstance(value, tuple) else 'list'}(...) of it"
    return f"{_a(kind)} is neither a tensor, nor a container of them, nor a value of Python's own"


def _a(kind: type) -> str:
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
