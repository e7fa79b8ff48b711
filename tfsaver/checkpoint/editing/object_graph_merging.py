"""One graph of objects out of several, whose roots become one.

Objects at one path are one object, and so is everything below them. Where two graphs call one value by different keys, or
lead to different objects by one path, there is a choice to make: the first graph's or the last one's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tfsaver import schemas
from tfsaver.checkpoint.editing.object_graph_parts import state_values


class ReplacedKey(NamedTuple):
    """A value that two graphs call by different keys.

    Attributes:
        source: The number of the graph whose key is not in the result.
        key: That key.
        by: The key in its place.
    """

    source: int
    key: str
    by: str


def merge_object_graphs(
    graphs: Sequence[tuple[int, schemas.TrackableObjectGraph]], *, takes_last: bool
) -> tuple[schemas.TrackableObjectGraph, list[ReplacedKey]]:
    """The objects of all graphs.

    Args:
        graphs: The graphs with the numbers of their sources.
        takes_last: Whether a later graph's key is taken for a value that an earlier one calls otherwise.
    """
    merged = schemas.TrackableObjectGraph()
    merged.CopyFrom(graphs[0][1])
    merging = _Merging(merged, takes_last)
    for node in merged.nodes:
        for attribute in node.attributes:
            merging.source_of[attribute.checkpoint_key] = graphs[0][0]
    for number, graph in graphs[1:]:
        merging.add(number, graph)
    merging.write_children()
    state_values(merged)
    return merged, merging.replaced


class _Merging:
    def __init__(self, merged: schemas.TrackableObjectGraph, takes_last: bool) -> None:
        self._merged = merged
        self._takes_last = takes_last
        self._edges = [{child.local_name: child.node_id for child in node.children} for node in merged.nodes]
        self.source_of: dict[str, int] = {}
        self.replaced: list[ReplacedKey] = []

    def add(self, number: int, graph: schemas.TrackableObjectGraph) -> None:
        """Lays a graph over what there is."""
        numbers = {0: 0}
        waiting = [0]
        while waiting:
            for node_id in waiting:
                node = graph.nodes[node_id]
                self._add_values(number, numbers[node_id], node)
                for child in node.children:
                    edges = self._edges[numbers[node_id]]
                    if child.node_id not in numbers:
                        there = edges.get(child.local_name)
                        numbers[child.node_id] = self._new_node() if there is None else there
                        waiting.append(child.node_id)
                    edges.setdefault(child.local_name, numbers[child.node_id])
            waiting = []
            for node_id, node in enumerate(graph.nodes):
                if node_id in numbers:
                    waiting += self._add_slots(numbers, numbers[node_id], node)

    def _new_node(self) -> int:
        self._merged.nodes.add()
        self._edges.append({})
        return len(self._edges) - 1

    def _add_values(self, number: int, target_id: int, node: schemas.TrackableObjectGraph.TrackableObject) -> None:
        target = self._merged.nodes[target_id]
        if node.HasField("registered_saver") and (self._takes_last or not target.HasField("registered_saver")):
            target.registered_saver.CopyFrom(node.registered_saver)
        if node.HasField("has_checkpoint_values"):
            target.has_checkpoint_values.CopyFrom(node.has_checkpoint_values)
        known = {attribute.name: attribute for attribute in target.attributes}
        for attribute in node.attributes:
            there = known.get(attribute.name)
            if there is None:
                target.attributes.add().CopyFrom(attribute)
                self.source_of.setdefault(attribute.checkpoint_key, number)
            elif there.checkpoint_key != attribute.checkpoint_key:
                old, new = there.checkpoint_key, attribute.checkpoint_key
                if self._takes_last:
                    self.replaced.append(ReplacedKey(self.source_of[old], old, new))
                    there.CopyFrom(attribute)
                    self.source_of[new] = number
                else:
                    self.replaced.append(ReplacedKey(number, new, old))

    def _add_slots(
        self, numbers: dict[int, int], target_id: int, node: schemas.TrackableObjectGraph.TrackableObject
    ) -> list[int]:
        """Adds the slots of which the variable is known; returns the slots' nodes that were not yet."""
        target = self._merged.nodes[target_id]
        if not node.slot_variables:
            return []
        slots = target.slot_variables
        known = {(slot.original_variable_node_id, slot.slot_name): slot.slot_variable_node_id for slot in slots}
        found = []
        for slot in node.slot_variables:
            if slot.original_variable_node_id not in numbers:
                continue
            variable = numbers[slot.original_variable_node_id]
            there = known.get((variable, slot.slot_name))
            if slot.slot_variable_node_id not in numbers:
                numbers[slot.slot_variable_node_id] = self._new_node() if there is None else there
                found.append(slot.slot_variable_node_id)
            if there is None:
                slots.add(
                    original_variable_node_id=variable,
                    slot_name=slot.slot_name,
                    slot_variable_node_id=numbers[slot.slot_variable_node_id],
                )
                known[variable, slot.slot_name] = numbers[slot.slot_variable_node_id]
        return found

    def write_children(self) -> None:
        """Puts the edges into the nodes."""
        for node, edges in zip(self._merged.nodes, self._edges, strict=True):
            del node.children[:]
            for name, child_id in edges.items():
                node.children.add(node_id=child_id, local_name=name)
