"""What edits of a graph of objects have in common: which tensors are whose, what leads to values, leaving nodes out.

Edits work on the proto and not on what `object_graph` makes of it, so that fields which only TensorFlow cares for stay what
they are, and so does the order of nodes, which restoring does not depend on and which people compare.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterable, Sequence

from tfsaver import schemas

Node = schemas.TrackableObjectGraph.TrackableObject

# What stands between an attribute's key and the rest of a tensor's name, where the attribute has several tensors.
_SEPARATORS = ("-", "/")


class TensorsOfKeys:
    """The tensors that belong to the keys of attributes: mostly the one of that name; of a table's key, two."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(names)
        self._set = frozenset(self._names)

    def of(self, key: str) -> list[str]:
        """The names of a key's tensors; none for what is not in the checkpoint."""
        if key in self._set:
            return [key]
        found = []
        for separator in _SEPARATORS:
            start = key + separator
            for name in self._names[bisect.bisect_left(self._names, start) :]:
                if not name.startswith(start):
                    break
                found.append(name)
        return found


def leading_to_values(graph: schemas.TrackableObjectGraph) -> list[bool]:
    """For each node, whether it or one that its edges lead to has values."""
    sources: list[list[int]] = [[] for _ in graph.nodes]
    for node_id, node in enumerate(graph.nodes):
        for child in node.children:
            sources[child.node_id].append(node_id)
        for slot in node.slot_variables:
            sources[slot.slot_variable_node_id].append(node_id)
    waiting = [node_id for node_id, node in enumerate(graph.nodes) if has_values(node)]
    found = [False] * len(graph.nodes)
    for node_id in waiting:
        found[node_id] = True
    for node_id in waiting:
        for source in sources[node_id]:
            if not found[source]:
                found[source] = True
                waiting.append(source)
    return found


def has_values(node: Node) -> bool:
    """Whether an object itself has values; a saving function of its own counts as some."""
    return bool(node.attributes) or node.HasField("registered_saver")


def without_nodes(graph: schemas.TrackableObjectGraph, dropped: Collection[int]) -> schemas.TrackableObjectGraph:
    """The graph without some nodes, without the edges to them, and without what the root then no longer leads to."""
    kept = _reachable(graph, dropped)
    numbers = {node_id: number for number, node_id in enumerate(kept)}
    result = schemas.TrackableObjectGraph()
    for node_id in kept:
        old = graph.nodes[node_id]
        node = result.nodes.add()
        node.CopyFrom(old)
        del node.children[:]
        del node.slot_variables[:]
        for child in old.children:
            if child.node_id in numbers:
                node.children.add(node_id=numbers[child.node_id], local_name=child.local_name)
        for slot in old.slot_variables:
            if slot.original_variable_node_id in numbers and slot.slot_variable_node_id in numbers:
                node.slot_variables.add(
                    slot_name=slot.slot_name,
                    original_variable_node_id=numbers[slot.original_variable_node_id],
                    slot_variable_node_id=numbers[slot.slot_variable_node_id],
                )
    state_values(result)
    return result


def state_values(graph: schemas.TrackableObjectGraph) -> None:
    """Sets the field that says whether a node leads to values, in those that have it."""
    for node, is_leading in zip(graph.nodes, leading_to_values(graph), strict=True):
        if node.HasField("has_checkpoint_values"):
            node.has_checkpoint_values.value = is_leading


def _reachable(graph: schemas.TrackableObjectGraph, dropped: Collection[int]) -> Sequence[int]:
    """The nodes that the root leads to past those that are dropped, in their old order; a slot needs its variable too."""
    found = {0} if len(graph.nodes) else set()
    waiting = list(found)
    while waiting:
        for node_id in waiting:
            for child in graph.nodes[node_id].children:
                if child.node_id not in found and child.node_id not in dropped:
                    found.add(child.node_id)
                    waiting.append(child.node_id)
        waiting = sorted(
            {
                slot.slot_variable_node_id
                for node_id in found
                for slot in graph.nodes[node_id].slot_variables
                if slot.original_variable_node_id in found
                and slot.slot_variable_node_id not in found
                and slot.slot_variable_node_id not in dropped
            }
        )
        found.update(waiting)
    return sorted(found)
