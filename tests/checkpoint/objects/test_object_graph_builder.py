"""Graphs of objects are made from paths, and their bytes are those that TensorFlow writes."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsaver import load_checkpoint
from tfsaver.checkpoint.objects.object_graph import (
    OBJECT_GRAPH_KEY,
    ObjectGraph,
    escape,
    key_of,
    key_of_slot,
    parse_object_graph,
    unescape,
)
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder
from tfsaver.errors import InvalidArgumentError

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(["a", ".", "/", ".S", "..", "a/b.c"])
PATHS = st.lists(TEXT.filter(bool), min_size=1, max_size=4).map(tuple)


def keys(graph: ObjectGraph) -> list[str]:
    return [attribute.key for attribute in graph.attributes]


@pytest.mark.parametrize(
    ("name", "escaped"),
    [("a/b", "a.Sb"), ("x.y", "x..y"), ("..S", "....S"), (".ATTR", "..ATTR"), ("", ""), ("\n.", "\n..")],
)
def test_names_of_edges_are_escaped_in_keys(name: str, escaped: str) -> None:
    assert (escape(name), unescape(escaped)) == (escaped, name)


@pytest.mark.parametrize("text", ["a/b", ".", "a.b", "..S/", "...", ".s"])
def test_what_no_name_is_escaped_to_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no name"):
        unescape(text)


@given(TEXT)
def test_escaped_name_comes_back(name: str) -> None:
    assert unescape(escape(name)) == name
    assert "/" not in escape(name)


def test_keys_are_spelled_as_tensorflow_spells_them() -> None:
    assert key_of(("m", "x/y.z", "0")) == "m/x.Sy..z/0" + VALUE
    assert key_of(()) == VALUE
    assert key_of(("words",), "table") == "words/.ATTRIBUTES/table"
    assert key_of_slot(("m", "v"), ("opt",), "m/1") == "m/v/.OPTIMIZER_SLOT/opt/m.S1" + VALUE
    assert key_of_slot(("m", "v"), (), "m") == "m/v/.OPTIMIZER_SLOT//m" + VALUE


def test_objects_are_numbered_breadth_first_and_slots_come_last() -> None:
    builder = ObjectGraphBuilder()
    builder.slot(("opt",), ("net", "kernel"), "m", "w/m")
    builder.variable(("net", "kernel"), "w")
    builder.variable(("net", "bias"), "b")
    builder.link(("again",), ("net", "bias"))
    builder.link(("opt", "root"), ())
    graph = builder.build()
    assert [node.children for node in graph.nodes] == [
        {"opt": 1, "net": 2, "again": 3},
        {"root": 0},
        {"kernel": 4, "bias": 3},
        {},
        {},
        {},
    ]
    assert graph.nodes[1].slots == (("m", 4, 5),)
    # The shortest path gives the key, whichever way the variable was made.
    assert graph.full_names_of_keys() == {
        f"again{VALUE}": "b",
        f"net/kernel{VALUE}": "w",
        f"net/kernel/.OPTIMIZER_SLOT/opt/m{VALUE}": "w/m",
    }


def test_path_goes_on_behind_a_link() -> None:
    builder = ObjectGraphBuilder()
    builder.node(("a",))
    builder.link(("b",), ("a",))
    assert builder.node(("b", "c")) == builder.node(("a", "c"))
    assert builder.node(()) == builder.link(("a", "root"), ())


def test_values_can_have_other_keys_than_their_paths() -> None:
    builder = ObjectGraphBuilder()
    builder.variable(("w",), "w", "old/.ATTRIBUTES/VARIABLE_VALUE")
    builder.attribute(("words",), "table")
    assert keys(builder.build()) == ["old/.ATTRIBUTES/VARIABLE_VALUE", "words/.ATTRIBUTES/table"]


def test_what_contradicts_itself_is_refused() -> None:
    builder = ObjectGraphBuilder()
    builder.variable(("w",))
    builder.slot(("opt",), ("w",), "m")
    with pytest.raises(InvalidArgumentError, match="w has the value VARIABLE_VALUE already"):
        builder.variable(("w",))
    with pytest.raises(InvalidArgumentError, match="opt has a slot m of w already"):
        builder.slot(("opt",), ("w",), "m")
    with pytest.raises(InvalidArgumentError, match="w leads to another object"):
        builder.link(("w",), ("opt",))
    with pytest.raises(InvalidArgumentError, match="root but its own"):
        builder.link((), ("opt",))
    for name in (1, None, "\udc80"):
        with pytest.raises(InvalidArgumentError, match="must be a str of Unicode"):
            builder.node(("a", name))  # type: ignore[arg-type]
    builder.variable(("v",), "", f"w{VALUE}")
    with pytest.raises(InvalidArgumentError, match="several values have the key 'w/"):
        builder.build()


def test_nodes_that_lead_to_no_value_say_so() -> None:
    builder = ObjectGraphBuilder()
    builder.node(("empty", "list"))
    builder.variable(("net", "w"))
    builder.slot(("opt",), ("net", "w"), "m")
    builder.link(("empty", "list", "empty"), ("empty",))
    serialized = builder.build().serialize()
    assert serialized.count(b"\x2a\x00") == 2
    assert serialized.count(b"\x2a\x02\x08\x01") == 5


@given(st.lists(st.tuples(st.sampled_from(["variable", "node", "link", "slot"]), PATHS, PATHS, TEXT), max_size=12))
def test_any_graph_comes_back_from_its_bytes(steps: list[tuple[str, tuple[str, ...], tuple[str, ...], str]]) -> None:
    builder = ObjectGraphBuilder()
    for kind, path, other, text in steps:
        try:
            if kind == "variable":
                builder.variable(path, text)
            elif kind == "node":
                builder.node(path)
            elif kind == "link":
                builder.link(path, other)
            else:
                builder.slot(path, other, text)
        except InvalidArgumentError as error:
            assert "already" in str(error)  # noqa: PT017
    graph = builder.build()
    assert parse_object_graph(graph.serialize()).nodes == graph.nodes
    assert len(graph.paths()) == len(graph.nodes)
    assert len(set(keys(graph))) == len(keys(graph))
    for node_id, path in graph.paths().items():
        if ".OPTIMIZER_SLOT" not in path:
            assert [attribute.key for attribute in graph.nodes[node_id].attributes] in ([], [key_of(path)])


@pytest.mark.parametrize(
    "case",
    ["gen_tf2_object_mutable_table_and_list", "sm_tf_OptimizerSlotVariableModule"],
)
def test_bytes_are_those_in_real_files(cases: pathlib.Path, case: str) -> None:
    with load_checkpoint(cases / case) as reader:
        serialized = reader[OBJECT_GRAPH_KEY].item()
    assert parse_object_graph(parse_object_graph(serialized).serialize()).nodes == parse_object_graph(serialized).nodes
