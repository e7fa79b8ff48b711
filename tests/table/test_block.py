"""The inside of a block: what contradicts the format is damage, and foreign layouts are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.table.stores import block
from tfsaver.errors import DataLossError, TruncatedError
from tfsaver.lib import coding
from tfsaver.table.block import Block, restart_fault
from tfsaver.table.block_builder import BlockBuilder


def decoded(contents: bytes) -> list[tuple[bytes, bytes]]:
    found = Block(contents, "block")
    return list(zip(found.keys, found.values, strict=True))


def test_entries_share_what_the_key_before_them_has() -> None:
    contents = block([(0, b"kernel", b"1"), (6, b"/Adam", b"2"), (1, b"x", b"")])
    assert decoded(contents) == [(b"kernel", b"1"), (b"kernel/Adam", b"2"), (b"kx", b"")]


def test_builder_restarts_at_its_interval() -> None:
    builder = BlockBuilder(2)
    for key in (b"aa", b"ab", b"ac"):
        builder.add(key, b"v")
    assert not builder.is_empty
    size = builder.size
    # The third entry is the second restart, at byte 6 + 5, and shares nothing.
    assert builder.finish() == block([(0, b"aa", b"v"), (1, b"b", b"v"), (0, b"ac", b"v")], restarts=bytes(4) + b"\x0b\0\0\0")
    assert len(builder.finish()) == size
    builder.reset()
    assert builder.is_empty and builder.finish() == bytes(4) + b"\x01\0\0\0"


@pytest.mark.parametrize("size", [0, 1, 3])
def test_block_without_room_for_its_restart_count_is_truncated(size: int) -> None:
    with pytest.raises(TruncatedError, match="block: restart count: 4 bytes wanted"):
        Block(bytes(size), "block")
    with pytest.raises(TruncatedError, match="restart count: 4 bytes wanted"):
        restart_fault(bytes(size))


def test_block_without_restarts_is_empty() -> None:
    assert decoded(bytes(4)) == []
    assert decoded(block([(0, b"a", b"1")], restarts=b"")) == []


@pytest.mark.parametrize("num_restarts", [2, 1000, 0x3FFFFFFF, 0x40000000, 0xFFFFFFFF])
def test_restarts_that_do_not_fit_are_data_loss(num_restarts: int) -> None:
    with pytest.raises(DataLossError, match=f"{num_restarts} restarts do not fit"):
        Block(block([], num_restarts=num_restarts), "block")


def test_entry_longer_than_its_block_is_truncated() -> None:
    for header in ((0, 9, 0), (0, 0, 9), (0, 1 << 60, 1 << 60)):
        contents = b"".join(map(coding.encode_varint, header)) + b"ab" + bytes(4) + b"\x01\0\0\0"
        with pytest.raises(TruncatedError, match="block: entry at byte 0"):
            Block(contents, "block")


def test_first_entry_that_shares_is_data_loss() -> None:
    with pytest.raises(DataLossError, match="shares 1 bytes with a key of 0"):
        Block(block([(1, b"a", b"1")]), "block")


def test_entry_that_shares_more_than_there_is_is_data_loss() -> None:
    with pytest.raises(DataLossError, match="entry at byte 5: shares 3 bytes with a key of 1"):
        Block(block([(0, b"a", b"1"), (3, b"b", b"2")]), "block")


@pytest.mark.parametrize("second", [b"a", b"b"])
def test_keys_out_of_order_are_data_loss(second: bytes) -> None:
    with pytest.raises(DataLossError, match="does not sort after"):
        Block(block([(0, b"b", b"1"), (0, second, b"2")]), "block")


@given(st.binary(max_size=80))
def test_any_bytes_are_a_block_or_data_loss(contents: bytes) -> None:
    try:
        found = decoded(contents)
    except DataLossError:
        return
    assert [key for key, _ in found] == sorted({key for key, _ in found})


# Each entry takes 5 bytes: "a" is at 0, "ab" at 5, "b" at 10.
ENTRIES = [(0, b"a", b"1"), (1, b"b", b"2"), (0, b"b", b"3")]


def offsets(*values: int) -> bytes:
    return b"".join(map(coding.encode_fixed32, values))


@pytest.mark.parametrize("interval", [1, 2, 16])
@pytest.mark.parametrize("num_keys", [0, 1, 2, 40])
def test_builder_writes_sound_restart_offsets(interval: int, num_keys: int) -> None:
    builder = BlockBuilder(interval)
    for number in range(num_keys):
        builder.add(b"key%03d" % number, b"v")
    assert restart_fault(builder.finish()) is None


@pytest.mark.parametrize("restarts", [(0,), (0, 10)])
def test_restart_offsets_may_leave_out_complete_keys(restarts: tuple[int, ...]) -> None:
    assert restart_fault(block(ENTRIES, restarts=offsets(*restarts))) is None


@pytest.mark.parametrize(
    ("restarts", "fault"),
    [
        ((10,), "restart offset 1 of 1 is 10, not 0"),
        ((0, 5), "restart offset 2 of 2 is 5, where no entry with a complete key begins"),
        ((0, 9), "restart offset 2 of 2 is 9, where no entry with a complete key begins"),
        ((0, 15), "restart offset 2 of 2 is 15, where no entry with a complete key begins"),
        ((0, 0xFFFFFFFF), "restart offset 2 of 2 is 4294967295, where no entry with a complete key begins"),
        ((0, 0), "restart offset 2 of 2 is 0, not greater than 0, the one before it"),
        ((0, 10, 4), "restart offset 3 of 3 is 4, not greater than 10, the one before it"),
        ((), "has no restart offsets, but 15 bytes before their count"),
    ],
)
def test_wrong_restart_offset_is_a_fault_but_entries_are_read(restarts: tuple[int, ...], fault: str) -> None:
    contents = block(ENTRIES, restarts=offsets(*restarts))
    found = Block(contents, "block")
    assert restart_fault(contents) == fault
    assert found.keys == ([b"a", b"ab", b"b"] if restarts else [])


def test_block_without_entries_has_at_most_one_restart_offset() -> None:
    assert restart_fault(bytes(4)) is None
    assert restart_fault(block([])) is None
    assert restart_fault(block([], restarts=offsets(0, 0))) is not None
