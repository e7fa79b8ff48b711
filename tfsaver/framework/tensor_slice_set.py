"""The stored slices of one tensor, and which of them make up a region of it.

Slices may cut a tensor in any way, along several dimensions at once; they may not overlap, and a region can be read if
they cover it, whether or not they cover the whole tensor.

Whether two of many overlap is not asked of every pair: cut apart wherever nothing crosses, along one dimension after
another, slices that were made by cutting come to stand alone. Only what cannot be cut is compared with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from tfsaver.errors import DataLossError, InvalidArgumentError, MissingSlicesError, UnimplementedError
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice

Indices: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

# So few are sooner compared than sorted.
_FEW = 16
# How often each slice may be sorted anew; what can be cut only at its rim would be sorted as often as there are slices.
_MAX_ROUNDS = 64
# Pairs times dimensions that are compared at most: about a second's work.
_MAX_COMPARISONS = 1 << 28
_BATCH = 1 << 20
# As many slices as a message can bear.
_MAX_SLICES_TOLD = 20


class TensorSliceSet:
    """Which slices of a tensor are stored.

    Args:
        name: The tensor's name, for errors.
        shape: The full shape.
        slices: The stored slices, in the order in which `parts` numbers them.

    Raises:
        DataLossError: A slice leaves the shape, or two of them overlap.
        UnimplementedError: There are so many, so intricately cut, that nobody can tell whether they overlap.
    """

    def __init__(self, name: str, shape: Shape, slices: Sequence[TensorSlice]) -> None:
        self.name = name
        self.shape = shape
        try:
            self._slices = [tensor_slice.resolve(shape, repr(name)) for tensor_slice in slices]
        except InvalidArgumentError as error:
            raise DataLossError(str(error)) from None
        self._check_overlap()

    def _check_overlap(self) -> None:
        if pair := _find_overlap(self.name, self._slices):
            raise DataLossError(f"{self.name!r}: stored slices {pair[0]} and {pair[1]} overlap")

    def parts(self, region: TensorSlice) -> list[tuple[int, TensorSlice, TensorSlice]]:
        """What a resolved region is made of: the number of a stored slice, the part of that slice, the part of the region.

        Raises:
            MissingSlicesError: Part of the region is stored nowhere.
        """
        parts = []
        covered = 0
        for number, stored in enumerate(self._slices):
            if (common := stored.intersect(region)) is not None:
                covered += num_elements(common.shape)
                parts.append((number, common.relative_to(stored), common.relative_to(region)))
        if covered != num_elements(region.shape):
            raise MissingSlicesError(
                f"{self.name!r} of shape {list(self.shape)}: does not have sufficient slices for {region}: "
                f"{covered} of {num_elements(region.shape)} elements are stored, in {self._told()}"
            )
        return parts

    def check_coverage(self) -> None:
        """Checks that the slices are the whole tensor; raises as `parts`."""
        self.parts(TensorSlice.full(len(self.shape)).resolve(self.shape))

    def _told(self) -> str:
        more = len(self._slices) - _MAX_SLICES_TOLD
        told = ", ".join(map(str, self._slices[:_MAX_SLICES_TOLD]))
        return f"{told} and {more} more" if more > 0 else told


def _find_overlap(name: str, slices: Sequence[TensorSlice]) -> tuple[TensorSlice, TensorSlice] | None:
    """Two of these resolved slices that have an element in common, if there are such."""
    filled = [each for each in slices if 0 not in each.shape]
    if len(filled) <= _FEW or not filled[0].rank:
        pairs = ((a, b) for index, a in enumerate(filled) for b in filled[:index])
        return next(((b, a) for a, b in pairs if not a.rank or a.intersect(b) is not None), None)
    extents = np.array([each.extents for each in filled], np.int64)
    starts = np.ascontiguousarray(extents[:, :, 0])
    ends = starts + extents[:, :, 1]
    num_left = _MAX_ROUNDS * starts.size
    waiting = [np.arange(len(filled))]
    while waiting:
        group = waiting.pop()
        num_left -= len(group) * starts.shape[1]
        parts = _cut_apart(group, starts, ends) if num_left > 0 else []
        if parts:
            waiting += [part for part in parts if len(part) > 1]
        elif pair := _find_pair(name, starts[group], ends[group]):
            return filled[group[pair[0]]], filled[group[pair[1]]]
    return None


def _cut_apart(group: Indices, starts: Indices, ends: Indices) -> list[Indices]:
    """A group of slices as several, between which nothing crosses along some dimension; none where it cannot be cut."""
    for axis in range(starts.shape[1]):
        order = group[np.argsort(starts[group, axis], kind="stable")]
        # Where one begins and all before it have ended.
        cuts = np.flatnonzero(starts[order[1:], axis] >= np.maximum.accumulate(ends[order, axis])[:-1]) + 1
        if len(cuts):
            return np.split(order, cuts)
    return []


def _find_pair(name: str, starts: Indices, ends: Indices) -> tuple[int, int] | None:
    count, rank = starts.shape
    if count * count * rank > _MAX_COMPARISONS:
        raise UnimplementedError(
            f"{name!r}: {count} slices are so cut that whether they overlap would take too long to tell"
        )
    num_rows = max(1, _BATCH // count)
    for first in range(0, count, num_rows):
        rows = slice(first, first + num_rows)
        meets = np.ones((len(starts[rows]), count), bool)
        meets[np.arange(len(meets)), first + np.arange(len(meets))] = False
        for axis in range(rank):
            meets &= starts[rows, axis, None] < ends[None, :, axis]
            meets &= starts[None, :, axis] < ends[rows, axis, None]
        if meets.any():
            row, column = np.unravel_index(int(meets.argmax()), meets.shape)
            return first + int(row), int(column)
    return None
