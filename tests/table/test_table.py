"""One harness, as LevelDB has it: tables of every layout answer as a sorted dict does."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.table.stores import MemoryFile, block, build, open_table, table_of_blocks, with_restarts, with_snappy
from tfsaver.errors import ChecksumError, DataLossError, SaverError, TruncatedError
from tfsaver.table import format as table_format
from tfsaver.table.table import Table

BLOCK_SIZES = [1, 50, 100, 262144]
RESTART_INTERVALS = [1, 16, 1024]
LAYOUTS = [
    pytest.param(block_size, restart_interval, store, id=f"blocks of {block_size}, restarts every {restart_interval}, {store}")
    for block_size in BLOCK_SIZES
    for restart_interval in RESTART_INTERVALS
    for store in ("plain", "snappy", "mixed")
]
STORES = {
    "plain": lambda data: data,
    "snappy": with_snappy,
    "mixed": lambda data: with_snappy(data, only_odd=True),
}


def names_as_variables_have_them() -> dict[bytes, bytes]:
    choose = random.Random(7)
    scopes = ["", "layer_1/", "layer_1/attention/", "layer_10/", "\x00\x01", "global_step", "é/"]
    kinds = ["kernel", "kernel/Adam", "kernel/Adam_1", "bias", "", "\xff\xff", "0"]
    keys = {(scope + kind).encode("latin-1") for scope in scopes for kind in kinds} | {b"\xff\xff", b"\xff", b"\0", b""}
    return {key: choose.randbytes(choose.choice([0, 1, 5, 40, 127, 128, 300])) for key in sorted(keys)}


MODELS = {
    "empty": {},
    "one entry": {b"k": b"v"},
    "the empty key alone": {b"": b""},
    "empty values": {bytes((byte,)): b"" for byte in range(256)},
    "shared prefixes": {b"x" * size: b"%d" % size for size in range(200)},
    "names of variables": names_as_variables_have_them(),
    "long keys": {b"k" * 5000 + bytes((byte,)): b"v" for byte in range(3)},
}


def neighbours(key: bytes) -> list[bytes]:
    """Keys around one: just behind it, just before it, and its prefix."""
    found = [key + b"\0", key + b"\xff", key[:-1]]
    if key and key[-1]:
        found += [key[:-1] + bytes((key[-1] - 1,)), key[:-1] + bytes((key[-1] - 1,)) + b"\xff"]
    return found


def assert_same(table: Table, model: dict[bytes, bytes]) -> None:
    assert list(table.items()) == sorted(model.items())
    for key, value in model.items():
        assert table.get(key) == value
        for near in neighbours(key):
            assert table.get(near) == model.get(near)
    for far in (b"", b"\0\0\0", b"m", b"\xff" * 10):
        assert table.get(far) == model.get(far)
    for key in (b"", *model):
        assert table.first_value(key) == (model.get(key) if key == min(model, default=None) else None)


@pytest.mark.parametrize("contents", MODELS)
@pytest.mark.parametrize(("block_size", "restart_interval", "store"), LAYOUTS)
def test_table_answers_as_a_sorted_dict(contents: str, block_size: int, restart_interval: int, store: str) -> None:
    model = MODELS[contents]
    data = build(sorted(model.items()), block_size=block_size, restart_interval=restart_interval)
    table = open_table(STORES[store](data))
    assert_same(table, model)
    table.verify_unread_bytes()
    if block_size == 1:
        assert table.num_blocks == len(model)


some_keys = st.lists(st.sampled_from([0, 1, 0x61, 0x62, 0xFE, 0xFF]), max_size=5).map(bytes)


@given(
    model=st.dictionaries(some_keys, st.binary(max_size=40), max_size=30),
    block_size=st.sampled_from(BLOCK_SIZES),
    restart_interval=st.sampled_from(RESTART_INTERVALS),
    store=st.sampled_from(list(STORES)),
)
def test_any_table_answers_as_a_sorted_dict(
    model: dict[bytes, bytes], block_size: int, restart_interval: int, store: str
) -> None:
    data = build(sorted(model.items()), block_size=block_size, restart_interval=restart_interval)
    assert_same(open_table(STORES[store](data)), model)


def test_opening_reads_the_footer_and_the_index_alone() -> None:
    model = {b"%05d" % number: bytes(100) for number in range(1000)}
    file = MemoryFile(build(model.items(), block_size=1000))
    table = Table(file)
    assert table.num_blocks > 50
    assert len(file.reads) == 2
    assert sum(size for _, size in file.reads) < file.size / 20
    table.get(b"00500")
    assert len(file.reads) == 3


def test_walking_through_neighbouring_keys_reads_each_block_once() -> None:
    model = {b"%05d" % number: bytes(100) for number in range(1000)}
    file = MemoryFile(build(model.items(), block_size=1000))
    table = Table(file)
    for key in model:
        assert table.get(key) == bytes(100)
    assert len(file.reads) == 2 + table.num_blocks


# Bytes that are no table, or one that contradicts itself.


def test_other_file_is_no_table() -> None:
    with pytest.raises(DataLossError, match=r"memory\.index is not an sstable: bad magic number"):
        open_table(b"not a table, but a text that goes on for more than forty-eight bytes\n")


@pytest.mark.parametrize("size", [0, 1, 47])
def test_short_file_is_truncated(size: int) -> None:
    with pytest.raises(TruncatedError, match=f"too short to be an sstable: 48 bytes wanted, {size} available"):
        open_table(bytes(size))


def test_flipped_byte_in_a_block_is_a_checksum_error_that_says_where() -> None:
    data = bytearray(build([(b"a", b"1"), (b"b", b"2")], block_size=1))
    first = open_table(bytes(data))
    data[3] ^= 1
    table = open_table(bytes(data))
    with pytest.raises(ChecksumError, match=r"block at byte 0 of memory\.index: stored CRC32C 0x[0-9a-f]{8}, computed 0x"):
        table.get(b"a")
    assert table.get(b"b") == first.get(b"b")


def test_unknown_compression_is_data_loss() -> None:
    table = open_table(table_of_blocks([(b"z", block([(0, b"a", b"1")]))], compression=2))
    with pytest.raises(DataLossError, match="unknown compression 2"):
        table.get(b"a")


def test_damaged_snappy_stream_with_a_right_checksum_is_data_loss() -> None:
    table = open_table(table_of_blocks([(b"z", b"\x05\x08abc")], compression=1))
    with pytest.raises(DataLossError, match=r"block at byte 0 of memory\.index: Snappy stream of 5 bytes"):
        table.get(b"a")


def test_block_handle_that_leaves_the_file_is_truncated() -> None:
    data = build([(b"a", b"1")])
    file = MemoryFile(data)
    with pytest.raises(TruncatedError, match="block at byte 4"):
        table_format.read_block(file, table_format.BlockHandle(4, 1 << 62))
    with pytest.raises(TruncatedError):
        table_format.read_block(file, table_format.BlockHandle(1 << 62, 1))


def test_extra_bytes_behind_a_block_handle_are_ignored() -> None:
    contents = block([(0, b"a", b"1")])
    index = block([(0, b"a", table_format.BlockHandle(0, len(contents)).encode() + b"more")])
    stored = contents + table_format.block_trailer(contents)
    handle = table_format.BlockHandle(len(stored), len(index))
    data = stored + index + table_format.block_trailer(index)
    table = open_table(data + table_format.Footer(table_format.BlockHandle(0, len(contents)), handle).encode())
    assert list(table.items()) == [(b"a", b"1")]


def test_blocks_that_overlap_are_data_loss() -> None:
    table = open_table(
        table_of_blocks([(b"c", block([(0, b"a", b"1"), (0, b"c", b"2")])), (b"d", block([(0, b"b", b"3")]))])
    )
    with pytest.raises(DataLossError, match="overlaps the block before it"):
        list(table.items())


def test_key_behind_its_index_entry_is_data_loss() -> None:
    table = open_table(table_of_blocks([(b"b", block([(0, b"c", b"1")])), (b"z", block([(0, b"d", b"2")]))]))
    with pytest.raises(DataLossError, match="holds keys behind its index entry"):
        list(table.items())


def test_key_that_no_look_up_finds_is_data_loss() -> None:
    # "b" is in the second block, yet the index says that everything up to "c" is in the first.
    table = open_table(table_of_blocks([(b"c", block([(0, b"a", b"1")])), (b"z", block([(0, b"b", b"2")]))]))
    assert table.get(b"b") is None
    with pytest.raises(DataLossError, match="overlaps the block before it"):
        list(table.items())


def test_footer_with_other_bytes_than_zeros_is_found_by_who_looks() -> None:
    data = bytearray(build([(b"a", b"1")]))
    data[-9] = 1
    table = open_table(bytes(data))
    assert table.get(b"a") == b"1"
    with pytest.raises(DataLossError, match=r"footer of memory\.index: has other bytes"):
        table.verify_unread_bytes()


def test_damaged_metaindex_is_found_by_who_looks() -> None:
    data = bytearray(build([(b"a", b"1")]))
    footer = table_format.decode_footer(bytes(data[-48:]), "table")
    data[footer.metaindex_handle.offset] ^= 1
    table = open_table(bytes(data))
    assert table.get(b"a") == b"1"
    with pytest.raises(ChecksumError):
        table.verify_unread_bytes()


def verified(data: bytes) -> tuple[int, list[str]]:
    """How many entries a verification reads, and everything that it reports."""
    damage: list[SaverError] = []
    table = open_table(data)
    num_entries = len(list(table.items(damage.append)))
    table.verify_unread_bytes(damage.append)
    assert all(isinstance(error, DataLossError) and error.path == "memory.index" for error in damage)
    return num_entries, [str(error) for error in damage]


ENTRIES = [(b"key%03d" % number, b"value") for number in range(40)]
DATA = build(ENTRIES)
BLOCKS = build(ENTRIES, block_size=200)


@pytest.mark.parametrize("data", [DATA, BLOCKS, with_snappy(DATA), build([])])
def test_table_of_the_builder_verifies(data: bytes) -> None:
    assert verified(data) == (0 if data == build([]) else 40, [])
    assert with_restarts(DATA) == DATA


def test_wrong_restart_offset_of_a_data_block_is_reported_with_its_block() -> None:
    data = with_restarts(DATA, block=lambda offsets: [0, offsets[2], offsets[1]])
    num_entries, damage = verified(data)
    assert num_entries == 40
    assert len(damage) == 1
    assert damage[0].startswith("block at byte 0 of memory.index: restart offset 3 of 3 is ")
    assert damage[0].endswith("the one before it; TensorFlow may miss keys or fail")
    assert open_table(data).get(b"key039") == b"value"


def test_wrong_restart_offset_is_reported_for_each_block() -> None:
    first = open_table(BLOCKS)
    num_entries, damage = verified(with_restarts(BLOCKS, block=lambda offsets: [0, offsets[-1] + 1]))
    assert num_entries == 40
    assert [error.split(" of ")[0] for error in damage] == [f"block at byte {handle.offset}" for handle in first._handles]


def test_wrong_restart_offset_of_the_index_block_is_reported() -> None:
    num_entries, damage = verified(with_restarts(BLOCKS, index=lambda offsets: offsets[1:]))
    assert num_entries == 40
    assert len(damage) == 1 and ", not 0; TensorFlow may miss keys or fail" in damage[0]
    footer = table_format.decode_footer(BLOCKS[-table_format.FOOTER_SIZE :], "table")
    assert damage[0].startswith(f"block at byte {footer.index_handle.offset} of memory.index: restart offset 1 of ")


def test_verifying_restart_offsets_reads_each_block_once_more() -> None:
    file = MemoryFile(build(ENTRIES, block_size=1))
    table = Table(file)
    list(table.items())
    num_reads = len(file.reads)
    table.verify_unread_bytes()
    # The index block too, and the metaindex block, which is decoded besides.
    assert len(file.reads) == num_reads + table.num_blocks + 3


def test_restart_offsets_are_verified_of_blocks_that_were_not_read() -> None:
    with pytest.raises(DataLossError, match="restart offset 1 of 1 is 3, not 0"):
        open_table(with_restarts(BLOCKS, block=lambda offsets: [3])).verify_unread_bytes()


def test_damaged_block_is_reported_once() -> None:
    data = bytearray(BLOCKS)
    data[3] ^= 1
    assert len(verified(bytes(data))[1]) == 1


def test_index_keys_out_of_order_are_data_loss_on_opening() -> None:
    handles = [table_format.BlockHandle(0, 5).encode(), table_format.BlockHandle(10, 5).encode()]
    index = block([(0, b"b", handles[0]), (0, b"a", handles[1])])
    with pytest.raises(DataLossError, match="key b'a' does not sort after b'b'"):
        open_table(table_of_blocks([], edit_index=lambda contents: index))


def test_block_without_restart_offsets_hides_its_entries() -> None:
    num_entries, damage = verified(with_restarts(DATA, block=lambda offsets: []))
    assert num_entries == 0
    assert len(damage) == 1 and "has no restart offsets, but " in damage[0]
