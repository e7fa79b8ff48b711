"""What optimizers keep finds its variables: slots by their owners, counters and rates by what they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.checkpoint.restoring.test_target_matching import pairs, report, variable
from tfsaver.checkpoint.names.name_map import Renamed
from tfsaver.checkpoint.optimizers.optimizer_state import steps_from_powers
from tfsaver.checkpoint.restoring.target_matching import WantedSlot, WantedVariable

ADAM = frozenset({"Adam:0", "Adam:1", "m", "v"})
# So many pairs are in a note.
SHOWN = 12
SLOTS: dict[str, Any] = {"w": (2,), "w/Adam": (2,), "w/Adam_1": (2,), "beta1_power": (), "beta2_power": ()}


def slot(label: str, owner: WantedVariable, *spellings: str, known: frozenset[str] = ADAM, **fields: Any) -> WantedVariable:
    return variable(label, names=(f"no {label}",), slot=WantedSlot(owner, spellings, known), **fields)


def counter(label: str, counts: str, **fields: Any) -> WantedVariable:
    return variable(label, (), names=(f"no {label}",), counts=counts, **fields)


def how(found: Any) -> dict[str, str]:
    return {item.name: item.how for item in found.matched}


def test_slots_follow_their_variable_by_what_they_are_for() -> None:
    owner = variable("w")
    found = report(SLOTS, owner, slot("m", owner, "m", "Adam:0"), slot("v", owner, "v", "Adam:1"))
    assert pairs(found) == {"w": "w", "m": "w/Adam", "v": "w/Adam_1"}
    assert how(found) == {"w": "name", "m": "slot of w", "v": "slot of w"}
    assert found.unexpected == ("beta1_power", "beta2_power")


def test_slot_of_a_variable_that_is_not_found_is_missing() -> None:
    owner = variable("x", names=("no x",))
    found = report(SLOTS, owner, slot("m", owner, "Adam:0"))
    assert [item.name for item in found.missing] == ["x", "m"]


def test_missing_variable_that_nothing_is_like_has_no_hint() -> None:
    [missing] = report({"stem": (3,)}, variable("query", (2,))).missing
    assert missing.near == ()


def test_slots_of_another_kind_of_optimizer_are_not_taken_and_said_a_few_times() -> None:
    names = [f"w{number}" for number in range(5)]
    tensors: dict[str, Any] = {tensor: (2,) for name in names for tensor in (name, f"{name}/Momentum")}
    wanted: list[WantedVariable] = []
    for name in names:
        owner = variable(name)
        wanted += [owner, slot(f"{name} m", owner, "Adam:0"), slot(f"{name} v", owner, "Adam:1")]
    found = report(tensors, *wanted)
    assert sorted(pairs(found)) == names
    assert [note for note in found.notes if "optimizer" in note] == [
        f"{name} has slots of another kind of optimizer: Momentum:0" for name in names[:3]
    ]


def test_slot_that_two_optimizers_have_is_ambiguous() -> None:
    owner = variable("w")
    tensors = {**SLOTS, "w/adam_m": (2,)}
    found = report(tensors, owner, slot("m", owner, "adam_m", "Adam:0", known=ADAM | {"adam_m"}))
    assert found.ambiguous[0].keys == ("w/adam_m", "w/Adam")
    assert found.ambiguous[0].reason == "several optimizers have this slot for w"


def test_slot_that_has_another_place_already_is_not_given_twice() -> None:
    owner = variable("w")
    found = report(SLOTS, owner, variable("other", names=("w/Adam",)), slot("m", owner, "Adam:0"))
    assert pairs(found) == {"w": "w", "other": "w/Adam"} and [item.name for item in found.missing] == ["m"]


def test_slot_is_turned_like_its_variable() -> None:
    owner = variable("w", (3, 2))
    found = report(
        {"k": (2, 3), "k/Adam": (2, 3)},
        owner,
        slot("m", owner, "Adam:0", shape=(3, 2)),
        mapping={"k": Renamed("w", (1, 0))},
    )
    assert {item.name: item.changes for item in found.matched} == dict.fromkeys("wm", ("transposed [1, 0]",))


@pytest.mark.parametrize(("counts", "key"), [("steps", "opt/iter"), ("rate", "opt/learning_rate")])
def test_the_only_counter_and_the_only_rate_belong_together(counts: str, key: str) -> None:
    value = "/.ATTRIBUTES/VARIABLE_VALUE"
    tensors: dict[str, Any] = {f"{path}{value}": () for path in ("v", "opt/iter", "opt/learning_rate", "v/.OPTIMIZER_SLOT/opt/m")}
    found = report(tensors, counter("mine", counts))
    assert pairs(found) == {"mine": f"{key}{value}"} and how(found) == {"mine": "optimizer"}
    assert not report(tensors, counter("mine", counts), counter("yours", counts)).matched


def test_steps_are_made_of_the_powers_of_adam_or_taken_from_the_global_step() -> None:
    tensors = {**SLOTS, "global_step": ()}
    powers = report(tensors, variable("w"), counter("steps", "adam steps"))
    assert pairs(powers)["steps"] == "beta1_power" and how(powers)["steps"] == "the steps that were taken"
    assert powers.unexpected == ("w/Adam", "w/Adam_1")
    step = report(tensors, variable("w"), counter("steps", "steps"))
    assert pairs(step)["steps"] == "global_step"
    two = report(tensors, variable("w"), counter("one", "adam steps"), counter("two", "adam steps"))
    assert pairs(two) == {"w": "w", "one": "global_step", "two": "global_step"}
    none = report({"w": (2,)}, variable("w"), counter("steps", "adam steps"))
    assert [item.name for item in none.missing] == ["steps"]
    rate = report(tensors, variable("w"), counter("rate", "rate"))
    assert pairs(rate) == {"w": "w"}


def test_powers_that_contradict_each_other_or_come_before_the_first_step_say_nothing() -> None:
    assert steps_from_powers(0.9, 0.999, 0.9, 0.999) == 0
    assert steps_from_powers(0.99, 0.999, 0.9, 0.999) is None
    assert steps_from_powers(0.9**11, 0.999**14, 0.9, 0.999) is None
    assert steps_from_powers(0.9**11, 0.999**11, 0.9, 0.999) == 10
    assert steps_from_powers(1.0, 0.999**3, 0.9, 0.999) == 2
    assert steps_from_powers(0.9**3, 0.5, 0.9, 0.0) == 2
    assert steps_from_powers(0.9**3, 0.5, 0.9, 1.0) == 2
    # The first power has come to nothing, which takes it 764 steps.
    assert steps_from_powers(0.0, 0.999**764, 0.9, 0.999) is None
    assert steps_from_powers(0.0, 0.999**766, 0.9, 0.999) == 765
    assert steps_from_powers(0.999**766, 0.0, 0.999, 0.9) == 765


def test_names_of_one_mapping_for_two_variables_and_two_claims_are_ambiguous() -> None:
    one, two = variable("x", names=("same",)), variable("y", names=("same",))
    found = report({"a": (2,)}, one, two, mapping={"a": "same"})
    assert [(item.name, item.keys, item.reason) for item in found.ambiguous] == [
        ("x", ("a",), "2 variables have the name 'same'"),
        ("y", ("a",), "2 variables have the name 'same'"),
    ]
    claimed = report({"a": (2,)}, variable("x", names=("no",), keys=("a",)), variable("y", names=("no2",), keys=("a",)))
    assert [(item.name, item.reason) for item in claimed.ambiguous] == [("x", "also found for y"), ("y", "also found for x")]


def test_parts_of_one_variable_share_its_tensor() -> None:
    parts = [variable(f"part {number}", names=("a",), identity=1) for number in range(2)]
    assert pairs(report({"a": (2,)}, *parts)) == {"part 0": "a", "part 1": "a"}


@pytest.mark.parametrize("number", [2, 12, 13, 22])
def test_variables_are_paired_by_shape_in_the_order_in_which_people_count(number: int) -> None:
    tensors: dict[str, Any] = {f"layer_{place}/w": (2,) for place in range(number)}
    wanted = [variable(f"v{place:02d}", names=("no",)) for place in range(number)]
    found = report({**tensors, "alone": (3,)}, *wanted, variable("a", (3,), names=("no",)), by="shape")
    assert pairs(found) == {"a": "alone", **{f"v{place:02d}": f"layer_{place}/w" for place in range(number)}}
    assert how(found)["a"] == "shape" and how(found)["v01"] == "shape and order"
    shown = ", ".join(f"layer_{place}/w -> v{place:02d}" for place in range(min(number, SHOWN)))
    more = f", and {number - SHOWN} more" if number > SHOWN else ""
    assert found.notes == (f"paired by their order, since others have their shape too: {shown}{more}",)


def test_shapes_of_which_there_are_not_as_many_decide_nothing() -> None:
    found = report({"a": (2,), "b": (2,)}, *(variable(name, names=("no",)) for name in "xyz"), by="shape")
    assert not found.matched
    assert {item.reason for item in found.ambiguous} == {"3 variables and 2 tensors have this dtype and shape"}
    assert found.ambiguous[0].keys == ("a", "b")
    none = report({"a": (2,)}, variable("x", (3,), names=("no",)), by="shape")
    assert [item.name for item in none.missing] == ["x"]


def test_integers_are_not_paired_with_floats_of_their_shape() -> None:
    found = report({"a": np.zeros(2, np.int32)}, variable("x", names=("no",)), by="shape")
    assert [item.name for item in found.missing] == ["x"] and found.unexpected == ("a",)
