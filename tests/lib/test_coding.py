"""Numbers as bytes: varints and fixed-width numbers, from the vectors of the format and for every number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsaver.errors import DataLossError, TruncatedError
from tfsaver.lib import coding

VARINTS = [
    (0, "00"),
    (1, "01"),
    (127, "7f"),
    (128, "80 01"),
    (300, "ac 02"),
    (16383, "ff 7f"),
    (16384, "80 80 01"),
    ((1 << 32) - 1, "ff ff ff ff 0f"),
    (1 << 63, "80 80 80 80 80 80 80 80 80 01"),
    ((1 << 64) - 1, "ff ff ff ff ff ff ff ff ff 01"),
]


@pytest.mark.parametrize(("value", "encoded"), VARINTS)
def test_varint_vectors(value: int, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert coding.encode_varint(value) == data
    assert coding.read_varint(data, 0) == (value, len(data))
    assert coding.read_varint(memoryview(b"xy" + data + b"\xff"), 2) == (value, 2 + len(data))


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_every_varint_is_read_back_from_the_middle_of_a_buffer(value: int, before: bytes, after: bytes) -> None:
    encoded = coding.encode_varint(value)
    assert coding.read_varint(before + encoded + after, len(before)) == (value, len(before) + len(encoded))


@pytest.mark.parametrize(("value", "encoded"), VARINTS)
def test_varint_cut_off_anywhere_is_truncated(value: int, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    for size in range(len(data)):
        with pytest.raises(TruncatedError, match="varint at byte 0"):
            coding.read_varint(data[:size], 0)


@pytest.mark.parametrize(
    "encoded",
    ["ff ff ff ff ff ff ff ff ff 02", "80 80 80 80 80 80 80 80 80 80", "ff ff ff ff ff ff ff ff ff ff 01"],
    ids=["65th bit", "goes on after ten bytes", "eleven bytes"],
)
def test_varint_of_more_than_64_bits_is_data_loss(encoded: str) -> None:
    with pytest.raises(DataLossError, match="longer than 64 bits"):
        coding.read_varint(bytes.fromhex(encoded), 0)


def test_varint_behind_the_end_is_truncated() -> None:
    with pytest.raises(TruncatedError):
        coding.read_varint(b"\x01", 5)


def test_fixed_width_numbers_are_little_endian() -> None:
    assert coding.encode_fixed32(0x01020304) == bytes.fromhex("04 03 02 01")
    assert coding.encode_fixed64(0xDB4775248B80FB57) == bytes.fromhex("57 fb 80 8b 24 75 47 db")
    assert coding.read_fixed32(b"\0\x04\x03\x02\x01", 1) == 0x01020304
    assert coding.read_fixed64(bytes.fromhex("57 fb 80 8b 24 75 47 db"), 0) == 0xDB4775248B80FB57
