"""Reads what is left of a table whose end is lost or damaged: the footer, or the index block that it points at.

Nothing but the index says where blocks begin, but they lie one behind the other from the first byte on, and each can be told
by what is in it:

    block = entry* | 00 00 00 00 (the first restart offset) | ... | number of restarts | type | checksum

An entry's header says where the next one begins. Only the first key of a table can be empty, so that four zero bytes in
place of any other header begin the restart offsets; their number ends the block, and its checksum must then fit. Of a
compressed block one sees nothing: its end is where the checksum fits. The first block that is not found ends the search.

Bytes that look like blocks up to their last one could be gone through again from every position. So the search has so many
bytes to look at, a small multiple of the file, and ends with them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tfsaver.errors import ChecksumError, DataLossError
from tfsaver.lib import coding, crc32c
from tfsaver.lib.file_io import RandomAccessFile
from tfsaver.table import format as table_format
from tfsaver.table.block import Block
from tfsaver.table.flipped_bit import repaired
from tfsaver.table.table import OnDamage, Table, raise_damage

# Three varints of at most ten bytes each.
_MAX_HEADER_SIZE = 30
# A compressed block is at most as large as this: twice what TensorFlow and LevelDB put into one.
_MAX_COMPRESSED_SIZE = 2 * table_format.BLOCK_SIZE
# The search takes a step for each byte.
_MAX_REPAIRED_SIZE = 4 * table_format.BLOCK_SIZE
# What is read first where a compressed block may begin; then eight times as much, and so on.
_FIRST_WINDOW = 1 << 10
_LAST_WINDOW = _MAX_COMPRESSED_SIZE + table_format.BLOCK_TRAILER_SIZE
# Bytes looked at for each byte of a file, and in any case: a header of 30 is read for an entry of as few as four.
_MAX_LOOKS = 16
_FREE_LOOKS = 256 << 10


class RecoveredTable(Table):
    """A table that is opened whatever state its end is in; `get` and `items` find what is in the blocks that are sound.

    Args:
        file: The table; stays open, and belongs to the caller.
        repair_bits: Whether a block of which one bit was flipped is put right; `flipped_bit` says when that can be trusted.

    Attributes:
        damage: What is wrong with the table's end; None for a table that opens as any other.
        repairs: The bits that were put right, in words.
    """

    def __init__(self, file: RandomAccessFile, *, repair_bits: bool = False) -> None:
        self.damage: DataLossError | None = None
        self.repairs: dict[str, None] = {}
        self._repair_bits = repair_bits
        try:
            super().__init__(file)
        except DataLossError as error:
            self.damage = error
            self._file = file
            blocks = list(walk_blocks(file))
            self._set_blocks([last_key for last_key, _ in blocks], [handle for _, handle in blocks])

    def _read_block(self, handle: table_format.BlockHandle) -> Block:
        try:
            return super()._read_block(handle)
        except ChecksumError:
            block = self._repaired(handle) if self._repair_bits and handle.size <= _MAX_REPAIRED_SIZE else None
            if block is None:
                raise
            return block

    def _repaired(self, handle: table_format.BlockHandle) -> Block | None:
        found = repaired(self._file.read(handle.offset, handle.size + table_format.BLOCK_TRAILER_SIZE))
        if found is None:
            return None
        stored, number = found
        try:
            contents = table_format.decode_block(stored, self._what(handle))
            block = Block(contents, self._what(handle), stored_size=handle.size)
        except DataLossError:
            return None
        byte, bit = handle.offset + number // 8, number % 8
        self.repairs[f"bit {bit} of byte {byte} of {self.path} was flipped: with it put right the checksum fits"] = None
        return block

    def verify_unread_bytes(self, on_damage: OnDamage = raise_damage) -> None:
        if self.damage is not None:
            on_damage(self.damage)
        else:
            super().verify_unread_bytes(on_damage)


def walk_blocks(file: RandomAccessFile) -> Iterator[tuple[bytes, table_format.BlockHandle]]:
    """The last key and the place of each data block from the start of a file, as far as they follow each other soundly."""
    search = _Search(file)
    start = 0
    last_key: bytes | None = None
    handles: list[bytes] = []
    while (handle := search.find_block(start)) is not None:
        try:
            what = f"block at byte {start} of {file.path}"
            block = Block(table_format.read_block(file, handle), what, stored_size=handle.size)
        except DataLossError:
            return
        # Behind the data come the metaindex block, which is empty, and the index block, whose values are handles.
        if not block.keys or block.values == handles:
            return
        if last_key is not None and block.keys[0] <= last_key:
            return
        last_key = block.keys[-1]
        handles.append(handle.encode())
        yield last_key, handle
        start = handle.offset + handle.size + table_format.BLOCK_TRAILER_SIZE


class _Search:
    """The search for blocks in a file, and how much of it may still be looked at."""

    def __init__(self, file: RandomAccessFile) -> None:
        self._file = file
        self._num_left = _MAX_LOOKS * file.size + _FREE_LOOKS

    def _read(self, offset: int, size: int) -> bytes:
        """Bytes of the file: none where it ends, or where too many were looked at."""
        self._num_left -= size
        return self._file.read(offset, size) if self._num_left >= 0 else b""

    def find_block(self, start: int) -> table_format.BlockHandle | None:
        handle = self._find_by_entries(start)
        return self._find_by_checksum(start) if handle is None else handle

    def _find_by_entries(self, start: int) -> table_format.BlockHandle | None:
        position = start
        count = 0
        while position + 4 + 4 + table_format.BLOCK_TRAILER_SIZE <= self._file.size:
            header = self._read(position, _MAX_HEADER_SIZE)
            if count and header[:4] == bytes(4):
                return self._end_at_restarts(start, position, count)
            try:
                _, end = coding.read_varint(header, 0)
                unshared, end = coding.read_varint(header, end)
                value_size, end = coding.read_varint(header, end)
            except DataLossError:
                return None
            position += end + unshared + value_size
            count += 1
        return None

    def _end_at_restarts(self, start: int, position: int, count: int) -> table_format.BlockHandle | None:
        """The block whose restart offsets begin at `position`, behind `count` entries."""
        restarts = self._read(position, 4 * (count + 1))
        for number in range(1, len(restarts) // 4):
            value = coding.read_fixed32(restarts, 4 * number)
            if value == number:
                handle = table_format.BlockHandle(start, position + 4 * (number + 1) - start)
                self._num_left -= handle.size
                if self._num_left < 0:
                    return None
                with contextlib.suppress(DataLossError):
                    table_format.read_block(self._file, handle)
                    return handle
            # As an offset it is too small for so many entries of three bytes and more: no second number need be tried.
            if value < 3 * number:
                return None
        return None

    def _find_by_checksum(self, start: int) -> table_format.BlockHandle | None:
        size = _FIRST_WINDOW
        while True:
            data = self._read(start, size)
            handle = _end_by_checksum(start, data)
            if handle is not None or len(data) < size or size == _LAST_WINDOW:
                return handle
            size = min(8 * size, _LAST_WINDOW)


def _end_by_checksum(start: int, data: bytes) -> table_format.BlockHandle | None:
    view = memoryview(data)
    kind = bytes((table_format.SNAPPY_COMPRESSION,))
    crc = done = 0
    size = data.find(kind, 1)
    while 0 < size <= len(data) - table_format.BLOCK_TRAILER_SIZE:
        crc = crc32c.extend(crc, view[done : size + 1])
        done = size + 1
        if coding.read_fixed32(data, done) == crc32c.mask(crc):
            return table_format.BlockHandle(start, size)
        size = data.find(kind, done)
    return None
