"""CRC-32C: known check values, an independent bitwise computation, and the mask."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsaver.lib import crc32c

# The vectors that RFC 3720 gives for iSCSI, and the check value of the polynomial.
VECTORS = [
    (b"", 0),
    (b"123456789", 0xE3069283),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
]


def bit_by_bit(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(("data", "crc"), VECTORS)
def test_known_values(data: bytes, crc: int) -> None:
    assert crc32c.value(data) == crc
    assert crc32c.value(bytearray(data)) == crc
    assert crc32c.value(memoryview(data)) == crc


@given(st.binary(max_size=200))
def test_value_is_what_the_polynomial_says(data: bytes) -> None:
    assert crc32c.value(data) == bit_by_bit(data)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_extend_goes_on_where_the_first_part_ended(first: bytes, second: bytes) -> None:
    assert crc32c.extend(crc32c.value(first), memoryview(second)) == crc32c.value(first + second)


@pytest.mark.parametrize(("crc", "masked"), [(0, 0xA282EAD8), (0xE3069283, 0xC78AB0E5), (0xFFFFFFFF, 0xA282EAD7)])
def test_mask_vectors(crc: int, masked: int) -> None:
    assert crc32c.mask(crc) == masked
    assert crc32c.unmask(masked) == crc


@given(st.integers(0, 0xFFFFFFFF))
def test_unmask_undoes_mask(crc: int) -> None:
    assert crc32c.unmask(crc32c.mask(crc)) == crc
    assert crc32c.mask(crc32c.unmask(crc)) == crc
    assert 0 <= crc32c.mask(crc) <= 0xFFFFFFFF


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_combine_is_the_crc_of_both_parts(first: bytes, second: bytes) -> None:
    assert crc32c.combine(crc32c.value(first), crc32c.value(second), len(second)) == crc32c.value(first + second)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_combining_pieces_in_their_order_gives_the_crc_of_all(data: bytes, cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    crc = 0
    for start, end in itertools.pairwise(bounds):
        crc = crc32c.combine(crc, crc32c.value(data[start:end]), end - start)
    assert crc == crc32c.value(data)


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 100_000))
def test_combine_is_to_extend_by_that_many_bytes(crc: int, next_crc: int, size: int) -> None:
    # What gives `crc`, followed by zeros, and the difference that the second part makes.
    zeros = bytes(size)
    assert crc32c.combine(crc, next_crc, size) == crc32c.extend(crc, zeros) ^ crc32c.value(zeros) ^ next_crc


def test_combine_of_gigabytes_takes_no_gigabytes() -> None:
    size = 5 << 30
    assert crc32c.combine(0, 0x12345678, size) == 0x12345678
    half = crc32c.combine(0xE3069283, 0, size // 2)
    assert crc32c.combine(half, 0, size // 2) == crc32c.combine(0xE3069283, 0, size)
