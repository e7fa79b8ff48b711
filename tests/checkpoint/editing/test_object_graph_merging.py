"""The objects of several checkpoints become those of one, and so do their values."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver import schemas
from tfsaver.checkpoint.editing.merge import merged
from tfsaver.checkpoint.editing.object_graph_merging import ReplacedKey, merge_object_graphs
from tfsaver.checkpoint.editing.object_graph_parts import TensorsOfKeys, leading_to_values, without_nodes
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY, read_object_graph
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
Graph = schemas.TrackableObjectGraph


def graph_of(make: Callable[[ObjectGraphBuilder], object]) -> Graph:
    builder = ObjectGraphBuilder()
    make(builder)
    return Graph.FromString(builder.build().serialize())


def source_of(make: Callable[[ObjectGraphBuilder], object], value: float = 0.0) -> ArraySource:
    """Arrays for all values of the objects."""
    graph = graph_of(make)
    keys = [attribute.checkpoint_key for node in graph.nodes for attribute in node.attributes]
    return ArraySource({**{key: np.full(2, value) for key in keys}, OBJECT_GRAPH_KEY: graph.SerializeToString()})


def paths(graph: Graph) -> dict[str, list[str]]:
    """The keys of the values by path, slots behind a colon."""
    found, waiting, seen = {}, [(0, "")], set()
    for node_id, path in waiting:
        if node_id in seen:
            continue
        seen.add(node_id)
        node = graph.nodes[node_id]
        found[path] = [attribute.checkpoint_key.removesuffix(VALUE) for attribute in node.attributes]
        waiting += [(child.node_id, f"{path}/{child.local_name}") for child in node.children]
    for node_id, node in enumerate(graph.nodes):
        for slot in node.slot_variables:
            owner = graph.nodes[slot.original_variable_node_id].attributes[0].checkpoint_key.removesuffix(VALUE)
            attributes = graph.nodes[slot.slot_variable_node_id].attributes
            found[f"{node_id}:{owner}:{slot.slot_name}"] = [each.checkpoint_key.removesuffix(VALUE) for each in attributes]
    return found


def trunk(builder: ObjectGraphBuilder) -> None:
    builder.variable(("net", "a"), "a")
    builder.variable(("step",), "step")
    builder.slot(("opt",), ("net", "a"), "m")


def head(builder: ObjectGraphBuilder) -> None:
    builder.variable(("net", "b"), "b")
    builder.link(("again",), ("net",))
    builder.slot(("opt",), ("net", "b"), "m")
    builder.slot(("opt",), ("net", "b"), "v")


def test_objects_of_one_path_are_one_object_with_the_children_of_both() -> None:
    graph, replaced = merge_object_graphs([(0, graph_of(trunk)), (1, graph_of(head))], takes_last=False)
    found = paths(graph)
    assert replaced == []
    assert found == {
        "": [],
        "/net": [],
        "/step": ["step"],
        "/opt": [],
        "/net/a": ["net/a"],
        "/net/b": ["net/b"],
        "3:net/a:m": ["net/a/.OPTIMIZER_SLOT/opt/m"],
        "3:net/b:m": ["net/b/.OPTIMIZER_SLOT/opt/m"],
        "3:net/b:v": ["net/b/.OPTIMIZER_SLOT/opt/v"],
    }
    edges = {child.local_name: child.node_id for child in graph.nodes[0].children}
    assert edges["again"] == edges["net"]


def test_merging_with_itself_changes_nothing() -> None:
    graph = graph_of(head)
    for takes_last in (False, True):
        result, replaced = merge_object_graphs([(0, graph), (5, graph)], takes_last=takes_last)
        assert result == graph and replaced == []


@pytest.mark.parametrize(("takes_last", "key", "lost"), [(False, "one", (7, "other", "one")), (True, "other", (4, "one", "other"))])
def test_one_value_with_two_keys_keeps_the_one_that_was_chosen(takes_last: bool, key: str, lost: tuple[int, str, str]) -> None:
    one = graph_of(lambda builder: builder.variable(("a",), "", "one"))
    other = graph_of(lambda builder: builder.variable(("a",), "", "other"))
    graph, replaced = merge_object_graphs([(4, one), (7, other)], takes_last=takes_last)
    assert paths(graph)["/a"] == [key]
    assert replaced == [ReplacedKey(*lost)]


def test_key_that_replaced_another_can_be_replaced_itself() -> None:
    graphs = [(number, graph_of(lambda builder, key=key: builder.variable(("a",), "", key))) for number, key in enumerate("xyz")]
    _, replaced = merge_object_graphs(graphs, takes_last=True)
    assert replaced == [ReplacedKey(0, "x", "y"), ReplacedKey(1, "y", "z")]


@pytest.mark.parametrize("takes_last", [False, True])
def test_saving_functions_are_chosen_like_keys(takes_last: bool) -> None:
    graphs = [graph_of(trunk), graph_of(trunk), graph_of(trunk)]
    for graph, name in zip(graphs[1:], ("first", "last"), strict=True):
        graph.nodes[1].registered_saver.name = name
    result, _ = merge_object_graphs(list(enumerate(graphs)), takes_last=takes_last)
    assert result.nodes[1].registered_saver.name == ("last" if takes_last else "first")


def test_nodes_say_whether_they_lead_to_values() -> None:
    def empty(builder: ObjectGraphBuilder) -> None:
        builder.node(("net",))
        builder.node(("nothing",))

    for graphs in ([graph_of(empty), graph_of(trunk)], [graph_of(trunk), graph_of(empty)]):
        result, _ = merge_object_graphs(list(enumerate(graphs)), takes_last=False)
        children = {child.local_name: result.nodes[child.node_id] for child in result.nodes[0].children}
        assert result.nodes[0].has_checkpoint_values.value and children["net"].has_checkpoint_values.value
        assert not children["nothing"].has_checkpoint_values.value
        assert children["step"].HasField("has_checkpoint_values")


def test_slots_of_unknown_variables_are_left_and_what_hangs_on_a_slot_is_taken() -> None:
    graph = graph_of(head)
    slot = graph.nodes[2].slot_variables[0] if graph.nodes[2].slot_variables else graph.nodes[3].slot_variables[0]
    below = graph.nodes.add()
    below.attributes.add(name="VARIABLE_VALUE", checkpoint_key="below")
    graph.nodes[slot.slot_variable_node_id].children.add(node_id=len(graph.nodes) - 1, local_name="more")
    result, _ = merge_object_graphs([(0, graph_of(trunk)), (1, graph)], takes_last=False)
    assert ["below"] in [[each.checkpoint_key for each in node.attributes] for node in result.nodes]
    unknown = graph_of(head)
    unknown.nodes.add()
    for node in unknown.nodes:
        for each in node.slot_variables:
            each.original_variable_node_id = len(unknown.nodes) - 1
    result, _ = merge_object_graphs([(0, graph_of(trunk)), (1, unknown)], takes_last=False)
    assert [slot.slot_name for node in result.nodes for slot in node.slot_variables] == ["m"]


def test_checkpoints_of_objects_are_merged_with_their_values(tmp_path: pathlib.Path) -> None:
    report = tfsaver.merge([source_of(trunk, 1), source_of(head, 2)], tmp_path / "out", durable=False)
    with tfsaver.load_checkpoint(report.target) as reader:
        assert reader[f"net/a{VALUE}"].tolist() == [1, 1] and reader[f"net/b{VALUE}"].tolist() == [2, 2]
        graph = read_object_graph(reader)
    assert {"a", "b", "step"} <= set(graph.full_names_of_keys().values())


def other_key(key: str) -> Callable[[ObjectGraphBuilder], object]:
    return lambda builder: builder.variable(("a",), "", key)


def test_two_keys_of_one_value_are_a_conflict_unless_the_caller_chooses() -> None:
    sources: list[Any] = [source_of(other_key("one"), 1), source_of(other_key("other"), 2)]
    with pytest.raises(InvalidArgumentError, match="one value has the key 'other' here and 'one' there"):
        merged(sources)
    first, last = merged(sources, "first"), merged(sources, "last")
    assert first.plan.tensor_names == ["one"] and first.plan["one"].tolist() == [1, 1]
    assert last.plan.tensor_names == ["other"] and last.plan["other"].tolist() == [2, 2]
    assert first.replaced == {(1, "other"): 0} and last.replaced == {(0, "one"): 1}


def test_graph_of_one_source_alone_stays() -> None:
    plain = ArraySource({"x": np.zeros(1)})
    plan = merged([plain, source_of(trunk)]).plan
    assert plan.graph is not None and paths(plan.graph) == paths(graph_of(trunk))
    assert merged([plain]).plan.graph is None


def test_tensors_of_a_key_are_its_own_or_those_that_go_on_from_it() -> None:
    tensors = TensorsOfKeys(["a", "a-keys", "t-keys", "t-values", "t/more", "tx", "u"])
    assert tensors.of("a") == ["a"]
    assert tensors.of("t") == ["t-keys", "t-values", "t/more"]
    assert tensors.of("v") == []


def test_nodes_are_left_out_with_what_only_they_lead_to() -> None:
    graph = graph_of(trunk)
    ids = {child.local_name: child.node_id for child in graph.nodes[0].children}
    assert leading_to_values(graph) == [True] * len(graph.nodes)
    without_net = without_nodes(graph, {ids["net"]})
    assert paths(without_net) == {"": [], "/step": ["step"], "/opt": []}
    assert [node.has_checkpoint_values.value for node in without_net.nodes] == [True, True, False]
    without_step = without_nodes(graph, {ids["step"]})
    assert paths(without_step) == {
        "": [],
        "/net": [],
        "/opt": [],
        "/net/a": ["net/a"],
        "2:net/a:m": ["net/a/.OPTIMIZER_SLOT/opt/m"],
    }
    assert without_nodes(graph, set()) == graph
    assert without_nodes(Graph(), set()) == Graph()
