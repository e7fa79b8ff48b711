"""A session and variables that need no TensorFlow: a variable's tensor is its value."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from tfsaver.compat._binding import Assignment, Binding, GraphVariable
from tfsaver.framework import dtypes


class Session:
    """Records its runs; a fetched tensor is an array already."""

    def __init__(self) -> None:
        self.runs: list[tuple[Any, Any]] = []

    def run(self, fetches: Any, feeds: Any = None) -> Any:
        self.runs.append((list(fetches), dict(feeds or {})))
        return fetches


def binding(name: str, value: np.ndarray[Any, Any], shape: Any = ..., feed: str = "") -> Binding:
    """A binding whose variable needs no TensorFlow."""
    dtype = types.SimpleNamespace(as_datatype_enum=dtypes.from_numpy(value.dtype).data_type)
    tensor = value.view(_Tensor)
    tensor.tensor_dtype = dtype
    variable = _Variable(None, tensor, None, value.shape if shape is ... else shape)
    object.__setattr__(variable, "feed", feed or name)
    return Binding(name, variable)


class _Tensor(np.ndarray):  # type: ignore[type-arg]
    tensor_dtype: Any


class _Variable(GraphVariable):
    feed: str

    @property
    def data_type(self) -> int:
        return int(self.tensor.tensor_dtype.as_datatype_enum)

    def assignment(self, shape: Any) -> Assignment:
        return Assignment(f"assign {self.feed}", self.feed)
