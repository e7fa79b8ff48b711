"""Measures of tensors against numpy, whatever pieces they come in."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsaver
from tfsaver.checkpoint import measuring
from tfsaver.checkpoint.measuring import MAX_BINS, Measures, measure
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import UnimplementedError
from tfsaver.framework import array_pieces, dtypes


def measured(numbers: np.ndarray[Any, Any], num_pieces: int) -> Measures:
    measures = Measures()
    for piece in np.array_split(numbers, num_pieces):
        measures.add(piece)
    return measures


def check(measures: Measures, numbers: np.ndarray[Any, Any]) -> None:
    """Compares measures with what numpy says of all elements at once."""
    wide = numbers.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    assert measures.num_elements == wide.size
    assert measures.num_nan == np.isnan(wide).sum()
    assert measures.num_infinite == np.isinf(wide).sum()
    assert measures.num_zero == (finite == 0).sum()
    histogram = measures.histogram
    if not finite.size:
        assert (measures.min, measures.max, measures.mean, measures.norm) == (None, None, None, 0.0)
        assert histogram.counts == []
        return
    assert (measures.min, measures.max) == (finite.min(), finite.max())
    scale = np.abs(finite).max() or 1.0
    assert measures.mean == pytest.approx((finite / scale).mean() * scale, rel=1e-9, abs=scale * 1e-12 + 1e-300)
    norm = float(np.linalg.norm(finite / scale)) * float(scale)
    assert measures.norm == pytest.approx(norm, rel=1e-9, abs=1e-300)
    assert len(histogram.counts) <= MAX_BINS + 1
    assert sum(histogram.counts) == finite.size
    # numpy closes the last bin on both sides, so that one more is after it.
    width = 2.0**histogram.exponent
    with np.errstate(over="ignore"):
        edges = (histogram.first + np.arange(len(histogram.counts) + 2, dtype=np.float64)) * width
    if np.isfinite(edges).all() and (np.diff(edges) > 0).all():
        assert histogram.counts == np.histogram(finite, edges)[0][:-1].tolist()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(width=64), min_size=1, max_size=60), st.integers(1, 7))
def test_measures_are_those_of_numpy_in_any_pieces(values: list[float], num_pieces: int) -> None:
    numbers = np.array(values)
    check(measured(numbers, num_pieces), numbers)


@pytest.mark.parametrize("num_pieces", [1, 3, 50])
def test_a_histogram_has_half_of_its_bins_or_more(num_pieces: int) -> None:
    numbers = np.random.default_rng(1).normal(size=20_000)
    # The range grows from piece to piece.
    numbers[10_000:] *= 100
    measures = measured(numbers, num_pieces)
    check(measures, numbers)
    assert len(measures.histogram.counts) >= MAX_BINS / 2


@pytest.mark.parametrize(
    "numbers",
    [
        np.full(5, 3.25, np.float32),
        np.zeros(4, np.float16),
        np.array([True, False, True]),
        np.arange(-100, 100, dtype=np.int8),
        np.array([0, 2**63 + 1, 5], np.uint64),
        np.array([1.5, -2.0, np.nan, np.inf], ml_dtypes.bfloat16),
        np.array([1, -3, 7], ml_dtypes.int4),
        np.array([1e308, -1e308, -1e-320, 5]),
        np.array([5e-324, 0.0]),
    ],
    ids=lambda numbers: str(numbers.dtype),
)
def test_every_type_of_numbers_is_measured(numbers: np.ndarray[Any, Any]) -> None:
    found, damaged = measure(ArraySource({"t": numbers}))
    assert damaged == {}
    check(found["t"], numbers)


@pytest.mark.parametrize("dtype", [each for each in dtypes.ALL if each.has_fixed_size], ids=str)
def test_every_dtype_of_a_checkpoint_is_measured(dtype: dtypes.DType) -> None:
    try:
        _ = dtype.numpy
    except UnimplementedError as error:
        pytest.skip(str(error))
    plain = dtype.numpy if dtype.numpy.names is None else dtype.numpy[0]
    found, damaged = measure(ArraySource({"t": np.array([0, 1]).astype(np.int8).astype(plain).view(dtype.numpy)}))
    assert damaged == {}
    if "complex" in dtype.name:
        assert found == {}
    else:
        check(found["t"], np.array([0, 1]))


def test_strings_and_complex_numbers_are_read_and_not_measured() -> None:
    found, damaged = measure(ArraySource({"c": np.ones(2, np.complex64), "s": np.array([b"x"], object), "w": np.ones(3)}))
    assert (list(found), damaged) == (["w"], {})


def test_empty_tensors_have_no_range() -> None:
    found, _ = measure(ArraySource({"e": np.zeros((0, 3), np.float32)}))
    check(found["e"], np.zeros(0))


def test_tensors_come_in_pieces(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(2).normal(size=1000).astype(np.float32)
    prefix = tfsaver.save_checkpoint({"w": numbers.reshape(10, 100)}, tmp_path / "m", durable=False)
    monkeypatch.setattr(array_pieces, "PIECE_ELEMENTS", 64)
    sizes: list[int] = []
    add = Measures.add
    monkeypatch.setattr(measuring.Measures, "add", lambda self, piece: (sizes.append(piece.size), add(self, piece))[1])
    with tfsaver.load_checkpoint(prefix) as reader:
        found, _ = measure(reader)
    check(found["w"], numbers)
    assert len(sizes) > 1 and sum(sizes) == 1000


def test_damage_of_one_tensor_leaves_the_others(tmp_path: pathlib.Path) -> None:
    arrays = {name: np.full(8, number, np.float32) for number, name in enumerate("abcd")}
    prefix = tfsaver.save_checkpoint({**arrays, "s": np.array([b"text"], object)}, tmp_path / "m", num_shards=2, durable=False)
    with tfsaver.load_checkpoint(prefix) as reader:
        places = {name: reader.info(name).pieces[0] for name in (*arrays, "s")}
    for name in ("b", "s"):
        data = bytearray(pathlib.Path(places[name].path).read_bytes())
        data[places[name].offset + places[name].size - 1] ^= 1  # type: ignore[operator]
        pathlib.Path(places[name].path).write_bytes(data)
    calls: list[tuple[int, int]] = []
    with tfsaver.load_checkpoint(prefix) as reader:
        found, damaged = measure(reader, progress=lambda done, total: calls.append((done, total)))
    assert set(damaged) == {"b", "s"}
    assert all(isinstance(error, tfsaver.errors.DataLossError) for error in damaged.values())
    for name, measures in found.items():
        check(measures, arrays[name])
    assert list(found) == ["a", "c", "d"]
    assert calls and all(done <= total for done, total in calls)


def test_a_missing_file_is_damage_of_its_tensors(tmp_path: pathlib.Path) -> None:
    arrays = {name: np.ones(8, np.float32) for name in "abcd"}
    prefix = tfsaver.save_checkpoint(arrays, tmp_path / "m", num_shards=2, durable=False)
    with tfsaver.load_checkpoint(prefix) as reader:
        lost = {name for name in arrays if reader.info(name).shard_ids == (1,)}
    (tmp_path / "m.data-00001-of-00002").unlink()
    with tfsaver.load_checkpoint(prefix) as reader:
        found, damaged = measure(reader)
    assert lost and set(damaged) == lost
    assert set(found) == set(arrays) - lost
    assert math.isclose(found[min(found)].norm, math.sqrt(8))
