"""Whether the variables of a program hold what a checkpoint has, to the bit: the question after every restore."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfsaver.checkpoint.execution import Data, Execution, Progress, Sink, Target, as_array
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.checkpoint.report import json_number
from tfsaver.checkpoint.restoring.program import ProgramVariable, Unordered
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.targets.assignment import Variables


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

    def to_json(self) -> dict[str, Any]:
        """Returns the facts in types that JSON has."""
        return {**self._asdict(), "distance": json_number(self.distance)}

    def __str__(self) -> str:
        far = "" if self.distance is None else f", by up to {self.distance:g}"
        return f"{self.name}: {self.num_different} of {self.num_elements} elements differ{far}"


@dataclasses.dataclass(frozen=True)
class Comparison(MatchReport):
    """Which tensor each variable was compared with, and which variables differ; true if every variable is there and equal.

    Attributes:
        different: The variables that differ.
    """

    different: tuple[DifferentValue, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every variable has its tensor and equals it, bit for bit."""
        return self.fits and not self.different

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line.

        Args:
            all_names: Whether to name the tensors that were compared too, not only what is wrong.
        """
        num_compared = len({item.name for item in self.matched})
        yield f"{num_compared - len(self.different)} of {self.num_wanted} variables equal the checkpoint"
        yield from (f"  {item}" for item in self.different)
        if all_names:
            yield from (f"  {item}" for item in self.matched)
        if not self.fits:
            yield from self.details()

    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""
        return {**super().to_json(), "different": [item.to_json() for item in self.different]}


def compare_values(variables: Variables, *, progress: Progress | None = None) -> tuple[DifferentValue, ...]:
    """Those of the variables that do not have the values that they would get.

    Raises:
        DataLossError: The checkpoint is damaged.
    """
    comparing = _Comparing(variables.items)
    Execution(variables.plan, comparing, progress=progress).run()
    # What its type cannot hold no variable has, whatever it holds in its place.
    lost = [
        DifferentValue(variables.items[name].names[0], losses.num_refused, losses.num_elements, None)
        for name, losses in variables.plan.losses()
        if losses.is_refused
    ]
    return (*comparing.different, *lost)


class _Comparing(Target):
    """Variables that are compared with what they would get."""

    refuses_losses = False
    batch_size = 256 << 20

    def __init__(self, items: Mapping[str, ProgramVariable]) -> None:
        self._items = items
        self.different: list[DifferentValue] = []

    def check(self, source: TensorSource) -> None:
        """Nothing: each tensor was made for its variable."""

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        yield self._add

    def _add(self, info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
        item, expected = self._items[info.name], as_array(data)
        if isinstance(item, Unordered):
            different, count = item.num_different(expected)
            if different:
                self.different.append(DifferentValue(item.names[0], different, count, None))
            return
        actual = item.numpy()
        if num_different := int(np.count_nonzero(_bits_differ(expected, actual))):
            distance = _distance(expected, actual)
            self.different.append(DifferentValue(item.names[0], num_different, expected.size, distance))


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
