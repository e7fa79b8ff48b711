"""Keys of slices in ordered code, and slices as text: what is read is written as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tfsaver.errors import SaverError
from tfsaver.framework import tensor_slice
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice
from tfsaver.lib import ordered_code

NAME = "slice_keys"
MAX_SIZE = 128


def seeds() -> Iterator[bytes]:
    for name in (b"w", b"layer/part", b"\x00\xff"):
        for stored in (TensorSlice(()), TensorSlice(((0, 5), EVERYTHING)), TensorSlice(((1 << 40, 300),) * 3)):
            yield tensor_slice.encode_key(name, stored)
    for number in (0, 1, -1, 63, 64, -65, 8191, 8192, 1 << 62, -(1 << 63), (1 << 63) - 1):
        yield ordered_code.encode_signed(number)
    yield ordered_code.encode_unsigned(300)
    yield from (b"10 6 0,4:-", b"-", b"5 -", b"0 0,0", b"9999999999999999999 1,1")


def run(data: bytes) -> None:
    _read(ordered_code.read_string, ordered_code.encode_string, data)
    _read(ordered_code.read_unsigned, ordered_code.encode_unsigned, data)
    _read(ordered_code.read_signed, ordered_code.encode_signed, data)
    try:
        name, stored = tensor_slice.decode_key(data)
        assert tensor_slice.encode_key(name, stored) == data
        stored.resolve((5,) * stored.rank)
    except SaverError:
        pass
    shape, parsed = tensor_slice.parse_shape_and_slice(data.decode("latin-1"))
    again = tensor_slice.format_shape_and_slice(shape, parsed)
    assert tensor_slice.parse_shape_and_slice(again) == (shape, parsed)


def _read(read: Callable[[bytes, int], tuple[Any, int]], encode: Callable[[Any], bytes], data: bytes) -> None:
    try:
        value, end = read(data, 0)
    except SaverError:
        return
    assert encode(value) == data[:end]
