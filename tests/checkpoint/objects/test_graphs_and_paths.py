"""The shortest paths of objects as a mapping and as texts, and graphs that go below another root."""

from __future__ import annotations

import pytest

from tfsaver.checkpoint.objects.object_graph import Attribute, Node, ObjectGraph, Paths, Slot, parse_object_graph
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder
from tfsaver.checkpoint.objects.object_graph_like import moved_under, with_save_counter
from tfsaver.framework import dtypes

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
F4 = dtypes.from_name("float32")


def program() -> ObjectGraph:
    builder = ObjectGraphBuilder()
    builder.variable(("net", "w"), "w", dtype=F4, shape=(2,))
    builder.slot(("opt",), ("net", "w"), "m", "w/m", dtype=F4, shape=(2,))
    builder.link(("a longer", "way"), ("net",))
    return builder.build()


def test_paths_are_a_mapping_of_all_objects_that_the_root_leads_to() -> None:
    graph = program()
    paths = Paths((*graph.nodes, Node({})))
    found = dict(paths)
    assert len(paths) == len(found) == len(graph.nodes)
    assert set(found.values()) == {(), ("net",), ("opt",), ("a longer",), ("net", "w"), ("net", "w", ".OPTIMIZER_SLOT", "opt", "m")}
    assert len(graph.nodes) not in paths
    with pytest.raises(KeyError):
        paths[len(graph.nodes)]
    assert len(Paths(())) == 0 and 0 not in Paths(())


def test_slots_have_no_edge_and_last_edges_are_those_of_the_shortest_paths() -> None:
    graph = program()
    paths = Paths(graph.nodes)
    numbers = {path: number for number, path in paths.items()}
    slot = numbers["net", "w", ".OPTIMIZER_SLOT", "opt", "m"]
    assert not paths.has_edge(slot) and paths.has_edge(numbers["net", "w"]) and paths.has_edge(0)
    assert paths.is_last_edge(0, "net") and not paths.is_last_edge(numbers["a longer",], "way")


def test_slots_of_variables_that_nothing_leads_to_have_no_path() -> None:
    value = (Attribute("VARIABLE_VALUE", "", "k"),)
    nodes = (Node({"opt": 1}), Node({}, (), (Slot("m", 2, 3),)), Node({}, value), Node({}, value))
    assert sorted(Paths(nodes)) == [0, 1]
    both = (Node({"opt": 1, "slot": 3, "v": 2}), *nodes[1:])
    assert Paths(both)[3] == ("slot",)


def test_long_paths_are_told_by_their_ends() -> None:
    short = Paths((Node({"a": 1}), Node({"b": 2}), Node({})))
    assert [short.text(number) for number in range(3)] == ["", "a", "a/b"]
    depth = 3000
    deep = Paths(tuple(Node({"name": number + 1}) if number < depth else Node({}) for number in range(depth + 1)))
    text = deep.text(depth)
    assert text.startswith("...") and text.endswith("/name/name") and len(text) < 1000
    [size] = {len(Paths((Node({"x" * length: 1}), Node({}))).text(1)) for length in (100_000, 200_000)}
    exact = size - len("...")
    assert Paths((Node({"x" * exact: 1}), Node({}))).text(1) == "x" * exact
    assert Paths((Node({"x" * (exact + 1): 1}), Node({}))).text(1) == "..." + "x" * exact


def test_saving_functions_come_back_from_the_bytes() -> None:
    nodes = (Node({"table": 1}), Node({}, registered_saver=("saver", "object")))
    graph = ObjectGraph(nodes, {})
    data = graph.serialize()
    assert parse_object_graph(data).nodes[1].registered_saver == ("saver", "object")
    assert data.count(b"\x2a\x02\x08\x01") == 2


def test_what_counts_the_saves_is_added_once() -> None:
    graph = program()
    counted = with_save_counter(graph)
    assert with_save_counter(counted) is counted
    assert counted.nodes[0].children == {**graph.nodes[0].children, "save_counter": len(graph.nodes)}
    assert counted.nodes[-1].attributes == (Attribute("VARIABLE_VALUE", "save_counter", f"save_counter{VALUE}"),)
    kind = counted.tensors[f"save_counter{VALUE}"]
    assert (kind.name, kind.dtype.name, kind.shape) == (f"save_counter{VALUE}", "int64", ())
    assert counted.tensors.keys() == {*graph.tensors, f"save_counter{VALUE}"}
    empty = ObjectGraph((), {})
    assert with_save_counter(empty) is empty


def test_objects_below_another_root_have_its_path_in_every_key() -> None:
    graph = with_save_counter(program())
    moved = moved_under(graph, ("outer", "in/ner"))
    keys = {attribute.key for attribute in moved.attributes}
    start = "outer/in.Sner"
    assert keys == {
        f"save_counter{VALUE}",
        f"{start}/net/w{VALUE}",
        f"{start}/net/w/.OPTIMIZER_SLOT/{start}/opt/m{VALUE}",
    }
    assert set(moved.tensors) == keys and all(kind.name == key for key, kind in moved.tensors.items())
    assert moved.nodes[0].children.keys() == {"outer", "save_counter"}
    assert moved.nodes[1].children.keys() == {"in/ner"}
    assert moved.nodes[2].children.keys() == {"net", "opt", "a longer"}
    paths = {path: moved.nodes[number] for number, path in Paths(moved.nodes).items()}
    assert [each.key for each in paths["outer", "in/ner", "net", "w"].attributes] == [f"{start}/net/w{VALUE}"]
    [slot] = paths["outer", "in/ner", "opt"].slots
    assert Paths(moved.nodes)[slot.node_id][-1] == "m" and slot.name == "m"
    assert moved.tensors[f"{start}/net/w{VALUE}"].shape == (2,)
    assert moved_under(graph, ()) is graph
    uncounted = moved_under(program(), ("x",))
    assert uncounted.nodes[0].children == {"x": 1} and f"save_counter{VALUE}" not in uncounted.tensors
