"""A tensor among the leaves of a tree, and numpy's arrays and scalars as such.

What a leaf is made of says its type and shape at once, and its values when somebody reads them: all of them, or a part, so
that what lies on another device comes to this one piece by piece. Nothing is copied that is an array already.
"""

from __future__ import annotations

import abc
from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from tfsaver.errors import DataLossError, UnimplementedError
from tfsaver.framework import dtypes, tensor_util
from tfsaver.framework.dtypes import DType
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_shape import Shape
from tfsaver.targets.trees.structure import Leaf
from tfsaver.targets.trees.values import is_unicode

Array = np.ndarray[Any, Any]

# An array of fixed-width text keeps its width as long as its padding does not fill memory: the width is read from a file.
_MAX_PADDED_SIZE = 256 << 20
# Guests whose tensors are read as arrays and come back as such; their types are known by the packages that they live in.
_READ_AS_ARRAYS = ("tensorflow", "keras")


class TensorLeaf(abc.ABC):
    """A tensor in a tree that is to be saved.

    Attributes:
        kind: What it comes back as; see `Leaf`.
        options: What else is to be remembered of it.
        dtype: The type under which it is stored.
        shape: The shape with which it is stored.
        identity: What it has in common with leaves that are the same tensor; None for what is nobody else's.
        is_stable: Whether its values are there to be written as they are.
    """

    kind: ClassVar[str] = "numpy"
    is_stable = False

    def __init__(
        self, dtype: DType, shape: Shape, identity: Hashable = None, options: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.identity = None if identity is None else (type(self), identity)
        self.options = dict(options)

    @property
    def num_bytes(self) -> int:
        """What its values take, as far as their type says."""
        return self.dtype.size * int(np.prod(self.shape, dtype=np.int64))

    @abc.abstractmethod
    def all(self) -> Array:
        """Its values."""

    def part(self, indices: tuple[slice, ...]) -> Array:
        """Some of its values."""
        # With the dots it is an array even if it is a scalar of objects.
        dotted: tuple[Any, ...] = (*indices, ...)
        result: Array = self.all()[dotted]
        return result

    def read(self, region: Region | None, name: str) -> Array:
        """Its values, or those in a region."""
        if region is None:
            return self.all()
        wanted, dropped = as_tensor_slice(region, self.shape, name)
        return self.part(wanted.resolve(self.shape).indices).squeeze(dropped)


class ArrayLeaf(TensorLeaf):
    """A numpy array or scalar, or a long text.

    Args:
        value: The array, or what `as_tensor` makes one of.
        identity: See `TensorLeaf`.
        options: ``scalar``: it was a numpy scalar. ``text``: it was an array of str (as numpy writes its type), or of bytes
            of a fixed width; without it, strings are objects of type bytes.

    Raises:
        InvalidArgumentError, UnimplementedError: No checkpoint can hold it.
    """

    is_stable = True

    def __init__(self, value: Any, identity: Hashable = None, **options: Any) -> None:
        self._array, dtype = tensor_util.as_tensor(value)
        super().__init__(dtype, self._array.shape, identity, options)

    @property
    def num_bytes(self) -> int:
        """What its values take."""
        return self._array.nbytes if self.dtype.has_fixed_size else sum(map(len, self._array.reshape(-1).tolist()))

    def all(self) -> Array:
        """Its values."""
        return self._array


class LongText(ArrayLeaf):
    """A str that is too long to be written among the values of Python's own."""

    kind = "str"


class LongBytes(ArrayLeaf):
    """A bytes object that is too long for that."""

    kind = "bytes"


class ConvertedLeaf(TensorLeaf):
    """A guest's tensor or variable, whose values numpy can ask for.

    Args:
        value: It has a dtype with TensorFlow's name for it, a shape, and gives an array when asked.
    """

    def __init__(self, value: Any) -> None:
        self._value = value
        super().__init__(
            dtypes.from_name(getattr(value.dtype, "name", value.dtype)), tuple(map(int, value.shape)), identity=id(value)
        )

    def all(self) -> Array:
        """Its values."""
        return tensor_util.as_tensor(self._value.numpy())[0]


def array_leaf(value: Any) -> TensorLeaf | None:
    """What a numpy array, a numpy scalar or a guest's tensor is stored as; None for anything else.

    Raises:
        InvalidArgumentError, UnimplementedError: No checkpoint can hold it.
    """
    if isinstance(value, np.generic):
        return ArrayLeaf(np.asarray(value), scalar=True, **_text(np.asarray(value)))
    if isinstance(value, np.ndarray):
        if type(value) not in (np.ndarray, np.memmap):
            raise UnimplementedError(f"a {type(value).__name__} is more than an array: pass np.asarray(...) of it")
        pointer = value.__array_interface__["data"][0] if value.size else None
        identity = pointer and (pointer, value.shape, value.strides, value.dtype.str)
        return ArrayLeaf(value, identity, **_text(value))
    if type(value).__module__.partition(".")[0] in _READ_AS_ARRAYS and callable(getattr(value, "numpy", None)):
        return ConvertedLeaf(value)
    return None


def restore_array(array: Array, leaf: Leaf) -> Any:
    """What an array or a scalar was, from the array that is in the checkpoint.

    Raises:
        DataLossError: It cannot have been that.
    """
    if leaf.kind in ("str", "bytes"):
        if array.shape or not isinstance(array.item(), bytes):
            raise DataLossError(f"{leaf.key!r} is {array.dtype} {list(array.shape)}, said to be one {leaf.kind}")
        return array.item() if leaf.kind == "bytes" else _decoded(array.item(), leaf)
    if text := leaf.options.get("text", ""):
        array = _with_text(array, text, leaf)
    return array[()] if leaf.options.get("scalar") and not array.shape else array


def _text(array: Array) -> dict[str, str]:
    if array.dtype.kind == "S":
        return {"text": array.dtype.str[1:]}
    if array.dtype.kind not in "OUT":
        return {}
    elements = array.reshape(-1).tolist()
    kinds = set(map(type, elements))
    if array.dtype.kind == "O" and kinds <= {bytes}:
        return {}
    if kinds - {str}:
        raise UnimplementedError(f"an array of objects holds {' and '.join(sorted(kind.__name__ for kind in kinds))}")
    if not all(map(is_unicode, elements)):
        raise UnimplementedError("an array holds a text that has no UTF-8 form")
    return {"text": array.dtype.str[1:] if array.dtype.kind == "U" else array.dtype.kind}


def _with_text(array: Array, text: str, leaf: Leaf) -> Array:
    width = text[1:]
    if text[0] not in "SUOT" or (width and not (width.isascii() and width.isdigit() and len(width) < 10)):
        raise DataLossError(f"{leaf.key!r}: text {text!r} is no type of text")
    if array.dtype != object:
        raise DataLossError(f"{leaf.key!r} is {array.dtype}, said to be text")
    if text[0] != "S":
        decoded = np.empty(array.shape, object)
        decoded.reshape(-1)[:] = [_decoded(element, leaf) for element in array.reshape(-1).tolist()]
        array = decoded
    if text[0] == "O" or (text[0] == "T" and not hasattr(np, "dtypes")):
        return array
    if text[0] == "T":
        return array.astype(np.dtypes.StringDType()) if hasattr(np.dtypes, "StringDType") else array
    longest = max(map(len, array.reshape(-1).tolist()), default=1)
    wanted = max(int(width or 0), longest, 1)
    is_sane = array.size * wanted * (4 if text[0] == "U" else 1) <= _MAX_PADDED_SIZE
    return array.astype(f"{text[0]}{wanted if is_sane else longest}")


def _decoded(element: Any, leaf: Leaf) -> str:
    try:
        return str(element, "utf-8")
    except (TypeError, UnicodeDecodeError) as error:
        raise DataLossError(f"{leaf.key!r} is said to be text: {error}") from error
