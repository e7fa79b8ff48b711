"""Raw Snappy streams: each kind of element by hand, what damage does to them, and sizes that lie."""

from __future__ import annotations

import tracemalloc

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsaver.errors import DataLossError
from tfsaver.lib import coding, snappy

# Uncompressed size, then elements.
STREAMS = {
    "nothing": ("00", b""),
    # Tag (3 - 1) << 2.
    "literal": ("03 08 61 62 63", b"abc"),
    # Tag 60 << 2: one more byte holds the length less one.
    "literal of 61 bytes": ("3d f0 3c" + "78" * 61, b"x" * 61),
    # Tag 61 << 2: two more bytes.
    "literal of 300 bytes": ("ac 02 f4 2b 01" + "79" * 300, b"y" * 300),
    # "abcd", then tag 1 | (4 - 4) << 2 | 0 << 5 and offset 4: four bytes from four back.
    "copy with an 11 bit offset": ("08 0c 61 62 63 64 01 04", b"abcdabcd"),
    # Tag 2 | (3 - 1) << 2, offset 4 in two bytes.
    "copy with a 16 bit offset": ("07 0c 61 62 63 64 0a 04 00", b"abcdabc"),
    # Tag 3 | (2 - 1) << 2, offset 3 in four bytes.
    "copy with a 32 bit offset": ("06 0c 61 62 63 64 07 03 00 00 00", b"abcdbc"),
    # Offset 1, length 7: each byte copied is the one just written.
    "overlapping copy": ("08 00 61 0d 01", b"a" * 8),
    # Offset 2, length 11.
    "overlapping copy of two": ("0d 04 61 62 1d 02", b"ab" * 6 + b"a"),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_each_kind_of_element(kind: str) -> None:
    stream, expected = STREAMS[kind]
    assert snappy.decompress(bytes.fromhex(stream)) == expected


@given(st.one_of(st.binary(max_size=2000), st.lists(st.sampled_from([b"abc", b"layer/", b"\0"]), max_size=300).map(b"".join)))
def test_what_another_compressor_makes_is_read(data: bytes) -> None:
    assert snappy.decompress(bytes(cramjam.snappy.compress_raw(data))) == data


@pytest.mark.parametrize("kind", STREAMS)
def test_stream_cut_off_anywhere_is_data_loss(kind: str) -> None:
    stream = bytes.fromhex(STREAMS[kind][0])
    for size in range(len(stream)):
        with pytest.raises(DataLossError):
            snappy.decompress(stream[:size])


@pytest.mark.parametrize(
    "stream",
    [
        "04 08 61 62 63",
        "02 08 61 62 63",
        "00 08 61 62 63",
        "08 0c 61 62 63 64 01 00",
        "08 0c 61 62 63 64 01 05",
        "08 01 01",
        "03 08 61 62 63 00",
    ],
    ids=["declares more", "declares less", "declares none", "offset 0", "offset before the start", "copy of nothing", "goes on"],
)
def test_stream_that_contradicts_itself_is_data_loss(stream: str) -> None:
    with pytest.raises(DataLossError):
        snappy.decompress(bytes.fromhex(stream))


@pytest.mark.parametrize("size", [1 << 20, 1 << 32, (1 << 32) - 1, 1 << 40, (1 << 64) - 1])
def test_hostile_size_takes_no_memory(size: int) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DataLossError, match="more than it can hold"):
            snappy.decompress(coding.encode_varint(size) + b"\x08abc")
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_densest_possible_stream_is_read() -> None:
    # One byte, then copies of 64 bytes from one byte back, each told in three.
    copies = 1000
    stream = coding.encode_varint(1 + 64 * copies) + b"\x00a" + b"\xfe\x01\x00" * copies
    assert snappy.decompress(stream) == b"a" * (1 + 64 * copies)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_stream_or_data_loss(data: bytes) -> None:
    try:
        output = snappy.decompress(data)
    except DataLossError:
        return
    assert len(output) == coding.read_varint(data, 0)[0]
