"""Arrays as text, as JSON and as a few numbers."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest

from tfsaver.cli.values import Statistics, format_array, statistics, to_json
from tfsaver.errors import UnimplementedError
from tfsaver.framework import dtypes


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_every_type_is_written(dtype: dtypes.DType) -> None:
    try:
        dtype.numpy  # noqa: B018 - asked for what it raises
    except UnimplementedError as error:
        pytest.skip(str(error))
    array = np.array([b"0", b"1"], object) if not dtype.has_fixed_size else np.array([0, 1]).astype(np.int8)
    if dtype.has_fixed_size:
        plain = dtype.numpy if dtype.numpy.names is None else dtype.numpy[0]
        array = array.astype(plain).view(dtype.numpy)
    assert ("True" if dtype.name == "bool" else "1") in format_array(array, dtype)
    assert len(json.loads(json.dumps(to_json(array)))) == 2
    found = statistics(array, dtype)
    if dtype.has_fixed_size and "complex" not in dtype.name:
        assert found == Statistics(0.0, 1.0, 0.5, 0, 0)
    else:
        assert found is None


def test_complex_numbers_are_pairs() -> None:
    assert to_json(np.array([1 + 2j, complex(0, np.inf)], np.complex64)) == [[1.0, 2.0], [0.0, "inf"]]


def test_large_integers_stay_exact() -> None:
    assert to_json(np.array(2**63 - 1)) == 2**63 - 1


def test_statistics_of_nothing_are_none() -> None:
    float32 = dtypes.from_name("float32")
    assert statistics(np.zeros((0, 3), np.float32), float32) == Statistics(None, None, None, 0, 0)
    assert statistics(np.full(3, np.nan, np.float32), float32) == Statistics(None, None, None, 3, 0)


def test_mean_of_huge_numbers_does_not_overflow() -> None:
    found = statistics(np.full(4, 1.7e308), dtypes.from_name("float64"))
    assert found is not None
    assert found.mean == pytest.approx(1.7e308)


def test_statistics_of_more_than_one_chunk() -> None:
    array = np.zeros((1 << 20) + 2, ml_dtypes.bfloat16)
    array[0], array[-1] = -1, 3
    found = statistics(array, dtypes.from_name("bfloat16"))
    assert found is not None
    assert (found.min, found.max) == (-1.0, 3.0)
    assert found.mean == pytest.approx(2 / len(array))
