"""Numbers as bytes, the way LevelDB's tables and protocol buffers spell them.

    varint   7 bits a byte, lowest group first; the top bit says that more follow      300 -> ac 02
    fixed32  4 bytes, little-endian
    fixed64  8 bytes, little-endian

`read_*` decodes at a position and returns the value and the position behind it; a position is checked against the
buffer, so a damaged length ends in a `TruncatedError` or `DataLossError`, never in an IndexError.
"""

from __future__ import annotations

import struct

from tfsaver.errors import DataLossError, TruncatedError

_MAX_VARINT64_BYTES = 10
_FIXED32 = struct.Struct("<I")
_FIXED64 = struct.Struct("<Q")


def encode_varint(value: int) -> bytes:
    """`value` (0 to 2**64 - 1) as a varint."""
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """The varint (up to 64 bits) at `position`.

    Raises:
        TruncatedError: The buffer ends inside it.
        DataLossError: It has more than 64 bits.
    """
    # Nearly every number takes one byte.
    if position < len(data) and data[position] < 0x80:
        return data[position], position + 1
    value = shift = 0
    for index in range(position, min(position + _MAX_VARINT64_BYTES, len(data))):
        byte = data[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, index + 1
        shift += 7
    else:
        if len(data) < position + _MAX_VARINT64_BYTES:
            raise TruncatedError(f"varint at byte {position}", wanted=1, available=0)
    raise DataLossError(f"varint at byte {position}: longer than 64 bits")


def encode_fixed32(value: int) -> bytes:
    """`value` as 4 little-endian bytes."""
    return _FIXED32.pack(value)


def read_fixed32(data: bytes | memoryview, position: int) -> int:
    """The 4-byte little-endian number at `position`, which the caller has checked to be there."""
    return int(_FIXED32.unpack_from(data, position)[0])


def encode_fixed64(value: int) -> bytes:
    """`value` as 8 little-endian bytes."""
    return _FIXED64.pack(value)


def read_fixed64(data: bytes | memoryview, position: int) -> int:
    """The 8-byte little-endian number at `position`, which the caller has checked to be there."""
    return int(_FIXED64.unpack_from(data, position)[0])
