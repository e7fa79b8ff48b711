"""An array's elements as bytes, in pieces: C order, either byte order, whatever the array's layout.

Nothing larger than a piece is ever copied, so that what a writer needs beyond the caller's arrays does not grow with
them. A contiguous array of the file's own byte order is not copied at all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfsaver.framework.dtypes import DType

# Large enough that a system call's cost vanishes, small enough to stay in a processor's cache between hashing and writing.
CHUNK_SIZE = 4 << 20


def iterate_chunks(array: np.ndarray[Any, Any], dtype: DType, byte_order: str = "little") -> Iterator[memoryview]:
    """The bytes of an array of a fixed-size type, as a data file keeps them."""
    for chunk in _native_chunks(array, dtype):
        raw = chunk.view(np.uint8)
        swaps = byte_order != sys.byteorder and dtype.swap > 1
        narrow = dtype.num_bits < 8
        if swaps or narrow:
            raw = raw.copy()
            dtype.unpacked_bits(raw)
            if swaps:
                swap_bytes(raw, dtype)
        yield raw.data


def swap_bytes(raw: np.ndarray[Any, Any], dtype: DType) -> None:
    """Changes the byte order of elements given as a one-dimensional uint8 array, in place."""
    if dtype.swap > 1:
        raw.view(f"u{dtype.swap}").byteswap(inplace=True)


def _native_chunks(array: np.ndarray[Any, Any], dtype: DType) -> Iterator[np.ndarray[Any, Any]]:
    num_elements = max(1, CHUNK_SIZE // dtype.size)
    if array.flags.c_contiguous and array.dtype == dtype.numpy:
        flat = array.reshape(-1)
        for start in range(0, flat.size, num_elements):
            yield flat[start : start + num_elements]
        return
    # Cut along the first dimensions so that each piece is small, then let numpy order and convert the piece.
    if array.ndim and array.nbytes > CHUNK_SIZE:
        for row in _pieces(array, num_elements):
            yield from _native_chunks(row, dtype)
    elif array.size:
        yield np.ascontiguousarray(array, dtype=dtype.numpy).reshape(-1)


def _pieces(array: np.ndarray[Any, Any], num_elements: int) -> Iterator[np.ndarray[Any, Any]]:
    row_elements = array.size // len(array)
    if row_elements >= num_elements:
        yield from array
        return
    num_rows = num_elements // row_elements
    for start in range(0, len(array), num_rows):
        yield array[start : start + num_rows]
