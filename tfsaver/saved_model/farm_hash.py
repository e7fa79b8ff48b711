"""FarmHash's Fingerprint64: the 64 bits by which SavedModels are told apart.

Four ways by length, each a few multiplications modulo 2**64 of words read in little-endian order, some overlapping:

    0 to 16 bytes      the two or three words that cover all of them
    17 to 32, 33 to 64 four words, eight words
    more               a state of seven words, stirred once every 64 bytes; the last 64 bytes once more
"""

from __future__ import annotations

import struct
from typing import TypeAlias

_MASK = (1 << 64) - 1
_K0 = 0xC3A5C85C97CB3127
_K1 = 0xB492B66FBE98F273
_K2 = 0x9AE16A3B2F90404F
_CONCATENATION = 0xC6A4A7935BD1E995
_BLOCK = 64

Pair: TypeAlias = "tuple[int, int]"


def fingerprint64(data: bytes) -> int:
    """The fingerprint of some bytes, as an unsigned number."""
    size = len(data)
    if size <= 16:
        return _up_to_16(data)
    if size <= 32:
        return _up_to_32(data)
    if size <= 64:
        return _up_to_64(data)
    return _long(data)


def concatenate(left: int, right: int) -> int:
    """One fingerprint out of two, whose order matters."""
    result = left ^ _CONCATENATION
    result ^= _mix(right * _CONCATENATION & _MASK) * _CONCATENATION & _MASK
    result = result * _CONCATENATION & _MASK
    return _mix(_mix(result) * _CONCATENATION & _MASK)


def _mix(value: int) -> int:
    return value ^ value >> 47


def _rotate(value: int, count: int) -> int:
    """`value` modulo 2**64, turned right by `count` bits."""
    value &= _MASK
    return (value >> count | value << 64 - count) & _MASK


def _word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 8], "little")


def _half(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")


def _combine(left: int, right: int, multiplier: int) -> int:
    inner = _mix((left ^ right) * multiplier & _MASK)
    outer = _mix((right ^ inner) * multiplier & _MASK)
    return outer * multiplier & _MASK


def _up_to_16(data: bytes) -> int:
    size = len(data)
    multiplier = _K2 + 2 * size & _MASK
    if size >= 8:
        first, last = _word(data, 0) + _K2 & _MASK, _word(data, size - 8)
        left = _rotate(last, 37) * multiplier + first & _MASK
        right = (_rotate(first, 25) + last) * multiplier & _MASK
        return _combine(left, right, multiplier)
    if size >= 4:
        return _combine(size + (_half(data, 0) << 3), _half(data, size - 4), multiplier)
    if size:
        low = data[0] + (data[size >> 1] << 8)
        high = size + (data[size - 1] << 2)
        return _mix((low * _K2 ^ high * _K0) & _MASK) * _K2 & _MASK
    return _K2


def _up_to_32(data: bytes) -> int:
    size = len(data)
    multiplier = _K2 + 2 * size & _MASK
    a = _word(data, 0) * _K1 & _MASK
    b = _word(data, 8)
    c = _word(data, size - 8) * multiplier & _MASK
    d = _word(data, size - 16) * _K2 & _MASK
    left = _rotate(a + b, 43) + _rotate(c, 30) + d & _MASK
    return _combine(left, a + _rotate(b + _K2, 18) + c & _MASK, multiplier)


def _up_to_64(data: bytes) -> int:
    size = len(data)
    multiplier = _K2 + 2 * size & _MASK
    a = _word(data, 0) * _K2 & _MASK
    b = _word(data, 8)
    c = _word(data, size - 8) * multiplier & _MASK
    d = _word(data, size - 16) * _K2 & _MASK
    y = _rotate(a + b, 43) + _rotate(c, 30) + d & _MASK
    z = _combine(y, a + _rotate(b + _K2, 18) + c & _MASK, multiplier)
    e = _word(data, 16) * multiplier & _MASK
    f = _word(data, 24)
    g = (y + _word(data, size - 32)) * multiplier & _MASK
    h = (z + _word(data, size - 24)) * multiplier & _MASK
    left = _rotate(e + f, 43) + _rotate(g, 30) + h & _MASK
    return _combine(left, e + _rotate(f + a, 18) + g & _MASK, multiplier)


def _weak(words: tuple[int, ...], a: int, b: int) -> Pair:
    """Four words stirred into a pair."""
    p, q, r, t = words
    a += p
    b = _rotate(b + a + t, 21)
    c = a
    a += q + r
    b += _rotate(a, 44)
    return a + t & _MASK, b + c & _MASK


def _stir(
    words: tuple[int, ...], x: int, y: int, z: int, v: Pair, w: Pair, k: int, scale: int
) -> tuple[int, int, int, Pair, Pair]:
    """The state after one block; `k` and `scale` differ for the last."""
    x = _rotate(x + y + v[0] + words[1], 37) * k & _MASK
    y = _rotate(y + v[1] + words[6], 42) * k & _MASK
    x ^= scale * w[1] & _MASK
    y = y + scale * v[0] + words[5] & _MASK
    z = _rotate(z + w[0], 33) * k & _MASK
    v = _weak(words[:4], v[1] * k, x + w[0])
    w = _weak(words[4:], z + w[1], y + words[2])
    return z, y, x, v, w


def _long(data: bytes) -> int:
    x = 81 * _K2 + _word(data, 0) & _MASK
    y = 81 * _K1 + 113 & _MASK
    z = _mix(y * _K2 + 113 & _MASK) * _K2 & _MASK
    v: Pair = (0, 0)
    w: Pair = (0, 0)
    end = (len(data) - 1) // _BLOCK * _BLOCK
    for words in struct.iter_unpack("<8Q", memoryview(data)[:end]):
        x, y, z, v, w = _stir(words, x, y, z, v, w, _K1, 1)
    multiplier = _K1 + ((z & 0xFF) << 1) & _MASK
    w = (w[0] + (len(data) - 1 & 63) & _MASK, w[1])
    v = (v[0] + w[0] & _MASK, v[1])
    w = (w[0] + v[0] & _MASK, w[1])
    x, y, z, v, w = _stir(struct.unpack("<8Q", data[-_BLOCK:]), x, y, z, v, w, multiplier, 9)
    left = _combine(v[0], w[0], multiplier) + _mix(y) * _K0 + z & _MASK
    right = _combine(v[1], w[1], multiplier) + x & _MASK
    return _combine(left, right, multiplier)
