"""From the nodes of a tree and its tensors to the tree.

Containers are made from the last node to the first, so that what is in one is there before it. Where only some leaves are
wanted, a dict has only these, while a sequence keeps the positions of what it has by None in the place of the others.
"""

from __future__ import annotations

import collections
import functools
import keyword
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tfsaver.errors import DataLossError
from tfsaver.targets.trees.structure import Branch, Node, Value

_ABSENT = object()


def build(nodes: Sequence[Node], tensors: Mapping[int, Any], wanted: Collection[int]) -> Any:
    """The tree.

    Args:
        nodes: Its nodes, as `parse` gives them.
        tensors: What each wanted leaf is, by the number of its node.
        wanted: The numbers of the leaves that are wanted, and of the empty containers.

    Returns:
        The tree; None where nothing is wanted of it.

    Raises:
        DataLossError: A namedtuple that cannot be.
    """
    made: list[Any] = [_ABSENT] * len(nodes)
    for node_id in range(len(nodes) - 1, -1, -1):
        node = nodes[node_id]
        if isinstance(node, Branch):
            items = [made[child] for child in node.children]
            # An empty container is wanted as a leaf is.
            if any(item is not _ABSENT for item in items) if items else node_id in wanted:
                made[node_id] = _container(node, items)
            for child in node.children:
                made[child] = None
        elif node_id in wanted:
            made[node_id] = node.value if isinstance(node, Value) else tensors[node_id]
    return None if made[0] is _ABSENT else made[0]


def _container(node: Branch, items: list[Any]) -> Any:
    if node.kind in ("dict", "ordered_dict"):
        present = {key: item for key, item in zip(node.keys, items, strict=True) if item is not _ABSENT}
        if node.kind == "dict":
            return present
        ordered = OrderedDict(present)
        if node.metadata is not None:
            # Where torch.nn.Module.load_state_dict looks for it.
            ordered._metadata = OrderedDict(node.metadata)  # type: ignore[attr-defined]
        return ordered
    filled = [None if item is _ABSENT else item for item in items]
    if node.kind == "namedtuple":
        return _namedtuple(node.name, node.keys)(*filled)
    return tuple(filled) if node.kind == "tuple" else filled


@functools.lru_cache(1024)
def _namedtuple(name: str, fields: tuple[str | int, ...]) -> Any:
    # The class that was saved is in a program that need not be here: this one has its name and its fields.
    words = [name, *fields]
    if any(not isinstance(word, str) or not word.isidentifier() or keyword.iskeyword(word) for word in words):
        raise DataLossError(f"a namedtuple {name!r} with the fields {', '.join(map(repr, fields))} cannot be")
    try:
        return collections.namedtuple(name, [str(field) for field in fields])
    except ValueError as error:
        raise DataLossError(f"a namedtuple {name!r} cannot be: {error}") from error
