"""Every single bit is found, and of two wrong bits none is made up."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tfsaver.table import format as table_format
from tfsaver.table.flipped_bit import find_flipped_bit, repaired, with_bit_flipped


def stored_block(contents: bytes) -> bytes:
    return contents + table_format.block_trailer(contents)


@given(st.binary(max_size=60))
def test_every_flipped_bit_is_found(contents: bytes) -> None:
    stored = stored_block(contents)
    for number in range(8 * len(stored)):
        assert repaired(with_bit_flipped(stored, number)) == (stored, number)


def test_flipped_bit_of_a_large_block_is_found() -> None:
    stored = stored_block(random.Random(1).randbytes(300_000))
    for number in (0, 7, 1_000_003, 8 * 300_000, 8 * 300_001, 8 * 300_004 + 3, 8 * len(stored) - 1):
        assert repaired(with_bit_flipped(stored, number)) == (stored, number)


def test_sound_block_has_no_flipped_bit() -> None:
    assert repaired(stored_block(b"contents")) is None
    assert find_flipped_bit(b"", 0xA282EAD8) is None


def test_two_flipped_bits_are_not_taken_for_one() -> None:
    stored = stored_block(b"some contents of a block")
    size = 8 * len(stored)
    for first in range(0, size, 5):
        for second in range(first + 1, size, 3):
            assert repaired(with_bit_flipped(with_bit_flipped(stored, first), second)) is None
