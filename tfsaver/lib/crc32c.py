"""CRC-32C (Castagnoli), and the mask under which checksums are stored.

A checksum of bytes that hold checksums of their own is weak, so a stored one is rotated right by 15 bits and moved by a
constant. Check values: the CRC of ``123456789`` is e3069283, stored as c78ab0e5; of nothing 0, stored as a282ead8.

The arithmetic is the `crc32c` package's: it takes any contiguous buffer without copying it, uses the processor's own
instruction and lets other threads run meanwhile.
"""

from __future__ import annotations

import functools

from crc32c import crc32c as _crc32c

_MASK_DELTA = 0xA282EAD8
# Castagnoli's polynomial with the highest power last, as the CRC has its bits.
_POLYNOMIAL = 0x82F63B78
_ONE = 1 << 31
_WORD = 0xFFFFFFFF


def value(data: bytes | bytearray | memoryview) -> int:
    """The CRC-32C of `data`."""
    return int(_crc32c(data))


def extend(crc: int, data: bytes | bytearray | memoryview) -> int:
    """The CRC-32C of what gave `crc` followed by `data`; start with 0."""
    return int(_crc32c(data, crc))


def combine(crc: int, next_crc: int, next_size: int) -> int:
    """The CRC-32C of two runs of bytes, one behind the other, from the CRC of each and the size of the second.

    Bytes that several threads hash are put together by this: appending n bytes multiplies what came before by x**8n, modulo
    the polynomial of the CRC, and adds what they give by themselves.
    """
    return _multiply(_power_of_x(8 * next_size), crc) ^ next_crc


def mask(crc: int) -> int:
    """The form in which `crc` is stored."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & _WORD


def unmask(masked: int) -> int:
    """The checksum whose stored form is `masked`."""
    rotated = (masked - _MASK_DELTA) & _WORD
    return (rotated >> 17 | rotated << 15) & _WORD


def _multiply(a: int, b: int) -> int:
    """The product of two polynomials modulo the CRC's."""
    product = 0
    bit = _ONE
    while bit:
        if a & bit:
            product ^= b
        b = b >> 1 ^ _POLYNOMIAL if b & 1 else b >> 1
        bit >>= 1
    return product


@functools.lru_cache(64)
def _power_of_x(exponent: int) -> int:
    """x to a power, modulo the CRC's polynomial."""
    result, square = _ONE, _ONE >> 1
    while exponent:
        if exponent & 1:
            result = _multiply(result, square)
        square = _multiply(square, square)
        exponent >>= 1
    return result
