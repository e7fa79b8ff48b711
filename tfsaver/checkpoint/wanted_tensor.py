"""What a program wants of a checkpoint: a name, with the dtype and the shape that the tensor must have."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import TypeAlias

from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice

PartialShape: TypeAlias = "tuple[int | None, ...] | None"


@dataclasses.dataclass(frozen=True, eq=False)
class WantedTensor:
    """What a program wants to restore.

    Attributes:
        name: The name to look for.
        dtype: The dtype it must have.
        shape: The shape it must have; None in it and for it where any will do.
        full_shape: The shape of the whole tensor, when only a part is wanted.
        tensor_slice: Which part; None for all of it.
        group: Tensors of one group are restored together or not at all; None for a tensor by itself.
    """

    name: str
    dtype: DType
    shape: PartialShape = None
    full_shape: Shape | None = None
    tensor_slice: TensorSlice | None = None
    group: Hashable = None


def is_compatible(shape: Shape, wanted: PartialShape) -> bool:
    """Whether a shape is the wanted one as far as that is known."""
    if wanted is None:
        return True
    return len(shape) == len(wanted) and all(theirs in (None, ours) for ours, theirs in zip(shape, wanted, strict=True))
