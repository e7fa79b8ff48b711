"""Trees of containers with arrays, whose arrays are replaced.

    dict, list, dataclass, object     changed in place
    tuple, namedtuple, frozen         made anew, without the class's own `__init__`
    what JAX knows as a tree          made anew, by JAX: flax's FrozenDict, equinox's modules

Where something is made anew, so is what leads to it, up to a container that can be changed.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

from tfsaver.errors import InvalidArgumentError

MAX_DEPTH = 200


def is_rigid(value: Any) -> bool:
    """Whether a container may have fields that are no arrays: what a dataclass, or a module of JAX's, is configured with."""
    return not isinstance(value, (Mapping, list, tuple))


def children_of(value: Any) -> list[tuple[str, Any]] | None:
    """What a container has, by the names of the edges; None for what is no container."""
    if isinstance(value, Mapping):
        if wrong := next((key for key in value if not isinstance(key, (str, int))), None):
            raise InvalidArgumentError(f"the keys of a target are names, not {wrong!r}")
        return [(str(key), child) for key, child in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, (list, tuple)):
        return [(str(index), child) for index, child in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value)]
    flat = _flattened(value)
    return None if flat is None else [(_name(path[0]), child) for path, child in flat[0]]


def replaced(root: Any, values: Mapping[int, Any]) -> Any:
    """The tree with other arrays in the place of some.

    Args:
        root: The tree.
        values: The new arrays, by the ids of the old ones.

    Returns:
        The tree itself, wherever its containers can be changed; else one that shares with it what has not changed.
    """
    made: dict[int, Any] = {}

    def new(value: Any) -> Any:
        if id(value) in values:
            return values[id(value)]
        if id(value) in made:
            return made[id(value)]
        children = children_of(value)
        if not children:
            return value
        made[id(value)] = value
        items = [(name, child, new(child)) for name, child in children]
        if any(child is not item for _, child, item in items):
            made[id(value)] = _with(value, [(name, item) for name, _, item in items])
        return made[id(value)]

    return new(root)


def _with(value: Any, items: list[tuple[str, Any]]) -> Any:
    """A container that has these items: itself where it can be changed."""
    if isinstance(value, MutableMapping):
        for key, (_, item) in zip(list(value), items, strict=True):
            value[key] = item
        return value
    if isinstance(value, list):
        value[:] = [item for _, item in items]
        return value
    if isinstance(value, tuple):
        made = [item for _, item in items]
        return type(value)._make(made) if hasattr(value, "_make") else type(value)(made)
    if dataclasses.is_dataclass(value):
        is_frozen: bool = vars(type(value))["__dataclass_params__"].frozen
        other = copy.copy(value) if is_frozen else value
        for name, item in items:
            if getattr(value, name, None) is not item:
                object.__setattr__(other, name, item)
        return other
    flat = _flattened(value)
    if flat is None:
        raise InvalidArgumentError(f"the arrays of a {type(value).__name__} cannot be replaced: give them in a dict")
    return flat[1].unflatten([item for _, item in items])


def _flattened(value: Any) -> tuple[list[tuple[Any, Any]], Any] | None:
    """The children of what JAX knows as a tree, with their paths, and how the tree is made of them; None for a leaf."""
    jax = sys.modules.get("jax")
    util = getattr(jax, "tree_util", None)
    if util is None or value is None:
        return None
    children, structure = util.tree_flatten_with_path(value, is_leaf=lambda each: each is not value)
    if util.treedef_is_leaf(structure) and structure.num_leaves == 1:
        return None
    return children, structure


def _name(key: Any) -> str:
    """The name of an edge of a tree of JAX's."""
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)
