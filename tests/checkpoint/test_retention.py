"""What a policy keeps, of checkpoints that are no more than times, metrics and pins."""

from __future__ import annotations

import dataclasses
import math
import random

import hypothesis
import pytest
from hypothesis import strategies

from tfsaver.checkpoint.retention import Retention
from tfsaver.errors import InvalidArgumentError


@dataclasses.dataclass
class Moment:
    time: float = 0.0
    metric: float | None = None
    is_pinned: bool = False


def kept(retention: Retention, checkpoints: list[Moment], began: float = 0.0) -> list[int]:
    return [position for position, stays in enumerate(retention.keeps(checkpoints, began)) if stays]


def hours(*numbers: float) -> list[Moment]:
    return [Moment(number * 3600) for number in numbers]


def metrics(*numbers: float | None) -> list[Moment]:
    return [Moment(metric=number) for number in numbers]


def test_last_are_the_newest_by_order() -> None:
    assert kept(Retention(last=2), hours(5, 4, 3, 2)) == [2, 3]
    assert kept(Retention(last=9), hours(1, 2)) == [0, 1]
    assert kept(Retention(last=1), []) == []


def test_newest_always_stays() -> None:
    assert kept(Retention(best=1), metrics(0.1, 0.5)) == [0, 1]
    assert kept(Retention(every_hours=100), hours(1, 2)) == [1]


def test_one_in_so_many_hours_is_the_first_that_is_far_enough() -> None:
    assert kept(Retention(every_hours=2), hours(0, 1, 2, 3, 3.5, 4.5, 6, 7, 7.2)) == [2, 5, 7, 8]


def test_hours_count_from_where_the_series_began() -> None:
    assert kept(Retention(every_hours=2), hours(10, 11, 12, 13), began=10 * 3600) == [2, 3]


def test_clock_that_went_backwards_keeps_one_and_counts_on() -> None:
    years = 24 * 365 * 70
    assert kept(Retention(every_hours=2), hours(1, years, 2, 3, 4, 4.5)) == [1, 2, 4, 5]


def test_clocks_that_disagree_by_minutes_keep_nothing_more() -> None:
    moments = hours(0, 0.1, 0, 0.2, 0.1, 0.3, 0.2)
    assert kept(Retention(every_hours=2), moments) == [6]


@pytest.mark.parametrize(("mode", "expected"), [("min", [1, 3, 4]), ("max", [0, 2, 4])])
def test_best_by_metric(mode: str, expected: list[int]) -> None:
    assert kept(Retention(best=2, mode=mode), metrics(0.9, 0.1, 0.8, 0.2, 0.5)) == expected  # type: ignore[arg-type]


def test_equal_metric_replaces_nothing() -> None:
    assert kept(Retention(best=2), metrics(0.5, 0.5, 0.5, 0.5)) == [0, 1, 3]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_checkpoint_without_a_finite_metric_is_never_among_the_best(mode: str) -> None:
    moments = metrics(None, math.nan, math.inf, -math.inf, 3.0, None)
    assert kept(Retention(best=3, mode=mode), moments) == [4, 5]  # type: ignore[arg-type]


def test_pinned_stays() -> None:
    assert kept(Retention(last=1), [Moment(is_pinned=True), Moment(), Moment()]) == [0, 2]


def test_one_rule_is_enough() -> None:
    moments = [Moment(3600 * n, metric=abs(n - 3), is_pinned=n == 5) for n in range(10)]
    assert kept(Retention(last=2, every_hours=4, best=1), moments) == [3, 4, 5, 8, 9]


@hypothesis.given(
    strategies.lists(
        strategies.tuples(strategies.floats(0, 1e5), strategies.none() | strategies.floats(), strategies.booleans())
    ),
    strategies.integers(1, 5),
    strategies.integers(1, 5),
    strategies.floats(0.1, 10),
    strategies.randoms(use_true_random=False),
)
def test_removing_what_is_not_kept_changes_no_later_decision(
    facts: list[tuple[float, float | None, bool]], last: int, best: int, every: float, chance: random.Random
) -> None:
    """One removal per save, several, or none for a while: what is there in the end is the same."""
    retention = Retention(last=last, best=best, every_hours=every)
    moments = [Moment(*fact) for fact in facts]
    there: list[Moment] = []
    for moment in moments:
        there.append(moment)
        if chance.random() < 0.7:
            there = [m for m, stays in zip(there, retention.keeps(there, 0.0), strict=True) if stays]
    there = [m for m, stays in zip(there, retention.keeps(there, 0.0), strict=True) if stays]
    always: list[Moment] = []
    for moment in moments:
        always.append(moment)
        always = [m for m, stays in zip(always, retention.keeps(always, 0.0), strict=True) if stays]
    assert [id(m) for m in there] == [id(m) for m in always]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "needs a rule"),
        ({"last": 0}, "last=0"),
        ({"last": True}, "last=True"),
        ({"last": 2.5}, "last=2.5"),
        ({"best": -1}, "best=-1"),
        ({"every_hours": 0}, "every_hours=0"),
        ({"every_hours": math.nan}, "every_hours=nan"),
        ({"every_hours": "6"}, "every_hours='6'"),
        ({"best": 1, "mode": "least"}, "mode='least'"),
    ],
)
def test_policy_that_makes_no_sense_is_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        Retention(**arguments)  # type: ignore[arg-type]
