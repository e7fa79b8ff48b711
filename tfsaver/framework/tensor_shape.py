"""Shapes as tuples of int, in and out of a TensorShapeProto.

A checkpoint's shapes are fully known: every dimension has a size from 0 up. A shape is checked before anything is
allocated for it, since the product of a few damaged dimensions is more memory than there is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from tfsaver import schemas
from tfsaver.errors import DataLossError

Shape: TypeAlias = "tuple[int, ...]"

_MAX_ELEMENTS = 1 << 62
# numpy's own limit is 32 before version 2 and 64 since.
_MAX_RANK = 254


def from_proto(proto: Any, what: str = "tensor shape") -> Shape:
    """The shape in a TensorShapeProto.

    Raises:
        DataLossError: It is not fully known, or no tensor can have it.
    """
    shape = tuple(dim.size for dim in proto.dim)
    if proto.unknown_rank:
        raise DataLossError(f"{what}: unknown rank")
    if any(size < 0 for size in shape):
        raise DataLossError(f"{what}: negative or unknown dimension in {list(shape)}")
    if len(shape) > _MAX_RANK:
        raise DataLossError(f"{what}: rank {len(shape)}, at most {_MAX_RANK} is allowed")
    if num_elements(shape) > _MAX_ELEMENTS:
        raise DataLossError(f"{what}: {list(shape)} has more elements than any memory")
    return shape


def to_proto(shape: Sequence[int]) -> Any:
    """The TensorShapeProto of a fully known shape."""
    return schemas.TensorShapeProto(dim=[schemas.TensorShapeProto.Dim(size=size) for size in shape])


def num_elements(shape: Sequence[int]) -> int:
    """How many elements a tensor of that shape has; 1 for a scalar."""
    return math.prod(shape)
