"""Casting gives numpy's values, says what they cost, and does not lose a value in silence."""

from __future__ import annotations

import pathlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tfsaver
from tests.checkpoint.editing.edited import assert_same, read
from tfsaver import load_checkpoint
from tfsaver.checkpoint.editing.cast import casted
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError, UnimplementedError

VALUES = np.random.default_rng(1).normal(size=(40, 30)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "float8_e4m3fn", "float8_e5m2"])
def test_values_and_errors_are_numpys(save: Any, tmp_path: pathlib.Path, dtype: str) -> None:
    numpy_type = np.dtype(getattr(ml_dtypes, dtype, dtype))
    others = {"step": np.int64(3), "words": np.array([b"a"], object), "mask": np.array([True])}
    report = tfsaver.cast(save("m", {"w": VALUES, **others}), tmp_path / "out", dtype)
    expected = VALUES.astype(numpy_type)
    assert_same(read(report.target), {"w": expected, **others})
    wide, errors = expected.astype(np.float64), report.losses["w"]
    assert list(report.losses) == ["w"]
    assert errors.max_abs == np.abs(wide - VALUES).max()
    related = (wide != 0) & (VALUES != 0)
    assert errors.max_relative == (np.abs(wide - VALUES)[related] / np.abs(VALUES[related].astype(np.float64))).max()
    assert errors.num_underflowed == ((wide == 0) & (VALUES != 0)).sum()
    assert (errors.num_overflowed, errors.num_elements) == (0, 1200)


def test_overflow_is_one_error_of_all_tensors(save: Any, tmp_path: pathlib.Path) -> None:
    arrays = {"a": np.array([1e6, 1, np.inf, np.nan], np.float32), "b": np.array([-1e9, 1e-9], np.float32), "c": VALUES}
    prefix = save("m", arrays)
    with pytest.raises(InvalidArgumentError) as caught:
        tfsaver.cast(prefix, tmp_path / "out", "float16")
    assert "'a': float32 -> float16" in str(caught.value)
    assert "'b': float32 -> float16" in str(caught.value)
    assert "'c'" not in str(caught.value)
    assert not list(tmp_path.glob("out*"))
    report = tfsaver.cast(prefix, tmp_path / "out", np.float16, allow_overflow=True)
    assert (report.losses["a"].num_overflowed, report.losses["b"].num_overflowed) == (1, 1)
    assert report.losses["b"].num_underflowed == 1
    with np.errstate(over="ignore"):
        assert_same(read(report.target), {name: value.astype(np.float16) for name, value in arrays.items()})
    # Without an infinity, what overflows is no number.
    narrow = tfsaver.cast(prefix, tmp_path / "narrow", "float8_e4m3fn", allow_overflow=True)
    assert narrow.losses["a"].num_overflowed == 1


def test_dry_run_says_what_it_would_cost(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"w": VALUES})
    dry = tfsaver.cast(prefix, tmp_path / "out", "bfloat16", dry_run=True)
    assert not list(tmp_path.glob("out*"))
    assert dry.losses == tfsaver.cast(prefix, tmp_path / "out", "bfloat16").losses


def test_patterns_choose_the_tensors(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"a/w": VALUES, "a/norm": VALUES, "b": VALUES})
    report = tfsaver.cast(prefix, tmp_path / "out", "float16", select=tfsaver.Selection(include="^a/", exclude="norm"))
    half = VALUES.astype(np.float16)
    assert_same(read(report.target), {"a/w": half, "a/norm": VALUES, "b": VALUES})
    with pytest.raises(InvalidArgumentError, match="'typo', to be cast"):
        tfsaver.cast(prefix, tmp_path / "other", "float16", select="typo")


def test_integers_are_cast_only_without_loss(save: Any, tmp_path: pathlib.Path) -> None:
    arrays = {"small": np.array([1, -5]), "large": np.array([1 << 40, 2]), "w": np.array([1.0, 2.0]), "x": np.array([1.5])}
    prefix = save("m", arrays)
    with pytest.raises(InvalidArgumentError, match="'large': int64 -> int32, 1 of 2 changed"):
        tfsaver.cast(prefix, tmp_path / "out", "int32")
    report = tfsaver.cast(prefix, tmp_path / "out", "int32", select=tfsaver.Selection(exclude="large"))
    assert_same(read(report.target), {**arrays, "small": np.array([1, -5], np.int32)})
    with pytest.raises(InvalidArgumentError, match="'small'.*1 of 2 changed"):
        tfsaver.cast(prefix, tmp_path / "unsigned", "uint64", select="small")
    floats = tfsaver.cast(prefix, tmp_path / "floats", "int64", select="^w$")
    assert read(floats.target)["w"].tolist() == [1, 2]
    with pytest.raises(InvalidArgumentError, match="'x'"):
        tfsaver.cast(prefix, tmp_path / "fraction", "int64", select="^x$", allow_overflow=True)
    with pytest.raises(InvalidArgumentError, match="'large'"):
        tfsaver.cast({"large": np.array([(1 << 53) + 1])}, tmp_path / "wide", "float64", select="large")


def test_lazy_reads_raise_at_once(partitioned: str) -> None:
    view = casted(ArraySource({"a": np.array([1.0, 1e9])}), "float16")
    assert view.info("a").num_bytes == 4
    assert view.read("a", np.s_[:1]).tolist() == [1.0]
    with pytest.raises(InvalidArgumentError, match="1 overflowed"):
        view.read("a")
    with load_checkpoint(partitioned) as reader:
        assert len(casted(reader, "bfloat16").slices("rows")) == 2


@pytest.mark.parametrize("dtype", ["string", "bool", "qint8", "variant", "resource"])
def test_only_numbers_are_types_to_cast_to(dtype: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no type of numbers"):
        casted(ArraySource({"a": [1.0]}), dtype)


def test_unknown_types_are_errors() -> None:
    with pytest.raises(UnimplementedError, match="'floaty'"):
        casted(ArraySource({"a": [1.0]}), "floaty")
    with pytest.raises(InvalidArgumentError, match="is no type"):
        casted(ArraySource({"a": [1.0]}), 7)
