"""What elements lose in another type, against Python's own numbers; and what of it is refused."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsaver.checkpoint.losses import Losses, can_lose, cast_array, raise_losses
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes

INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
FLOATS = ["float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "float8_e5m2"]


def losses_of(values: Any, source: str, target: str, *, allow_overflow: bool = False) -> Losses:
    losses = Losses(dtypes.from_name(source), dtypes.from_name(target), allow_overflow)
    cast_array(np.array(values, losses.source.numpy), losses)
    return losses


def exactly(value: Any) -> Any:
    """A number as Python has it."""
    number = float(value) if not isinstance(value, np.integer) else int(value)
    return number if isinstance(number, int) or not math.isfinite(number) else Fraction(number)


def is_lost(old: Any, new: Any, target: str) -> bool:
    """Whether an element lost more than precision, by Python's numbers."""
    before, after = exactly(old), exactly(new)
    if target in INTEGERS or isinstance(before, int):
        return before != after
    if isinstance(before, Fraction):
        return not isinstance(after, Fraction)
    return before != after and not (math.isnan(before) and math.isnan(after))


EDGES = [0, 1, -1, 127, 128, 255, 256, -128, -129, 2**15, 2**16, 2**31, 2**32, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1]


@given(
    source=st.sampled_from(INTEGERS + FLOATS),
    target=st.sampled_from(INTEGERS + FLOATS),
    numbers=st.lists(st.one_of(st.sampled_from(EDGES), st.integers(-(2**70), 2**70), st.floats(width=32)), max_size=20),
)
def test_losses_are_those_of_exact_numbers(source: str, target: str, numbers: list[Any]) -> None:
    kind = dtypes.from_name(source).numpy
    if source in INTEGERS:
        info = np.iinfo(kind)
        numbers = [int(n) for n in numbers if math.isfinite(n) and info.min <= int(n) <= info.max]
    with np.errstate(all="ignore"):
        old = np.array(numbers, np.float64 if source in FLOATS else kind).astype(kind)
    losses = Losses(dtypes.from_name(source), dtypes.from_name(target))
    new = cast_array(old, losses)
    expected = sum(is_lost(one, other, target) for one, other in zip(old, new, strict=True))
    assert losses.num_refused == expected, (old, new, losses)
    assert losses.is_refused == bool(expected)
    if not can_lose(losses.source, losses.target):
        assert not expected and losses.max_abs == 0


@pytest.mark.parametrize(
    ("values", "source", "target", "fact"),
    [
        ([-1, 5], "int8", "uint8", "1 of 2 changed"),
        ([2**63], "uint64", "int64", "1 of 1 changed"),
        ([-(2**63)], "int64", "float16", "1 of 1 changed"),
        ([math.nan, 1], "float32", "int32", "1 of 2 changed"),
        ([1e30], "float32", "float16", "1 overflowed"),
        ([math.inf, -math.inf], "float32", "float8_e4m3fn", "2 infinities lost"),
        ([0.5], "float32", "int8", "1 of 1 changed"),
    ],
)
def test_what_is_lost_is_refused_and_said(values: list[Any], source: str, target: str, fact: str) -> None:
    losses = losses_of(values, source, target)
    assert fact in str(losses)
    with pytest.raises(InvalidArgumentError, match="'w': .*" + fact):
        raise_losses([("v", losses_of([1], "float32", "float16")), ("w", losses)])


def test_range_may_be_given_up_but_not_an_integer() -> None:
    raise_losses([("w", losses_of([1e30, math.inf], "float32", "float8_e4m3fn", allow_overflow=True))])
    with pytest.raises(InvalidArgumentError):
        raise_losses([("w", losses_of([300], "int32", "uint8", allow_overflow=True))])


def test_infinities_and_nans_that_stay_lose_nothing() -> None:
    losses = losses_of([math.inf, -math.inf, math.nan, 1.0], "float32", "bfloat16")
    assert not losses.is_refused and losses.max_abs == 0


def test_what_was_lost_can_be_counted_again() -> None:
    losses = losses_of([1e30, 0.1], "float32", "float16", allow_overflow=True)
    expected = losses_of([0.1], "float32", "float16", allow_overflow=True)
    losses.reset()
    cast_array(np.array([0.1], np.float32), losses)
    assert losses == expected and losses.allow_overflow
