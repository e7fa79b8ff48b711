"""The stored slices of one tensor, and how to put any region of it together from them.

Slices may cut a tensor in any way, along several dimensions at once; they may not overlap, and a region can be read if
they cover it, whether or not they cover the whole tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsaver.errors import DataLossError, InvalidArgumentError
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice

# Fills an array from the stored slice of that number: which part of the slice, and the array.
FillFromSlice = Callable[[int, TensorSlice, "np.ndarray[Any, Any]"], None]


class TensorSliceSet:
    """Which slices of a tensor are stored.

    Args:
        name: The tensor's name, for errors.
        shape: The full shape.
        slices: The stored slices, in the order in which `assemble` numbers them.

    Raises:
        DataLossError: A slice leaves the shape, or two of them overlap.
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
        # Sorted by where they start, a slice can only meet those that begin before it ends in the first dimension.
        ordered = sorted(self._slices, key=lambda tensor_slice: tensor_slice.extents)
        active: list[TensorSlice] = []
        for current in ordered:
            start = current.extents[0][0] if current.rank else 0
            active = [other for other in active if not other.rank or sum(other.extents[0]) > start]
            for other in active:
                if not current.rank or current.intersect(other):
                    raise DataLossError(f"{self.name!r}: stored slices {other} and {current} overlap")
            active.append(current)

    def plan(self, region: TensorSlice) -> list[tuple[int, TensorSlice]]:
        """The numbers of the stored slices that make up a resolved region, each with its part of it.

        Raises:
            InvalidArgumentError: Part of the region is stored nowhere.
        """
        parts = []
        for number, stored in enumerate(self._slices):
            if (part := stored.intersect(region)) is not None:
                parts.append((number, part))
        covered = sum(num_elements(part.shape) for _, part in parts)
        if covered != num_elements(region.shape):
            raise InvalidArgumentError(
                f"{self.name!r} of shape {list(self.shape)}: does not have sufficient slices for {region}: "
                f"{covered} of {num_elements(region.shape)} elements are stored, in {', '.join(map(str, self._slices))}"
            )
        return parts

    def assemble(self, region: TensorSlice, out: np.ndarray[Any, Any], fill: FillFromSlice) -> None:
        """Fills `out`, an array of the resolved region's shape, from the stored slices."""
        for number, part in self.plan(region):
            # The dots keep a scalar's part an array that can be filled.
            index: tuple[Any, ...] = (*part.relative_to(region).indices, ...)
            target = out[index]
            fill(number, part.relative_to(self._slices[number]), target)
