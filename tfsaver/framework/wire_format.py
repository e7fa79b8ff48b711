"""The wire format of protocol buffers, for messages whose payload is a tensor.

    field = varint (number << 3 | wire type) | payload
    wire type   0 varint   1 8 bytes   2 varint size, then that many bytes   5 4 bytes

A protobuf library gives every number of a repeated field as a Python object. A V1 checkpoint keeps whole tensors in such
fields; read here, they go from the file's bytes into an array without any.
"""

from __future__ import annotations

from collections.abc import Iterator

from tfsaver.errors import DataLossError, TruncatedError
from tfsaver.lib import coding

VARINT = 0
FIXED64 = 1
LENGTH_DELIMITED = 2
FIXED32 = 5

_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


def iterate_fields(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Each field's number, wire type and payload, in the order of the bytes.

    Raises:
        DataLossError: The bytes are no message.
    """
    position = 0
    while position < len(data):
        start = position
        tag, position = coding.read_varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            _, end = coding.read_varint(data, position)
        elif wire_type == LENGTH_DELIMITED:
            size, position = coding.read_varint(data, position)
            end = position + size
        elif wire_type in _FIXED_SIZES:
            end = position + _FIXED_SIZES[wire_type]
        else:
            raise DataLossError(f"field {number} at byte {start}: unknown wire type {wire_type}")
        if end > len(data):
            raise TruncatedError(f"field {number} at byte {start}", wanted=end - start, available=len(data) - start)
        if not number:
            raise DataLossError(f"field at byte {start}: number 0")
        yield number, wire_type, data[position:end]
        position = end


def length_delimited_header(number: int, size: int) -> bytes:
    """What stands before a payload of `size` bytes in the field `number`."""
    return coding.encode_varint(number << 3 | LENGTH_DELIMITED) + coding.encode_varint(size)
