"""Part of a tensor, as callers write it.

    np.s_[2:5, :]           numpy's basic indexing: slices with steps of 1, integers, an Ellipsis
    "2,3:-"                 a slice's text, with or without the full shape before it; everything if it is empty
    TensorSlice(...)        a slice

Whatever it is, `as_tensor_slice` makes a TensorSlice of it, checked against the tensor's shape.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from types import EllipsisType
from typing import TypeAlias

from tfsaver.errors import InvalidArgumentError, ShapeMismatchError
from tfsaver.framework import tensor_slice
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice

Region: TypeAlias = "TensorSlice | str | slice | int | EllipsisType | Sequence[slice | int | EllipsisType]"


def as_tensor_slice(region: Region, shape: Shape, name: str) -> tuple[TensorSlice, tuple[int, ...]]:
    """A region as a slice of a tensor of that shape, and the dimensions that integers in it drop.

    A TensorSlice is given back as it is, since `EVERYTHING` and the same extent spelled out are two keys in a table;
    anything else comes back with its extents spelled out.

    Raises:
        InvalidArgumentError: Steps other than 1, too many indices, or outside the shape.
        ShapeMismatchError: The text names another shape.
    """
    if isinstance(region, TensorSlice):
        region.resolve(shape, repr(name))
        return region, ()
    if isinstance(region, str):
        return _parse(region, shape, name), ()
    extents = []
    dropped = []
    for axis, (index, size) in enumerate(zip(_one_index_a_dimension(region, shape, name), shape, strict=True)):
        if isinstance(index, slice):
            try:
                start, stop, step = index.indices(size)
            except (TypeError, ValueError) as error:
                raise InvalidArgumentError(f"{name!r}: {index!r} in a region: {error}") from None
            if step != 1:
                raise InvalidArgumentError(f"{name!r}: a region has steps of 1, not {step}")
            extents.append((start, max(0, stop - start)))
            continue
        try:
            # numpy takes True for a mask, not for 1.
            position = operator.index(None if isinstance(index, bool) else index)  # type: ignore[arg-type]
        except TypeError:
            raise InvalidArgumentError(f"{name!r}: {index!r} in a region is neither an integer nor a slice") from None
        if not -size <= position < size:
            raise InvalidArgumentError(f"{name!r} of shape {list(shape)}: index {position} is outside dimension {axis}")
        extents.append((position % size, 1))
        dropped.append(axis)
    return TensorSlice(tuple(extents)), tuple(dropped)


def _parse(text: str, shape: Shape, name: str) -> TensorSlice:
    if not text:
        return TensorSlice.full(len(shape))
    try:
        spelled = text if " " in text else " ".join([*map(str, shape), text])
        full_shape, parsed = tensor_slice.parse_shape_and_slice(spelled)
    except InvalidArgumentError as error:
        error.add_context(repr(name))
        raise
    if full_shape != shape:
        raise ShapeMismatchError(name, expected=full_shape, actual=shape)
    return parsed


def _one_index_a_dimension(region: Region, shape: Shape, name: str) -> list[slice | int | EllipsisType]:
    indices = list(region) if isinstance(region, Sequence) else [region]
    positions = [position for position, index in enumerate(indices) if index is ...]
    num_missing = len(shape) - (len(indices) - len(positions))
    if len(positions) > 1 or num_missing < 0:
        raise InvalidArgumentError(f"{name!r} of shape {list(shape)}: {len(indices)} indices do not fit: {indices}")
    where = positions[0] if positions else len(indices)
    indices[where : where + len(positions)] = [slice(None)] * num_missing
    return indices  # type: ignore[return-value]
