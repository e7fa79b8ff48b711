"""Arrays as text, as JSON and as a few numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tfsaver.cli.values import format_array, to_json
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


def test_complex_numbers_are_pairs() -> None:
    assert to_json(np.array([1 + 2j, complex(0, np.inf)], np.complex64)) == [[1.0, 2.0], [0.0, "inf"]]


def test_large_integers_stay_exact() -> None:
    assert to_json(np.array(2**63 - 1)) == 2**63 - 1
