"""What TensorFlow's format cannot say of a nest of containers, as one table in JSON.

    {"format": "tfsaver tree", "version": 1, "nodes": [
        {"dict": [["epoch", 1], ["layers", 2]]},          0: the root; keys that are str or int, and the nodes they lead to
        {"value": 3},                                     1: a value of Python's own, see `tree_values`
        {"list": [3, 4]},                                 2: list, tuple; {"namedtuple": [["x", 5]], "name": "Point"}
        {"tensor": "layers/0/.ATTRIBUTES/VARIABLE_VALUE", "as": "torch", "parameter": true}, ...
    ]}

The nodes of a tree stand in one list, breadth first, so that neither writing nor reading one calls itself: each node but
the root is mentioned exactly once, by a node before it. That is checked, and so are depth and size: a file may come from
anywhere. Two leaves that name one tensor are one tensor. Nothing in the table is code, or the name of code to be imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from tfsaver.checkpoint.objects.object_graph import TREE_KEY
from tfsaver.errors import DataLossError, InvalidArgumentError, UnimplementedError
from tfsaver.targets.trees import values as tree_values

MAX_DEPTH = 1000
MAX_SIZE = 64 << 20

_FORMAT = "tfsaver tree"
_VERSION = 1
_MAPPINGS = ("dict", "ordered_dict", "namedtuple")
_SEQUENCES = ("list", "tuple")
# What a node may say beside its kind, and of which type that is.
_OPTIONS = {"parameter": bool, "requires_grad": bool, "scalar": bool, "dtype": str, "text": str}


class Branch(NamedTuple):
    """A container.

    Attributes:
        kind: dict, ordered_dict, namedtuple, list or tuple.
        keys: What its items are found by: a key, a field, a position.
        children: The numbers of the nodes that are its items.
        name: The name of a namedtuple's class.
        metadata: What an OrderedDict carries as `_metadata`, where PyTorch notes the versions of modules.
    """

    kind: str
    keys: tuple[str | int, ...]
    children: tuple[int, ...]
    name: str = ""
    metadata: dict[str, Any] | None = None


class Value(NamedTuple):
    """A value of Python's own: None, bool, int, float, complex, str, bytes."""

    value: Any


class Leaf(NamedTuple):
    """A tensor.

    Attributes:
        key: Its name in the checkpoint.
        kind: What it was, and is to be: numpy, torch, jax; str and bytes for long ones of these.
        options: What else it was; see the modules of the kinds.
    """

    key: str
    kind: str = "numpy"
    options: Mapping[str, Any] = {}


Node: TypeAlias = "Branch | Value | Leaf"


def serialize(nodes: Sequence[Node]) -> bytes:
    """The table as it is stored.

    Raises:
        InvalidArgumentError: It is larger than a reader would take.
    """
    table = {"format": _FORMAT, "version": _VERSION, "nodes": [_record(node) for node in nodes]}
    text = json.dumps(table, allow_nan=False, separators=(",", ":")).encode()
    if len(text) > MAX_SIZE:
        raise InvalidArgumentError(
            f"the structure and the Python values of the tree take {len(text):,} bytes, at most {MAX_SIZE:,} are possible: "
            "make arrays of long lists of numbers"
        )
    return text


def parse(text: bytes) -> list[Node]:
    """The nodes of a table; each is mentioned once, by one before it, and none lies deeper than `MAX_DEPTH`.

    Raises:
        DataLossError: It is no such table.
        UnimplementedError: It was written by a newer version.
    """
    if len(text) > MAX_SIZE:
        raise DataLossError(f"{TREE_KEY}: {len(text):,} bytes, at most {MAX_SIZE:,} are possible")
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataLossError(f"{TREE_KEY}: no JSON: {error}") from error
    if not isinstance(table, dict) or table.get("format") != _FORMAT:
        raise DataLossError(f"{TREE_KEY}: no table of a tree")
    if type(version := table.get("version")) is not int or version < 1:
        raise DataLossError(f"{TREE_KEY}: version {version!r} is none")
    if version > _VERSION:
        raise UnimplementedError(f"{TREE_KEY}: version {version}, this tfsaver knows {_VERSION}: pip install -U tfsaver")
    records = table.get("nodes")
    if not isinstance(records, list) or not records:
        raise DataLossError(f"{TREE_KEY}: no nodes")
    nodes = [_node(record, node_id) for node_id, record in enumerate(records)]
    _check_tree(nodes)
    return nodes


def node_names(nodes: Sequence[Node]) -> list[str]:
    """What each node is called: the keys that lead to it, joined by slashes; the root has the empty name."""
    found = [""] * len(nodes)
    for node_id, node in enumerate(nodes):
        if isinstance(node, Branch):
            scope = f"{found[node_id]}/" if node_id else ""
            for key, child in zip(node.keys, node.children, strict=True):
                found[child] = f"{scope}{key}"
    return found


def _record(node: Node) -> dict[str, Any]:
    if isinstance(node, Value):
        return tree_values.to_record(node.value)
    if isinstance(node, Leaf):
        return {"tensor": node.key, "as": node.kind, **node.options}
    if node.kind in _SEQUENCES:
        return {node.kind: node.children}
    record: dict[str, Any] = {node.kind: list(zip(node.keys, node.children, strict=True))}
    if node.kind == "namedtuple":
        record["name"] = node.name
    if node.metadata is not None:
        record["metadata"] = node.metadata
    return record


def _node(record: Any, node_id: int) -> Node:
    if not isinstance(record, dict):
        raise _damaged(node_id, "no node")
    for kind in _SEQUENCES:
        if kind in record:
            children = _list_of(record[kind], int, node_id)
            return Branch(kind, tuple(range(len(children))), children)
    for kind in _MAPPINGS:
        if kind in record:
            return _mapping(kind, record, node_id)
    if "tensor" in record:
        return _leaf(record, node_id)
    try:
        return Value(tree_values.from_record(record))
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(node_id, f"no value: {error}") from error


def _leaf(record: dict[str, Any], node_id: int) -> Leaf:
    key, kind = record["tensor"], record.get("as")
    if not isinstance(key, str) or not isinstance(kind, str):
        raise _damaged(node_id, "no tensor")
    options = {name: value for name, value in record.items() if name in _OPTIONS}
    if wrong := [name for name, value in options.items() if type(value) is not _OPTIONS[name]]:
        raise _damaged(node_id, f"{wrong[0]} is {options[wrong[0]]!r}")
    return Leaf(key, kind, options)


def _mapping(kind: str, record: dict[str, Any], node_id: int) -> Branch:
    items = _list_of(record[kind], list, node_id)
    if any(len(item) != 2 or type(item[0]) not in (str, int) or type(item[1]) is not int for item in items):
        raise _damaged(node_id, "an item is no key with a node")
    keys = tuple(key for key, _ in items)
    if len(set(keys)) != len(keys):
        raise _damaged(node_id, "a key comes twice")
    name, metadata = record.get("name", ""), record.get("metadata")
    if not isinstance(name, str) or not (metadata is None or isinstance(metadata, dict)):
        raise _damaged(node_id, "neither its name nor its metadata may be that")
    return Branch(kind, keys, tuple(child for _, child in items), name, metadata)


def _list_of(value: Any, kind: type, node_id: int) -> tuple[Any, ...]:
    if not isinstance(value, list) or any(type(item) is not kind for item in value):
        raise _damaged(node_id, f"no list of {kind.__name__}")
    return tuple(value)


def _check_tree(nodes: Sequence[Node]) -> None:
    depths = [-1] * len(nodes)
    depths[0] = 0
    for node_id, node in enumerate(nodes):
        if depths[node_id] < 0:
            raise _damaged(node_id, "no node before it leads to it")
        if not isinstance(node, Branch):
            continue
        if depths[node_id] >= MAX_DEPTH:
            raise _damaged(node_id, f"nested deeper than {MAX_DEPTH} containers")
        for child in node.children:
            if not node_id < child < len(nodes) or depths[child] >= 0:
                raise _damaged(node_id, f"it leads to {child}, which is no node, or one before it, or another's")
            depths[child] = depths[node_id] + 1


def _damaged(node_id: int, what: str) -> DataLossError:
    return DataLossError(f"{TREE_KEY}: node {node_id}: {what}")
