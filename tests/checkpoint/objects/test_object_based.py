"""Tensors of any names find the objects that they are for, or one error says all of what is wrong; TensorFlow is not asked."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsaver import load_checkpoint, save_checkpoint
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.checkpoint.names.name_map import Rule
from tfsaver.checkpoint.objects.object_based import for_objects
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY, ObjectGraph, key_of, read_object_graph
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder
from tfsaver.checkpoint.objects.object_graph_like import (
    SAVE_COUNTER_KEY,
    as_object_graph,
    object_graph_like,
    object_graph_of_names,
)
from tfsaver.checkpoint.plan import Plan
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import CheckpointNotFoundError, DataLossError, InvalidArgumentError, NotFoundError, TensorNotFoundError
from tfsaver.framework import dtypes

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
FLOAT = dtypes.from_name("float32")


def program() -> ObjectGraph:
    """A dense layer and its optimizer, as a program of today describes itself."""
    builder = ObjectGraphBuilder()
    builder.variable(("net", "kernel"), "dense/kernel", dtype=FLOAT, shape=(2, 3))
    builder.variable(("net", "bias"), "dense/bias", dtype=FLOAT, shape=(3,))
    builder.slot(("opt",), ("net", "kernel"), "m", "dense/kernel/Adam", dtype=FLOAT, shape=(2, 3))
    return builder.build()


def arrays() -> dict[str, Any]:
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    return {"dense/kernel": kernel, "dense/bias": np.ones(3, np.float32), "dense/kernel/Adam": kernel + 6}


def values(source: Plan) -> dict[str, Any]:
    return {name: source[name].tolist() for name in source.names if name != OBJECT_GRAPH_KEY}


def keys(report: MatchReport) -> dict[str, str]:
    """The name of the tensor that each value gets, by the value's key."""
    return {item.name: item.key for item in report.matched}


def test_tensors_are_found_by_what_variables_are_called() -> None:
    source, report = for_objects(ArraySource(arrays()), program())
    assert source.names == [
        OBJECT_GRAPH_KEY,
        f"net/bias{VALUE}",
        f"net/kernel{VALUE}",
        f"net/kernel/.OPTIMIZER_SLOT/opt/m{VALUE}",
    ]
    assert values(source)[f"net/kernel{VALUE}"] == [[0, 1, 2], [3, 4, 5]]
    assert source.info(f"net/bias{VALUE}").shape == (3,)
    assert report.ok
    found = read_object_graph(source)
    assert found is not None
    assert found.nodes == program().nodes


def test_tensors_may_have_the_suffix_of_a_value_behind_what_variables_are_called() -> None:
    source, report = for_objects(ArraySource({f"{name}{VALUE}": value for name, value in arrays().items()}), program())
    assert keys(report)[f"net/bias{VALUE}"] == f"dense/bias{VALUE}"
    assert values(source)[f"net/kernel{VALUE}"] == [[0, 1, 2], [3, 4, 5]]


def test_tensors_may_be_called_by_the_path_alone() -> None:
    names = {"net/kernel": "dense/kernel", "net/bias": "dense/bias", "net/kernel/.OPTIMIZER_SLOT/opt/m": "dense/kernel/Adam"}
    _, report = for_objects(ArraySource({path: arrays()[name] for path, name in names.items()}), program())
    assert keys(report) == {f"{path}{VALUE}": path for path in names}


@pytest.mark.parametrize(
    "name", [f"net/bias{VALUE}", "net/bias", "dense/bias"], ids=["by key", "by path", "by full name"]
)
def test_mapping_may_name_a_value_in_three_ways(name: str) -> None:
    old = arrays()
    old["b"] = old.pop("dense/bias")
    report = for_objects(ArraySource(old), program(), {"b": name}).report
    assert keys(report)[f"net/bias{VALUE}"] == "b"


def test_full_name_comes_before_path() -> None:
    graph = object_graph_of_names({"a": "b", "b": "a"})
    source = for_objects(ArraySource({"a": 1, "b": 2}), graph).plan
    assert values(source) == {SAVE_COUNTER_KEY: 1, f"a{VALUE}": 2, f"b{VALUE}": 1}


def test_tensor_may_be_turned_on_the_way() -> None:
    old = {**arrays(), **{name: arrays()[name].T for name in ("dense/kernel", "dense/kernel/Adam")}}
    key = f"net/kernel{VALUE}"
    source = for_objects(ArraySource(old), program(), [Rule("^dense/kernel$", "net/kernel", transpose=True)]).plan
    assert source.info(key).shape == (2, 3)
    kernel = arrays()["dense/kernel"]
    np.testing.assert_array_equal(source[key], kernel)
    np.testing.assert_array_equal(source[f"net/kernel/.OPTIMIZER_SLOT/opt/m{VALUE}"], kernel + 6)
    for region in (np.s_[1:], np.s_[:, 1], np.s_[0, 1:3], "2 3 1,1:0,2"):
        expected = kernel[1:2, 0:2] if isinstance(region, str) else kernel[region]
        np.testing.assert_array_equal(source.read(key, region), expected)


def test_one_tensor_may_be_the_value_of_several() -> None:
    graph = object_graph_of_names({"a": "x", "b": "y"})
    source = for_objects(ArraySource({"w": 5}), graph, {"w": ["x", "y"]}).plan
    assert values(source) == {SAVE_COUNTER_KEY: 1, f"a{VALUE}": 5, f"b{VALUE}": 5}


def test_everything_that_is_wrong_is_said_at_once() -> None:
    builder = ObjectGraphBuilder()
    for name in ("one", "two"):
        builder.variable(("twins", name), "Variable")
    builder.variable(("wide",), "wide", dtype=FLOAT, shape=(None, 4))
    builder.variable(("whole",), "whole", dtype=FLOAT, shape=None)
    builder.variable(("flat",), "flat")
    builder.variable(("dense", "kernel"), "dense/kernel", dtype=FLOAT, shape=(2,))
    tensors = {
        "Variable": 1.0,
        "wide": np.ones((2, 3), np.float32),
        "whole": 3,
        "flat": np.ones(3),
        "dense/weights": np.ones(2, np.float32),
        "other": 1.0,
    }
    source = ArraySource(tensors)
    with pytest.raises(NotFoundError) as caught:
        for_objects(source, builder.build(), {"flat": "flat"})
    said = str(caught.value)
    assert said.startswith("the tensors: 1 of 6 tensors fit, 1 missing, 2 mismatched, 2 ambiguous, 2 unexpected\n")
    assert f"missing: dense/kernel{VALUE} (dense/kernel); did you mean 'dense/weights'" in said
    for name in ("one", "two"):
        assert f"twins/{name}{VALUE} is ambiguous: it is one of 2 variables called 'Variable': 'Variable'" in said
    assert f"mismatched: wide{VALUE} has shape [?,4], wide has [2,3]" in said
    assert f"mismatched: whole{VALUE} has dtype float32, whole has int64" in said
    assert "Not wanted, but in the checkpoint (2):\n  dense/weights\n  other\n" in said
    assert f"'dense/weights': 'dense/kernel{VALUE}'," in said


def test_axes_that_do_not_fit_are_said_too() -> None:
    graph = object_graph_of_names({"a": "a"})
    with pytest.raises(InvalidArgumentError, match=r"'a', to become 'a': shape \[3\] does not have the 2 axes"):
        for_objects(ArraySource({"a": np.ones(3)}), graph, [Rule("^a$", "a", transpose=True)])


def test_variables_of_one_name_are_told_apart_by_path() -> None:
    builder = ObjectGraphBuilder()
    for name in ("one", "two"):
        builder.variable((name,), "Variable")
    mapping = {"Variable": "one", "Variable_1": "two"}
    source = for_objects(ArraySource({"Variable": 1, "Variable_1": 2}), builder.build(), mapping).plan
    assert values(source) == {f"one{VALUE}": 1, f"two{VALUE}": 2}


def test_left_over_tensors_are_wrong_unless_they_are_allowed() -> None:
    source = ArraySource({**arrays(), "global_step": 7})
    with pytest.raises(InvalidArgumentError, match=r"1 unexpected.*\nNot wanted, but in the checkpoint \(1\):\n  global_step"):
        for_objects(source, program())
    assert for_objects(source, program(), allow_unused=True).report.unexpected == ("global_step",)
    assert for_objects(source, program(), {"global_step": None}).report.unexpected == ()


def test_what_has_no_tensor_is_left_out_of_the_graph_when_that_is_allowed() -> None:
    old = arrays()
    del old["dense/kernel/Adam"]
    old["dense/bias"] = np.ones(4, np.float32)
    source, report = for_objects(ArraySource(old), program(), strict=False)
    assert source.names == [OBJECT_GRAPH_KEY, f"net/kernel{VALUE}"]
    found = read_object_graph(source)
    assert found is not None
    assert [attribute.key for attribute in found.attributes] == [f"net/kernel{VALUE}"]
    assert len(found.nodes) == len(program().nodes)
    assert not report.ok


def test_defaults_stand_in_for_what_is_missing() -> None:
    old = arrays()
    key = f"net/bias{VALUE}"
    assert values(for_objects(ArraySource(old), program(), defaults={key: np.zeros(3)}).plan)[key] == [1, 1, 1]
    del old["dense/bias"]
    source, report = for_objects(ArraySource(old), program(), defaults={key: np.zeros(3, np.float32)})
    assert (values(source)[key], report.defaults) == ([0, 0, 0], (key,))
    graph = object_graph_of_names({"w": "w"})
    counted = for_objects(ArraySource({"w": 1}), graph, defaults={SAVE_COUNTER_KEY: np.int64(12)}).plan
    assert values(counted)[SAVE_COUNTER_KEY] == 12


def test_name_that_is_not_there_is_named_with_its_neighbours() -> None:
    source = for_objects(ArraySource(arrays()), program()).plan
    with pytest.raises(TensorNotFoundError, match="net/bias"):
        source["net/bia/.ATTRIBUTES/VARIABLE_VALUE"]


def test_objects_go_into_other_objects_by_what_variables_were_called(tmp_path: pathlib.Path) -> None:
    prefix = save_checkpoint(arrays(), tmp_path / "old", object_graph=program())
    builder = ObjectGraphBuilder()
    for name in ("kernel", "bias"):
        builder.variable(("layers", "0", name), f"dense/{name}")
    builder.variable(("layers", "0", "slots", "m"), "m")
    with load_checkpoint(prefix) as reader:
        report = for_objects(reader, builder.build(), {"dense/kernel/Adam": "m"}).report
        assert keys(report) == {
            f"layers/0/bias{VALUE}": f"net/bias{VALUE}",
            f"layers/0/kernel{VALUE}": f"net/kernel{VALUE}",
            f"layers/0/slots/m{VALUE}": f"net/kernel/.OPTIMIZER_SLOT/opt/m{VALUE}",
        }
        # By the paths that they had, as rules see them.
        report = for_objects(reader, program(), [("^net/", "net/")]).report
        assert keys(report)[f"net/bias{VALUE}"] == f"net/bias{VALUE}"
        report = for_objects(reader, builder.build(), {"dense/bias": None}, strict=False).report
        assert [item.name for item in report.missing] == [f"layers/0/bias{VALUE}", f"layers/0/slots/m{VALUE}"]


def test_tables_take_all_tensors_whose_names_begin_with_their_key() -> None:
    builder = ObjectGraphBuilder()
    builder.attribute(("words",), "table")
    builder.variable(("w",), "w")
    stem = "words/.ATTRIBUTES/table"
    tensors = {f"{stem}-keys": np.array([b"a"], object), f"{stem}-values": np.array([1]), "w": 1}
    assert set(for_objects(ArraySource(tensors), builder.build()).plan.names) > {f"{stem}-keys", f"{stem}-values"}
    old = {"words-keys": tensors[f"{stem}-keys"], "words-values": np.array([1]), "w": 1}
    mapping = {f"words-{end}": f"{stem}-{end}" for end in ("keys", "values")}
    assert set(for_objects(ArraySource(old), builder.build(), mapping).plan.names) > {f"{stem}-keys", f"{stem}-values"}
    with pytest.raises(NotFoundError, match=f"missing: {stem}"):
        for_objects(ArraySource({"w": 1}), builder.build())


TREE = {"model": {"a/b": "w", "list": ["v", ("w", {"": "u"})]}, "again": "v"}


def test_tree_of_names_says_the_objects() -> None:
    assert list(object_graph_of_names(TREE).lines(lambda key: "")) == [
        "root",
        "  model",
        "    a/b   (w)",
        "    list",
        "      0 = again",
        "      1",
        "        0 = model/a/b",
        "        1",
        "             (u)",
        "  again   (v)",
        "  save_counter   (save_counter)",
    ]
    loop: dict[str, Any] = {"w": "w"}
    loop["self"] = loop
    assert object_graph_of_names(loop).nodes[0].children["self"] == 0


@pytest.mark.parametrize("tree", [{"a": 1}, {"a": {"b": None}}, ["w", b"v"], {1: "w"}])
def test_leaf_that_is_no_name_is_refused_with_its_place(tree: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"a|1"):
        as_object_graph(tree)


def test_what_is_no_graph_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidArgumentError, match="not int"):
        as_object_graph(7)
    with pytest.raises(InvalidArgumentError, match="not by 'w'"):
        object_graph_of_names("w")
    with pytest.raises(DataLossError):
        as_object_graph(b"\xff\xff")
    with pytest.raises(CheckpointNotFoundError):
        as_object_graph(str(tmp_path / "nothing"))
    prefix = save_checkpoint({"w": 1}, tmp_path / "names")
    with pytest.raises(InvalidArgumentError, match="written from names"):
        as_object_graph(prefix)
    with pytest.raises(InvalidArgumentError, match="V2"):
        save_checkpoint({"w": 1}, tmp_path / "v1", format="V1", object_graph={"w": "w"})
    assert not (tmp_path / "v1").exists()


def test_saved_objects_are_what_was_asked_for(tmp_path: pathlib.Path) -> None:
    prefix = save_checkpoint({"w": np.ones(2), "v": 2, "u": b"text"}, tmp_path / "model", object_graph=TREE)
    with load_checkpoint(prefix) as reader:
        assert reader["again/.ATTRIBUTES/VARIABLE_VALUE"] == 2
        assert reader["model/list/1/1//.ATTRIBUTES/VARIABLE_VALUE"] == b"text"
        graph = read_object_graph(reader)
        assert graph is not None
        assert graph.nodes == object_graph_of_names(TREE).nodes
        # The same by the bytes, by the path, and for other names.
        serialized = reader[OBJECT_GRAPH_KEY].item()
    for wanted in (serialized, prefix, tmp_path / "model.index", graph):
        again = save_checkpoint({"w": np.ones(2), "v": 2, "u": b"text"}, tmp_path / "again", object_graph=wanted)
        assert pathlib.Path(f"{again}.index").read_bytes() == pathlib.Path(f"{prefix}.index").read_bytes()
    with pytest.raises(InvalidArgumentError, match=r"model/a.Sb/.* has shape \[2\], w has \[3\]"):
        save_checkpoint({"w": np.ones(3), "v": 2, "u": b"text"}, tmp_path / "other", object_graph=prefix)
    assert not (tmp_path / "other.index").exists()


def test_root_of_another_checkpoint_may_become_a_child(tmp_path: pathlib.Path) -> None:
    builder = ObjectGraphBuilder()
    builder.variable(("w",), "w")
    builder.slot((), ("w",), "m", "w/m")
    builder.variable(("save_counter",), "save_counter")
    tensors = {"w": np.float32(1), "w/m": np.float32(2)}
    prefix = save_checkpoint(tensors, tmp_path / "old", object_graph=builder.build())
    graph = object_graph_like(prefix, under=("a.b", "model"))
    slot = f"a..b/model/w/.OPTIMIZER_SLOT/a..b/model/m{VALUE}"
    assert graph.keys_of_full_names() == {"w": f"a..b/model/w{VALUE}", "w/m": slot, "save_counter": SAVE_COUNTER_KEY}
    assert graph.tensors.keys() == {f"a..b/model/w{VALUE}", slot, SAVE_COUNTER_KEY}
    assert {attribute.key for node, path in graph.paths().items() for attribute in graph.nodes[node].attributes} == {
        *graph.tensors
    }
    prefix = save_checkpoint(tensors, tmp_path / "new", object_graph=graph)
    with load_checkpoint(prefix) as reader:
        assert reader[slot] == 2


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3) | st.sampled_from([".", "/", ".S", "a/b"])
TREES = st.recursive(
    NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, TREES, max_size=4))
def test_any_tree_of_names_gives_each_tensor_its_places(tree: dict[str, Any]) -> None:
    def leaves(value: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
        if isinstance(value, str):
            return [(path, value)]
        items = value.items() if isinstance(value, dict) else ((str(index), item) for index, item in enumerate(value))
        return [leaf for name, item in items for leaf in leaves(item, (*path, name))]

    wanted = leaves(tree, ())
    tensors = {name: np.array(index) for index, name in enumerate(sorted({name for _, name in wanted}))}
    graph = object_graph_of_names(tree)
    source = for_objects(ArraySource(tensors), graph).plan
    for path, name in wanted:
        node = 0
        for edge in path:
            node = graph.nodes[node].children[edge]
        (attribute,) = graph.nodes[node].attributes
        assert source[attribute.key] == tensors[name]
        assert attribute.full_name == name
    assert len(source) == len(tensors) + 2
    assert all(key_of(path) in source for path, name in wanted if sum(name == other for _, other in wanted) == 1)
