"""CRC-32C (Castagnoli), and the mask under which checksums are stored.

A checksum of bytes that hold checksums of their own is weak, so a stored one is rotated right by 15 bits and moved by a
constant. Check values: the CRC of ``123456789`` is e3069283, stored as c78ab0e5; of nothing 0, stored as a282ead8.

The arithmetic is the `crc32c` package's: it takes any contiguous buffer without copying it, uses the processor's own
instruction and lets other threads run meanwhile.
"""

from __future__ import annotations

from crc32c import crc32c as _crc32c

_MASK_DELTA = 0xA282EAD8
_WORD = 0xFFFFFFFF


def value(data: bytes | bytearray | memoryview) -> int:
    """The CRC-32C of `data`."""
    return int(_crc32c(data))


def extend(crc: int, data: bytes | bytearray | memoryview) -> int:
    """The CRC-32C of what gave `crc` followed by `data`; start with 0."""
    return int(_crc32c(data, crc))


def mask(crc: int) -> int:
    """The form in which `crc` is stored."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & _WORD


def unmask(masked: int) -> int:
    """The checksum whose stored form is `masked`."""
    rotated = (masked - _MASK_DELTA) & _WORD
    return (rotated >> 17 | rotated << 15) & _WORD
