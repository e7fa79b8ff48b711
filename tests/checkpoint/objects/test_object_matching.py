"""A tensor is for a value by its key, its full name or its path, in this order; all else is said with what it may be."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tfsaver import load_checkpoint, save_checkpoint
from tfsaver.checkpoint.names.name_map import Renamed
from tfsaver.checkpoint.objects import object_matching
from tfsaver.checkpoint.objects.object_graph import ObjectGraph
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder
from tfsaver.checkpoint.objects.object_matching import ObjectMatch, match_objects
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.framework import dtypes

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
F4 = dtypes.from_name("float32")
W = np.arange(6, dtype=np.float32).reshape(2, 3)


def graph_of(variables: Mapping[str, str], **shapes: Any) -> ObjectGraph:
    """Variables by their paths, with their full names."""
    builder = ObjectGraphBuilder()
    for path, name in variables.items():
        dtype = F4 if path in shapes else None
        builder.variable(tuple(path.split("/")), name, dtype=dtype, shape=shapes.get(path))
    return builder.build()


def match(tensors: Mapping[str, Any], graph: ObjectGraph, mapping: Any = None, **options: Any) -> ObjectMatch:
    return match_objects(ArraySource(dict(tensors)), graph, mapping, **options)


def pairs(found: ObjectMatch) -> dict[str, str]:
    return {item.name.removesuffix(VALUE): item.key for item in found.report.matched}


def test_a_value_is_found_by_key_then_full_name_then_path() -> None:
    graph = graph_of({"net/w": "dense/w"})
    every = {f"net/w{VALUE}": 1.0, "dense/w": 2.0, "net/w": 3.0, f"dense/w{VALUE}": 4.0}
    while every:
        first = next(iter(every))
        found = match(every, graph, allow_unused=True)
        assert pairs(found) == {"net/w": first} and found.report.unexpected == tuple(sorted(set(every) - {first}))
        assert found.dropped == frozenset() and found.report.ok
        del every[first]
    assert match({"other": 1.0}, graph).dropped == {f"net/w{VALUE}"}


def test_a_full_name_of_several_variables_decides_nothing() -> None:
    graph = graph_of({"a": "same", "b": "same"})
    found = match({"same": 1.0}, graph)
    assert pairs(found) == {} and found.dropped == {f"a{VALUE}", f"b{VALUE}"}
    why = "it is one of 2 variables called 'same'"
    assert [tuple(each) for each in found.report.ambiguous] == [(f"{path}{VALUE}", ("same",), why) for path in "ab"]
    assert found.report.unexpected == () and found.report.missing == ()
    assert pairs(match({"a": 1.0, f"b{VALUE}": 2.0}, graph)) == {"a": "a", "b": f"b{VALUE}"}
    assert [item.name for item in match({"x": 1.0}, graph).report.missing] == [f"a{VALUE}", f"b{VALUE}"]


def test_a_variable_without_a_full_name_is_found_by_its_path_alone() -> None:
    graph = graph_of({"a": ""})
    assert pairs(match({"a": 1.0}, graph)) == {"a": "a"}
    assert pairs(match({VALUE: 1.0}, graph, allow_unused=True)) == {}


def test_defaults_are_for_what_is_missing_alone() -> None:
    graph = graph_of({"a": "x", "b": "y"})
    found = match({"x": 1.0}, graph, defaults={f"a{VALUE}", f"b{VALUE}"})
    assert pairs(found) == {"a": "x"} and found.report.defaults == (f"b{VALUE}",) and found.dropped == frozenset()
    assert found.report.ok and found.report.missing == ()


def test_what_does_not_fit_is_said_with_both_sides() -> None:
    graph = graph_of({"a": "a", "b": "b", "c": "c"}, a=(2, 3), b=(None, 3), c=(4,))
    found = match({"a": W.astype(np.float64), "b": W, "c": W}, graph)
    assert pairs(found) == {"b": "b"} and found.dropped == {f"a{VALUE}", f"c{VALUE}"}
    assert [tuple(item)[:5] for item in found.report.mismatched] == [
        (f"a{VALUE}", "a", "dtype", "float32", "float64"),
        (f"c{VALUE}", "c", "shape", "[4]", "[2,3]"),
    ]
    assert not found.report.ok and found.report.unexpected == ()


def test_what_nobody_takes_is_unexpected_and_wrong_unless_it_is_allowed() -> None:
    graph = graph_of({"a": "a"})
    assert not match({"a": 1.0, "z": 1.0}, graph).report.ok
    found = match({"a": 1.0, "z": 1.0}, graph, allow_unused=True)
    assert found.report.ok and found.report.unexpected == ("z",) and found.report.checkpoint == "the tensors"
    assert match({"a": 1.0, "z": 1.0}, graph, {"z": None}).report.ok


def test_a_mapping_may_change_what_a_value_gets() -> None:
    graph = graph_of({"net/w": "w"}, **{"net/w": (3, 2)})
    for new in ("w", "net/w", f"net/w{VALUE}"):
        found = match({"old": W}, graph, {"old": Renamed(new, True)})
        assert pairs(found) == {"net/w": "old"} and found.report.matched[0].changes == ("transposed [1, 0]",)
        np.testing.assert_array_equal(found.source["old"], W.T)
    assert match({"old": W}, graph, {"old": Renamed("w", True)}).report.notes == ("names: 1 of 1 names",)


def test_names_that_are_missing_are_said_with_what_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of({"net/kernel": "dense/kernel", "net/other": "embedding_table"}, **{"net/kernel": (2, 3), "net/other": (5,)})
    tensors = {"m/dense/weights": W, "embeding_table": np.zeros(5, np.float32)}
    found = match(tensors, graph)
    assert found.report.mapping == {"m/dense/weights": f"net/kernel{VALUE}"}
    assert found.report.guesses == {"embeding_table": f"net/other{VALUE}"}
    assert [(item.name, item.near, item.full_name) for item in found.report.missing] == [
        (f"net/kernel{VALUE}", ("m/dense/weights",), "dense/kernel"),
        (f"net/other{VALUE}", ("embeding_table",), "embedding_table"),
    ]
    monkeypatch.setattr(object_matching, "_MAX_COMPARISONS", 0)
    far = {f"kernel_{number}": 1.0 for number in range(3)}
    near = [item.near for item in match(far, graph_of({"a": "kernel_a", "b": "kernel_b"})).report.missing]
    assert sorted(near[0]) == sorted(far) and near[1] == ()


def test_a_recipe_is_proposed_for_a_key() -> None:
    graph = graph_of({"net/kernel": "dense/kernel"}, **{"net/kernel": (3, 2)})
    [(name, target)] = match({"m/dense/kernel": W}, graph).report.mapping.items()
    assert name == "m/dense/kernel" and isinstance(target, Renamed) and target.to_json() == {"to": f"net/kernel{VALUE}", "transpose": [1, 0]}


def test_variables_of_one_name_are_judged_by_their_paths() -> None:
    graph = graph_of({"x/kernel": "same", "y/kernel": "same"}, **{"x/kernel": (2, 3), "y/kernel": (3,)})
    found = match({"m/y/kernel": W[0], "m/x/kernel": W}, graph)
    assert set({**found.report.mapping, **found.report.guesses}.values()) <= {f"x/kernel{VALUE}", f"y/kernel{VALUE}"}


def test_tables_take_the_tensors_that_begin_with_their_key() -> None:
    builder = ObjectGraphBuilder()
    builder.attribute(("t",), "table")
    graph = builder.build()
    key = "t/.ATTRIBUTES/table"
    tensors = {f"{key}-keys": 1.0, f"{key}-values": 2.0, f"{key[:-1]}": 3.0}
    found = match(tensors, graph, allow_unused=True)
    assert [item.name for item in found.report.matched] == [f"{key}-keys", f"{key}-values"]
    assert found.report.unexpected == (key[:-1],)
    exact = match({key: 1.0, f"{key}-keys": 1.0}, graph, allow_unused=True)
    assert [item.name for item in exact.report.matched] == [key] and exact.report.unexpected == (f"{key}-keys",)
    assert [item.name for item in match({"u": 1.0}, graph).report.missing] == [key]


def test_objects_offer_what_their_variables_were_called(tmp_path: pathlib.Path) -> None:
    old = graph_of({"a/w": "dense/w", "a/b": "dense/b", "c": "same", "d": "same"})
    tensors = {f"{path}{VALUE}": np.float32(number) for number, path in enumerate(("a/w", "a/b", "c", "d"))}
    prefix = save_checkpoint(tensors, tmp_path / "m", object_graph=old, durable=False)
    with load_checkpoint(prefix) as reader:

        def taken(variables: Mapping[str, str], mapping: Any = None) -> dict[str, str]:
            return pairs(match_objects(reader, graph_of(variables), mapping, allow_unused=True))

        assert taken({"x": "dense/w", "y": "dense/b"}) == {"x": f"a/w{VALUE}", "y": f"a/b{VALUE}"}
        # Of a name that two variables had, nothing is taken.
        assert taken({"x": "same"}) == {}
        assert taken({"x": "new"}, {"dense/w": "new"}) == taken({"x": "new"}, {"a/w": "new"}) == {"x": f"a/w{VALUE}"}
        assert taken({"x": "dense/w"}, {"dense/w": None}) == taken({"x": "dense/w"}, {f"a/w{VALUE}": None}) == {}
        assert taken({"x": "dense/w"}, {"dense/w": "elsewhere"}) == {}
        assert match_objects(reader, graph_of({"x": "dense/w"}), allow_unused=True).report.checkpoint == prefix
