"""Reports of a restore say every fact in a line of its own."""

from __future__ import annotations

from typing import Any

import pytest

from tfsaver.checkpoint.match_report import AmbiguousTensor, MatchedTensor, MatchReport, MismatchedTensor, MissingTensor
from tfsaver.checkpoint.restoring.target_matching import can_cast
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.framework import dtypes

F4 = dtypes.from_name("float32")


def matched(name: str, num_bytes: int = 8) -> MatchedTensor:
    return MatchedTensor(WantedTensor(name, F4, (2,)), name, (2,), num_bytes, False)


def report(**fields: Any) -> MatchReport:
    empty: dict[str, Any] = {
        "checkpoint": "m",
        "version": "V2",
        "matched": (),
        "missing": (),
        "mismatched": (),
        "unexpected": (),
        "withheld": (),
        "full_names": None,
        "mapping": {},
        "guesses": {},
        "initialized": [],
    }
    return MatchReport(**{**empty, **fields})


def test_report_of_a_restore_counts_names_and_bytes() -> None:
    whole = report(matched=(matched("a"), matched("a"), matched("b", 4)), unexpected=("x", "y"), left=("z",))
    assert whole.ok and (whole.num_wanted, whole.num_bytes) == (2, 20)
    assert str(whole) == "m: 2 of 2 tensors fit, 2 unexpected, 1 left as they are"


def test_everything_that_is_wrong_is_counted_and_told() -> None:
    wrong = report(
        matched=(matched("a"),),
        missing=(MissingTensor("b", ("bb", "c")), MissingTensor("far", ())),
        mismatched=(MismatchedTensor("s", "t", "dtype", "float", "half"),),
        ambiguous=(AmbiguousTensor("q", ("k1", "k2"), "nobody knows"),),
        withheld=("w",),
        unexpected=("bb", "k1"),
        mapping={"bb": "b"},
        notes=("look again",),
    )
    assert not wrong.ok and wrong.num_wanted == 6
    assert str(wrong).split("\n") == [
        "m: 1 of 6 tensors fit, 2 missing, 1 mismatched, 1 ambiguous, 1 withheld, 2 unexpected",
        "  Key b not found in checkpoint m; did you mean 'bb', 'c'?",
        "  Key far not found in checkpoint m",
        "  tensor_name = t; expected dtype float does not equal original dtype half",
        "  q is ambiguous: nobody knows: 'k1', 'k2'",
        "  w fits, and is not restored without what belongs to it",
        "Not wanted, but in the checkpoint (2):",
        "  bb",
        "  k1",
        "These would fit (name in the checkpoint: name here); mapping= takes this as it stands:",
        "{",
        "    'bb': 'b',",
        "}",
        "note: look again",
    ]


def test_v1_checkpoints_are_spoken_of_as_tensorflow_does() -> None:
    missing = report(version="V1", missing=(MissingTensor("b", ()),))
    assert str(missing).split("\n")[1] == '  Tensor name "b" not found in checkpoint files m'


def test_objects_are_spoken_of_by_what_variables_were_called() -> None:
    wrong = report(
        matched=(matched("dense/bias"),),
        missing=(MissingTensor("one", ()), MissingTensor("two", ())),
        withheld=("held",),
        unexpected=("key", "other"),
        full_names={"key": "dense/kernel", "k2": "dense/bias", "other": "", "k3": "held"},
    )
    assert str(wrong).split("\n")[3:] == [
        "  held fits, and is not restored without what belongs to it",
        "The checkpoint was written from objects; by the names that its variables had:",
        "  Existing variables not in the checkpoint: one, two",
        "  Variables names when this checkpoint was written which don't exist now: dense/kernel",
        "  (2 variable name(s) did match)",
        "Not wanted, but in the checkpoint (2):",
        "  key (dense/kernel)",
        "  other",
    ]


@pytest.mark.parametrize("field", ["missing", "mismatched", "ambiguous"])
def test_each_fault_alone_makes_a_report_wrong(field: str) -> None:
    faults = {
        "missing": MissingTensor("b", ()),
        "mismatched": MismatchedTensor("b", "b", "shape", "[1]", "[2]"),
        "ambiguous": AmbiguousTensor("b", ("k",), "why"),
    }
    assert not report(**{field: (faults[field],)}).ok
    assert report(unexpected=("x",), left=("y",), withheld=("z",), notes=("n",)).ok


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        ("dtype", "expected dtype A does not equal original dtype B"),
        ("full shape", "shape in shape_and_slice spec A does not match the shape stored in checkpoint: B"),
        ("slices", "Does not have sufficient slices for partitioned tensor: A is wanted, stored are B"),
        ("size", "Input to reshape is a tensor with B, but the requested shape has A"),
        ("shape", "Assign requires shapes of both tensors to match. lhs shape= A rhs shape= B (variable, checkpoint)"),
    ],
)
def test_what_differs_is_said_in_the_words_of_tensorflow(fact: str, said: str) -> None:
    assert str(MismatchedTensor("n", "k", fact, "A", "B")) == f"tensor_name = k; {said}"


@pytest.mark.parametrize(("number", "more"), [(4, ""), (5, " and 1 more"), (24, " and 20 more")])
def test_of_many_tensors_that_may_be_meant_the_first_are_named(number: int, more: str) -> None:
    keys = tuple(f"k{place}" for place in range(number))
    assert str(AmbiguousTensor("n", keys, "why")) == f"n is ambiguous: why: 'k0', 'k1', 'k2', 'k3'{more}"


INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
FLOATS = ["bfloat16", "float16", "float32", "float64", "float8_e5m2", "float8_e4m3fn"]


def test_numbers_are_cast_to_floats_and_integers_to_integers() -> None:
    names = [*INTEGERS, *FLOATS, "bool", "complex64", "string"]
    pairs = {
        (stored, wanted)
        for stored in names
        for wanted in names
        if can_cast(dtypes.from_name(stored), dtypes.from_name(wanted))
    }
    to_floats = {(stored, wanted) for stored in FLOATS + INTEGERS for wanted in FLOATS}
    assert pairs == to_floats | {(stored, wanted) for stored in INTEGERS for wanted in INTEGERS}


def test_report_on_objects_says_each_fault_by_keys_and_full_names() -> None:
    wrong = report(
        version=None,
        matched=(matched("a"),),
        defaults=("d",),
        missing=(MissingTensor("b", ("y",), "dense/b"), MissingTensor("c", ())),
        ambiguous=(AmbiguousTensor("z", ("k",), "two are called so"),),
        mismatched=(MismatchedTensor("e", "v", "shape", "[1]", "[2]"),),
        unexpected=("u",),
        mapping={"y": "b"},
        is_unexpected_wrong=True,
    )
    assert str(wrong).split("\n") == [
        "m: 1 of 5 tensors fit, 2 missing, 1 mismatched, 1 ambiguous, 1 unexpected, 1 given as defaults",
        "  missing: b (dense/b); did you mean 'y'?",
        "  missing: c",
        "  mismatched: e has shape [1], v has [2]",
        "  z is ambiguous: two are called so: 'k'",
        "Not wanted, but in the checkpoint (1):",
        "  u",
        "These would fit (name in the checkpoint: name here); mapping= takes this as it stands:",
        "{",
        "    'y': 'b',",
        "}",
    ]


def test_an_unexpected_tensor_is_wrong_only_where_all_are_to_be_used() -> None:
    assert report(unexpected=("u",)).ok
    assert not report(unexpected=("u",), is_unexpected_wrong=True).ok
    assert report(is_unexpected_wrong=True).ok
