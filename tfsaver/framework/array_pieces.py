"""A tensor's elements in C order, a bounded number at a time.

Every tensor is cut after the same number of elements, whatever its dtype: the pieces of two tensors of one shape then have
their elements in the same places, and can be averaged or compared while neither tensor is in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice

Array = np.ndarray[Any, Any]

# 4 MiB of float32.
PIECE_ELEMENTS = 1 << 20

# Elements that are computed with in one go: few enough that what is computed of them stays in a processor's cache, and that
# no array of float64 is so large (128 KiB) that glibc asks the system for its memory, and gives it back.
BLOCK_ELEMENTS = 1 << 13


def cut(array: Array) -> Iterator[Array]:
    """The pieces of an array: one-dimensional, in the machine's byte order, all of `PIECE_ELEMENTS` but the last."""
    # What is in a scalar of objects, and not in an array of one, is no array.
    whole = array if array.ndim else array.reshape(1)
    return recut(flat(whole[block.indices]) for block in blocks(whole.shape))


def recut(arrays: Iterable[Array]) -> Iterator[Array]:
    """One-dimensional arrays cut anew, so that all but the last have `PIECE_ELEMENTS` elements."""
    waiting: list[Array] = []
    count = 0
    for array in arrays:
        start = 0
        while count + len(array) - start >= PIECE_ELEMENTS:
            end = start + PIECE_ELEMENTS - count
            waiting.append(array[start:end])
            yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            waiting, count, start = [], 0, end
        if start < len(array):
            waiting.append(array[start:])
            count += len(array) - start
    if waiting:
        yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)


def blocks(shape: Shape, max_elements: int | None = None) -> Iterator[TensorSlice]:
    """Parts of a tensor whose elements one after the other are the tensor's.

    Args:
        shape: The tensor's shape.
        max_elements: How many elements a part has at most; `PIECE_ELEMENTS` when None.
    """
    limit = max_elements or PIECE_ELEMENTS
    if num_elements(shape) <= limit:
        if num_elements(shape):
            yield TensorSlice.full(len(shape)).resolve(shape)
        return
    row_elements = num_elements(shape[1:])
    if row_elements > limit:
        for row in range(shape[0]):
            for block in blocks(shape[1:], limit):
                yield TensorSlice(((row, 1), *block.extents))
        return
    rest = tuple((0, size) for size in shape[1:])
    step = limit // row_elements
    for start in range(0, shape[0], step):
        yield TensorSlice(((start, min(step, shape[0] - start)), *rest))


def flat(array: Array) -> Array:
    """The elements in C order and in the machine's byte order."""
    result: Array = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(-1)
    return result
