"""Differences are numpy's, of every kind at once, and what is equal is not mentioned."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tfsaver
from tfsaver import load_checkpoint
from tfsaver.errors import InvalidArgumentError

W = np.random.default_rng(3).normal(size=(50, 7)).astype(np.float32)


def only(report: Any) -> Any:
    [item] = report.different
    return item


def test_every_kind_of_difference_is_found(save: Any) -> None:
    a = save("a", {"same": W, "gone": [1], "shape": np.zeros(2), "dtype": np.zeros(2), "value": W, "words": [b"a", b"b"]})
    changed = W.copy()
    changed[3, 4] += 1
    b = save("b", {"same": W, "new": [1], "shape": np.zeros(3), "dtype": np.zeros(2, "f4"), "value": changed, "words": [b"a", b"c"]})
    report = tfsaver.diff(a, b)
    assert not report.ok
    assert (report.only_in_a, report.only_in_b, report.equal) == (("gone",), ("new",), ("same",))
    assert {item.name: item.kinds for item in report.different} == {
        "shape": ("shape",),
        "dtype": ("dtype",),
        "value": ("values",),
        "words": ("values",),
    }
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert [record["num_different"] for record in document["tensors"]] == [0, None, 1, 1]
    assert "1 tensor equal, 4 different, 1 only in a, 1 only in b" in str(report)
    assert tfsaver.diff(a, a).ok


def test_norms_are_numpys(save: Any) -> None:
    other = W + np.random.default_rng(4).normal(size=W.shape).astype(np.float32) * (W > 0)
    values = only(tfsaver.diff(save("a", {"w": W}), save("b", {"w": other})))
    delta = other.astype(np.float64) - W.astype(np.float64)
    assert values.values.num_different == (delta != 0).sum()
    assert values.values.max_abs == np.abs(delta).max()
    assert values.values.norm == pytest.approx(np.linalg.norm(delta), rel=1e-12)
    assert values.relative_norm == pytest.approx(np.linalg.norm(delta) / np.linalg.norm(W.astype(np.float64)), rel=1e-12)


def test_equality_is_of_bytes_unless_a_tolerance_is_given() -> None:
    a = np.array([np.nan, 0.0, np.inf, 1.0, 100.0, -np.inf])
    b = np.array([np.nan, -0.0, np.inf, 1.0 + 1e-9, 101.0, 5.0])
    found = only(tfsaver.diff({"x": a}, {"x": b})).values
    assert (found.num_different, found.num_not_finite, found.max_abs) == (4, 1, 1.0)
    found = only(tfsaver.diff({"x": a}, {"x": b}, atol=1e-8)).values
    assert (found.num_different, found.max_abs) == (2, 1.0)
    found = only(tfsaver.diff({"x": a}, {"x": b}, rtol=0.01)).values
    assert found.num_different == 1
    payload = np.array([0x7FF8000000000001], np.uint64).view(np.float64)
    assert not tfsaver.diff({"x": payload}, {"x": np.array([np.nan])}).ok
    assert tfsaver.diff({"x": payload}, {"x": np.array([np.nan])}, atol=1e-30).ok


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        (np.array([1 << 62], np.int64), np.array([(1 << 62) + 1], np.int64), 1.0),
        (np.array([-(1 << 63)], np.int64), np.array([(1 << 63) - 1], np.int64), 2.0**64),
        (np.array([(1 << 64) - 1], np.uint64), np.array([(1 << 64) - 2], np.uint64), 1.0),
        (np.array([-128], np.int8), np.array([127], np.int8), 255.0),
        (np.array([-8]).astype(ml_dtypes.int4), np.array([7]).astype(ml_dtypes.int4), 15.0),
        (np.array([1 + 1j], np.complex64), np.array([1 - 2j], np.complex64), 3.0),
        (np.array([1], ml_dtypes.bfloat16), np.array([2.5], ml_dtypes.bfloat16), 1.5),
    ],
)
def test_distances_of_every_kind_of_number_are_exact(a: Any, b: Any, distance: float) -> None:
    for one, other in ((a, b), (b, a)):
        assert only(tfsaver.diff({"x": one}, {"x": other})).values.max_abs == distance


def test_booleans_and_quantised_numbers_differ_without_norms() -> None:
    quantised = np.array([(1,), (2,)], [("qint8", "i1")])
    for a, b in ((np.array([True, False]), np.array([True, True])), (quantised, quantised[::-1])):
        found = only(tfsaver.diff({"x": a}, {"x": b}))
        assert found.values.num_different == (1 if a.dtype == bool else 2)
        assert found.values.norm == 0
        assert found.relative_norm is None


def test_types_may_be_ignored(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"w": W, "step": np.int64(1)})
    half = tfsaver.cast(prefix, tmp_path / "half", "bfloat16").target
    assert only(tfsaver.diff(prefix, half)).kinds == ("dtype", "values")
    assert only(tfsaver.diff(prefix, half, ignore_dtype=True)).values.num_different == (W.astype(ml_dtypes.bfloat16) != W).sum()
    assert tfsaver.diff(prefix, half, ignore_dtype=True, rtol=0.01).ok
    exact = tfsaver.cast(prefix, tmp_path / "wide", "float64").target
    assert only(tfsaver.diff(prefix, exact)).kinds == ("dtype",)
    assert tfsaver.diff(prefix, exact, ignore_dtype=True).ok


def test_names_may_be_mapped_and_selected(save: Any) -> None:
    a, b = save("a", {"old/w": W, "x": [1]}), save("b", {"new/w": W, "x": [2]})
    assert tfsaver.diff(a, b, mapping=[("^old/", "new/")], select=tfsaver.Selection(exclude="^x$")).ok
    assert only(tfsaver.diff(a, b, mapping=[("^old/", "new/")])).name == "x"


def test_formats_and_shards_make_no_difference(save: Any, partitioned: str, tmp_path: pathlib.Path) -> None:
    for options in ({"format": "V1"}, {"format": "V1", "num_shards": 2}, {"num_shards": 3}):
        with load_checkpoint(partitioned) as reader:
            assert tfsaver.diff(reader, save("again", reader, **options)).ok


def test_tolerances_are_not_negative() -> None:
    with pytest.raises(InvalidArgumentError, match="not negative"):
        tfsaver.diff({"x": [1.0]}, {"x": [1.0]}, rtol=-1)


def test_damage_is_an_error_and_no_difference(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"w": W})
    other = save("other", {"w": W})
    data = tmp_path / "m.data-00000-of-00001"
    data.write_bytes(b"\xff" + data.read_bytes()[1:])
    with pytest.raises(tfsaver.errors.ChecksumError):
        tfsaver.diff(prefix, other)


@pytest.mark.parametrize(
    ("a", "b", "num_different"),
    [
        (np.array([2**53 + 1, 5]), np.array([2.0**53, 5.0]), 1),
        (np.array([2**63 - 1]), np.array([2.0**63]), 1),
        (np.array([2**64 - 1, 2**53], np.uint64), np.array([2.0**64, 2.0**53]), 1),
        (np.array([2**63 + 1], np.uint64), np.array([-(2**63) + 1]), 1),
        (np.array([2**40, -3]), np.array([2.0**40, -3.0]), 0),
    ],
)
def test_integers_of_64_bits_and_floats_are_compared_exactly(a: Any, b: Any, num_different: int) -> None:
    for one, other in ((a, b), (b, a)):
        report = tfsaver.diff({"w": one}, {"w": other}, ignore_dtype=True)
        assert sum(item.values.num_different for item in report.different if item.values) == num_different


def test_a_pattern_selects_what_is_compared() -> None:
    a, b = {"x/w": np.ones(2), "y/w": np.ones(2)}, {"x/w": np.ones(2), "y/w": np.zeros(2)}
    assert tfsaver.diff(a, b, select="^x/").ok
    assert [item.name for item in tfsaver.diff(a, b, select=["^y/"]).different] == ["y/w"]
