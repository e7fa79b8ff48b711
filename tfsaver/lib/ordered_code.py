"""Ordered code: values as bytes whose bytewise order is the values' order. Keys of tensor slices are spelled in it.

string    00 -> 00 ff, ff -> ff 00, other bytes as they are; then 00 01 ends it
unsigned  one byte n, then the number in n bytes, big-endian, without leading zeros     0 -> 00, 300 -> 02 01 2c
signed    n bytes of two's complement, big-endian, the first bits XORed with a header that counts the bytes:

    n        1    2    3    4    5    6    7    8    9      10
    header   80   c0   e0   f0   f8   fc   fe   ff   ff 80  ff c0

n is the least for which the number (or, below zero, its complement) is under 2**(7n - 1). So a number from 0 up
starts with n one-bits and a zero, and a negative one with the complement of that.
"""

from __future__ import annotations

import re

from tfsaver.errors import DataLossError, TruncatedError

_SIGNED_HEADERS = (0x80, 0xC0, 0xE0, 0xF0, 0xF8, 0xFC, 0xFE, 0xFF, 0xFF80, 0xFFC0)
_STRING_END = b"\x00\x01"
_ESCAPES = {b"\x00": b"\x00\xff", b"\xff": b"\xff\x00"}
_ESCAPED = re.compile(b"[\x00\xff]")


def encode_string(value: bytes) -> bytes:
    """`value` escaped and ended."""
    return _ESCAPED.sub(lambda match: _ESCAPES[match[0]], value) + _STRING_END


def read_string(data: bytes, position: int) -> tuple[bytes, int]:
    """The string at `position` and the position behind it.

    Raises:
        DataLossError: An escape is none, or the string has no end.
    """
    value = bytearray()
    index = position
    while special := _ESCAPED.search(data, index):
        value += data[index : special.start()]
        index = special.start() + 2
        pair = data[special.start() : index]
        if pair == _STRING_END:
            return bytes(value), index
        if pair not in (b"\x00\xff", b"\xff\x00"):
            if len(pair) < 2:
                break
            raise DataLossError(f"ordered string at byte {position}: bad escape {pair.hex(' ')}")
        value += pair[:1]
    raise TruncatedError(f"ordered string at byte {position}", wanted=2, available=0)


def encode_unsigned(value: int) -> bytes:
    """`value`, from 0 to 2**64 - 1."""
    size = (value.bit_length() + 7) // 8
    return bytes((size,)) + value.to_bytes(size, "big")


def read_unsigned(data: bytes, position: int) -> tuple[int, int]:
    """The unsigned number at `position` and the position behind it."""
    if position >= len(data):
        raise TruncatedError(f"ordered number at byte {position}", wanted=1, available=0)
    size = data[position]
    end = position + 1 + size
    if size > 8:
        raise DataLossError(f"ordered number at byte {position}: {size} bytes, at most 8 are allowed")
    if end > len(data):
        raise TruncatedError(f"ordered number at byte {position}", wanted=1 + size, available=len(data) - position)
    if size and not data[position + 1]:
        raise DataLossError(f"ordered number at byte {position}: not in its shortest form")
    return int.from_bytes(data[position + 1 : end], "big"), end


def encode_signed(value: int) -> bytes:
    """`value`, from -2**63 to 2**63 - 1."""
    magnitude = value if value >= 0 else ~value
    size = magnitude.bit_length() // 7 + 1
    header = _SIGNED_HEADERS[size - 1]
    header <<= 8 * (size - (2 if size > 8 else 1))
    return ((value & ((1 << 8 * size) - 1)) ^ header).to_bytes(size, "big")


def read_signed(data: bytes, position: int) -> tuple[int, int]:
    """The signed number at `position` and the position behind it."""
    if position >= len(data):
        raise TruncatedError(f"ordered number at byte {position}", wanted=1, available=0)
    # Complement a negative number's first bytes: the count of leading ones is then the size.
    flip = 0x0000 if data[position] & 0x80 else 0xFFFF
    head = int.from_bytes(data[position : position + 2].ljust(2, b"\0"), "big") ^ flip
    size = 0
    while size < 10 and head & 0x8000 >> size:
        size += 1
    if len(data) - position < size:
        raise TruncatedError(f"ordered number at byte {position}", wanted=size, available=len(data) - position)
    header = _SIGNED_HEADERS[size - 1] << 8 * (size - (2 if size > 8 else 1))
    raw = int.from_bytes(data[position : position + size], "big") ^ header
    value = raw - (1 << 8 * size) if flip else raw
    if not -(1 << 63) <= value < 1 << 63 or len(encode_signed(value)) != size:
        raise DataLossError(f"ordered number at byte {position}: not in its shortest form")
    return value, position + size
