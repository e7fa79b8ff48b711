"""What callers pass as a tensor, as an array; and the values of a TensorProto, both ways.

A TensorProto keeps its values in `tensor_content`, raw bytes in C order, or in the typed field that `dtypes` names. With
fewer values than elements the last one fills the rest, with none they are zero. In a V1 checkpoint there is no
`tensor_content`, and exactly as many values as elements.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError
from tfsaver.framework import array_chunks, dtypes, tensor_shape, varint_array, wire_format
from tfsaver.framework.dtypes import DType
from tfsaver.framework.variant import Variant

Array = np.ndarray[Any, Any]

_TENSOR_CONTENT = 4
# The type of the numbers in each packed field, and their wire type.
_PACKED: dict[str, tuple[str, int]] = {
    "float_val": ("<f4", wire_format.FIXED32),
    "scomplex_val": ("<f4", wire_format.FIXED32),
    "double_val": ("<f8", wire_format.FIXED64),
    "dcomplex_val": ("<f8", wire_format.FIXED64),
    "int_val": ("varint", wire_format.VARINT),
    "int64_val": ("varint", wire_format.VARINT),
    "bool_val": ("varint", wire_format.VARINT),
    "half_val": ("varint", wire_format.VARINT),
    "uint32_val": ("varint", wire_format.VARINT),
    "uint64_val": ("varint", wire_format.VARINT),
}
# Values encoded in one go.
_BATCH = 1 << 18
# Bytes up to which a shape is filled with fewer values than it has elements, and up to which with one value.
_MAX_FILLED_SIZE = 16 << 20
_MAX_REPEATED_SIZE = 1 << 20
# Fields smaller than this are put together before they are decoded: each by itself would take many times its size.
_SMALL_FIELD = 4 << 10


def as_tensor(value: Any, name: str = "value") -> tuple[Array, DType]:
    """`value` as an array without copying it where it is one already, and the type to store it under.

    Strings become an object array of bytes, str encoded as UTF-8; `Variant` elements stay what they are.

    Raises:
        InvalidArgumentError: Ragged, or an object array of something else than strings.
        UnimplementedError: A dtype that no checkpoint can hold.
    """
    try:
        # numpy's fixed-width strings drop zero bytes at the end, and give every element the room of the longest: take the
        # objects as they were given.
        array = np.asarray(value, dtype=object if isinstance(_first_element(value), str | bytes) else None)
        if array.dtype.kind in "SU" and not isinstance(value, np.ndarray):
            array = np.asarray(value, dtype=object)
    except (ValueError, TypeError) as error:
        raise InvalidArgumentError(f"{name!r} cannot be made an array: {error}") from error
    if array.dtype.kind not in "OSUT":
        return array, dtypes.from_numpy(array.dtype)
    elements = [_as_bytes(element, name) for element in array.reshape(-1).tolist()]
    strings = np.empty(len(elements), object)
    strings[:] = elements
    num_variants = sum(isinstance(element, Variant) for element in elements)
    if num_variants not in (0, len(elements)):
        raise InvalidArgumentError(f"{name!r} mixes strings and variants")
    return strings.reshape(array.shape), dtypes.VARIANT if num_variants else dtypes.STRING


def _first_element(value: Any) -> Any:
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return value


def _as_bytes(element: Any, name: str) -> bytes:
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        try:
            return element.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(f"{name!r} holds a text that has no UTF-8 form: {error}") from error
    raise InvalidArgumentError(f"{name!r} holds a {type(element).__name__}; an array of objects must hold strings")


def make_ndarray(proto: Any, name: str = "TensorProto") -> Array:
    """The array that a TensorProto stands for; a read-only one where a single value fills a large shape.

    Raises:
        DataLossError: Its shape or its values contradict its type.
        UnimplementedError: A type that tfsaver does not know.
    """
    dtype = dtypes.from_data_type(proto.dtype)
    shape = tensor_shape.from_proto(proto.tensor_shape, name)
    count = tensor_shape.num_elements(shape)
    values = decode_values(memoryview(proto.SerializeToString()), dtype, name)
    if len(values) > count or (proto.tensor_content and len(values) != count):
        raise DataLossError(f"{name}: {len(values)} values for the {count} elements of shape {list(shape)}")
    if len(values) == count:
        return values.reshape(shape)
    if not len(values):
        values = np.zeros(1, dtype.numpy) if dtype.has_fixed_size else np.full(1, b"", object)
    # A few bytes may say a shape of any size: what is the same everywhere needs no memory, and more values than one that
    # fill so much are nobody's.
    size = count * max(dtype.size, np.dtype(object).itemsize)
    if len(values) == 1 and size > _MAX_REPEATED_SIZE:
        return np.broadcast_to(values, shape)
    if size > _MAX_FILLED_SIZE:
        raise DataLossError(f"{name}: {len(values)} values are to fill the {count} elements of shape {list(shape)}")
    filled = np.empty(count, dtype.numpy)
    filled[: len(values)] = values
    filled[len(values) :] = values[-1]
    return filled.reshape(shape)


def decode_values(serialized: memoryview, dtype: DType, name: str) -> Array:
    """The values, in one dimension, that stand in a serialized TensorProto whose type is known to be `dtype`.

    Raises:
        DataLossError: The bytes are no TensorProto, or hold values of another type's width.
    """
    field = schemas.TensorProto.DESCRIPTOR.fields_by_name[dtype.values].number
    _, single = _PACKED.get(dtype.values, ("bytes", wire_format.LENGTH_DELIMITED))
    payloads: list[memoryview] = []
    elements: list[bytes] = []
    # Values that are not packed come one in a field; a run of them is what a packed field holds.
    run = bytearray()
    content: memoryview | None = None
    for number, wire_type, payload in wire_format.iterate_fields(serialized):
        if number == field:
            if wire_type != wire_format.LENGTH_DELIMITED and wire_type != single:
                raise DataLossError(f"{name}: {dtype.values} has wire type {wire_type}, which {dtype} values cannot have")
            if not dtype.has_fixed_size:
                elements.append(Variant(payload) if dtype is dtypes.VARIANT else bytes(payload))
                continue
            if wire_type == wire_format.LENGTH_DELIMITED:
                _check_whole(payload, dtype, name)
            if len(payload) < _SMALL_FIELD:
                run += payload
                continue
            if run:
                payloads.append(memoryview(bytes(run)))
                run.clear()
            payloads.append(payload)
        elif number == _TENSOR_CONTENT and wire_type == wire_format.LENGTH_DELIMITED and payload:
            content = payload
    if not dtype.has_fixed_size:
        values = np.empty(len(elements), object)
        values[:] = elements
        return values
    if content is not None:
        return _from_content(content, dtype, name)
    if run:
        payloads.append(memoryview(bytes(run)))
    parts = [_decode_packed(payload, dtype, name) for payload in payloads]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, dtype.numpy), *parts])


def _check_whole(payload: memoryview, dtype: DType, name: str) -> None:
    """Checks that a packed field ends where a value does, before others are put behind it."""
    number_type, _ = _PACKED.get(dtype.values, ("bytes", wire_format.LENGTH_DELIMITED))
    if number_type == "varint":
        if payload and payload[-1] >= 0x80:
            raise DataLossError(f"{name}: the last value of {dtype.values} is cut off")
    elif len(payload) % (dtype.size if number_type == "bytes" else dtype.numpy.itemsize):
        raise DataLossError(f"{name}: {len(payload)} bytes of {dtype.values} are no whole number of {dtype} elements")


def _from_content(content: memoryview, dtype: DType, name: str) -> Array:
    if len(content) % dtype.size:
        raise DataLossError(f"{name}: {len(content)} bytes of content are no whole number of {dtype} elements")
    raw = np.frombuffer(content, np.uint8).copy()
    dtype.unpacked_bits(raw)
    values: Array = raw.view(dtype.numpy)
    return values


def _decode_packed(payload: memoryview, dtype: DType, name: str) -> Array:
    number_type, _ = _PACKED.get(dtype.values, ("bytes", wire_format.LENGTH_DELIMITED))
    if number_type == "bytes":
        return _from_content(payload, dtype, name)
    if number_type != "varint":
        # Half of a complex number may have come in a field of its own.
        if len(payload) % dtype.numpy.itemsize:
            raise DataLossError(f"{name}: {len(payload)} bytes of {dtype.values} are no whole number of {dtype} elements")
        return np.frombuffer(payload, number_type).astype(number_type[1:]).view(dtype.numpy)
    raw = np.frombuffer(payload, np.uint8)
    # The last byte of a varint is the one without the top bit.
    count = int(np.count_nonzero(raw < 0x80))
    values, _ = varint_array.decode(payload, count)
    if dtype.name == "bool":
        return values.astype(bool)
    narrow = values.astype(f"u{dtype.size}").view(np.uint8)
    dtype.unpacked_bits(narrow)
    values_as_stored: Array = narrow.view(dtype.numpy)
    return values_as_stored


def encoded_values_size(array: Array, dtype: DType) -> int:
    """Bytes that `encode_values` gives for a V1 checkpoint's TensorProto."""
    if not dtype.has_fixed_size:
        return sum(
            len(wire_format.length_delimited_header(_field_number(dtype), len(value))) + len(value)
            for value in array.reshape(-1).tolist()
        )
    payload_size = _packed_size(array, dtype)
    return payload_size + len(wire_format.length_delimited_header(_field_number(dtype), payload_size)) if array.size else 0


def encode_values(array: Array, dtype: DType) -> Iterator[bytes | memoryview]:
    """An array's values in the typed field of a TensorProto, in pieces: one value an element, nothing else."""
    if not array.size:
        return
    number = _field_number(dtype)
    if not dtype.has_fixed_size:
        for value in array.reshape(-1).tolist():
            yield wire_format.length_delimited_header(number, len(value)) + value
        return
    yield wire_format.length_delimited_header(number, _packed_size(array, dtype))
    for chunk in array_chunks.iterate_chunks(array, dtype):
        if _PACKED[dtype.values][1] != wire_format.VARINT:
            yield chunk
            continue
        values = _as_unsigned(chunk, dtype)
        for start in range(0, len(values), _BATCH):
            yield varint_array.encode(values[start : start + _BATCH])


def _packed_size(array: Array, dtype: DType) -> int:
    if _PACKED[dtype.values][1] != wire_format.VARINT:
        return array.size * dtype.numpy.itemsize
    return sum(
        int(varint_array.sizes(_as_unsigned(chunk, dtype)).sum()) for chunk in array_chunks.iterate_chunks(array, dtype)
    )


def _as_unsigned(chunk: memoryview, dtype: DType) -> varint_array.UInt64Array:
    # Signed numbers are extended to 64 bits; a half's 16 bits are a non-negative number.
    signed = dtype.values in ("int_val", "int64_val") and not dtype.name.lstrip("q").startswith("u")
    raw = np.frombuffer(chunk, f"<{'i' if signed else 'u'}{dtype.size}")
    return raw.astype(np.int64 if signed else np.uint64).view(np.uint64)


def _field_number(dtype: DType) -> int:
    return int(schemas.TensorProto.DESCRIPTOR.fields_by_name[dtype.values].number)
