"""Graphs of objects: parsed, walked, printed, written again."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz import seeds as files
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY, parse_object_graph, unescape
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder
from tfsaver.checkpoint.objects.object_graph_like import moved_under, object_graph_of_names, with_save_counter
from tfsaver.errors import SaverError

NAME = "object_graph"
MAX_SIZE = 700


def seeds() -> Iterator[bytes]:
    yield b""
    yield object_graph_of_names({"model": {"dense": {"kernel": "w", "bias": "b"}}, "list": ["w", "x"]}).serialize()
    builder = ObjectGraphBuilder()
    builder.variable(("net", "kernel"), "dense/kernel")
    builder.slot(("opt",), ("net", "kernel"), "m")
    builder.link(("opt", "model"), ("net",))
    builder.attribute(("table",), "table", "table/.ATTRIBUTES/table")
    yield builder.build().serialize()
    for path in files.case_paths("*.index"):
        with load_checkpoint(path) as reader:
            if OBJECT_GRAPH_KEY in reader:
                yield reader[OBJECT_GRAPH_KEY].item()


def run(data: bytes) -> None:
    graph = parse_object_graph(data)
    paths = graph.paths()
    for node_id in paths:
        assert 0 <= node_id < len(graph.nodes)
    for line in graph.lines():
        assert isinstance(line, str)
    graph.keys_of_full_names()
    for attribute in graph.attributes:
        try:
            unescape(attribute.key)
        except SaverError:
            pass
    assert parse_object_graph(graph.serialize()).nodes == graph.nodes
    moved = moved_under(with_save_counter(graph), ("a", "b.c"))
    assert len(moved.nodes) >= len(graph.nodes)
