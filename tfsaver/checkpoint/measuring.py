"""What the numbers of each tensor are like: range, mean, norm, NaNs and a histogram, from one pass in bounded memory.

The range of a tensor is known only after its last piece, so the bins of a `Histogram` grow with what it has seen. Their
width is a power of two and their edges are multiples of it: two bins are exactly one of the next width. Whatever the order
of the pieces, the counts are those of `numpy.histogram` with the final edges.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from tfsaver.checkpoint.execution import Data, Execution, Part, Progress, Sink, Target
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import SaverError
from tfsaver.framework.array_pieces import cut
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice

# A histogram has half as many bins or more, and one more where the range begins inside of one.
MAX_BINS = 32
# Bits of a float64's significand: narrower bins than that would have no edges.
_SIGNIFICANT_BITS = 53
_MIN_EXPONENT = -1074


class Histogram:
    """Counts of numbers in bins of one width.

    Attributes:
        exponent: The width of a bin is 2 to this power.
        first: The first bin begins at this multiple of the width.
        counts: How many numbers are in each bin; the bins are closed on the left.
    """

    def __init__(self) -> None:
        self.exponent = _MIN_EXPONENT
        self.first = 0
        self.counts: list[int] = []

    def add(self, numbers: Array, low: float, high: float) -> None:
        """Counts finite numbers.

        Args:
            numbers: They are float64.
            low: The least of these and of all before.
            high: The greatest.
        """
        self._widen(low, high)
        places = np.floor(np.ldexp(numbers, -self.exponent))
        if self.exponent > 0:
            # A small negative number divided by the width underflows to zero, whose bin is the next one.
            places -= (places == 0) & (numbers < 0)
        least, greatest = int(places.min()), int(places.max())
        if not self.counts:
            self.first = least
        elif least < self.first:
            self.counts[:0] = [0] * (self.first - least)
            self.first = least
        self.counts += [0] * (greatest - self.first + 1 - len(self.counts))
        found = np.bincount((places - self.first).astype(np.int64), minlength=len(self.counts))
        self.counts = [before + new for before, new in zip(self.counts, found.tolist(), strict=True)]

    def _widen(self, low: float, high: float) -> None:
        # Halves are subtracted: the range of float64 is wider than a float64.
        half_range = high / 2 - low / 2
        exponent = max(
            self.exponent,
            math.frexp(half_range)[1] + 1 - MAX_BINS.bit_length() + 1 if half_range else _MIN_EXPONENT,
            math.frexp(max(abs(low), abs(high)))[1] - _SIGNIFICANT_BITS,
        )
        step = exponent - self.exponent
        self.exponent = exponent
        if not (step and self.counts):
            return
        first = self.first >> step
        counts = [0] * (((self.first + len(self.counts) - 1) >> step) - first + 1)
        for number, each in enumerate(self.counts):
            counts[((self.first + number) >> step) - first] += each
        self.first, self.counts = first, counts


@dataclasses.dataclass
class Measures:
    """What a tensor's elements are like. Sums and the range are those of its finite elements.

    Attributes:
        num_elements: How many there are.
        num_nan: How many of them are no number.
        num_infinite: How many are infinite.
        num_zero: How many are zero.
        min: The least; None where none is finite.
        max: The greatest; None where none is finite.
        mean: Their mean; None where none is finite.
        norm: Their L2 norm.
        histogram: How they are distributed.
    """

    num_elements: int = 0
    num_nan: int = 0
    num_infinite: int = 0
    num_zero: int = 0
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    norm: float = 0.0
    histogram: Histogram = dataclasses.field(default_factory=Histogram)

    def add(self, piece: Array) -> None:
        """Takes some more elements."""
        numbers = _plain(piece).astype(np.float64).reshape(-1)
        num_finite = self.num_elements - self.num_nan - self.num_infinite
        self.num_elements += numbers.size
        is_finite = np.isfinite(numbers)
        if not is_finite.all():
            num_nan = int(np.count_nonzero(np.isnan(numbers)))
            self.num_nan += num_nan
            self.num_infinite += numbers.size - int(np.count_nonzero(is_finite)) - num_nan
            numbers = numbers[is_finite]
        if not numbers.size:
            return
        self.num_zero += numbers.size - int(np.count_nonzero(numbers))
        least, greatest = float(numbers.min()), float(numbers.max())
        self.min = least if self.min is None else min(self.min, least)
        self.max = greatest if self.max is None else max(self.max, greatest)
        # Divided first: the sum of large numbers may be past what float64 holds.
        total = num_finite + numbers.size
        self.mean = (self.mean or 0.0) * (num_finite / total) + float((numbers / total).sum())
        scale = max(abs(least), abs(greatest)) or 1.0
        self.norm = math.hypot(self.norm, scale * math.sqrt(float(np.square(numbers / scale).sum())))
        self.histogram.add(numbers, self.min, self.max)


def can_measure(info: TensorInfo) -> bool:
    """Whether a tensor's elements are real numbers or booleans: strings and complex numbers have no order."""
    return info.dtype.has_fixed_size and info.dtype.numpy.kind != "c"


def measure(
    source: TensorSource, names: Collection[str] | None = None, *, progress: Progress | None = None
) -> tuple[dict[str, Measures], dict[str, SaverError]]:
    """Reads tensors once, a piece at a time.

    Args:
        source: Where they are.
        names: Which; all when None.
        progress: Called with the bytes done and the bytes in all.

    Returns:
        The measures of those that `can_measure` takes, and the error of each tensor that is damaged or not there, by name.
    """
    measuring = _Measuring(source.names if names is None else names)
    Execution(source, measuring, progress=progress).run()
    return measuring.found, measuring.damaged


class _Measuring(Target):
    takes_pieces = True

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self.found: dict[str, Measures] = {}
        self.damaged: dict[str, SaverError] = {}
        self.on_damage = self.damaged.__setitem__

    def check(self, source: TensorSource) -> None:
        """Nothing is wrong before values are read."""

    def parts(self, source: TensorSource) -> Iterator[Part]:
        return ((name, None) for name in self._names)

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
            measures = Measures() if can_measure(info) else None
            for piece in cut(data) if isinstance(data, np.ndarray) else data:
                # What has no measures is read all the same: it may be damaged.
                if measures is not None:
                    measures.add(piece)
            if measures is not None:
                self.found[info.name] = measures

        yield add


def _plain(array: Array) -> np.ndarray[Any, Any]:
    """Quantised numbers, which are structures of one field, as the integers that they are."""
    return array if array.dtype.names is None else array.view(array.dtype[0])
