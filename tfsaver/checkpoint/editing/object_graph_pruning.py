"""A graph of objects after tensors were taken away.

    value       stays if all of its tensors do
    object      goes if it led to values before and leads to none now: an optimizer whose slots and numbers are gone. One
                that never had any (a dropout layer) stays, since the program that restores has it too
    slot        goes with its variable, or with its own value
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tfsaver import schemas
from tfsaver.checkpoint.editing.object_graph_parts import TensorsOfKeys, leading_to_values, without_nodes


def prune_object_graph(
    graph: schemas.TrackableObjectGraph, names: Iterable[str], kept: Collection[str]
) -> schemas.TrackableObjectGraph:
    """The objects of a checkpoint that has lost tensors.

    Args:
        graph: The objects before.
        names: The names of all tensors before.
        kept: Those that are left.
    """
    tensors = TensorsOfKeys(names)
    had_values = leading_to_values(graph)
    rest = schemas.TrackableObjectGraph()
    rest.CopyFrom(graph)
    for node in rest.nodes:
        attributes = [item for item in node.attributes if all(name in kept for name in tensors.of(item.checkpoint_key))]
        if len(attributes) < len(node.attributes):
            del node.attributes[:]
            node.attributes.extend(attributes)
    has_values = leading_to_values(rest)
    dropped = {node_id for node_id, had in enumerate(had_values) if had and not has_values[node_id] and node_id}
    return without_nodes(rest, dropped)
