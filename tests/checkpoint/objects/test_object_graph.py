"""Objects are found by their paths, and variables by what they were called, in whatever graph of objects there is."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from tfsaver import load_checkpoint, schemas
from tfsaver.checkpoint.objects.object_graph import (
    OBJECT_GRAPH_KEY,
    full_names_of_keys,
    parse_object_graph,
    read_object_graph,
)
from tfsaver.errors import DataLossError

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def serialized(*nodes: dict[str, Any]) -> bytes:
    """A TrackableObjectGraph; of each node the edges, the values as (name, full name, key), and the slots."""
    graph = schemas.TrackableObjectGraph()
    for node in nodes:
        proto = graph.nodes.add()
        for name, node_id in node.get("children", {}).items():
            proto.children.add(local_name=name, node_id=node_id)
        for name, full_name, key in node.get("values", ()):
            proto.attributes.add(name=name, full_name=full_name, checkpoint_key=key)
        for name, variable, slot in node.get("slots", ()):
            proto.slot_variables.add(slot_name=name, original_variable_node_id=variable, slot_variable_node_id=slot)
    return bytes(graph.SerializeToString())


# A network whose kernel is also reached through the optimizer, which refers back to the root.
TRAINING = serialized(
    {"children": {"net": 1, "opt": 2, "words": 5}},
    {"children": {"kernel": 3}},
    {"children": {"variables": 6, "root": 0}, "slots": [("m", 3, 4)]},
    {"values": [("VARIABLE_VALUE", "dense/kernel", f"net/kernel{VALUE}")]},
    {"values": [("VARIABLE_VALUE", "dense/kernel/m", f"net/kernel/.OPTIMIZER_SLOT/opt/m{VALUE}")]},
    {"values": [("table", "", "words/.ATTRIBUTES/table")]},
    {"children": {"0": 3}},
)


def test_every_object_has_the_shortest_path() -> None:
    assert parse_object_graph(TRAINING).paths() == {
        0: (),
        1: ("net",),
        2: ("opt",),
        3: ("net", "kernel"),
        4: ("net", "kernel", ".OPTIMIZER_SLOT", "opt", "m"),
        5: ("words",),
        6: ("opt", "variables"),
    }


def test_tree_shows_an_object_once_and_ends_where_paths_do_not() -> None:
    lines = list(parse_object_graph(TRAINING).lines(lambda key: key.count("/") * "x"))
    assert lines == [
        "root",
        "  net",
        "    kernel  xxx (dense/kernel)",
        "  opt",
        "    variables",
        "      0 = net/kernel",
        "    root = root",
        "    m of net/kernel  xxxxxx (dense/kernel/m)",
        "  words  table: xx",
    ]


def test_object_is_shown_where_its_shortest_path_leads() -> None:
    graph = serialized(
        {"children": {"layers": 1, "kernel": 2}},
        {"children": {"0": 3}},
        {"values": [("VARIABLE_VALUE", "", f"kernel{VALUE}")]},
        {"children": {"weight": 2, "up": 1}},
    )
    assert list(parse_object_graph(graph).lines()) == [
        "root",
        "  layers",
        "    0",
        "      weight = kernel",
        "      up = layers",
        f"  kernel  kernel{VALUE}",
    ]


def test_tree_of_a_damaged_graph_ends() -> None:
    # Slots that have children, that are the root, and that are slots of each other.
    slots = [("a", 1, 2), ("b", 1, 2), ("c", 1, 0), ("d", 2, 1)]
    children = {"x": 2, "y": 3, "z": 1, "root": 0}
    node = {"children": children, "slots": slots}
    graph = parse_object_graph(serialized({"children": {"v": 1}, "slots": slots}, {}, node, {"children": children}))
    slot = "v/.OPTIMIZER_SLOT/a"
    assert list(graph.lines()) == ["root", "  v", "  a of v", f"  b of v = {slot}", "  c of v = root", f"  d of {slot}"]


def test_names_lead_to_keys_and_keys_to_names() -> None:
    graph = parse_object_graph(TRAINING)
    assert graph.keys_of_full_names() == {
        "dense/kernel": f"net/kernel{VALUE}",
        "dense/kernel/m": f"net/kernel/.OPTIMIZER_SLOT/opt/m{VALUE}",
    }
    assert full_names_of_keys(TRAINING)["words/.ATTRIBUTES/table"] == ""
    assert [attribute.name for attribute in graph.attributes] == ["VARIABLE_VALUE", "VARIABLE_VALUE", "table"]


def test_of_two_variables_with_one_name_the_later_has_it() -> None:
    values = [[("VARIABLE_VALUE", "w", f"{path}{VALUE}")] for path in ("a", "b")]
    graph = parse_object_graph(serialized({"children": {"a": 1, "b": 2}}, *({"values": value} for value in values)))
    assert graph.keys_of_full_names() == {"w": f"b{VALUE}"}


def test_objects_may_be_nested_deeper_than_python_calls() -> None:
    depth = 5000
    graph = parse_object_graph(serialized(*({"children": {"next": index + 1}} for index in range(depth)), {}))
    assert len(graph.paths()[depth]) == depth
    assert sum(1 for _ in graph.lines()) == depth + 1


def test_no_objects_are_no_tree() -> None:
    graph = parse_object_graph(b"")
    assert (graph.nodes, graph.paths(), list(graph.lines())) == ((), {}, [])


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x0a\xff",
        serialized({"children": {"lost": 1}}),
        serialized({"children": {"negative": -1}}),
        serialized({"slots": [("m", 0, 7)]}),
        serialized({"slots": [("m", 7, 0)]}),
    ],
    ids=["bytes", "child", "negative", "slot", "variable"],
)
def test_damaged_graph_is_data_loss(damaged: bytes) -> None:
    with pytest.raises(DataLossError, match=OBJECT_GRAPH_KEY):
        parse_object_graph(damaged)


@pytest.mark.parametrize(
    "value", [np.ones(3, np.float32), np.float32(1), np.array([b""], object)], ids=["floats", "float", "strings"]
)
def test_tensor_of_another_kind_in_its_place_is_data_loss(value: Any) -> None:
    with pytest.raises(DataLossError, match="not the one string"):
        read_object_graph({OBJECT_GRAPH_KEY: np.asarray(value)})


def test_checkpoint_written_from_names_has_no_objects() -> None:
    assert read_object_graph({"w": np.ones(3)}) is None


@pytest.mark.parametrize(
    ("case", "num_nodes", "path", "missing"),
    [
        ("gen_tf2_object_mutable_table_and_list", 9, ("m", "ls", "1", "a"), {"m/t/.ATTRIBUTES/table"}),
        ("sm_tf_OptimizerSlotVariableModule", 11, ("v", ".OPTIMIZER_SLOT", "opt", "m"), set()),
    ],
)
def test_real_graphs_say_where_each_tensor_is(
    cases: pathlib.Path, case: str, num_nodes: int, path: tuple[str, ...], missing: set[str]
) -> None:
    with load_checkpoint(cases / case) as reader:
        graph = read_object_graph(reader)
        assert graph is not None
        paths = graph.paths()
        assert len(graph.nodes) == len(paths) == num_nodes
        assert path in paths.values()
        assert {attribute.key for attribute in graph.attributes} - set(reader.names) == missing
