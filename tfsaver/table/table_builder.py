"""Writes a table; `format` and `block` have the bytes.

Where blocks are cut decides whether two writers give the same file, so TensorFlow's rule is followed exactly:

1. a key and value of together 512 KiB and more do not join a block that has entries already;
2. a block ends once its contents reach 256 KiB.

The index holds, for each block, a key that is not before the block's last key and before the next block's first. The
shorter it is, the better: see `separator` and `successor`.

A value of hundreds of MiB (a V1 checkpoint keeps a whole tensor in one) need not be in memory in one piece: `add` also
takes its size and its parts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import crc32c
from tfsaver.lib.file_io import Buffer, WritableFile
from tfsaver.table import format as table_format
from tfsaver.table.block_builder import BlockBuilder


def separator(last_key: bytes, next_key: bytes) -> bytes:
    """A short key k with last_key <= k < next_key."""
    for index, (a, b) in enumerate(zip(last_key, next_key, strict=False)):
        if a != b:
            return last_key[:index] + bytes((a + 1,)) if a != 0xFF and a + 1 < b else last_key
    return last_key


def successor(last_key: bytes) -> bytes:
    """A short key that is not before `last_key`."""
    for index, byte in enumerate(last_key):
        if byte != 0xFF:
            return last_key[:index] + bytes((byte + 1,))
    return last_key


class TableBuilder:
    """Appends a table to a file, entry by entry.

    Args:
        file: An empty file; stays open.
        block_size: The size from which a block's contents are cut.
        restart_interval: Entries between two restarts in a data block.
    """

    def __init__(
        self,
        file: WritableFile,
        *,
        block_size: int = table_format.BLOCK_SIZE,
        restart_interval: int = table_format.BLOCK_RESTART_INTERVAL,
    ) -> None:
        self._file = file
        self._block_size = block_size
        self._data_block = BlockBuilder(restart_interval)
        self._index_block = BlockBuilder(table_format.INDEX_BLOCK_RESTART_INTERVAL)
        self._offset = 0
        self._num_entries = 0
        self._last_key = b""
        # The handle of a finished block whose index entry waits for the next key.
        self._pending: table_format.BlockHandle | None = None

    def add(self, key: bytes, value: bytes) -> None:
        """Appends an entry.

        Raises:
            InvalidArgumentError: `key` does not sort after the last one.
        """
        self._start_entry(key, len(value))
        self._data_block.add(key, value)
        if self._data_block.size >= self._block_size:
            self._flush()

    def add_all(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Appends entries as `add` does, many in the time of a few.

        Raises:
            InvalidArgumentError: A key does not sort after the one before it.
        """
        position = 0
        while position < len(keys):
            # What may begin a block, or have one of its own, goes the ordinary way.
            self.add(keys[position], values[position])
            taken = self._data_block.add_all(keys, values, position + 1, self._block_size)
            if taken > position + 1:
                self._num_entries += taken - position - 1
                self._last_key = keys[taken - 1]
                if self._data_block.size >= self._block_size:
                    self._flush()
            position = taken

    def add_parts(self, key: bytes, value_size: int, parts: Iterable[Buffer]) -> None:
        """Appends an entry whose value, of `value_size` bytes, comes in parts.

        The file is the same as with `add`, but a value that gets a block of its own is never in memory as a whole.
        """
        if len(key) + value_size < 2 * self._block_size:
            value = b"".join(parts)
            _check_size(key, len(value), value_size)
            self.add(key, value)
            return
        self._start_entry(key, value_size)
        header = self._data_block.entry_header(key, value_size)
        crc = 0
        size = 0
        restart_array = self._data_block.restart_array()
        for piece in itertools.chain((header,), parts, (restart_array,)):
            self._file.append(piece)
            crc = crc32c.extend(crc, piece)
            size += memoryview(piece).nbytes
        _check_size(key, size - len(header) - len(restart_array), value_size)
        self._end_block(crc, size)

    def finish(self) -> None:
        """Writes what is left: the last block, the index and the footer. Nothing can be added afterwards."""
        self._flush()
        metaindex_handle = self._write_block(BlockBuilder(table_format.BLOCK_RESTART_INTERVAL).finish())
        if self._pending is not None:
            self._index_block.add(successor(self._last_key), self._pending.encode())
        index_handle = self._write_block(self._index_block.finish())
        self._file.append(table_format.Footer(metaindex_handle, index_handle).encode())

    def _start_entry(self, key: bytes, value_size: int) -> None:
        if self._num_entries and key <= self._last_key:
            raise InvalidArgumentError(f"table key {key!r} does not sort after {self._last_key!r}")
        if self._num_entries and len(key) + value_size >= 2 * self._block_size:
            self._flush()
        if self._pending is not None:
            self._index_block.add(separator(self._last_key, key), self._pending.encode())
            self._pending = None
        self._last_key = key
        self._num_entries += 1

    def _flush(self) -> None:
        if not self._data_block.is_empty:
            contents = self._data_block.finish()
            self._file.append(contents)
            self._end_block(crc32c.value(contents), len(contents))

    def _end_block(self, crc: int, size: int) -> None:
        self._pending = self._write_trailer(crc, size)
        self._data_block.reset()

    def _write_block(self, contents: bytes) -> table_format.BlockHandle:
        self._file.append(contents)
        return self._write_trailer(crc32c.value(contents), len(contents))

    def _write_trailer(self, crc: int, size: int) -> table_format.BlockHandle:
        self._file.append(table_format.block_trailer_of_crc(crc))
        handle = table_format.BlockHandle(self._offset, size)
        self._offset += size + table_format.BLOCK_TRAILER_SIZE
        return handle


def _check_size(key: bytes, size: int, announced: int) -> None:
    if size != announced:
        raise InvalidArgumentError(f"the parts of {key!r} have {size} bytes, {announced} were announced")
