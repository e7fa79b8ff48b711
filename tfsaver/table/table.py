"""Reads a table: opening it takes the footer and the index block, everything else is read when it is asked for.

A look-up finds the one block that may hold a key by bisecting the index, and the last few blocks stay decoded, so that
walking through neighbouring keys reads each block once. A table of any size is thus open in the time of its index.
"""

from __future__ import annotations

import bisect
import copy
import functools
import weakref
from collections.abc import Callable, Iterator
from typing import TypeAlias

from tfsaver.errors import DataLossError, SaverError, TruncatedError
from tfsaver.lib.file_io import RandomAccessFile, read_exactly
from tfsaver.table import format as table_format
from tfsaver.table.block import Block, restart_fault

_NUM_CACHED_BLOCKS = 8

# What is done with damage (a DataLossError, a file that is missing) that is found while there is more to look at.
OnDamage: TypeAlias = Callable[[SaverError], None]


def raise_damage(error: SaverError) -> None:
    """The `OnDamage` of whoever wants all or nothing."""
    raise error


class Table:
    """A sorted map from bytes to bytes in a file.

    Args:
        file: The table; stays open, and belongs to the caller.
        num_cached_blocks: How many blocks stay decoded.

    Raises:
        DataLossError: The file is no table, or its index block is damaged.
    """

    def __init__(self, file: RandomAccessFile, *, num_cached_blocks: int = _NUM_CACHED_BLOCKS) -> None:
        self._file = file
        self._num_cached_blocks = num_cached_blocks
        if file.size < table_format.FOOTER_SIZE:
            raise TruncatedError(
                f"footer of {file.path}: file is too short to be an sstable",
                wanted=table_format.FOOTER_SIZE,
                available=file.size,
            )
        footer_offset = file.size - table_format.FOOTER_SIZE
        self._footer_bytes = read_exactly(file, footer_offset, table_format.FOOTER_SIZE, "footer")
        self._footer = table_format.decode_footer(self._footer_bytes, file.path)
        index = self._read_block(self._footer.index_handle)
        handles = [table_format.read_block_handle(value)[0] for value in index.values]
        self._check_apart(handles)
        self._set_blocks(index.keys, handles)

    def _check_apart(self, handles: list[table_format.BlockHandle]) -> None:
        """Blocks lie one behind the other: an index that names one of them twice would make a file many times its size."""
        end = 0
        for handle in handles:
            if handle.offset < end:
                what = self._what(self._footer.index_handle)
                raise DataLossError(f"{what}: block at byte {handle.offset} begins before the one before it ends, at {end}")
            end = handle.offset + handle.size + table_format.BLOCK_TRAILER_SIZE

    def _set_blocks(self, index_keys: list[bytes], handles: list[table_format.BlockHandle]) -> None:
        self._index_keys = index_keys
        self._handles = handles
        # What is wrong with a block is looked for once, however many keys would be in it.
        self._damage: dict[int, DataLossError] = {}
        # The cache refers to the table weakly. In a cycle, a table that nobody has any more would stay until the next
        # garbage collection, and its file open.
        block_of = functools.partial(type(self)._numbered_block, weakref.proxy(self))
        self._cached_block = functools.lru_cache(self._num_cached_blocks)(block_of)

    @property
    def path(self) -> str:
        return self._file.path

    @property
    def index_keys(self) -> list[bytes]:
        """For each data block a key that is not before its last one, and before the next block's first."""
        return self._index_keys

    @property
    def num_blocks(self) -> int:
        """How many data blocks there are."""
        return len(self._handles)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None where there is no such key."""
        number = bisect.bisect_left(self._index_keys, key)
        if number == len(self._handles):
            return None
        block = self._cached_block(number)
        position = block.lower_bound(key)
        return block.values[position] if position < len(block.keys) and block.keys[position] == key else None

    @property
    def first_handle(self) -> table_format.BlockHandle | None:
        """Where the first data block lies; None where there is none."""
        return self._handles[0] if self._handles else None

    def first_value(self, key: bytes) -> bytes | None:
        """The value of `key` if it is the first of all keys, or None; no other entry is decoded."""
        if not self._handles:
            return None
        handle = self._handles[0]
        block = Block(table_format.read_block(self._file, handle), self._what(handle), only_first=True)
        return block.values[0] if block.keys[:1] == [key] else None

    def items(self, on_damage: OnDamage = raise_damage) -> Iterator[tuple[bytes, bytes]]:
        """All entries in ascending order of their keys.

        Args:
            on_damage: Called with what is wrong with a block: damaged, or with keys that are not between those of its
                neighbours. If it returns, the block is left out.
        """
        for block in self.blocks(on_damage):
            yield from zip(block.keys, block.values, strict=True)

    def blocks(self, on_damage: OnDamage = raise_damage) -> Iterator[Block]:
        """All data blocks in the order of their keys; see `items`."""
        for number in range(self.num_blocks):
            try:
                block = self._block_in_order(number)
            except DataLossError as error:
                on_damage(error)
            else:
                yield block

    def _block_in_order(self, number: int) -> Block:
        block = self._cached_block(number)
        if block.keys:
            # A look-up for a key that is not behind the index entry before would go to the block before.
            if number and block.keys[0] <= self._index_keys[number - 1]:
                raise DataLossError(f"{self._what(self._handles[number])}: overlaps the block before it")
            if block.keys[-1] > self._index_keys[number]:
                raise DataLossError(f"{self._what(self._handles[number])}: holds keys behind its index entry")
        return block

    def verify_unread_bytes(self, on_damage: OnDamage = raise_damage) -> None:
        """Checks what `get` and `items` do not need.

        That is the metaindex block, which TensorFlow writes empty; zeros in the footer; and the restart offsets of every
        block, without which TensorFlow misses keys that are read here all the same.
        """
        for handle in (*self._handles, self._footer.index_handle, self._footer.metaindex_handle):
            self._check_restarts(handle, on_damage)
        try:
            self._read_block(self._footer.metaindex_handle)
        except DataLossError as error:
            on_damage(error)
        if self._footer.encode() != self._footer_bytes:
            what = f"footer of {self._file.path}"
            on_damage(DataLossError(f"{what}: has other bytes than its two block handles, zeros and the magic"))

    def _check_restarts(self, handle: table_format.BlockHandle, on_damage: OnDamage) -> None:
        try:
            fault = restart_fault(table_format.read_block(self._file, handle))
        except DataLossError:
            # Whatever else is wrong with a block is found when it is decoded.
            return
        if fault is not None:
            error = DataLossError(f"{self._what(handle)}: {fault}; TensorFlow may miss keys or fail")
            error.path, error.offset = self._file.path, handle.offset
            error.size = handle.size + table_format.BLOCK_TRAILER_SIZE
            on_damage(error)

    def _numbered_block(self, number: int) -> Block:
        if number in self._damage:
            raise _fresh(self._damage[number])
        try:
            return self._read_block(self._handles[number])
        except DataLossError as error:
            self._damage[number] = _fresh(error)
            raise

    def _read_block(self, handle: table_format.BlockHandle) -> Block:
        return Block(table_format.read_block(self._file, handle), self._what(handle), stored_size=handle.size)

    def _what(self, handle: table_format.BlockHandle) -> str:
        return f"block at byte {handle.offset} of {self._file.path}"


def _fresh(error: DataLossError) -> DataLossError:
    """The same error with a context of its own, which whoever catches it may add to."""
    again = copy.copy(error)
    again.context = list(error.context)
    return again
