"""Shapes as tuples of int, in and out of a TensorShapeProto.

A checkpoint's shapes are fully known: every dimension has a size from 0 up. A shape is checked before anything is
allocated for it, since the product of a few damaged dimensions is more memory than there is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from tfsaver import schemas
from tfsaver.errors import DataLossError, UnimplementedError

Shape: TypeAlias = "tuple[int, ...]"

# With 16 bytes an element still within what numpy can count.
_MAX_ELEMENTS = 1 << 58
# What the format allows, and what an array can have.
_MAX_RANK = 254
_MAX_ARRAY_RANK = 64 if int(np.__version__.partition(".")[0]) >= 2 else 32


# Shapes that were looked at and found sound: the tensors of one model have few different ones.
_sound: set[Shape] = set()
_MAX_SOUND = 4096


def from_proto(proto: Any, what: str = "tensor shape") -> Shape:
    """The shape in a TensorShapeProto.

    Raises:
        DataLossError: It is not fully known, or no tensor can have it.
        UnimplementedError: It has more dimensions than numpy's arrays.
    """
    shape = tuple([dim.size for dim in proto.dim])
    if proto.unknown_rank:
        raise DataLossError(f"{what}: unknown rank")
    if shape in _sound:
        return shape
    if any(size < 0 for size in shape):
        raise DataLossError(f"{what}: negative or unknown dimension in {list(shape)}")
    if len(shape) > _MAX_RANK:
        raise DataLossError(f"{what}: rank {len(shape)}, at most {_MAX_RANK} is allowed")
    # numpy counts the other dimensions even where one is 0.
    if num_elements([size for size in shape if size]) > _MAX_ELEMENTS:
        raise DataLossError(f"{what}: {list(shape)} has more elements than any memory")
    if len(shape) > _MAX_ARRAY_RANK:
        raise UnimplementedError(f"{what}: rank {len(shape)}, numpy's arrays have at most {_MAX_ARRAY_RANK} dimensions")
    if len(_sound) < _MAX_SOUND:
        _sound.add(shape)
    return shape


def to_proto(shape: Sequence[int]) -> Any:
    """The TensorShapeProto of a fully known shape."""
    return schemas.TensorShapeProto(dim=[schemas.TensorShapeProto.Dim(size=size) for size in shape])


def num_elements(shape: Sequence[int]) -> int:
    """How many elements a tensor of that shape has; 1 for a scalar."""
    return math.prod(shape)
