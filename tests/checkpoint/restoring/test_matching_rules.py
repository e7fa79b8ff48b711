"""By what a variable finds its tensor, in which order, and what is said where nothing or too much is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.checkpoint.restoring.test_target_matching import F4, objects, pairs, report, variable
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.checkpoint.names.recurrent_cells import known_layouts
from tfsaver.checkpoint.restoring.target_matching import WantedSlot, WantedVariable, can_cast
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_slice import TensorSlice

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def doubts(found: MatchReport) -> dict[str, tuple[tuple[str, ...], str]]:
    return {item.name: (item.keys, item.reason) for item in found.ambiguous}


def how(found: MatchReport) -> dict[str, str]:
    return {item.name: item.how for item in found.matched}


def test_a_report_says_by_what_each_tensor_was_found() -> None:
    tensors = objects(net__a="x", net__b="y")
    wanted = variable("one", keys=(f"net/a{VALUE}",)), variable("two", names=("y",))
    assert how(report(tensors, *wanted)) == {"one": "object", "two": "name"}
    assert how(report({"p": (2,), "q": (2,)}, variable("n", paths=("p",)), variable("q"))) == {"n": "path", "q": "name"}
    assert how(report({"p": (2,)}, variable("n"), mapping={"p": "n"})) == {"n": "mapping"}
    assert how(report({"p": (2,)}, variable("n"), by="shape")) == {"n": "shape"}


def test_every_doubt_says_its_reason() -> None:
    two = variable("x", names=("same",)), variable("y", names=("same",))
    assert doubts(report({"same": (2,)}, *two)) == dict.fromkeys("xy", (("same",), "2 variables have the name 'same'"))
    assert doubts(report({"a": (2,)}, *two, mapping={"a": "same"})) == dict.fromkeys("xy", (("a",), "2 variables have the name 'same'"))
    item = variable("v", names=("n",), paths=("p",))
    assert doubts(report({"a": (2,), "b": (2,)}, item, mapping={"a": "n", "b": "p"})) == {"v": (("a", "b"), "the mapping has several tensors for it")}
    assert doubts(report({"a": (2,), "b": (2,)}, variable("v", names=("a", "b")))) == {"v": (("a", "b"), "several tensors have its name")}
    assert doubts(report({"t": (2,)}, variable("t"), variable("o", paths=("t",)))) == {"o": (("t",), "found by its path, but belongs to t")}
    tensors = objects(net__a="x")
    claims = report(tensors, variable("one", keys=(f"net/a{VALUE}",)), variable("two", keys=(f"net/a{VALUE}",)))
    assert doubts(claims) == {
        "one": ((f"net/a{VALUE}",), "also found for two"),
        "two": ((f"net/a{VALUE}",), "also found for one"),
    }


def test_parts_of_one_variable_share_its_tensor() -> None:
    identity = object()
    parts = [
        WantedVariable(WantedTensor(f"v part {start}", F4, (2, 3), (4, 3), TensorSlice(((start, 2), (0, 3)))), identity, ("v",))
        for start in (0, 2)
    ]
    for options in ({}, {"mapping": {"w": "v"}}, {"by": "shape"}):
        found = report({"w" if options else "v": (4, 3)}, *parts, **options)
        assert pairs(found) == dict.fromkeys(("v part 0", "v part 2"), "w" if options else "v") and found.ok


def test_shapes_are_paired_in_the_order_in_which_people_count() -> None:
    tensors = {f"layer_{number}/w": (2,) for number in (10, 9, 1)}
    wanted = [variable(f"v{number}") for number in range(3)]
    found = report(tensors, *wanted, by="shape")
    assert pairs(found) == {"v0": "layer_1/w", "v1": "layer_9/w", "v2": "layer_10/w"}
    assert set(how(found).values()) == {"shape and order"}
    lacking = report(tensors, *wanted[:2], by="shape")
    keys = ("layer_1/w", "layer_9/w", "layer_10/w")
    assert doubts(lacking) == {f"v{number}": (keys, "2 variables and 3 tensors have this dtype and shape") for number in range(2)}
    other = report({"a": (3,), "b": np.zeros(2)}, variable("v"), by="shape")
    assert not other.matched and not other.ambiguous and [item.name for item in other.missing] == ["v"]
    # A variable that a mapping or a counter decides about does not compete for other tensors.
    mapped = report({"a": (2,), "b": (2,)}, variable("x"), variable("y"), mapping={"b": "x"}, by="shape")
    assert pairs(mapped) == {"x": "b", "y": "a"}


def test_copies_of_one_variable_are_one_tensor() -> None:
    value = np.arange(2, dtype=np.float32)
    for other, is_one in ((value.copy(), True), (value + 1, False), (value.astype(np.float64), None)):
        tensors = objects(a="same", b="same")
        tensors[f"a{VALUE}"], tensors[f"b{VALUE}"] = value, other
        found = report(tensors, variable("same"))
        if is_one is False:
            assert doubts(found) == {"same": ((f"a{VALUE}", f"b{VALUE}"), "several tensors have its name")}
        else:
            assert pairs(found) == {"same": f"a{VALUE}"}
    names = {"x": value, "y": value.copy()}
    assert doubts(report(names, variable("v", names=("x", "y"))))["v"][0] == ("x", "y")


LSTM = {"lstm/kernel": (3, 8), "lstm/recurrent_kernel": (2, 8), "lstm/bias": (8,)}


def layer(**names: str) -> list[WantedVariable]:
    return [variable(name, shape, names=(names.get(name.rpartition("/")[2], name),), paths=(name,)) for name, shape in LSTM.items()]


def test_gates_in_an_order_that_nobody_tells_are_refused() -> None:
    assert report(LSTM, *layer()).ok
    found = report({"b": (8,)}, *layer(), mapping={"b": "lstm/bias"})
    reason = "nothing says that its gates stand in the order of the LSTM of keras"
    assert doubts(found) == {"lstm/bias": (("b",), reason)}
    note = (
        f"libraries differ in the order of the gates of recurrent cells: {known_layouts('keras')}; or say the order in the "
        "mapping, as in {'b': {'to': 'lstm/bias', 'gates': 'ifco->ifco'}}"
    )
    assert note in found.notes
    said = report({"b": (8,)}, *layer(), mapping={"b": {"to": "lstm/bias", "gates": "ifco->ifco"}})
    assert pairs(said) == {"lstm/bias": "b"} and not said.ambiguous
    both = report({"b": (8,), "k": (3, 8)}, *layer(), mapping={"b": "lstm/bias", "k": "lstm/kernel"})
    assert set(doubts(both)) == {"lstm/bias", "lstm/kernel"}
    assert sum(each.startswith("libraries differ") for each in both.notes) == 1


@pytest.mark.parametrize(
    ("stored", "wanted", "may"),
    [
        ("float64", "float32", True),
        ("int64", "float16", True),
        ("float32", "bfloat16", True),
        ("int64", "int8", True),
        ("uint8", "int32", True),
        ("float32", "int32", False),
        ("complex64", "float32", False),
        ("float32", "complex64", False),
        ("bool", "float32", False),
        ("bool", "int32", False),
        ("string", "int32", False),
        ("float32", "bool", False),
    ],
)
def test_numbers_may_be_cast_where_nothing_is_cut(stored: str, wanted: str, may: bool) -> None:
    assert can_cast(dtypes.from_name(stored), dtypes.from_name(wanted)) is may


def test_casts_are_made_where_they_are_asked_for_and_shapes_still_count() -> None:
    tensors: dict[str, Any] = {"w": np.zeros(2), "v": np.zeros(3)}
    found = report(tensors, variable("w"), variable("v"), cast=True)
    assert pairs(found) == {"w": "w"} and [(item.name, item.fact) for item in found.mismatched] == [("v", "shape")]
    found = report(tensors, variable("w"), variable("v"))
    assert [(item.name, item.fact) for item in found.mismatched] == [("w", "dtype"), ("v", "dtype")]


def test_slots_follow_the_tensor_of_their_variable() -> None:
    owner = variable("v", names=("w",))
    slots = [
        variable(f"v {name}", names=(), slot=WantedSlot(owner, (spelling,), frozenset({"Adam:0", "Adam:1"})))
        for name, spelling in (("Adam", "Adam:0"), ("Adam_1", "Adam:1"))
    ]
    tensors = {"w": (2,), "w/Adam": (2,), "w/Adam_1": (2,), "beta1_power": (), "beta2_power": ()}
    found = report(tensors, owner, *slots)
    assert pairs(found) == {"v": "w", "v Adam": "w/Adam", "v Adam_1": "w/Adam_1"}
    assert how(found)["v Adam"] == "slot of w"
    momentum = report({"w": (2,), "w/Momentum": (2,)}, owner, *slots)
    assert pairs(momentum) == {"v": "w"}
    assert "w has slots of another kind of optimizer: Momentum:0" in momentum.notes
    alone = report({"w/Adam": (2,)}, owner, *slots)
    assert not alone.matched and [item.name for item in alone.missing] == ["v", "v Adam", "v Adam_1"]
