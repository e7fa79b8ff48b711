"""What a mapping makes of a source: names that say what was done, slots that follow, and notes on what does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.names.mapped_tensors import MappedTensors, follow_with_slots, infos_of
from tfsaver.checkpoint.names.name_map import Renamed, as_name_map
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError

W = np.arange(6, dtype=np.float32).reshape(2, 3)


def mapped(tensors: Mapping[str, Any], mapping: Any, **options: Any) -> MappedTensors:
    source = ArraySource(dict(tensors))
    return MappedTensors(source, as_name_map(mapping, **options).apply(infos_of(source)), {})


def names(found: MappedTensors) -> dict[str, list[str]]:
    return {name: [target.name for target in targets] for name, targets in found.targets.items()}


def test_a_mapping_of_names_alone_leaves_the_source() -> None:
    source = ArraySource({"a": W, "b": W, "c": W})
    found = MappedTensors(source, as_name_map({"a": ["x", "y"], "b": None}).apply(infos_of(source)), {})
    assert found.source is source and names(found) == {"a": ["x", "y"]}
    assert found.changes == {} and found.slots == {} and found.notes == ("names: 2 of 3 names",)


def test_a_changed_tensor_keeps_the_name_that_it_had() -> None:
    found = mapped({"w": W, "b": W[0]}, {"w": Renamed("x", True), "b": "c"})
    assert found.source.names == ["b", "w"] and names(found) == {"b": ["c"], "w": ["x"]}
    assert found.changes == {"w": ("transposed [1, 0]",)}
    np.testing.assert_array_equal(found.source["w"], W.T)


def test_tensors_made_of_one_are_told_by_what_was_done() -> None:
    found = mapped({"w": W}, {"w": ["v", Renamed("x", True), Renamed("y", True), Renamed("z", scale=2)]})
    assert names(found) == {"w": ["v"], "w transposed [1, 0]": ["x"], "w transposed [1, 0] (2)": ["y"], "w scaled by 2": ["z"]}
    assert found.source.names == sorted(names(found))
    np.testing.assert_array_equal(found.source["w transposed [1, 0] (2)"], W.T)
    np.testing.assert_array_equal(found.source["w scaled by 2"], W * 2)
    np.testing.assert_array_equal(found.source["w"], W)


def test_a_tensor_made_of_several_has_the_names_of_all() -> None:
    found = mapped({"a": W, "b": -W, "c": W}, {"ab": {"concat": ["a", "b"]}, "k": {"constant": 3}})
    assert names(found) == {"a, b": ["ab"], "(constant k)": ["k"]} and found.source.names == ["(constant k)", "a, b", "c"]
    np.testing.assert_array_equal(found.source["a, b"], np.concatenate([W, -W]))
    assert found.changes == {"a, b": ("concatenated along axis 0",), "(constant k)": ()}


def test_everything_that_does_not_fit_is_said() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        mapped({"a": W, "b": W}, {"a": Renamed("x", (2, 0, 1)), "b": Renamed("y", reshape=[5])})
    text = str(caught.value)
    assert "the mapping does not fit the shapes: 2 problems" in text
    assert "'a', to become 'x': shape [2, 3] does not have the 3 axes" in text and "'b', to become 'y': shape [2, 3] of 6" in text


ADAM = {"w": W, "w/Adam": W + 1, "w/Adam_1": W + 2, "beta1_power": np.float32(0.9), "beta2_power": np.float32(0.99)}


def test_slots_of_a_changed_variable_follow_and_are_known_by_it() -> None:
    found = mapped(ADAM, {"w": Renamed("x", True)})
    assert found.slots == {"w": {"w/Adam": "w/Adam", "w/Adam_1": "w/Adam_1"}}
    # A program may know a slot by either name.
    assert names(found) == {"w": ["x"], "w/Adam": ["x/Adam", "w/Adam"], "w/Adam_1": ["x/Adam_1", "w/Adam_1"]}
    np.testing.assert_array_equal(found.source["w/Adam"], (W + 1).T)
    assert found.notes == ("names: 1 of 5 names",)


def test_notes_say_why_a_slot_is_left_out_and_nothing_of_what_the_mapping_leaves_out() -> None:
    found = mapped({**ADAM, "b": W}, {"w": Renamed("x", scale=3), "b": None})
    assert found.notes == (
        "names: 2 of 6 names",
        "w/Adam is left out: slot of w: scaled by 3, which says nothing of the slot",
        "w/Adam_1 is left out: slot of w: scaled by 3, which says nothing of the slot",
    )
    assert not {"b", "w/Adam", "w/Adam_1"} & set(found.targets)


def values(tensors: Mapping[str, Any], mapping: Any) -> dict[str, Any]:
    plan = renamed(ArraySource(dict(tensors)), mapping).plan
    return {name: plan[name] for name in plan.names if not name.startswith("beta")}


def reasons(tensors: Mapping[str, Any], mapping: Any) -> dict[str, str]:
    return renamed(ArraySource(dict(tensors)), mapping).left_out("")


def test_new_rows_of_a_variable_are_zero_in_slots_that_begin_with_zero() -> None:
    found = values(ADAM, {"w": {"to": "w", "pad": 3, "fill": 7}})
    np.testing.assert_array_equal(found["w"], np.vstack([W, np.full((1, 3), 7)]))
    np.testing.assert_array_equal(found["w/Adam"], np.vstack([W + 1, np.zeros((1, 3))]))
    adagrad = {"w": W, "w/Adagrad": W + 1}
    assert "padded to 3 along axis 0 with 7, which says nothing of the slot" in reasons(adagrad, {"w": {"to": "w", "pad": 3, "fill": 7}})["w/Adagrad"]


def test_averages_become_what_their_variables_become() -> None:
    tensors = {"w": W, "w/ExponentialMovingAverage": W + 1}
    for options in ({"scale": 3}, {"pad": 3, "fill": 7}, {"gates": {"order": "abc->cab", "add": {"a": 1}}}):
        found = values(tensors, {"w": {"to": "x", **options}})
        expected = values({"w": W + 1}, {"w": {"to": "x", **options}})["x"]
        np.testing.assert_array_equal(found["x/ExponentialMovingAverage"], expected)


def test_slots_have_their_gates_in_the_new_order_and_nothing_added() -> None:
    found = values(ADAM, {"w": {"to": "x", "gates": {"order": "abc->cab", "add": {"a": 1}}}})
    np.testing.assert_array_equal(found["x"], W[:, [2, 0, 1]] + np.float32([0, 1, 0]))
    np.testing.assert_array_equal(found["x/Adam"], (W + 1)[:, [2, 0, 1]])


def test_slots_are_cast_whatever_their_shape_is() -> None:
    found = values({"w": W, "w/vr": W[:, 0], "w/vc": W[0]}, {"w": {"to": "x", "cast": "float16"}})
    assert {name: value.dtype.name for name, value in found.items()} == {"x": "float16", "x/vr": "float16", "x/vc": "float16"}
    text = reasons({"w": W, "w/vr": W[:, 0], "w/vc": W[0]}, {"w": {"to": "x", "transpose": True, "cast": "float16"}})
    assert text["w/vr"] == "slot of w: of another shape than the variable, which is transposed [1, 0], cast to float16"


def test_slots_of_a_split_variable_are_split() -> None:
    found = values(ADAM, {"w": {"split": ["p", "q", "r"], "axis": 1}})
    for number, name in enumerate("pqr"):
        for end, add in (("", 0), ("/Adam", 1), ("/Adam_1", 2)):
            np.testing.assert_array_equal(found[name + end], (W + add)[:, number : number + 1])


def test_slots_of_joined_variables_are_joined_where_all_have_them() -> None:
    tensors = {"a": W, "b": -W, "a/Adam": W + 1, "b/Adam": W + 2, "a/Adam_1": W, "b/Adam_1": W}
    found = values(tensors, {"ab": {"concat": ["b", "a"]}})
    np.testing.assert_array_equal(found["ab/Adam"], np.concatenate([W + 2, W + 1]))
    del tensors["b/Adam_1"]
    assert reasons(tensors, {"ab": {"concat": ["b", "a"]}}) == {"a/Adam_1": "slot of ab: b has none"}


def test_slots_that_the_mapping_names_or_leaves_out_are_as_it_says() -> None:
    found = values(ADAM, {"w": Renamed("x", True), "w/Adam": "mine", "w/Adam_1": None})
    assert sorted(found) == ["mine", "x"]
    np.testing.assert_array_equal(found["mine"], W + 1)


def test_slots_inside_of_the_scope_of_an_optimizer_follow() -> None:
    tensors = {"net/w": W, "training/Adam/net/w/m": W + 1, "training/Adam/net/w/v": W + 2, "training/Adam/iter": np.int64(1)}
    found = values(tensors, {"net/w": Renamed("x", True)})
    assert {"x", "training/Adam/x/m", "training/Adam/x/v"} <= set(found)
    np.testing.assert_array_equal(found["training/Adam/x/m"], (W + 1).T)


def test_slots_are_followed_by_the_new_names_of_their_variables() -> None:
    infos = infos_of(ArraySource(dict(ADAM)))
    new_names = as_name_map({"w": [Renamed("x", True), Renamed("y", reshape=[-1])]}).apply(infos)
    assert follow_with_slots(infos, new_names, {}) == {
        "x": {"w/Adam": "x/Adam", "w/Adam_1": "x/Adam_1"},
        "y": {"w/Adam": "y/Adam", "w/Adam_1": "y/Adam_1"},
    }
    assert [target.name for target in new_names["w/Adam"]] == ["x/Adam", "y/Adam"] and new_names.reasons == {}


def test_infos_of_a_source_may_have_other_names() -> None:
    source = ArraySource({"key": W, "other": W[0]})
    assert {name: tuple(spec.shape) for name, spec in infos_of(source).items()} == {"key": (2, 3), "other": (3,)}
    some = infos_of(source, ["name", "other"], {"name": "key"})
    assert {name: tuple(spec.shape) for name, spec in some.items()} == {"name": (2, 3), "other": (3,)}


def test_full_names_that_the_caller_knows_say_whose_slots_there_are() -> None:
    value = "/.ATTRIBUTES/VARIABLE_VALUE"
    keys = {name: f"{name}{value}" for name in ("opt/_iterations", "opt/_variables/2", "net/w")}
    tensors = {keys["opt/_iterations"]: np.int64(1), keys["opt/_variables/2"]: W + 1, keys["net/w"]: W}
    full_names = {keys["opt/_iterations"]: "adam/iteration", keys["opt/_variables/2"]: "adam/d_w_momentum", keys["net/w"]: "d/w"}
    for given in (full_names, {}):
        plan = renamed(ArraySource(tensors), {"net/w": Renamed("net/w", True)}, full_names=given).plan
        np.testing.assert_array_equal(plan[keys["net/w"]], W.T)
        np.testing.assert_array_equal(plan[keys["opt/_variables/2"]], (W + 1).T if given else W + 1)
