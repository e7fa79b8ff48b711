"""Arrays that a caller gives to be filled."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsaver.errors import InvalidArgumentError, ShapeMismatchError
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape


def checked(out: np.ndarray[Any, Any], name: str, shape: Shape, dtype: DType) -> np.ndarray[Any, Any]:
    """The array, which can take what is read.

    Raises:
        ShapeMismatchError: It has another shape.
        InvalidArgumentError: It has another dtype, or must not be written.
    """
    if out.shape != shape:
        raise ShapeMismatchError(f"out for {name}", expected=shape, actual=out.shape)
    if out.dtype != dtype.numpy:
        raise InvalidArgumentError(f"out for {name!r} has dtype {out.dtype}, the tensor {dtype}")
    if not out.flags.writeable:
        raise InvalidArgumentError(f"out for {name!r} is read-only")
    return out
