"""Ordered code: the vectors of the format, and that the bytes sort as the values do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfsaver.errors import DataLossError, TruncatedError
from tfsaver.lib import ordered_code

SIGNED = [
    (0, "80"),
    (1, "81"),
    (63, "bf"),
    (64, "c0 40"),
    (8191, "df ff"),
    (8192, "e0 20 00"),
    (1_000_000, "ef 42 40"),
    (0x424242, "f0 42 42 42"),
    (-1, "7f"),
    (-64, "40"),
    (-65, "3f bf"),
    (-0x800, "38 00"),
    ((1 << 63) - 1, "ff c0 7f ff ff ff ff ff ff ff"),
    (-(1 << 63), "00 3f 80 00 00 00 00 00 00 00"),
]
UNSIGNED = [(0, "00"), (1, "01 01"), (2, "01 02"), (255, "01 ff"), (256, "02 01 00"), (300, "02 01 2c"),
            ((1 << 64) - 1, "08 ff ff ff ff ff ff ff ff")]  # fmt: skip
STRINGS = [(b"", "00 01"), (b"p", "70 00 01"), (b"a\0\xff", "61 00 ff ff 00 00 01"), (b"\x01\xfe", "01 fe 00 01")]

signed_numbers = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    # Where the number of bytes changes.
    st.builds(
        lambda bits, delta, sign: max(-(1 << 63), min((1 << 63) - 1, sign * ((1 << bits) + delta))),
        st.integers(0, 63),
        st.integers(-2, 2),
        st.sampled_from([1, -1]),
    ),
)


@pytest.mark.parametrize(("value", "encoded"), SIGNED)
def test_signed_vectors(value: int, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert ordered_code.encode_signed(value) == data
    assert ordered_code.read_signed(b"?" + data + b"\x80", 1) == (value, 1 + len(data))


@pytest.mark.parametrize(("value", "encoded"), UNSIGNED)
def test_unsigned_vectors(value: int, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert ordered_code.encode_unsigned(value) == data
    assert ordered_code.read_unsigned(b"?" + data + b"\x80", 1) == (value, 1 + len(data))


@pytest.mark.parametrize(("value", "encoded"), STRINGS)
def test_string_vectors(value: bytes, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert ordered_code.encode_string(value) == data
    assert ordered_code.read_string(b"?" + data + b"\x80", 1) == (value, 1 + len(data))


@given(signed_numbers, signed_numbers)
def test_signed_codes_sort_as_their_numbers(a: int, b: int) -> None:
    assert (ordered_code.encode_signed(a) < ordered_code.encode_signed(b)) == (a < b)
    assert ordered_code.read_signed(ordered_code.encode_signed(a), 0)[0] == a


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
def test_unsigned_codes_sort_as_their_numbers(a: int, b: int) -> None:
    assert (ordered_code.encode_unsigned(a) < ordered_code.encode_unsigned(b)) == (a < b)
    assert ordered_code.read_unsigned(ordered_code.encode_unsigned(a), 0)[0] == a


few_bytes = st.lists(st.sampled_from([0, 1, 2, 0x61, 0xFE, 0xFF]), max_size=6).map(bytes)


@given(few_bytes, few_bytes)
def test_string_codes_sort_as_their_strings(a: bytes, b: bytes) -> None:
    assert (ordered_code.encode_string(a) < ordered_code.encode_string(b)) == (a < b)
    assert ordered_code.read_string(ordered_code.encode_string(a), 0)[0] == a


Pair = tuple[Callable[[bytes, int], tuple[object, int]], Callable[..., bytes]]
PAIRS: dict[str, Pair] = {
    "signed": (ordered_code.read_signed, ordered_code.encode_signed),
    "unsigned": (ordered_code.read_unsigned, ordered_code.encode_unsigned),
    "string": (ordered_code.read_string, ordered_code.encode_string),
}


@pytest.mark.parametrize("kind", PAIRS)
@given(data=st.binary(max_size=14))
@example(data=b"\xff" * 12)
@example(data=b"\0" * 12)
@example(data=b"\xff\xc0" + b"\xff" * 8)
def test_any_bytes_are_the_one_code_of_a_value_or_damage(kind: str, data: bytes) -> None:
    read, encode = PAIRS[kind]
    try:
        value, end = read(data, 0)
    except DataLossError:
        return
    assert encode(value) == data[:end]


@pytest.mark.parametrize("kind", PAIRS)
def test_code_cut_off_anywhere_is_truncated(kind: str) -> None:
    read, encode = PAIRS[kind]
    data = encode({"signed": -(1 << 40), "unsigned": 1 << 40, "string": b"a\0b\xffc"}[kind])
    for size in range(len(data)):
        with pytest.raises(TruncatedError):
            read(data[:size], 0)


@pytest.mark.parametrize("data", ["00 02", "61 00 fe 00 01", "ff ff 00 01", "ff 01 00 01"])
def test_escape_that_is_none_is_data_loss(data: str) -> None:
    with pytest.raises(DataLossError, match="bad escape"):
        ordered_code.read_string(bytes.fromhex(data), 0)


@pytest.mark.parametrize("data", ["c0 01", "3f ff", "e0 00 40"], ids=["1 in two bytes", "-1 in two bytes", "64 in three"])
def test_signed_number_that_is_not_shortest_is_data_loss(data: str) -> None:
    with pytest.raises(DataLossError, match="not in its shortest form"):
        ordered_code.read_signed(bytes.fromhex(data), 0)


@pytest.mark.parametrize("data", ["01 00", "09 01 02 03 04 05 06 07 08 09"])
def test_unsigned_number_that_is_not_shortest_or_too_long_is_data_loss(data: str) -> None:
    with pytest.raises(DataLossError, match="shortest form|at most 8"):
        ordered_code.read_unsigned(bytes.fromhex(data), 0)
