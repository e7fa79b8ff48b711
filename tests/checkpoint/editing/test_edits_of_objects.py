"""Checkpoints that were written from objects keep their objects true, whatever an edit does to the tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.checkpoint.editing.test_object_graph_merging import Graph, graph_of, paths, source_of, trunk
from tfsaver.checkpoint.editing.object_graph_renaming import rename_object_graph
from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.editing.select import SAVE_COUNTER, report_of_selection, selected
from tfsaver.checkpoint.names.name_map import Renamed
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder
from tfsaver.checkpoint.selection import Selection
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
SLOT = "/.OPTIMIZER_SLOT/opt/"


def names_of(plan: Any) -> list[str]:
    return [name.removesuffix(VALUE) for name in plan.tensor_names]


def test_renamed_variable_has_its_new_path_and_its_slots_follow() -> None:
    plan = renamed(source_of(trunk, 1), {"net/a": "model/deep/w"}).plan
    assert sorted(names_of(plan)) == ["model/deep/w", f"model/deep/w{SLOT}m", "step"]
    found = paths(plan.graph)
    assert found["/model/deep/w"] == ["model/deep/w"] and "/net/a" not in found
    assert [keys for path, keys in found.items() if ":" in path] == [[f"model/deep/w{SLOT}m"]]
    assert plan[f"model/deep/w{SLOT}m{VALUE}"].tolist() == [1, 1]


def test_renamed_optimizer_renames_its_slots() -> None:
    def make(builder: ObjectGraphBuilder) -> None:
        trunk(builder)
        builder.variable(("opt", "iter"), "")

    plan = renamed(source_of(make), {"opt/iter": "adam/iter"}).plan
    assert sorted(names_of(plan)) == ["adam/iter", "net/a", "net/a/.OPTIMIZER_SLOT/adam/m", "step"]


def test_variable_under_two_names_keeps_both_and_its_slot_stays_with_the_first() -> None:
    plan = renamed(source_of(trunk), {"net/a": ["x", "y"]}).plan
    assert sorted(names_of(plan)) == ["step", "x", f"x{SLOT}m", "y"]
    found = paths(plan.graph)
    assert found["/x"] == ["x"] and found["/y"] == ["y"]


def test_variable_that_is_left_out_takes_its_slots_with_it() -> None:
    plan = renamed(source_of(trunk), {"net/a": None}).plan
    assert names_of(plan) == ["step"]
    assert [path for path in paths(plan.graph) if "a" in path] == []


def test_slot_is_turned_with_its_variable_only_if_it_has_its_shape() -> None:
    graph = graph_of(trunk)
    keys = {"net/a": (2, 3), f"net/a{SLOT}m": (2, 3), "step": ()}
    arrays = {f"{key}{VALUE}": np.zeros(shape) for key, shape in keys.items()}
    plan = renamed(ArraySource({**arrays, OBJECT_GRAPH_KEY: graph.SerializeToString()}), {"net/a": Renamed("w", (1, 0))}).plan
    assert plan.info(f"w{VALUE}").shape == (3, 2) and plan.info(f"w{SLOT}m{VALUE}").shape == (3, 2)
    arrays[f"net/a{SLOT}m{VALUE}"] = np.zeros(5)
    plan = renamed(ArraySource({**arrays, OBJECT_GRAPH_KEY: graph.SerializeToString()}), {"net/a": Renamed("w", (1, 0))}).plan
    assert names_of(plan) == ["step", "w"]


def test_two_slots_that_would_get_one_name_are_an_error() -> None:
    def make(builder: ObjectGraphBuilder) -> None:
        trunk(builder)
        builder.variable(("net", "b"), "b")
        builder.slot(("opt",), ("net", "b"), "m")

    with pytest.raises(InvalidArgumentError, match="both become 'w"):
        renamed(source_of(make), [("^net/(a|b)$", "w")])
    with pytest.raises(InvalidArgumentError, match=f"'net/a{SLOT}m{VALUE}' and 'step{VALUE}' both become 'w{SLOT}m{VALUE}'"):
        renamed(source_of(make), {"net/a": "w", "step": f"w{SLOT}m"})


def test_tensors_of_one_value_are_renamed_alike_or_not_at_all() -> None:
    graph = graph_of(lambda builder: builder.attribute(("words",), "table"))
    key = "words/.ATTRIBUTES/table"
    names = [f"{key}-keys", f"{key}-values"]
    new = "x/.ATTRIBUTES/table"
    result = rename_object_graph(graph, {name: (new + name.removeprefix(key),) for name in names})
    assert paths(result) == {"": [], "/x": [new]}
    with pytest.raises(InvalidArgumentError, match=f"'{key}-keys' becomes 'x': it must still end in '-keys'"):
        rename_object_graph(graph, {names[0]: ("x",), names[1]: (names[1],)})
    with pytest.raises(InvalidArgumentError, match="are one value, and must be renamed in the same way"):
        rename_object_graph(graph, {names[0]: (f"{new}-keys",), names[1]: (names[1],)})
    assert rename_object_graph(graph, {}) == graph


def test_new_objects_on_the_way_say_that_they_lead_to_values() -> None:
    result = renamed(source_of(trunk), {"step": "counters/all/step"}).plan.graph
    assert result is not None
    assert all(node.has_checkpoint_values.value for node in result.nodes)
    graph = graph_of(trunk)
    for node in graph.nodes:
        node.ClearField("has_checkpoint_values")
    key = f"step{VALUE}"
    old = rename_object_graph(graph, {f"net/a{VALUE}": (f"net/a{VALUE}",), key: (f"counters/step{VALUE}",)})
    assert not any(node.HasField("has_checkpoint_values") for node in old.nodes)


def test_objects_beside_a_renamed_one_keep_their_paths() -> None:
    graph = graph_of(lambda builder: [builder.variable(("a", "x", name), "") for name in "cd"])
    result = rename_object_graph(graph, {f"a/x/c{VALUE}": (f"a/y/c{VALUE}",), f"a/x/d{VALUE}": (f"a/x/d{VALUE}",)})
    assert paths(result) == {"": [], "/a": [], "/a/x": [], "/a/y": [], "/a/x/d": ["a/x/d"], "/a/y/c": ["a/y/c"]}
    both = rename_object_graph(graph, {f"a/x/{name}{VALUE}": (f"a/y/{name}{VALUE}",) for name in "cd"})
    assert paths(both) == {"": [], "/a": [], "/a/y": [], "/a/y/c": ["a/y/c"], "/a/y/d": ["a/y/d"]}


def test_names_with_a_slash_or_a_dot_stay_one_edge() -> None:
    graph = graph_of(lambda builder: builder.variable(("a/b", "c.d"), ""))
    [key] = [attribute.checkpoint_key for node in graph.nodes for attribute in node.attributes]
    result = rename_object_graph(graph, {key: (key.replace("a.Sb", "x.Sy"),)})
    assert [child.local_name for node in result.nodes for child in node.children] == ["x/y", "c.d"]


def with_counter(builder: ObjectGraphBuilder) -> None:
    trunk(builder)
    builder.variable(("save_counter",), "")


def test_selected_tensors_keep_the_objects_that_lead_to_them() -> None:
    plan = selected(source_of(trunk), [f"step{VALUE}", OBJECT_GRAPH_KEY])
    assert names_of(plan) == ["step"] and plan.graph is not None
    assert "/net/a" not in paths(plan.graph) and paths(plan.graph)["/step"] == ["step"]
    assert selected(ArraySource({"x": np.zeros(1), "y": np.zeros(1)}), ["x"]).graph is None


def test_save_counter_is_kept_unless_it_is_excluded_by_name() -> None:
    source = source_of(with_counter)
    assert SAVE_COUNTER in report_of_selection(source, "^net/a$", {}).kept
    assert SAVE_COUNTER not in report_of_selection(source, Selection(exclude=("save_counter",)), {}).kept
    assert SAVE_COUNTER not in report_of_selection(source, "^net/a$", {SAVE_COUNTER: "not wanted"}).kept


def test_report_of_a_selection_counts_what_is_kept_and_what_is_not() -> None:
    source = ArraySource({"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.int8), "c": np.zeros(5, np.int16)})
    report = report_of_selection(source, "a|b", {"b": "not wanted"})
    assert report.kept == ("a",) and report.left_out == {"b": "not wanted", "c": "not included"}
    assert (report.num_parameters_kept, report.num_bytes_kept) == (6, 24)
    assert (report.num_parameters_left_out, report.num_bytes_left_out) == (9, 14)
    everything = report_of_selection(source, None, {})
    assert everything.kept == ("a", "b", "c") and everything.left_out == {} and everything.notes == ()
    with pytest.raises(InvalidArgumentError, match="nothing is kept of 3 tensors"):
        report_of_selection(source, None, dict.fromkeys("abc", "no"))


def test_empty_graph_has_nothing_to_rename() -> None:
    assert rename_object_graph(Graph(nodes=[Graph.TrackableObject()]), {}).nodes[0].ByteSize() == 0


def with_three(builder: ObjectGraphBuilder) -> None:
    for name in "qkvw":
        builder.variable(("net", name), name)
    builder.variable(("opt", "iter"), "")
    for name in "qkvw":
        builder.slot(("opt",), ("net", name), "m")


def arrays_of_three() -> dict[str, Any]:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    arrays = {f"net/{name}{VALUE}": array + number for number, name in enumerate("qkvw")}
    arrays.update({f"net/{name}{SLOT}m{VALUE}": -array - number for number, name in enumerate("qkvw")})
    return {**arrays, f"opt/iter{VALUE}": np.int64(3)}


def test_joined_and_split_variables_take_their_slots_and_objects_along() -> None:
    arrays = arrays_of_three()
    mapping = {
        "net/qkv": {"concat": ["net/q", "net/k", "net/v"], "axis": 1},
        "net/w": {"split": ["net/w1", "net/w2"], "axis": 0},
        "net/count": {"constant": 2},
    }
    plan = renamed(ArraySource({**arrays, OBJECT_GRAPH_KEY: graph_of(with_three).SerializeToString()}), mapping).plan
    for end, sign in (("", 1), (f"{SLOT}m", -1)):
        old = {name: arrays[f"net/{name}{end}{VALUE}"] for name in "qkvw"}
        np.testing.assert_array_equal(plan[f"net/qkv{end}{VALUE}"], np.concatenate([old[name] for name in "qkv"], axis=1))
        np.testing.assert_array_equal(plan[f"net/w2{end}{VALUE}"], old["w"][2:])
        assert sign * plan[f"net/w1{end}{VALUE}"][0, 1] > 0
    found = paths(plan.graph)
    slots = sorted(keys[0] for path, keys in found.items() if ":" in path)
    assert slots == [f"net/{name}{SLOT}m" for name in ("qkv", "w1", "w2")]
    assert found["/net/qkv"] == ["net/qkv"] and found["/net/w2"] == ["net/w2"] and found["/net/count"] == ["net/count"]


@pytest.mark.parametrize("names", ["path", "full", "key"])
def test_slots_follow_under_whatever_names_objects_are_converted(names: Any, tmp_path: Any) -> None:
    arrays = arrays_of_three()
    source = ArraySource({**arrays, OBJECT_GRAPH_KEY: graph_of(with_three).SerializeToString()})
    old = {"path": "net/w", "full": "w", "key": f"net/w{VALUE}"}[names]
    report = tfsaver.convert(source, tmp_path / "x.npz", mapping={old: {"to": old, "transpose": True}}, names=names)
    changed = {item.name: item.shape for item in report.tensors or () if item.changes}
    assert len(changed) == 2 and set(changed.values()) == {(6, 4)}
    with np.load(tmp_path / "x.npz") as loaded:
        for name in changed:
            key = f"net/w{SLOT}m{VALUE}" if SLOT in name else f"net/w{VALUE}"
            np.testing.assert_array_equal(loaded[name], arrays[key].T)
