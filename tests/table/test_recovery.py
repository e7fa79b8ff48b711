"""What is left of a table without its end: every block before the damage, and nothing that is wrong."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.table.stores import MemoryFile, build, with_snappy
from tfsaver.errors import DataLossError
from tfsaver.table.recovery import RecoveredTable, walk_blocks
from tfsaver.table.table import Table

ENTRIES = [(b"", b"header")] + [(b"key%03d" % number, bytes([number]) * (number % 40)) for number in range(150)]
LARGE = [(b"a", b"1"), (b"b", bytes(700_000)), (b"c", b"\xff" * 300_000), (b"d", b"4")]
FOOTER = 48


def tables() -> list[bytes]:
    return [build(ENTRIES), build(ENTRIES, block_size=300), build(ENTRIES, block_size=100, restart_interval=1), build(LARGE)]


@pytest.mark.parametrize("data", [*tables(), *map(with_snappy, tables()), with_snappy(tables()[1], only_odd=True)], ids=range(9))
def test_table_without_footer_is_found_block_by_block(data: bytes) -> None:
    whole = Table(MemoryFile(data))
    for end in (data[:-FOOTER], data[:-1], data[: -FOOTER - 10], data[:-8] + bytes(8)):
        table = RecoveredTable(MemoryFile(end))
        assert isinstance(table.damage, DataLossError)
        assert list(table.items()) == list(whole.items())
        assert table.num_blocks == whole.num_blocks
    for key, value in whole.items():
        assert table.get(key) == value
    assert table.get(b"key0005") is None and table.get(b"zzz") is None


@pytest.mark.parametrize("data", tables(), ids=range(4))
def test_sound_table_is_opened_as_ever(data: bytes) -> None:
    table = RecoveredTable(MemoryFile(data))
    assert table.damage is None and list(table.items()) == list(Table(MemoryFile(data)).items())
    table.verify_unread_bytes()


def test_what_is_wrong_with_the_end_is_said_when_every_byte_is_verified() -> None:
    found: list[Exception] = []
    table = RecoveredTable(MemoryFile(build(ENTRIES)[:-1]))
    table.verify_unread_bytes(found.append)
    assert found == [table.damage]


def test_search_ends_at_the_first_block_that_is_damaged() -> None:
    data = bytearray(build(ENTRIES, block_size=300))
    whole = Table(MemoryFile(bytes(data)))
    start = whole._handles[3].offset
    data[start + 20] ^= 1
    table = RecoveredTable(MemoryFile(bytes(data[:-FOOTER])))
    assert table.num_blocks == 3
    assert list(table.items()) == list(whole.items(lambda error: None))[: sum(1 for _ in table.items())]


def test_every_length_gives_a_beginning_of_the_entries() -> None:
    data = build(ENTRIES, block_size=300)
    entries = list(Table(MemoryFile(data)).items())
    longest = 0
    for size in range(len(data)):
        found = list(RecoveredTable(MemoryFile(data[:size])).items())
        assert found == entries[: len(found)]
        assert len(found) >= longest
        longest = len(found)
    assert longest == len(entries)


def test_index_block_of_a_table_without_metaindex_is_not_taken_for_data() -> None:
    data = build(ENTRIES, block_size=300)
    handles = [handle for _, handle in walk_blocks(MemoryFile(data))]
    end = handles[-1].offset + handles[-1].size + 5
    metaindex = 8 + 5
    assert len(list(walk_blocks(MemoryFile(data[:end] + data[end + metaindex :])))) == len(handles)


@settings(deadline=None)
@given(st.binary(max_size=400))
@example(bytes(5000))
@example(b"\0\1\0" * 3000)
def test_any_bytes_are_no_error(data: bytes) -> None:
    assert list(RecoveredTable(MemoryFile(data)).items()) == []


def test_zeros_are_looked_through_once() -> None:
    file = MemoryFile(bytes(1 << 20))
    assert list(walk_blocks(file)) == []
    assert len(file.reads) < 10


def test_value_is_stepped_over_and_not_read() -> None:
    file = MemoryFile(build(LARGE)[: 600_000])
    assert [key for key, _ in walk_blocks(file)] == [b"a"]
    assert sum(size for _, size in file.reads) < 600_000 * 2
