"""The tree in a checkpoint: as its table says, or, where it has none, as its objects or its names say.

In a checkpoint of TensorFlow's objects each of these is a dict, by the names of its edges, or a list, if they are 0, 1, ...
A variable is an array wherever an edge leads to it; any other object stands where the shortest path to it ends, since they
may lie on circles. What an optimizer keeps for variables is under the key ``.OPTIMIZER_SLOT``, by its name and by the path
of the variable. The counter of saves is left out; a tensor that belongs to no object is at the root by its own name.

A checkpoint of names is a dict of these names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfsaver.checkpoint.objects.object_graph import (
    DESCRIPTIONS,
    OBJECT_GRAPH_KEY,
    TREE_KEY,
    VARIABLE_VALUE,
    ObjectGraph,
    read_object_graph,
)
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import DataLossError
from tfsaver.targets.trees.plan import SAVE_COUNTER
from tfsaver.targets.trees.structure import MAX_DEPTH, Branch, Leaf, Node, parse

_SLOTS = ".OPTIMIZER_SLOT"
# The key of a tensor, or what is in an object.
_Nest = Any


def read_tree(source: TensorSource) -> list[Node]:
    """The nodes of the tree that a checkpoint holds.

    Raises:
        DataLossError: Its table or its graph is damaged, or names tensors that are not there.
        UnimplementedError: A newer version wrote it.
    """
    if TREE_KEY in source:
        nodes = parse(_table(source))
        missing = [node.key for node in nodes if isinstance(node, Leaf) and node.key not in source]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise DataLossError(
                f"{TREE_KEY}: the tree has tensors that the checkpoint has not: {', '.join(map(repr, missing[:3]))}{more}; "
                "load_checkpoint reads those that it has"
            )
        return nodes
    graph = read_object_graph(source)
    if graph is not None and graph.nodes:
        return _nodes(_Objects(graph, source.names).nest())
    return _nodes({name: name for name in source.names})


def _table(source: TensorSource) -> bytes:
    info = source.info(TREE_KEY)
    if info.shape != () or info.dtype.name != "string":
        raise DataLossError(f"{TREE_KEY}: {info.dtype} {list(info.shape)} is not the one string that it must be")
    return bytes(source.read(TREE_KEY).item())


class _Objects:
    """A graph of objects on its way to being dicts in dicts."""

    def __init__(self, graph: ObjectGraph, names: list[str]) -> None:
        self._graph = graph
        self._names = [name for name in names if name not in DESCRIPTIONS]
        self._values = dict(self._values_of_objects())
        # The object that an object was first reached from, and the edge's name.
        self._parents: dict[int, tuple[int, str]] = {}

    def nest(self) -> _Nest:
        """The root, with all that it leads to."""
        nests: dict[int, dict[str, _Nest]] = {0: {}}
        order = [(0, 0)]
        used: set[str] = set()
        for node_id, depth in order:
            if depth >= MAX_DEPTH:
                raise DataLossError(f"{OBJECT_GRAPH_KEY}: nested deeper than {MAX_DEPTH} objects")
            for name, child_id in self._graph.nodes[node_id].children.items():
                is_counter = (node_id, name) == (0, SAVE_COUNTER)
                if child_id in self._values and not self._graph.nodes[child_id].children:
                    self._parents.setdefault(child_id, (node_id, name))
                    used.update(_keys(self._values[child_id]))
                    if not is_counter:
                        nests[node_id][name] = self._values[child_id]
                elif child_id not in nests:
                    self._parents[child_id] = node_id, name
                    nests[child_id] = nests[node_id][name] = {}
                    order.append((child_id, depth + 1))
        root = nests[0]
        for node_id, nest in nests.items():
            own = self._own(node_id)
            used.update(key for value in own.values() for key in _keys(value))
            nest.update(own)
        others = [name for name in self._names if name not in used]
        if list(root) == [VARIABLE_VALUE] and 0 in self._values and not others:
            return root[VARIABLE_VALUE]
        root.update((name, name) for name in others)
        return root

    def _own(self, node_id: int) -> dict[str, _Nest]:
        """What an object has that is no child of it: its values, and what it keeps for variables."""
        value = self._values.get(node_id, {})
        found: dict[str, _Nest] = dict(value) if isinstance(value, dict) else {VARIABLE_VALUE: value}
        for slot in self._graph.nodes[node_id].slots:
            if slot.node_id in self._values and slot.variable_id in self._parents:
                of_name = found.setdefault(_SLOTS, {}).setdefault(slot.name, {})
                of_name["/".join(self._path(slot.variable_id))] = self._values[slot.node_id]
        return found

    def _path(self, node_id: int) -> list[str]:
        path: list[str] = []
        while node_id:
            node_id, name = self._parents[node_id]
            path.append(name)
        return path[::-1]

    def _values_of_objects(self) -> Iterator[tuple[int, _Nest]]:
        """What each object has: the key of a variable's tensor, or keys by what the object calls its values."""
        known = set(self._names)
        stems = {attribute.key for attribute in self._graph.attributes} - known
        of_stem: dict[str, list[str]] = {}
        for name in self._names:
            # A table's and an iterator's key is only what the names of their tensors begin with: -keys, _STATE.
            for stem in {name.rpartition(separator)[0] for separator in "-_"} & stems:
                of_stem.setdefault(stem, []).append(name)
        for node_id, node in enumerate(self._graph.nodes):
            found: dict[str, str] = {}
            for attribute in node.attributes:
                if attribute.key in known:
                    found[attribute.name] = attribute.key
                for name in of_stem.get(attribute.key, ()):
                    found[attribute.name + name[len(attribute.key) :]] = name
            if found:
                yield node_id, found[VARIABLE_VALUE] if list(found) == [VARIABLE_VALUE] else found


def _keys(nest: _Nest) -> list[str]:
    if not isinstance(nest, dict):
        return [nest]
    return [key for value in nest.values() for key in _keys(value)]


def _nodes(nest: _Nest) -> list[Node]:
    """The nodes of dicts in dicts whose leaves are keys of tensors; breadth first."""
    nodes: list[Node] = []
    waiting = [nest]
    for item in waiting:
        if not isinstance(item, dict):
            nodes.append(Leaf(item))
            continue
        children = tuple(range(len(waiting), len(waiting) + len(item)))
        if item and item.keys() == set(map(str, range(len(item)))):
            waiting += [item[str(position)] for position in range(len(item))]
            nodes.append(Branch("list", tuple(range(len(item))), children))
        else:
            waiting += item.values()
            nodes.append(Branch("dict", tuple(item), children))
    return nodes
