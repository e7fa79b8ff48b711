"""Two tensors, element by element and piece by piece: how many differ, and by how much.

Elements are equal when their bytes are: a NaN is equal to the same NaN, and 0.0 is not -0.0. With a tolerance numbers are
equal that are near enough, and any NaN is equal to any other. What is infinite or no number on either side is counted, and
not in the norms.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tfsaver.checkpoint.losses import widened
from tfsaver.checkpoint.tensor_source import Array
from tfsaver.framework.array_pieces import BLOCK_ELEMENTS


@dataclasses.dataclass
class ValueDifference:
    """What two tensors of one shape differ in.

    Attributes:
        rtol: Numbers are equal that differ by at most ``atol + rtol * |b|``.
        atol: See `rtol`.
        num_elements: How many elements each has.
        num_different: How many of them differ.
        num_not_finite: How many of those are infinite or no number on a side.
        max_abs: The largest difference between finite numbers.
        sum_of_squares: Of all these differences.
    """

    rtol: float = 0.0
    atol: float = 0.0
    num_elements: int = 0
    num_different: int = 0
    num_not_finite: int = 0
    max_abs: float = 0.0
    sum_of_squares: float = 0.0

    @property
    def norm(self) -> float:
        """The L2 norm of the difference."""
        return math.sqrt(self.sum_of_squares)

    def add(self, a: Array, b: Array) -> None:
        """Compares a piece of the one with that of the other."""
        self.num_elements += a.size
        a, b = a.reshape(-1), b.reshape(-1)
        if a.dtype.kind == "O":
            self.num_different += sum(map(_is_other, a.tolist(), b.tolist()))
            return
        if a.dtype == b.dtype:
            different = _different_bytes(a, b)
            if not different.any():
                return
        else:
            different = np.ones(a.shape, bool)
        if not (is_number(a.dtype) and is_number(b.dtype)):
            self.num_different += int(np.count_nonzero(different))
            return
        for start in range(0, a.size, BLOCK_ELEMENTS):
            block = slice(start, start + BLOCK_ELEMENTS)
            self._add_numbers(a[block][different[block]], b[block][different[block]], same_type=a.dtype == b.dtype)

    def _add_numbers(self, a: Array, b: Array, *, same_type: bool) -> None:
        if same_type or not (_needs_more_digits(a.dtype) or _needs_more_digits(b.dtype)):
            wide_a, wide_b = widened(a), widened(b)
        else:
            wide_a, wide_b = _as_exact(a), _as_exact(b)
        is_finite = np.isfinite(wide_a) & np.isfinite(wide_b)
        with np.errstate(all="ignore"):
            distance = _distance(a, b) if same_type and is_integer(a.dtype) else np.abs(wide_a - wide_b)
            is_equal = distance <= self.atol + self.rtol * np.abs(wide_b)
        if same_type and not (self.rtol or self.atol):
            is_equal = np.zeros(a.shape, bool)
        else:
            is_equal = (is_equal & is_finite) | (~is_finite & ((wide_a == wide_b) | (np.isnan(wide_a) & np.isnan(wide_b))))
        self.num_different += int(a.size - np.count_nonzero(is_equal))
        self.num_not_finite += int(np.count_nonzero(~is_finite & ~is_equal))
        counted = distance[is_finite & ~is_equal]
        if counted.size:
            self.max_abs = max(self.max_abs, float(counted.max()))
            with np.errstate(over="ignore"):
                self.sum_of_squares += float(np.square(counted).sum())


def norm_of(pieces: Iterable[Array]) -> float:
    """The L2 norm of a tensor's finite numbers."""
    total = 0.0
    for piece in pieces:
        wide = np.abs(widened(piece))
        # The norm of numbers whose squares leave the range of float64 is infinite, which is no reason to warn.
        with np.errstate(over="ignore"):
            total += float(np.square(wide[np.isfinite(wide)]).sum())
    return math.sqrt(total)


def is_number(dtype: np.dtype[Any]) -> bool:
    """Whether elements have differences: quantised ones and booleans have none that mean something."""
    return dtype.names is None and dtype.kind != "b" and dtype.kind != "O"


def is_integer(dtype: np.dtype[Any]) -> bool:
    """Whether elements are integers; also those of ml_dtypes, which numpy takes for something of their own."""
    return dtype.kind in "iu" or dtype.name.startswith(("int", "uint"))


def _needs_more_digits(dtype: np.dtype[Any]) -> bool:
    """Whether there are integers of the type that float64 does not have."""
    return is_integer(dtype) and dtype.itemsize == 8


def _as_exact(array: Array) -> Array:
    """Numbers as long doubles, which hold every 64-bit integer and every float64 where they have 64 digits, as on x86."""
    if array.dtype.kind == "c":
        return array.astype(np.clongdouble)
    wide = array if is_integer(array.dtype) else array.astype(np.float64)
    return wide.astype(np.longdouble)


def _distance(a: Array, b: Array) -> Array:
    """How far integers are apart: what float64 cannot tell from each other may differ all the same."""
    wide = np.uint64 if a.dtype == np.uint64 else np.int64
    a, b = a.astype(wide), b.astype(wide)
    high, low = np.maximum(a, b).view(np.uint64), np.minimum(a, b).view(np.uint64)
    distance: Array = (high - low).astype(np.float64)
    return distance


def _different_bytes(a: Array, b: Array) -> Array:
    size = a.dtype.itemsize
    unsigned = f"u{size}" if size in (1, 2, 4, 8) else None
    if unsigned is not None:
        different: Array = a.view(unsigned) != b.view(unsigned)
    else:
        different = (a.view(np.uint8).reshape(-1, size) != b.view(np.uint8).reshape(-1, size)).any(axis=1)
    return different


def _is_other(a: object, b: object) -> bool:
    return a != b
