"""Attributes that only say what an operation takes anyway.

TensorFlow's C++ loader refuses a node with an attribute that it does not know, even one that a newer TensorFlow added and
left at its default. A graph without attributes at their defaults loads in more versions: whatever is left out is filled in
again, from the definition of whoever loads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tfsaver import schemas
from tfsaver.graph.functions import bodies
from tfsaver.graph.op_defs import new_attrs, op_defs

# Where a message came from; nothing depends on it.
_INFORMATION = {"VarHandleOp": ("debug_name",)}


def strip_default_attrs(meta_graph: schemas.MetaGraphDef, *, portable: bool = False) -> schemas.MetaGraphDef:
    """A copy of a MetaGraphDef, functions too, without attributes at their defaults; it says so of itself.

    Defaults are those of the operations that the MetaGraphDef lists, else of our table; other operations stay as they are.

    Args:
        portable: Whether the names that only messages show go too, which TensorFlow 1.15 does not know.
    """
    stripped = schemas.MetaGraphDef()
    stripped.CopyFrom(meta_graph)
    _strip(stripped.graph_def, op_defs(meta_graph), portable)
    stripped.meta_info_def.stripped_default_attrs = True
    return stripped


def strip_graph_default_attrs(graph_def: schemas.GraphDef, *, portable: bool = False) -> schemas.GraphDef:
    """The same for a bare GraphDef, by our table alone."""
    stripped = schemas.GraphDef()
    stripped.CopyFrom(graph_def)
    _strip(stripped, op_defs(), portable)
    return stripped


def _strip(graph_def: schemas.GraphDef, known: Mapping[str, schemas.OpDef], portable: bool) -> None:
    defaults = {
        name: [
            (attr.name, attr.default_value, attr.default_value.ByteSize())
            for attr in op_def.attr
            if attr.HasField("default_value")
        ]
        for name, op_def in known.items()
    }
    for _, nodes in bodies(graph_def):
        _strip_nodes(nodes, defaults, portable)


def _strip_nodes(
    nodes: Iterable[schemas.NodeDef], defaults: Mapping[str, list[tuple[str, schemas.AttrValue, int]]], portable: bool
) -> None:
    for node in nodes:
        for name, default, size in defaults.get(node.op, ()):
            # A default of megabytes, which the graph may bring, is not compared with every attribute.
            if name in node.attr and node.attr[name].ByteSize() == size and node.attr[name] == default:
                del node.attr[name]
        if portable:
            for name in _INFORMATION.get(node.op, ()):
                if name in node.attr:
                    del node.attr[name]


def attrs_unknown_to_1_15(graph_def: schemas.GraphDef) -> list[tuple[str, str]]:
    """The nodes and attributes for which TensorFlow 1.15 refuses a graph, as far as our table knows its operations."""
    newer = new_attrs()
    return [
        (node.name, name)
        for _, nodes in bodies(graph_def)
        for node in nodes
        if node.op in newer
        for name in sorted(newer[node.op])
        if name in node.attr
    ]
