"""Attributes at their defaults go, and nothing else."""

from __future__ import annotations

from typing import Any

from tests.graph.conftest import Models
from tfsaver import schemas
from tfsaver.graph.default_attrs import attrs_unknown_to_1_15, strip_default_attrs, strip_graph_default_attrs
from tfsaver.graph.node_builder import node, of_bool, of_string, of_type
from tfsaver.graph.op_defs import op_defs
from tfsaver.graph.pruning import prune_meta_graph


def test_what_tensorflow_strips_is_stripped(models: Models) -> None:
    for name in models.names:
        whole = models.meta_graph(name)
        theirs = schemas.MetaGraphDef.FromString((models.folder / f"{name}.stripped").read_bytes())
        ours = strip_default_attrs(whole)
        assert ours.meta_info_def.stripped_default_attrs and not whole.meta_info_def.stripped_default_attrs
        for mine, other in zip(ours.graph_def.node, theirs.graph_def.node, strict=True):
            assert mine == other, name
        # TensorFlow 1.15 does not list the operations that only functions have.
        known = op_defs(whole)
        for mine, other in zip(ours.graph_def.library.function, theirs.graph_def.library.function, strict=True):
            for inner, wanted in zip(mine.node_def, other.node_def, strict=True):
                assert inner == wanted or inner.op not in known, name


def test_values_that_are_not_the_default_stay() -> None:
    graph = schemas.GraphDef(
        node=[
            node("Assign", "a", (), {"validate_shape": of_bool(True), "use_locking": of_bool(False)}),
            node("Unknown", "b", (), {"validate_shape": of_bool(True)}),
        ]
    )
    stripped = strip_graph_default_attrs(graph)
    assert set(stripped.node[0].attr) == {"use_locking"} and set(stripped.node[1].attr) == {"validate_shape"}
    assert len(graph.node[0].attr) == 2


def test_portable_graphs_have_no_attributes_that_are_too_new() -> None:
    attrs: dict[str, Any] = {"dtype": of_type(1), "debug_name": of_string("v/"), "shared_name": of_string("v")}
    attrs["allowed_devices"] = schemas.AttrValue(list={})
    graph = schemas.GraphDef(node=[node("VarHandleOp", "v", (), attrs)])
    assert attrs_unknown_to_1_15(graph) == [("v", "allowed_devices"), ("v", "debug_name")]
    assert attrs_unknown_to_1_15(strip_graph_default_attrs(graph)) == [("v", "debug_name")]
    portable = strip_graph_default_attrs(graph, portable=True)
    assert attrs_unknown_to_1_15(portable) == [] and set(portable.node[0].attr) == {"dtype", "shared_name"}


def test_what_a_model_predicts_with_is_portable(models: Models) -> None:
    for name in models.names:
        pruned = prune_meta_graph(models.meta_graph(name), models.expected(name)["fetches"])
        portable = strip_default_attrs(pruned, portable=True)
        assert attrs_unknown_to_1_15(portable.graph_def) == []
