"""NodeDefs and the values of their attributes, written as TensorFlow's Python API writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from tfsaver import schemas
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import to_proto

Array: TypeAlias = "np.ndarray[Any, Any]"

NO_DEVICE = ""


def node(
    op: str,
    name: str,
    inputs: Iterable[str] = (),
    attrs: Mapping[str, schemas.AttrValue] | None = None,
    *,
    device: str = NO_DEVICE,
) -> schemas.NodeDef:
    """A node; `attrs` by their names."""
    return schemas.NodeDef(op=op, name=name, input=inputs, device=device, attr=attrs)


def of_type(data_type: int) -> schemas.AttrValue:
    """The attribute value that is a data type."""
    return schemas.AttrValue(type=data_type)


def of_types(data_types: Iterable[int]) -> schemas.AttrValue:
    """The attribute value that is a list of data types."""
    return schemas.AttrValue(list=schemas.AttrValue.ListValue(type=data_types))


def of_bool(value: bool) -> schemas.AttrValue:
    """The attribute value that is true or false."""
    return schemas.AttrValue(b=value)


def of_int(value: int) -> schemas.AttrValue:
    """The attribute value that is an integer."""
    return schemas.AttrValue(i=value)


def of_string(value: str | bytes) -> schemas.AttrValue:
    """The attribute value that is a string."""
    return schemas.AttrValue(s=_encoded(value))


def of_strings(values: Iterable[bytes]) -> schemas.AttrValue:
    """The attribute value that is a list of strings."""
    return schemas.AttrValue(list=schemas.AttrValue.ListValue(s=values))


def of_shape(shape: Sequence[int] | None) -> schemas.AttrValue:
    """The attribute value that is a shape: -1 in it for a dimension, None for a rank that is not known."""
    proto = schemas.TensorShapeProto(unknown_rank=True) if shape is None else to_proto(shape)
    return schemas.AttrValue(shape=proto)


def strings_const(name: str, values: Iterable[str | bytes], *, device: str = NO_DEVICE) -> schemas.NodeDef:
    """A Const that is a vector of strings."""
    elements = [_encoded(value) for value in values]
    tensor = schemas.TensorProto(dtype=schemas.DT_STRING, tensor_shape=to_proto([len(elements)]), string_val=elements)
    return _const(name, tensor, device)


def string_const(name: str, value: str | bytes, *, device: str = NO_DEVICE) -> schemas.NodeDef:
    """A Const that is one string."""
    tensor = schemas.TensorProto(dtype=schemas.DT_STRING, tensor_shape=to_proto([]), string_val=[_encoded(value)])
    return _const(name, tensor, device)


def int32_const(name: str, value: int, *, device: str = NO_DEVICE) -> schemas.NodeDef:
    """A Const that is one 32-bit integer."""
    tensor = schemas.TensorProto(dtype=schemas.DT_INT32, tensor_shape=to_proto([]), int_val=[value])
    return _const(name, tensor, device)


def int32s_const(name: str, values: Sequence[int], *, device: str = NO_DEVICE) -> schemas.NodeDef:
    """A Const that is a vector of 32-bit integers."""
    tensor = schemas.TensorProto(dtype=schemas.DT_INT32, tensor_shape=to_proto([len(values)]))
    # As TensorFlow writes arrays: raw bytes for more than one element.
    if len(values) == 1:
        tensor.int_val.extend(values)
    else:
        tensor.tensor_content = b"".join(value.to_bytes(4, "little", signed=True) for value in values)
    return _const(name, tensor, device)


def array_const(name: str, array: Array, dtype: DType, *, device: str = NO_DEVICE) -> schemas.NodeDef:
    """A Const that is an array: its bytes, or its strings."""
    tensor = schemas.TensorProto(dtype=dtype.data_type, tensor_shape=to_proto(array.shape))
    if dtype.has_fixed_size:
        little = array.astype(array.dtype.newbyteorder("<"), copy=False) if array.dtype.kind in "iufc" else array
        tensor.tensor_content = little.tobytes()
    else:
        tensor.string_val.extend(array.reshape(-1).tolist())
    return _const(name, tensor, device)


def zeros_const(name: str, shape: Sequence[int], dtype: DType, *, device: str = NO_DEVICE) -> schemas.NodeDef:
    """A Const of zeros or empty strings, which takes no room: one value stands for all."""
    tensor = schemas.TensorProto(dtype=dtype.data_type, tensor_shape=to_proto(shape))
    if dtype.values == "float8_val":
        tensor.float8_val = b"\0"
    elif dtype.has_fixed_size:
        getattr(tensor, dtype.values).extend([0, 0] if "complex" in dtype.name else [0])
    else:
        tensor.string_val.append(b"")
    return _const(name, tensor, device)


def _const(name: str, tensor: schemas.TensorProto, device: str) -> schemas.NodeDef:
    attrs = {"dtype": of_type(tensor.dtype), "value": schemas.AttrValue(tensor=tensor)}
    return node("Const", name, (), attrs, device=device)


def _encoded(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
