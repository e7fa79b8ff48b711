"""Whether elements lose anything when they become elements of another type: the one answer to that.

    changed       an integer that became another number, or a number that became another integer: of another value or sign,
                  without its fraction, from NaN; of integers nothing else is counted
    overflow      finite, and then infinite or NaN: the new type does not reach so far
    infinity      infinite, and then not: the new type has no infinities
    NaN           not a number, and then one
    underflow     not zero, and then zero
    precision     how far off the new value is at most, as it is and in relation to the old one

Precision and underflow are reported. Everything else is refused, unless the caller asks for what lies out of the new type's
range to become whatever that type has for it. A changed integer is always refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import ml_dtypes
import numpy as np

from tfsaver.checkpoint.report import json_number
from tfsaver.errors import raise_problems
from tfsaver.framework.array_pieces import BLOCK_ELEMENTS, Array
from tfsaver.framework.dtypes import DType


@dataclasses.dataclass
class Losses:
    """What one tensor has lost so far.

    Attributes:
        source: The type before.
        target: The type after.
        num_elements: How many were cast.
        max_abs: The largest difference to an element that did not overflow.
        max_relative: The largest in relation to the old value, of elements that neither overflowed nor underflowed.
        num_overflowed: Finite elements that are no longer.
        num_infinities_lost: Infinite elements that are no longer, or of the other sign.
        num_nans_lost: Elements that were not numbers, and are now.
        num_underflowed: Elements that became zero.
        num_changed: Integers, or elements that became integers, that are others now.
        allow_overflow: Whether what lies out of the new type's range may become what that type has for it.
    """

    source: DType
    target: DType
    allow_overflow: bool = False
    num_elements: int = 0
    max_abs: float = 0.0
    max_relative: float = 0.0
    num_overflowed: int = 0
    num_underflowed: int = 0
    num_changed: int = 0
    num_infinities_lost: int = 0
    num_nans_lost: int = 0

    @property
    def badness(self) -> tuple[float, ...]:
        """What to sort by, to have the worst first."""
        return (self.num_changed, self._num_out_of_range, self.max_relative, self.num_underflowed)

    @property
    def num_refused(self) -> int:
        """How many elements lost more than precision."""
        return self.num_changed + self.num_nans_lost + self._num_out_of_range

    @property
    def is_refused(self) -> bool:
        """Whether what was lost is more than precision, and more than the caller allows."""
        return bool(self.num_changed or self.num_nans_lost or (self._num_out_of_range and not self.allow_overflow))

    @property
    def can_lose(self) -> bool:
        """Whether any element of the one type can lose anything in the other; not which."""
        return can_lose(self.source, self.target)

    def reset(self) -> None:
        """Nothing is lost so far."""
        vars(self).update(vars(Losses(self.source, self.target, self.allow_overflow)))

    @property
    def _num_out_of_range(self) -> int:
        return self.num_overflowed + self.num_infinities_lost

    def add(self, old: Array, new: Array) -> None:
        """Counts a piece."""
        self.num_elements += old.size
        old, new = old.reshape(-1), new.reshape(-1)
        for start in range(0, old.size, BLOCK_ELEMENTS):
            one, other = old[start : start + BLOCK_ELEMENTS], new[start : start + BLOCK_ELEMENTS]
            if _is_exact(self.source) or _is_exact(self.target):
                self._add_integers(one, other)
            else:
                self._add_floats(widened(one), widened(other))

    def _add_integers(self, old: Array, new: Array) -> None:
        with np.errstate(all="ignore"):
            # There and back, and of the same sign: uint64 and int64 have no larger type in common.
            same = (new.astype(old.dtype) == old) & ((new < 0) == (old < 0))
        if not _is_exact(self.source):
            # What an integer becomes that a number does not reach is the processor's choice; it may be the number again.
            lowest, end = _range(self.target)
            wide = widened(old)
            same &= (wide >= lowest) & (wide < end)
        elif not _is_exact(self.target):
            same &= np.isfinite(widened(new))
        self.num_changed += int(old.size - np.count_nonzero(same))

    def _add_floats(self, old: Array, new: Array) -> None:
        with np.errstate(all="ignore"):
            difference = np.abs(new - old)
        # Of a number that is not finite, on either side, no difference is.
        if not np.isfinite(difference.max()):
            is_near = self._add_infinities(old, new)
            old, new, difference = old[is_near], new[is_near], difference[is_near]
            if not old.size:
                return
        size = np.abs(old)
        self.max_abs = max(self.max_abs, float(difference.max()))
        is_zero = new == 0
        if is_zero.any():
            self.num_underflowed += int(np.count_nonzero(is_zero & (size != 0)))
            # An old zero is a new one too, so that nothing is divided by it.
            difference, size = difference[~is_zero], size[~is_zero]
        if size.size:
            self.max_relative = max(self.max_relative, float(np.divide(difference, size, out=difference).max()))

    def _add_infinities(self, old: Array, new: Array) -> Array:
        """Counts what is not finite, on either side; returns which elements are, on both."""
        is_near, is_finite = np.isfinite(new), np.isfinite(old)
        self.num_overflowed += int(np.count_nonzero(is_finite & ~is_near))
        is_infinite, is_nan = np.isinf(old), np.isnan(old)
        # Complex numbers keep whatever their parts are in the only other complex type.
        same = np.isinf(new) if old.dtype.kind == "c" else (old == new)
        self.num_infinities_lost += int(np.count_nonzero(is_infinite & ~same))
        self.num_nans_lost += int(np.count_nonzero(is_nan & ~np.isnan(new)))
        result: Array = is_near & is_finite
        return result

    def to_json(self) -> dict[str, Any]:
        """Returns the facts in types that JSON has."""
        facts = {name: value for name, value in vars(self).items() if name != "allow_overflow"}
        facts.update(max_abs=json_number(self.max_abs), max_relative=json_number(self.max_relative))
        return {**facts, "source": self.source.name, "target": self.target.name}

    def __str__(self) -> str:
        said = f"{self.source} -> {self.target}"
        if _is_exact(self.source) or _is_exact(self.target):
            return f"{said}, {self.num_changed:,} of {self.num_elements:,} changed" if self.num_changed else f"{said}, exact"
        facts = [f"{self.num_overflowed:,} overflowed"] if self.num_overflowed else []
        facts += [f"{self.num_infinities_lost:,} infinities lost"] if self.num_infinities_lost else []
        facts += [f"{self.num_nans_lost:,} NaNs became numbers"] if self.num_nans_lost else []
        rest = "the rest " if facts else ""
        facts.append(f"{rest}off by at most {self.max_abs:.3g}, relative {self.max_relative:.3g}")
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


def _is_exact(dtype: DType) -> bool:
    """Whether an element that changes is another value, not a rounded one."""
    return is_integer(dtype) or dtype.name == "bool"


def widened(array: Array) -> Array:
    """Numbers as float64 or complex128, in which their differences are exact enough to be judged."""
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64, copy=False)


def _range(dtype: DType) -> tuple[float, float]:
    """The lowest integer of a type, and the one behind the highest: powers of two, which floats have exactly."""
    bits = dtype.num_bits
    return (0.0, 2.0**bits) if dtype.name.startswith("uint") else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1))


def can_lose(source: DType, target: DType) -> bool:
    """Whether any element of one type can lose anything when it becomes one of another; not which."""
    if is_integer(source) and is_float(target):
        # The digits that a number of that type has, the one before the point among them.
        digits: int = ml_dtypes.finfo(target.numpy).nmant + 1  # type: ignore[no-untyped-call]
        return source.num_bits - source.name.startswith("int") > digits
    if is_integer(source) and is_integer(target):
        lowest, end = _range(source)
        low, high = _range(target)
        return lowest < low or end > high
    return not np.can_cast(source.numpy, target.numpy)


def cast_array(value: Array, losses: Losses) -> Array:
    """Elements in another type.

    Args:
        value: The elements, of the type that `losses` begins with.
        losses: To what type they go; what they lose is added there.
    """
    with np.errstate(all="ignore"):
        result: Array = value.astype(losses.target.numpy)
    losses.add(value, result)
    return result


def raise_losses(losses: Iterable[tuple[str, Losses]]) -> None:
    """One error of all that casting must not lose.

    Args:
        losses: Names of tensors, and what each has lost.

    Raises:
        InvalidArgumentError: Something is lost that is more than precision, and that is not allowed; says all.
    """
    lost = [f"{name!r}: {each}" for name, each in losses if each.is_refused]
    raise_problems("casting loses values", lost)
