"""Values of every type for the tests of a bundle, and what else they share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tfsaver.errors import UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.variant import Variant


def _is_installed(dtype: DType) -> bool:
    try:
        return dtype.numpy is not None
    except UnimplementedError:
        return False


# A type that the installed ml_dtypes is too old for is left out: the tests of the table of types say so.
FIXED = [dtype for dtype in dtypes.ALL if dtype.has_fixed_size and _is_installed(dtype)]
STORABLE = [*FIXED, dtypes.STRING, dtypes.VARIANT]
SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (7,), (2, 0, 3), (3, 4), (2, 3, 4, 5), (1000,)]


def random_array(dtype: DType, shape: tuple[int, ...], seed: int = 0) -> Any:
    """Every bit at random, as far as the type uses it."""
    choose = np.random.default_rng([seed, dtype.data_type, *shape])
    count = int(np.prod(shape, dtype=int))
    if not dtype.has_fixed_size:
        make = Variant if dtype is dtypes.VARIANT else bytes
        values = np.empty(count, object)
        values[:] = [make(choose.bytes(int(size))) for size in choose.integers(0, 200, count)]
        return values.reshape(shape)
    raw = choose.integers(0, 256, count * dtype.size, np.uint8)
    if dtype.name == "bool":
        raw &= 1
    dtype.unpacked_bits(raw)
    return raw.view(dtype.numpy).reshape(shape)


def assert_equal(found: Any, expected: Any) -> None:
    """The same type, shape and bits."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype.newbyteorder("=")
    if found.dtype == object:
        assert found.tolist() == expected.tolist()
        assert [type(item) for item in found.reshape(-1)] == [type(item) for item in expected.reshape(-1)]
    else:
        assert found.tobytes() == expected.astype(found.dtype).tobytes()


def listing(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))
