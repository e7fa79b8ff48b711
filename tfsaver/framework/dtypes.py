"""Every element type that a checkpoint can hold, as one table.

    data_type   the number in tensorflow/core/framework/types.proto
    size        bytes of an element in a data file; 0 where elements differ in size
    swap        bytes that change places together in a file of the other byte order
    values      the field of a TensorProto that carries such values
    in_v1       whether a V1 checkpoint can hold it

Types narrower than a byte take a whole byte each, the value in the low bits; see `unpacked_bits`. The quantised types
are plain integers in the file; as numpy types they are structured, as TensorFlow has them (``[("qint8", "i1")]``), so
that they do not turn into plain integers on the way from one file to another.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from tfsaver.errors import UnimplementedError, nearest_names
from tfsaver.lib.cached_property import cached_property

# name, data_type, size, swap, values, in_v1
_TABLE: tuple[tuple[str, int, int, int, str, bool], ...] = (
    ("float32", 1, 4, 4, "float_val", True),
    ("float64", 2, 8, 8, "double_val", True),
    ("int32", 3, 4, 4, "int_val", True),
    ("uint8", 4, 1, 1, "int_val", True),
    ("int16", 5, 2, 2, "int_val", True),
    ("int8", 6, 1, 1, "int_val", True),
    ("string", 7, 0, 0, "string_val", True),
    ("complex64", 8, 8, 4, "scomplex_val", True),
    ("int64", 9, 8, 8, "int64_val", True),
    ("bool", 10, 1, 1, "bool_val", True),
    ("qint8", 11, 1, 1, "int_val", True),
    ("quint8", 12, 1, 1, "int_val", True),
    ("qint32", 13, 4, 4, "int_val", True),
    ("bfloat16", 14, 2, 2, "half_val", False),
    ("qint16", 15, 2, 2, "int_val", False),
    ("quint16", 16, 2, 2, "int_val", False),
    ("uint16", 17, 2, 2, "int_val", True),
    ("complex128", 18, 16, 8, "dcomplex_val", True),
    ("float16", 19, 2, 2, "half_val", True),
    ("resource", 20, 0, 0, "resource_handle_val", False),
    ("variant", 21, 0, 0, "variant_val", False),
    ("uint32", 22, 4, 4, "uint32_val", False),
    ("uint64", 23, 8, 8, "uint64_val", False),
    ("float8_e5m2", 24, 1, 1, "float8_val", False),
    ("float8_e4m3fn", 25, 1, 1, "float8_val", False),
    ("float8_e4m3fnuz", 26, 1, 1, "float8_val", False),
    ("float8_e4m3b11fnuz", 27, 1, 1, "float8_val", False),
    ("float8_e5m2fnuz", 28, 1, 1, "float8_val", False),
    ("int4", 29, 1, 1, "int_val", False),
    ("uint4", 30, 1, 1, "int_val", False),
    ("int2", 31, 1, 1, "int_val", False),
    ("uint2", 32, 1, 1, "int_val", False),
    ("float4_e2m1fn", 33, 1, 1, "float8_val", False),
)

# What people call some of them: `float` is TensorFlow's and torch's, not Python's.
ALIASES = {
    "half": "float16",
    "fp16": "float16",
    "f16": "float16",
    "bf16": "bfloat16",
    "float": "float32",
    "single": "float32",
    "fp32": "float32",
    "f32": "float32",
    "double": "float64",
    "fp64": "float64",
    "f64": "float64",
}

# Bits of a byte that carry a value, for the types that do not use all.
_NUM_BITS = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "float4_e2m1fn": 4}
_QUANTISED = {"qint8": "i1", "quint8": "u1", "qint16": "i2", "quint16": "u2", "qint32": "i4"}
_OBJECTS = frozenset({"string", "variant", "resource"})


@dataclass(frozen=True)
class DType:
    """One element type: a row of the table."""

    name: str
    data_type: int
    size: int
    swap: int
    values: str
    in_v1: bool

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        """The numpy type whose elements have these bytes; `object` for strings and variants.

        Raises:
            UnimplementedError: The installed ml_dtypes is older than the type.
        """
        if self.name in _OBJECTS:
            return np.dtype(object)
        if self.name in _QUANTISED:
            return np.dtype([(self.name, _QUANTISED[self.name])])
        if scalar := getattr(ml_dtypes, self.name, None):
            ml_dtype: np.dtype[Any] = np.dtype(scalar)
            return ml_dtype
        try:
            return np.dtype(self.name)
        except TypeError:
            raise UnimplementedError(
                f"dtype {self.name} needs a newer ml_dtypes than the installed {ml_dtypes.__version__}: "
                "pip install -U ml_dtypes"
            ) from None

    @property
    def has_fixed_size(self) -> bool:
        """Whether all elements take the same number of bytes."""
        return self.size > 0

    @property
    def num_bits(self) -> int:
        """Bits of an element that carry its value, 0 where their number differs."""
        return _NUM_BITS.get(self.name, 8 * self.size)

    def unpacked_bits(self, raw: np.ndarray[Any, Any]) -> None:
        """Makes bytes read from a file what numpy expects, in place, for types narrower than a byte.

        TensorFlow leaves whatever it had in the upper bits: -8 as an int4 is 08 in one file and f8 in another. A signed
        value is extended from its own sign bit, anything else gets zeros.

        Args:
            raw: uint8, any shape.
        """
        if (bits := _NUM_BITS.get(self.name)) is None:
            return
        shift = 8 - bits
        np.left_shift(raw, shift, out=raw)
        if self.name.startswith("int"):
            signed = raw.view(np.int8)
            np.right_shift(signed, shift, out=signed)
        else:
            np.right_shift(raw, shift, out=raw)

    def __str__(self) -> str:
        return self.name


_BY_DATA_TYPE = {row[1]: DType(*row) for row in _TABLE}
_BY_NAME = {dtype.name: dtype for dtype in _BY_DATA_TYPE.values()}
ALL = tuple(_BY_DATA_TYPE.values())
STRING = _BY_NAME["string"]
VARIANT = _BY_NAME["variant"]
RESOURCE = _BY_NAME["resource"]


def from_data_type(data_type: int) -> DType:
    """The type of a number from types.proto.

    Raises:
        UnimplementedError: A number that is none (0, a reference twin over 100, a newer type).
    """
    try:
        return _BY_DATA_TYPE[data_type]
    except KeyError:
        raise UnimplementedError(f"data type {data_type} is none that a checkpoint can hold as tfsaver knows it") from None


def from_name(name: str) -> DType:
    """The type of TensorFlow's name for it, as in ``"float32"`` or ``"qint8"``.

    Raises:
        UnimplementedError: No such type.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        near = dict.fromkeys(ALIASES.get(each, each) for each in nearest_names(name.lower(), [*_BY_NAME, *ALIASES]))
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(_BY_NAME)}"
        raise UnimplementedError(f"unknown dtype {name!r}; {hint}") from None


def from_word(word: str) -> DType:
    """The type that a person names: as `from_name`, and by its `ALIASES`, such as ``bf16`` or ``half``.

    Raises:
        UnimplementedError: No such type.
    """
    return from_name(ALIASES.get(word.lower(), word))


@functools.lru_cache(256)
def from_numpy(dtype: np.dtype[Any]) -> DType:
    """The type under which arrays of `dtype` are stored; its byte order does not matter.

    Raises:
        UnimplementedError: TensorFlow has no such type.
    """
    if dtype.kind in "SUT":
        return STRING
    if dtype.names is not None and len(dtype.names) == 1 and dtype.names[0] in _QUANTISED:
        return _BY_NAME[dtype.names[0]]
    found = _BY_NAME.get(dtype.newbyteorder("=").name)
    if found is None or found.name in _OBJECTS:
        known = ", ".join(name for name in _BY_NAME if name not in _OBJECTS)
        raise UnimplementedError(f"numpy dtype {dtype} cannot be stored in a checkpoint; what can: {known}, and strings")
    return found
