"""Tables made for tests: in any layout, with Snappy blocks, and opened from bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import cramjam

from tfsaver.lib import coding
from tfsaver.table import format as table_format
from tfsaver.table.block import Block
from tfsaver.table.block_builder import BlockBuilder
from tfsaver.table.table import Table
from tfsaver.table.table_builder import TableBuilder


class MemoryFile:
    """A file of either direction that is a bytearray."""

    def __init__(self, data: bytes = b"", path: str = "memory.index") -> None:
        self.path = path
        self.data = bytearray(data)
        self.reads: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        self.reads.append((offset, size))
        return bytes(self.data[offset : offset + size])

    def readinto(self, offset: int, buffer: memoryview) -> int:
        data = self.read(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        self.data += data

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass


def build(
    entries: Iterable[tuple[bytes, bytes]], *, block_size: int = table_format.BLOCK_SIZE, restart_interval: int = 16
) -> bytes:
    """The table that `TableBuilder` makes of sorted entries."""
    file = MemoryFile()
    builder = TableBuilder(file, block_size=block_size, restart_interval=restart_interval)
    for key, value in entries:
        builder.add(key, value)
    builder.finish()
    return bytes(file.data)


def open_table(data: bytes) -> Table:
    return Table(MemoryFile(data))


def _blocks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each data block's index key and contents."""
    file = MemoryFile(data)
    footer = table_format.decode_footer(data[-table_format.FOOTER_SIZE :], "table")
    index = Block(table_format.read_block(file, footer.index_handle), "index")
    for key, value in zip(index.keys, index.values, strict=True):
        yield key, table_format.read_block(file, table_format.read_block_handle(value)[0])


def with_snappy(data: bytes, *, only_odd: bool = False) -> bytes:
    """The same table with its data blocks (or every other one) and its index block compressed."""
    output = bytearray()

    def put(contents: bytes, compress: bool) -> table_format.BlockHandle:
        stored = bytes(cramjam.snappy.compress_raw(contents)) if compress else contents
        handle = table_format.BlockHandle(len(output), len(stored))
        output.extend(stored + table_format.block_trailer(stored, int(compress)))
        return handle

    index = BlockBuilder(1)
    for number, (key, contents) in enumerate(_blocks(data)):
        index.add(key, put(contents, not only_odd or number % 2 == 1).encode())
    metaindex = put(BlockBuilder(16).finish(), False)
    output.extend(table_format.Footer(metaindex, put(index.finish(), not only_odd)).encode())
    return bytes(output)


def block(entries: Iterable[tuple[int, bytes, bytes]], *, num_restarts: int | None = None, restarts: bytes | None = None) -> bytes:
    """A block's contents from entries as (shared, unshared key bytes, value), however wrong they are."""
    contents = b"".join(
        coding.encode_varint(shared) + coding.encode_varint(len(unshared)) + coding.encode_varint(len(value)) + unshared + value
        for shared, unshared, value in entries
    )
    restarts = bytes(4) if restarts is None else restarts
    return contents + restarts + coding.encode_fixed32(len(restarts) // 4 if num_restarts is None else num_restarts)


def table_of_blocks(
    blocks: Iterable[tuple[bytes, bytes]], *, compression: int = 0, edit_index: Callable[[bytes], bytes] = bytes
) -> bytes:
    """A table of given block contents under given index keys.

    Args:
        edit_index: Makes of the index block's contents those that are written.
    """
    output = bytearray()

    def put(contents: bytes, kind: int) -> table_format.BlockHandle:
        handle = table_format.BlockHandle(len(output), len(contents))
        output.extend(contents + table_format.block_trailer(contents, kind))
        return handle

    index = BlockBuilder(1)
    for key, contents in blocks:
        index.add(key, put(contents, compression).encode())
    metaindex = put(BlockBuilder(16).finish(), 0)
    output.extend(table_format.Footer(metaindex, put(edit_index(index.finish()), 0)).encode())
    return bytes(output)


RestartEdit: TypeAlias = Callable[[list[int]], list[int]]


def edit_restarts(contents: bytes, edit: RestartEdit) -> bytes:
    """A block's contents with other restart offsets."""
    (count,) = struct.unpack("<I", contents[-4:])
    end = len(contents) - 4 * (count + 1)
    offsets = edit(list(struct.unpack(f"<{count}I", contents[end:-4])))
    return contents[:end] + struct.pack(f"<{len(offsets) + 1}I", *offsets, len(offsets))


def with_restarts(data: bytes, *, block: RestartEdit = list, index: RestartEdit = list) -> bytes:
    """The same table with other restart offsets in each data block and in the index block, under right checksums."""
    blocks = [(key, edit_restarts(contents, block)) for key, contents in _blocks(data)]
    return table_of_blocks(blocks, edit_index=lambda contents: edit_restarts(contents, index))
