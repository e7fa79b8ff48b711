"""A neighbour's open file as a source of tensors.

Opening reads names, types and shapes; what a file holds beside tensors that a checkpoint can hold (a Python object, a number
format of nobody else) has a name too, and is an error only for who asks for it: a conversion may leave it out.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping

import numpy as np

from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import SaverError, TensorNotFoundError, UnimplementedError, nearest_names
from tfsaver.framework.dtypes import DType
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape, from_proto, num_elements, to_proto


class FileSource(TensorSource):
    """The tensors of a file.

    Args:
        path: The file.
        contents: Of each tensor its dtype and shape; of what is none, why.
    """

    def __init__(self, path: str, contents: Mapping[str, tuple[DType, Shape] | str]) -> None:
        self.path = path
        self._contents = {name: _checked(contents[name]) for name in sorted(contents)}

    @property
    def names(self) -> list[str]:
        return list(self._contents)

    def __contains__(self, name: object) -> bool:
        return name in self._contents

    def info(self, name: str) -> TensorInfo:
        """What the file says of a tensor.

        Raises:
            TensorNotFoundError: There is no such name.
            UnimplementedError: What has the name is no tensor that a checkpoint can hold.
        """
        try:
            content = self._contents[name]
        except KeyError:
            raise TensorNotFoundError(name, checkpoint=self.path, near=nearest_names(name, self._contents)) from None
        if isinstance(content, str):
            raise UnimplementedError(f"{self.path}: {name!r} {content}")
        dtype, shape = content
        return TensorInfo(name, dtype, shape, num_elements(shape) * dtype.size, ())

    def read(self, name: str, region: Region | None = None) -> Array:
        info = self.info(name)
        try:
            if region is None:
                return self._load(name, info)
            part, dropped = as_tensor_slice(region, info.shape, name)
            resolved = part.resolve(info.shape)
            if 0 in resolved.shape:
                return np.empty(resolved.shape, info.dtype.numpy).squeeze(dropped)
            return self._load_part(name, info, resolved.indices).squeeze(dropped)
        except SaverError as error:
            if self.path not in str(error):
                error.add_context(self.path)
            raise

    @abc.abstractmethod
    def _load(self, name: str, info: TensorInfo) -> Array:
        """A whole tensor."""

    def _load_part(self, name: str, info: TensorInfo, indices: tuple[slice, ...]) -> Array:
        """A part of it; overridden where the library reads parts."""
        part: Array = self._load(name, info)[indices]
        return part

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.path!r}>"


def _checked(content: tuple[DType, Shape] | str) -> tuple[DType, Shape] | str:
    """What a file says of a tensor, unless no array can have that shape."""
    if isinstance(content, str):
        return content
    shape = content[1]
    if not all(type(size) is int and 0 <= size < 1 << 63 for size in shape):
        return f"has the shape {list(shape)}, which is none"
    try:
        from_proto(to_proto(shape), "it")
    except SaverError as error:
        return f"has a shape that no array can have: {error}"
    return content
