"""The objects of a checkpoint as `tfsaver inspect --objects` shows them: a tree of edges, each value with what it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.cli.text import escape, human_size, shape_text
from tfsaver.errors import DataLossError, NotFoundError


def objects_lines(reader: TensorSource) -> Iterator[str]:
    """The objects as an indented tree.

    Raises:
        NotFoundError: The checkpoint was written from names.
        DataLossError: The object graph is damaged.
    """
    graph = read_object_graph(reader)
    if graph is None:
        raise NotFoundError(f"{reader.prefix} was written from names: it has no objects")

    def describe(key: str) -> str:
        if key not in reader:
            # What begins so are the tensors of a table.
            return f"{key}..."
        try:
            info = reader.info(key)
        except DataLossError:
            # Its error is told at the end, with those of the other tensors.
            return f"{key} (damaged)"
        return f"{info.dtype.name} {shape_text(info.shape)} {human_size(info.num_bytes)}"

    return map(escape, graph.lines(describe))


def objects_records(reader: TensorSource) -> list[dict[str, Any]] | None:
    """The objects as JSON has them; None for a checkpoint that was written from names.

    Raises:
        DataLossError: The object graph is damaged.
    """
    graph = read_object_graph(reader)
    if graph is None:
        return None
    paths = graph.paths()
    return [
        {
            "path": paths.get(node_id),
            "children": node.children,
            "values": [attribute._asdict() for attribute in node.attributes],
            "slots": [slot._asdict() for slot in node.slots],
        }
        for node_id, node in enumerate(graph.nodes)
    ]
