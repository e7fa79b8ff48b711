"""Named tensors that are read when they are asked for: what editing and conversion take in and give out.

An open checkpoint is a source of tensors; so are arrays in memory, a neighbour's open file, and a view of another source:
renamed, selected, cast, averaged, merged. A view reads from what it stands on when somebody reads from it, so that a chain
of views and a writer at its end hold one tensor, or one piece of one, at a time.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from tfsaver.errors import TensorNotFoundError, nearest_names
from tfsaver.framework import tensor_util
from tfsaver.framework.dtypes import DType
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_info import TensorInfo

Array = np.ndarray[Any, Any]
_Self = TypeVar("_Self", bound="TensorSource")


class TensorSource(Mapping[str, Array]):
    """A Mapping from names to arrays that also says what each tensor is without reading it."""

    @property
    @abc.abstractmethod
    def names(self) -> list[str]:
        """The tensors' names, sorted."""

    @abc.abstractmethod
    def info(self, name: str) -> TensorInfo:
        """A tensor's dtype, shape and size; `pieces` is empty where the tensor lies in no file as it is.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
        """

    @abc.abstractmethod
    def read(self, name: str, region: Region | None = None) -> Array:
        """A tensor, or the part of it that `region` says, as in ``np.s_[2:5, :]``.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
            DataLossError: The bytes behind it are damaged.
            InvalidArgumentError: The region leaves the tensor.
        """

    def is_in_memory(self, name: str) -> bool:
        """Whether a tensor lies in memory, and stays there as it is while the source is used: reading it makes nothing."""
        return False

    def close(self) -> None:
        """Closes what the source reads from; nothing can be read afterwards."""

    def __getitem__(self, name: str) -> Array:
        return self.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class ArraySource(TensorSource):
    """Arrays in memory as a source.

    Args:
        arrays: Names to arrays, or to what numpy makes arrays of.
        description: What to call it in an error.

    Raises:
        UnimplementedError: A value of a type that no checkpoint can hold.
    """

    def __init__(self, arrays: Mapping[str, Any], description: str = "the arrays") -> None:
        self._tensors = {name: tensor_util.as_tensor(arrays[name], name) for name in sorted(arrays)}
        self._description = description

    @property
    def names(self) -> list[str]:
        return list(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def info(self, name: str) -> TensorInfo:
        array, dtype = self._tensor(name)
        size = array.nbytes if dtype.has_fixed_size else sum(map(len, array.reshape(-1).tolist()))
        return TensorInfo(name, dtype, array.shape, size, ())

    def read(self, name: str, region: Region | None = None) -> Array:
        array, _ = self._tensor(name)
        if region is None:
            return array
        part, dropped = as_tensor_slice(region, array.shape, name)
        # With the dots it is an array even if it is a scalar of objects.
        indices: tuple[Any, ...] = (*part.resolve(array.shape).indices, ...)
        result: Array = array[indices].squeeze(dropped)
        return result

    def is_in_memory(self, name: str) -> bool:
        return name in self._tensors

    def _tensor(self, name: str) -> tuple[Array, DType]:
        try:
            return self._tensors[name]
        except KeyError:
            raise TensorNotFoundError(name, checkpoint=self._description, near=nearest_names(name, self._tensors)) from None
