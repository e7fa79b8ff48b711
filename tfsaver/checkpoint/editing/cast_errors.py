"""What elements lose when they become elements of another type, counted piece by piece.

    overflow     finite, and then infinite or no number: the new type does not reach so far
    underflow    not zero, and then zero
    the rest     how far off the new value is at most, as it is and in relation to the old one
    changed      an integer that became another one; of integers nothing else is counted
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfsaver.checkpoint.tensor_source import Array
from tfsaver.framework.dtypes import DType

# Elements that are looked at in one go: few enough that what is computed of them stays in a processor's cache.
_BLOCK = 1 << 15


@dataclasses.dataclass
class CastErrors:
    """What one tensor has lost so far.

    Attributes:
        source: The type before.
        target: The type after.
        num_elements: How many were cast.
        max_abs: The largest difference to an element that did not overflow.
        max_relative: The largest in relation to the old value, of elements that neither overflowed nor underflowed.
        num_overflowed: Finite elements that are no longer.
        num_underflowed: Elements that became zero.
        num_changed: Integers, or elements that became integers, that are others now.
    """

    source: DType
    target: DType
    num_elements: int = 0
    max_abs: float = 0.0
    max_relative: float = 0.0
    num_overflowed: int = 0
    num_underflowed: int = 0
    num_changed: int = 0

    @property
    def badness(self) -> tuple[float, ...]:
        """What to sort by, to have the worst first."""
        return (self.num_changed, self.num_overflowed, self.max_relative, self.num_underflowed)

    def add(self, old: Array, new: Array) -> None:
        """Counts a piece."""
        self.num_elements += old.size
        old, new = old.reshape(-1), new.reshape(-1)
        for start in range(0, old.size, _BLOCK):
            one, other = old[start : start + _BLOCK], new[start : start + _BLOCK]
            if is_integer(self.source) or is_integer(self.target):
                self._add_integers(one, other)
            else:
                self._add_floats(_widened(one), _widened(other))

    def _add_integers(self, old: Array, new: Array) -> None:
        with np.errstate(all="ignore"):
            # There and back, and of the same sign: uint64 and int64 have no larger type in common.
            same = (new.astype(old.dtype) == old) & ((new < 0) == (old < 0))
        self.num_changed += int(old.size - np.count_nonzero(same))

    def _add_floats(self, old: Array, new: Array) -> None:
        is_near = np.isfinite(new)
        if not is_near.all():
            is_finite = np.isfinite(old)
            self.num_overflowed += int(np.count_nonzero(is_finite & ~is_near))
            is_near &= is_finite
            old, new = old[is_near], new[is_near]
            if not old.size:
                return
        difference, size = np.abs(new - old), np.abs(old)
        self.max_abs = max(self.max_abs, float(difference.max()))
        is_zero = new == 0
        if is_zero.any():
            self.num_underflowed += int(np.count_nonzero(is_zero & (size != 0)))
            # An old zero is a new one too, so that nothing is divided by it.
            difference, size = difference[~is_zero], size[~is_zero]
        if size.size:
            self.max_relative = max(self.max_relative, float(np.divide(difference, size, out=difference).max()))

    def document(self) -> dict[str, Any]:
        """The facts as what JSON can hold."""
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**facts, "source": self.source.name, "target": self.target.name}

    def __str__(self) -> str:
        said = f"{self.source} -> {self.target}"
        if is_integer(self.source) or is_integer(self.target):
            return f"{said}, {self.num_changed:,} of {self.num_elements:,} changed" if self.num_changed else f"{said}, exact"
        facts = [f"off by at most {self.max_abs:.3g}, relative {self.max_relative:.3g}"]
        facts += [f"{self.num_overflowed:,} overflowed"] if self.num_overflowed else []
        facts += [f"{self.num_underflowed:,} became 0"] if self.num_underflowed else []
        return f"{said}, {', '.join(facts)}"


def is_integer(dtype: DType) -> bool:
    """Whether elements are integers that mean themselves: quantised ones stand for other numbers."""
    return dtype.name.startswith(("int", "uint"))


def is_complex(dtype: DType) -> bool:
    """Whether elements are complex numbers."""
    return dtype.name.startswith("complex")


def is_float(dtype: DType) -> bool:
    """Whether elements are real numbers with a fraction."""
    return dtype.name.startswith(("float", "bfloat"))


def _widened(array: Array) -> Array:
    """The elements in a type in which their differences are exact enough to be judged."""
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64, copy=False)
