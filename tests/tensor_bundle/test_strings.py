"""Strings and variants in a data file: the bytes by hand, the checksum's rules, and damage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tensor_bundle.tensors import random_array
from tfsaver.errors import ChecksumError, DataLossError, TruncatedError
from tfsaver.framework import dtypes
from tfsaver.lib import crc32c
from tfsaver.tensor_bundle import strings, variants


def encode(elements: list[bytes], byte_order: str = "little") -> tuple[bytes, int]:
    head, crc = strings.encode_sizes(elements, byte_order)
    return head + b"".join(elements), crc32c.extend(crc, b"".join(elements))


def test_strings_by_hand() -> None:
    # Sizes 2 and 0, their masked checksum (of 02 00 00 00 00 00 00 00), and the bytes.
    assert encode([b"hi", b""])[0] == bytes.fromhex("02 00 78 27 0b 34 68 69")
    assert encode([])[0] == bytes.fromhex("d8 ea 82 a2")


@given(st.lists(st.binary(max_size=300), max_size=20), st.sampled_from(["little", "big"]))
def test_strings_are_read_back(elements: list[bytes], byte_order: str) -> None:
    data, crc = encode(elements, byte_order)
    assert strings.decode(memoryview(data), len(elements), byte_order) == (elements, crc)


def test_no_strings_may_be_no_bytes() -> None:
    assert strings.decode(memoryview(b""), 0, "little") == ([], 0)
    assert strings.decode(memoryview(bytes.fromhex("d8 ea 82 a2")), 0, "little")[0] == []


def test_sizes_beyond_32_bits_are_hashed_as_8_bytes() -> None:
    sizes = [5, 1 << 32, (1 << 32) - 1]
    hashed = b"\5\0\0\0" + (1 << 32).to_bytes(8, "little") + b"\xff\xff\xff\xff"
    assert strings._crc_of_sizes(strings.np.array(sizes, strings.np.uint64), "little") == crc32c.value(hashed)


@pytest.mark.parametrize("elements", [[b"hi", b""], [b"x" * 300], [b""]])
def test_strings_cut_off_anywhere_are_data_loss(elements: list[bytes]) -> None:
    data, _ = encode(elements)
    for size in range(len(data)):
        with pytest.raises(DataLossError):
            strings.decode(memoryview(data[:size]), len(elements), "little")


def test_bytes_behind_the_strings_are_data_loss() -> None:
    data, _ = encode([b"hi"])
    with pytest.raises(TruncatedError):
        strings.decode(memoryview(data + b"!"), 1, "little")


def test_flipped_size_is_a_checksum_error() -> None:
    data, _ = encode([b"hi", b"you"])
    with pytest.raises(ChecksumError, match="string sizes"):
        strings.decode(memoryview(b"\3\2" + data[2:]), 2, "little")


def test_sizes_whose_sum_overflows_are_truncated() -> None:
    sizes = [1 << 63, 1 << 63, 2]
    head = strings.varint_array.encode(strings.np.array(sizes, strings.np.uint64))
    crc = strings._crc_of_sizes(strings.np.array(sizes, strings.np.uint64), "little")
    data = head + crc32c.mask(crc).to_bytes(4, "little") + b"hi"
    with pytest.raises(TruncatedError, match=f"{(1 << 64) + 2} bytes wanted, 2 available"):
        strings.decode(memoryview(data), 3, "little")


@given(st.binary(max_size=40), st.integers(0, 5))
def test_any_bytes_are_strings_or_data_loss(data: bytes, count: int) -> None:
    try:
        elements, _ = strings.decode(memoryview(data), count, "little")
    except DataLossError:
        return
    assert len(elements) == count


def test_variants_by_hand() -> None:
    ((data, crc),) = variants.encode([b"ab"])
    # Size, the bytes, and the masked checksum of the size in 8 bytes and the bytes.
    first = crc32c.value(bytes.fromhex("02 00 00 00 00 00 00 00") + b"ab")
    assert data == b"\x02ab" + crc32c.mask(first).to_bytes(4, "little")
    assert crc == crc32c.extend(first, data[-4:])


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_variants_are_read_back(elements: list[bytes]) -> None:
    pieces = list(variants.encode(elements))
    decoded, crc = variants.decode(memoryview(b"".join(data for data, _ in pieces)), len(elements))
    assert decoded == elements and crc == (pieces[-1][1] if pieces else 0)


def test_variants_cut_off_or_followed_are_data_loss() -> None:
    elements = random_array(dtypes.VARIANT, (2,)).tolist()
    data = b"".join(data for data, _ in variants.encode(elements))
    for size in range(len(data)):
        with pytest.raises(DataLossError):
            variants.decode(memoryview(data[:size]), 2)
    with pytest.raises(DataLossError, match="1 bytes behind the last of 2 variants"):
        variants.decode(memoryview(data + b"!"), 2)
