"""Where blocks are cut, what separates them, and values that come in parts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.table.stores import MemoryFile, build, open_table
from tfsaver.errors import InvalidArgumentError
from tfsaver.table import format as table_format
from tfsaver.table.table_builder import TableBuilder, separator, successor

keys = st.one_of(st.binary(max_size=6), st.lists(st.sampled_from([0, 0x61, 0xFE, 0xFF]), max_size=5).map(bytes))


@given(keys, keys)
def test_separator_lies_between(a: bytes, b: bytes) -> None:
    last, following = sorted((a, b))
    if last == following:
        return
    found = separator(last, following)
    assert last <= found < following
    assert len(found) <= len(last)


@given(keys)
def test_successor_is_not_before(key: bytes) -> None:
    found = successor(key)
    assert key <= found
    assert len(found) <= len(key)


@pytest.mark.parametrize(
    ("last", "following", "found"),
    [
        (b"abcdef", b"abzz", b"abd"),
        (b"abc", b"abd", b"abc"),
        (b"ab", b"abc", b"ab"),
        (b"a\xff\x01", b"b", b"a\xff\x01"),
        (b"a\xff", b"c", b"b"),
        (b"\xff", b"\xff\x01", b"\xff"),
        (b"", b"a", b""),
    ],
)
def test_separator_vectors(last: bytes, following: bytes, found: bytes) -> None:
    assert separator(last, following) == found


@pytest.mark.parametrize(
    ("key", "found"), [(b"layer_08", b"m"), (b"ab", b"b"), (b"\xff\xffa", b"\xff\xffb"), (b"\xff\xff", b"\xff\xff"), (b"", b"")]
)
def test_successor_vectors(key: bytes, found: bytes) -> None:
    assert successor(key) == found


@pytest.mark.parametrize("key", [b"b", b"a", b""])
def test_key_that_does_not_sort_behind_is_an_invalid_argument(key: bytes) -> None:
    builder = TableBuilder(MemoryFile())
    builder.add(b"b", b"1")
    with pytest.raises(InvalidArgumentError, match="does not sort after b'b'"):
        builder.add(key, b"2")


def num_blocks(entries: list[tuple[bytes, bytes]]) -> int:
    return open_table(build(entries)).num_blocks


def test_block_ends_once_it_reaches_256_kib() -> None:
    # Contents: 3 + 1 bytes of header and key, 2 more for the size, the value, 8 for one restart and the count.
    assert num_blocks([(b"a", bytes(262144 - 14 - 1)), (b"b", b"")]) == 1
    assert num_blocks([(b"a", bytes(262144 - 14)), (b"b", b"")]) == 2


def test_entry_of_512_kib_does_not_join_a_block() -> None:
    assert num_blocks([(b"a", b""), (b"b", bytes(524288 - 2))]) == 1
    assert num_blocks([(b"a", b""), (b"b", bytes(524288 - 1))]) == 2
    assert num_blocks([(b"a", bytes(524288 - 1)), (b"b", b"")]) == 2


SIZES = [0, 1, 50, 99, 100, 198, 199, 200, 201, 5000]


@pytest.mark.parametrize("before", [None, 0, 60, 99, 150])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("part_size", [1, 7, 10_000])
def test_value_in_parts_gives_the_same_file(before: int | None, size: int, part_size: int) -> None:
    value = bytes(number % 251 for number in range(size))
    entries = [] if before is None else [(b"k0", bytes(before))]
    entries += [(b"k1", value), (b"k2", b"behind")]
    file = MemoryFile()
    builder = TableBuilder(file, block_size=100)
    for key, each in entries:
        parts = [memoryview(each)[start : start + part_size] for start in range(0, len(each), part_size)]
        builder.add_parts(key, len(each), iter(parts))
    builder.finish()
    assert bytes(file.data) == build(entries, block_size=100)


def test_huge_value_in_parts_is_read_back() -> None:
    part = bytes(range(256)) * 1024
    file = MemoryFile()
    builder = TableBuilder(file)
    builder.add(b"", b"meta")
    builder.add_parts(b"a", 20 * len(part), itertools.repeat(part, 20))
    builder.add(b"b", b"last")
    builder.finish()
    table = open_table(bytes(file.data))
    assert list(table.items()) == [(b"", b"meta"), (b"a", part * 20), (b"b", b"last")]
    assert bytes(file.data) == build([(b"", b"meta"), (b"a", part * 20), (b"b", b"last")])


@pytest.mark.parametrize("announced", [9, 11, 999, 1001], ids=str)
def test_parts_of_another_size_than_announced_are_an_invalid_argument(announced: int) -> None:
    builder = TableBuilder(MemoryFile(), block_size=100)
    size = 10 if announced < 100 else 1000
    with pytest.raises(InvalidArgumentError, match=f"have {size} bytes, {announced} were announced"):
        builder.add_parts(b"a", announced, [bytes(size)])


def test_handle_and_footer_are_spelled_as_varints_and_padding() -> None:
    assert table_format.BlockHandle(0, 0x35).encode() == b"\x00\x35"
    footer = table_format.Footer(table_format.BlockHandle(300, 8), table_format.BlockHandle(1 << 40, 1 << 20))
    data = footer.encode()
    assert len(data) == 48 and data.endswith(bytes.fromhex("57fb808b247547db"))
    assert table_format.decode_footer(data, "x") == footer
