"""Constants hold what they are given, in the form that TensorFlow reads."""

from __future__ import annotations

import numpy as np
import pytest

from tests.framework.test_dtypes import numpy_of
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_util import make_ndarray
from tfsaver.graph.node_builder import array_const, int32s_const, zeros_const

KINDS = [dtype for dtype in dtypes.ALL if dtype.name not in ("resource", "variant")]


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_constants_of_every_type_are_what_they_were(dtype: DType) -> None:
    if dtype.has_fixed_size:
        raw = np.arange(6 * dtype.size, dtype=np.uint8)
        array = (raw % 2 if dtype.size == 1 else raw).view(numpy_of(dtype)).reshape(2, 3)
    else:
        array = np.array([[b"a", b"\0", b"b\0"], [b"", b"c" * 200, b"\xff"]], object)
    made = array_const("c", array, dtype)
    assert made.attr["dtype"].type == dtype.data_type
    read = make_ndarray(made.attr["value"].tensor)
    assert read.dtype == array.dtype and read.shape == (2, 3)
    assert read.tolist() == array.tolist() if not dtype.has_fixed_size else read.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_zeros_of_every_type_take_no_room(dtype: DType) -> None:
    numpy_of(dtype)
    made = zeros_const("c", [100, 30], dtype)
    assert made.ByteSize() < 80
    read = make_ndarray(made.attr["value"].tensor)
    assert read.shape == (100, 30)
    assert not any(read.tobytes()) if dtype.has_fixed_size else set(read.reshape(-1).tolist()) == {b""}


@pytest.mark.parametrize("values", [[], [7], [1, -1, 2]])
def test_vectors_of_integers_are_written_as_tensorflow_writes_them(values: list[int]) -> None:
    tensor = int32s_const("c", values).attr["value"].tensor
    assert make_ndarray(tensor).tolist() == values
    assert bool(tensor.int_val) == (len(values) == 1)


def test_big_endian_arrays_become_little_endian() -> None:
    made = array_const("c", np.array([1, 2], ">f4"), dtypes.from_name("float32"))
    assert make_ndarray(made.attr["value"].tensor).tolist() == [1, 2]
