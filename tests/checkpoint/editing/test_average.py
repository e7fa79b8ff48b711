"""A mean is numpy's mean in float64, and checkpoints that have none say all reasons."""

from __future__ import annotations

import math
import pathlib
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tfsaver
from tests.checkpoint.editing.edited import assert_same, read
from tfsaver import load_checkpoint, save_checkpoint
from tfsaver.checkpoint.editing.average import averaged, last_checkpoints
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError


def run(seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    w = generator.normal(size=(4, 5))
    return {
        "double": w,
        "float": w.astype(np.float32),
        "half": w.astype(np.float16),
        "bfloat": w.astype(ml_dtypes.bfloat16),
        "complex": (w + 1j * w.T.reshape(4, 5)).astype(np.complex64),
        "step": np.int64(seed),
        "words": np.array([str(seed).encode()], object),
        "flag": np.bool_(seed % 2),
    }


@pytest.mark.parametrize("weights", [None, [1, 2, 0.5]])
def test_means_are_numpys_in_double_precision(save: Any, tmp_path: pathlib.Path, weights: list[float] | None) -> None:
    runs = [run(seed) for seed in range(3)]
    report = tfsaver.average([save(f"m{seed}", arrays) for seed, arrays in enumerate(runs)], tmp_path / "out", weights=weights)
    expected = dict(runs[-1])
    for name in ("double", "float", "half", "bfloat", "complex"):
        wide = np.complex128 if name == "complex" else np.float64
        stack = np.stack([arrays[name].astype(wide) for arrays in runs])
        expected[name] = np.average(stack, axis=0, weights=weights).astype(runs[0][name].dtype)
    found = read(report.target)
    for name in ("step", "words", "flag"):
        assert found[name].tolist() == np.asarray(expected[name]).tolist()
    if weights is None:
        # What a float64's mean is in its last digit, is for the test of exact means.
        assert_same({**found, "double": expected["double"]}, expected)
    for name in ("double", "complex"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
    assert "averaged:  5 tensors" in str(report)
    assert "from the last one" in str(report)


def test_all_differences_are_one_error(tmp_path: pathlib.Path) -> None:
    one = ArraySource({"a": np.zeros(2), "b": np.zeros(2), "c": np.zeros(2), "only": np.zeros(1)})
    two = ArraySource({"a": np.zeros(3), "b": np.zeros(2, np.float32), "c": np.zeros(2), "other": np.zeros(1)})
    with pytest.raises(InvalidArgumentError) as caught:
        tfsaver.average([one, two], tmp_path / "out")
    said = str(caught.value)
    assert all(f"'{name}'" in said for name in ("a", "b", "only", "other"))
    assert "'c'" not in said
    assert "4 problems" in said


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [0, 0], [1, -1], [1, float("nan")]])
def test_weights_must_make_a_mean(weights: list[float]) -> None:
    sources = [ArraySource({"a": [1.0]}), ArraySource({"a": [2.0]})]
    with pytest.raises(InvalidArgumentError, match="weight"):
        averaged(sources, weights)


def test_nothing_has_no_mean(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidArgumentError, match="no checkpoints to average"):
        tfsaver.average([], tmp_path / "out")


def test_slices_stay_when_all_have_the_same(partitioned: str, tmp_path: pathlib.Path) -> None:
    with load_checkpoint(partitioned) as reader:
        whole = save_checkpoint(reader, tmp_path / "whole")
        for others, number in (([partitioned, partitioned], 2), ([whole, partitioned], 0)):
            prefix = tfsaver.average(others, tmp_path / "out", overwrite=True).target
            with load_checkpoint(prefix or "") as mean:
                assert len(mean.info("rows").slices) == number
                np.testing.assert_array_equal(mean["rows"], reader["rows"])
                np.testing.assert_array_equal(mean["words"], reader["words"])


def test_damage_of_any_of_them_is_an_error(save: Any, tmp_path: pathlib.Path) -> None:
    prefixes = [save(f"m{seed}", run(seed)) for seed in range(2)]
    data = tmp_path / "m0.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[3] ^= 1
    data.write_bytes(content)
    with pytest.raises(tfsaver.errors.ChecksumError):
        tfsaver.average(prefixes, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_real_runs_are_averaged(cases: pathlib.Path, tmp_path: pathlib.Path) -> None:
    prefixes = last_checkpoints(cases / "v2_tfx_estimator_ckpt", 3)
    assert len(prefixes) == 3
    report = tfsaver.average(prefixes, tmp_path / "out", with_meta=True)
    found, runs = read(report.target), [read(prefix) for prefix in prefixes]
    for name, value in found.items():
        if value.dtype == np.float32:
            expected = np.mean([arrays[name].astype(np.float64) for arrays in runs], axis=0).astype(np.float32)
            assert value.tobytes() == expected.tobytes()
    assert found["global_step"] == runs[-1]["global_step"]
    assert (tmp_path / "out.meta").read_bytes() == pathlib.Path(f"{prefixes[-1]}.meta").read_bytes()
    with pytest.raises(InvalidArgumentError, match="names 3 checkpoints that are there, not 4"):
        last_checkpoints(cases / "v2_tfx_estimator_ckpt", 4)
    with pytest.raises(InvalidArgumentError, match="the last 0"):
        last_checkpoints(cases / "v2_tfx_estimator_ckpt", 0)


def exact_mean(columns: list[list[float]], weights: list[float]) -> list[Fraction]:
    total = sum(Fraction(weight) for weight in weights)
    sums = [sum(Fraction(x) * Fraction(w) for x, w in zip(column, weights, strict=True)) for column in zip(*columns, strict=True)]
    return [Fraction(each) / total for each in sums]


@example([[0.0] * 3, [2.0] * 3, [2.5011790467085896e16] * 3, [1.7976931348623157e308] * 3, [-1.7976931348623157e308] * 3])
@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(
            st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=n, max_size=n
        )
    )
)
def test_mean_of_float64_is_the_nearest(columns: list[list[float]]) -> None:
    mean = averaged([ArraySource({"a": np.array(column)}) for column in columns])["a"]
    for number, (found, exact) in enumerate(zip(mean.tolist(), exact_mean(columns, [1.0] * len(columns)), strict=True)):
        # Terms that cancel each other leave what is behind the digits of two numbers.
        largest = max(abs(Fraction(column[number])) for column in columns)
        allowed = Fraction(math.ulp(found)) * (Fraction(1, 2) + Fraction(1, 2**30)) + largest / 2**100
        # Two are as near as can be told where a third number, 2^-100 times the others, decides between them; and below
        # any normal number digits end before the mean is rounded.
        assert abs(Fraction(found) - exact) <= allowed or abs(found) < 1e-300


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_only_proportions_of_weights_matter(scale: float) -> None:
    columns = [[1e308, 1.0, 3.0], [1.7e308, 2.0, 5.0], [-1e308, 4.0, 7.0]]
    weights = [scale * each for each in (1, 2, 5)]
    mean = averaged([ArraySource({"a": np.array(column)}) for column in columns], weights)["a"]
    np.testing.assert_allclose(mean, [float(each) for each in exact_mean(columns, weights)], rtol=3e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_source_without_weight_does_not_count_whatever_it_holds(dtype: Any) -> None:
    sources = [ArraySource({"a": np.array([np.inf, np.nan, 1], dtype)}), ArraySource({"a": np.array([1, 2, 3], dtype)})]
    assert averaged(sources, [0, 3])["a"].tolist() == [1, 2, 3]
    mean = averaged(sources)["a"]
    assert np.isinf(mean[0].real) and np.isnan(mean[1].real) and mean[2] == 2


def test_mean_of_largest_numbers_is_not_infinite() -> None:
    largest = np.finfo(np.float64).max
    assert averaged([ArraySource({"a": np.array([largest])})] * 3)["a"].tolist() == [largest]


def test_path_is_not_taken_for_a_list_of_letters(tmp_path: pathlib.Path) -> None:
    for verb in (tfsaver.average, tfsaver.merge):
        with pytest.raises(InvalidArgumentError, match=r"a list of checkpoints is needed, not str: \['model'\]"):
            verb("model", tmp_path / "out")
