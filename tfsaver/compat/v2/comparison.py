"""Whether the variables of a program hold what a checkpoint has, to the bit: the question after every restore."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tfsaver.checkpoint.restoring.restore_report import RestoreReport
from tfsaver.compat._transfer import Array
from tfsaver.compat.v2.assignment import Values


class DifferentValue(NamedTuple):
    """A variable that holds something else than its tensor.

    Attributes:
        name: The variable's name.
        num_different: How many of its elements differ.
        num_elements: How many it has.
        distance: How far the two are apart at most; None for what is no number.
    """

    name: str
    num_different: int
    num_elements: int
    distance: float | None

    def __str__(self) -> str:
        far = "" if self.distance is None else f", by up to {self.distance:g}"
        return f"{self.name}: {self.num_different} of {self.num_elements} elements differ{far}"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` found; true in a condition when every variable is there and equal.

    Attributes:
        report: Which tensor each variable was compared with, and which variables have none.
        different: The variables that differ.
    """

    report: RestoreReport
    different: tuple[DifferentValue, ...]

    @property
    def equal(self) -> bool:
        """Whether every variable has its tensor and is equal to it, bit for bit."""
        return self.report.ok and not self.different

    def __bool__(self) -> bool:
        return self.equal

    def __str__(self) -> str:
        num_compared = len({item.name for item in self.report.matched})
        first = f"{num_compared - len(self.different)} of {self.report.num_wanted} variables equal the checkpoint"
        lines = [f"  {item}" for item in self.different]
        return "\n".join([first, *lines, *([] if self.report.ok else self.report.lines())])


def compare_values(values: Values) -> tuple[DifferentValue, ...]:
    """Those of the variables that do not have the values that they would get.

    Raises:
        DataLossError: The checkpoint is damaged.
    """
    return tuple(_differences(values))


def _differences(values: Values) -> Iterator[DifferentValue]:
    for item, expected in values:
        actual = item.numpy()
        differs = _bits_differ(expected, actual)
        if num_different := int(np.count_nonzero(differs)):
            yield DifferentValue(item.names[0], num_different, expected.size, _distance(expected, actual))
    # What its type cannot hold no variable has, whatever it holds in its place.
    for name, losses in values.losses.items():
        if losses.is_refused:
            yield DifferentValue(name, losses.num_refused, losses.num_elements, None)


def _bits_differ(expected: Array, actual: Array) -> Array:
    """Where two arrays of one dtype and shape differ in any bit: one NaN equals itself, and 0 is not -0."""
    if expected.dtype.hasobject:
        result: Array = np.asarray(expected != actual)
        return result
    size = expected.dtype.itemsize
    one, other = (np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(-1, size) for array in (expected, actual))
    differs: Array = (one != other).any(axis=1)
    return differs


def _distance(expected: Array, actual: Array) -> float | None:
    if expected.dtype.hasobject or expected.dtype.names is not None:
        return None
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(expected.astype(wide) - actual.astype(wide))))
