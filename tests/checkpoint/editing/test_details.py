"""Options, limits and sums of the edits, each by itself."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tfsaver
from tests.checkpoint.editing.edited import read
from tfsaver.checkpoint import losses as losses_module
from tfsaver.checkpoint.editing.cast import casted
from tfsaver.checkpoint.editing.comparing import ValueDifference, norm_of
from tfsaver.checkpoint.losses import Losses, can_lose, cast_array, raise_losses
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes

# Means.


@pytest.mark.parametrize(("number", "rest"), [(1, "s0"), (3, "s0, s1, s2"), (5, "s0, s1, s2, and 2 more")])
def test_mean_says_what_is_from_the_last_one_and_is_as_large_as_one(save: Any, tmp_path: pathlib.Path, number: int, rest: str) -> None:
    arrays = {"w": np.ones(4), **{f"s{place}": np.int64(place) for place in range(number)}}
    prefixes = [save(f"m{place}", arrays) for place in range(3)]
    report = tfsaver.average(prefixes, tmp_path / "out", durable=False)
    assert report.notes == ("averaged:  1 tensor, 32 bytes, of 3 checkpoints", f"from the last one, {prefixes[-1]}: {rest}")
    assert report.before == report.after == (number + 1, 32 + 8 * number)
    assert report.sources == tuple(prefixes)
    only = tfsaver.average([{"w": np.ones(4)}] * 2, tmp_path / "only", durable=False)
    assert only.notes == ("averaged:  1 tensor, 32 bytes, of 2 checkpoints",)


# Casts.


def test_lazy_cast_may_overflow_where_that_is_allowed_and_loses_nothing_else() -> None:
    source = ArraySource({"a": np.array([1.0, 1e9])})
    assert casted(source, "float16", allow_overflow=True).read("a").tolist() == [1.0, np.inf]
    plan = casted(source, "float16", raises=False)
    assert plan.read("a").tolist() == [1.0, np.inf]
    lost = dict(plan.losses())["a"]
    assert lost.num_overflowed == 1 and lost.is_refused


def losses(**fields: Any) -> Losses:
    fields = {"source": dtypes.from_name("float32"), "target": dtypes.from_name("float16"), "num_elements": 9, **fields}
    return Losses(**fields)


def test_what_was_lost_is_said_in_numbers() -> None:
    assert str(losses()) == "float32 -> float16, off by at most 0, relative 0"
    assert str(losses(num_overflowed=1234, max_abs=0.125, max_relative=0.01, num_underflowed=2)) == (
        "float32 -> float16, 1,234 overflowed, the rest off by at most 0.125, relative 0.01, 2 became 0"
    )
    assert "3 infinities lost, 4 NaNs became numbers, the rest off" in str(losses(num_infinities_lost=3, num_nans_lost=4))
    for source, target in (("int8", "float16"), ("float32", "int8"), ("bool", "float32"), ("float32", "bool")):
        kinds = {"source": dtypes.from_name(source), "target": dtypes.from_name(target)}
        assert str(losses(**kinds)) == f"{source} -> {target}, exact"
        assert str(losses(**kinds, num_changed=2)) == f"{source} -> {target}, 2 of 9 changed"


@pytest.mark.parametrize("field", ["num_changed", "num_nans_lost", "num_overflowed", "num_infinities_lost"])
def test_only_what_is_out_of_range_may_be_allowed(field: str) -> None:
    lost = losses(**{field: 2})
    assert lost.num_refused == 2 and lost.is_refused
    assert losses(**{field: 2}, allow_overflow=True).is_refused == (field in ("num_changed", "num_nans_lost"))
    with pytest.raises(InvalidArgumentError, match="'w': float32"):
        raise_losses([("w", lost), ("v", losses())])
    raise_losses([("v", losses(num_underflowed=3, max_abs=1.0))])


def test_largest_error_and_underflows_are_those_of_all_pieces() -> None:
    lost = losses(num_elements=0)
    for piece in ([1.0, 2.0 + 2.0**-12], [1e-9, 0.0], [3.0, np.inf, np.nan], [70000.0], [np.inf]):
        cast_array(np.array(piece, np.float32), lost)
    assert (lost.num_elements, lost.num_overflowed, lost.num_underflowed) == (9, 1, 1)
    assert lost.max_abs == 2.0**-12 and lost.max_relative == 2.0**-12 / (2.0 + 2.0**-12)
    assert not lost.num_infinities_lost and not lost.num_nans_lost


def test_worst_losses_sort_last() -> None:
    order = [
        losses(),
        losses(num_underflowed=1),
        losses(max_relative=0.1),
        losses(max_relative=0.1, num_underflowed=1),
        losses(num_overflowed=1),
        losses(num_infinities_lost=2),
        losses(num_changed=1),
    ]
    assert sorted(order[3:] + order[:3], key=lambda each: each.badness) == order


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("int8", "int16", False), ("int16", "int8", True), ("uint8", "int8", True), ("int8", "uint8", True),
        ("uint8", "int16", False), ("int8", "int8", False), ("uint64", "int64", True),
        ("int16", "float16", True), ("int8", "float16", False), ("uint8", "bfloat16", False), ("int16", "bfloat16", True),
        ("int32", "float64", False), ("int64", "float64", True), ("float32", "float64", False), ("float64", "float32", True),
        ("uint16", "float32", False), ("int32", "float32", True), ("complex64", "complex128", False), ("float32", "int64", True),
    ],
)  # fmt: skip
def test_types_that_hold_another_lose_nothing_of_it(source: str, target: str, expected: bool) -> None:
    assert can_lose(dtypes.from_name(source), dtypes.from_name(target)) == expected


def test_large_pieces_are_counted_in_blocks_each_element_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.array([1.0, 1e9, np.inf, np.nan, 1e-9, 70000.0, 2.0], np.float32)
    whole = losses(num_elements=0)
    cast_array(values, whole)
    monkeypatch.setattr(losses_module, "BLOCK_ELEMENTS", 2)
    blocks = losses(num_elements=0)
    cast_array(values, blocks)
    assert blocks == whole and whole.num_overflowed == 2 and whole.num_underflowed == 1


def test_cast_of_nothing_is_noted(tmp_path: pathlib.Path) -> None:
    some = tfsaver.cast({"w": np.ones(2)}, tmp_path / "some", "float16", durable=False)
    none = tfsaver.cast({"n": np.arange(2)}, tmp_path / "none", "float16", durable=False)
    assert some.notes == () and none.notes == ("note: there is nothing to cast to float16",)
    assert list(some.losses) == ["w"] and (some.before, some.after) == ((1, 16), (1, 4))


# Differences.


def compared(a: Any, b: Any, **tolerances: float) -> ValueDifference:
    values = ValueDifference(**tolerances)
    values.add(np.asarray(a), np.asarray(b))
    return values


def test_differences_of_pieces_add_up() -> None:
    values = compared([1.0, 2.0], [1.0, 5.0])
    values.add(np.array([0.0, 4.0, np.nan]), np.array([4.0, 4.0, 1.0]))
    assert (values.num_elements, values.num_different, values.num_not_finite) == (5, 3, 1)
    assert values.max_abs == 4 and values.norm == 5
    assert norm_of([np.array([3.0, np.inf]), np.array([4.0, np.nan])]) == 5


@pytest.mark.parametrize("tolerance", [{"atol": 0.5}, {"rtol": 0.125}])
def test_tolerance_is_met_exactly_at_its_limit(tolerance: dict[str, float]) -> None:
    assert compared([4.5, 3.5], [4.0, 4.0], **tolerance).num_different == 0
    assert compared([4.5 + 2.0**-40], [4.0], **tolerance).num_different == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.array([1, 2], np.int8), np.array([1.0, 3.0])),
        (np.array([1.0, 2.0], np.float32), np.array([1.0, 3.0])),
        (np.array([1, 2], ml_dtypes.bfloat16), np.array([1, 3], np.int64)),
        (np.array([1, 2], np.complex64), np.array([1, 3], np.uint64)),
        (np.array([1, 2j], np.complex128), np.array([1, 1j], np.complex64)),
    ],
)
def test_numbers_of_different_types_are_compared_by_value(a: Any, b: Any) -> None:
    values = compared(a, b)
    assert (values.num_different, values.max_abs, values.norm) == (1, 1, 1)


def test_complex_numbers_of_sixteen_bytes_are_compared_by_their_bytes() -> None:
    values = compared(np.array([1 + 1j, 2, -0.0], np.complex128), np.array([1 + 1j, 2 + 1j, 0.0], np.complex128))
    assert (values.num_elements, values.num_different, values.max_abs) == (3, 2, 1)


def test_difference_is_said_with_all_its_facts(save: Any) -> None:
    a = {"kind": np.zeros(2), "shape": np.zeros((2, 1)), "value": np.array([3.0, 4.0, np.inf, 0.0]), "zero": np.zeros(1), "same": [1]}
    b = {"kind": np.zeros(2, "f4"), "shape": np.zeros(3), "value": np.array([3.0, 4.5, 1.0, 0.0]), "zero": np.ones(1), "same": [1]}
    told: list[tuple[int, int]] = []
    report = tfsaver.diff(save("a", a), save("b", b), progress=lambda *said: told.append(said))
    assert {item.name: str(item) for item in report.different} == {
        "kind": "kind: float64 and float32, equal values",
        "shape": "shape: shapes [2, 1] and [3]",
        "value": "value: 2 of 4 elements differ, by at most 0.5, norm 0.5, 0.1 of the first, 1 infinite or no number",
        "zero": "zero: 1 of 1 element differ, by at most 1, norm 1",
    }
    # Of the tensors whose elements are compared.
    assert told == [(16, 64), (24, 64), (56, 64), (64, 64)]
    document = json.loads(json.dumps(report.to_json()))
    assert document["tensors"][2] == {
        "name": "value",
        "kinds": ["values"],
        "dtypes": ["float64", "float64"],
        "shapes": [[4], [4]],
        "num_elements": 4,
        "num_different": 2,
        "num_not_finite": 1,
        "max_abs": 0.5,
        "norm": 0.5,
        "relative_norm": 0.1,
    }
    assert document["tensors"][1]["num_elements"] is None and document["tensors"][1]["kinds"] == ["shape"]
    assert (document["a"], document["b"]) == report.checkpoints
    assert document["different"] is True and document["num_equal"] == 1 and document["only_in_a"] == document["only_in_b"] == []


# Splits.


def test_part_for_the_rest_is_written_only_if_something_is_left(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"a/x": np.ones(2), "b/x": np.zeros(3)})
    parts: dict[Any, Any] = {str(tmp_path / "one"): "^a/", tmp_path / "two": "^b/"}
    report = tfsaver.split(prefix, parts, rest=tmp_path / "rest", durable=False)
    assert list(report.parts) == [str(tmp_path / "one"), str(tmp_path / "two")] and not list(tmp_path.glob("rest*"))
    some = tfsaver.split(prefix, {str(tmp_path / "three"): "^a/"}, rest=tmp_path / "rest", durable=False)
    assert list(read(some.parts[str(tmp_path / "rest")].target)) == ["b/x"]
    document = json.loads(json.dumps(some.to_json()))
    assert document["verb"] == "split" and [part["target"] for part in document["parts"]] == list(some.parts)


@pytest.mark.parametrize(("number", "said"), [(5, "t0, t1, t2, t3, t4"), (6, "t0, t1, t2, t3, t4, and 1 more")])
def test_tensors_without_a_part_are_named_up_to_five(tmp_path: pathlib.Path, number: int, said: str) -> None:
    arrays = {"a": np.ones(1), **{f"t{place}": np.ones(1) for place in range(number)}}
    with pytest.raises(InvalidArgumentError) as caught:
        tfsaver.split(arrays, {str(tmp_path / "a"): "^a$"})
    assert str(caught.value) == f"{number} tensors belong to no part, and there is none for the rest: {said}"
