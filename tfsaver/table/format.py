"""What the reader and the writer of a table share.

block on disk   contents (n bytes) | type (1 byte) | masked CRC-32C of contents and type (4 bytes, little-endian)
type            0 as they are, 1 one raw Snappy stream
block handle    varint offset | varint size          the size counts the contents, not the 5 bytes behind them
footer          metaindex handle | index handle | zeros up to byte 40 | magic (8 bytes), the last 48 bytes of the file
magic           57 fb 80 8b 24 75 47 db, LevelDB's
"""

from __future__ import annotations

from typing import NamedTuple

from tfsaver.errors import ChecksumError, DataLossError, TruncatedError
from tfsaver.lib import coding, crc32c, snappy
from tfsaver.lib.file_io import RandomAccessFile, read_exactly
from tfsaver.table.magic import FOOTER_SIZE as FOOTER_SIZE
from tfsaver.table.magic import MAGIC as MAGIC

BLOCK_TRAILER_SIZE = 5
NO_COMPRESSION = 0
SNAPPY_COMPRESSION = 1

# TensorFlow's own sizes: the same tensors must give the same bytes.
BLOCK_SIZE = 262144
BLOCK_RESTART_INTERVAL = 16
INDEX_BLOCK_RESTART_INTERVAL = 1


class BlockHandle(NamedTuple):
    """Where a block's contents lie: bytes `offset` to `offset + size` of the file."""

    offset: int
    size: int

    def encode(self) -> bytes:
        return coding.encode_varint(self.offset) + coding.encode_varint(self.size)


def read_block_handle(data: bytes, position: int = 0) -> tuple[BlockHandle, int]:
    """The handle at `position` and the position behind it."""
    offset, position = coding.read_varint(data, position)
    size, position = coding.read_varint(data, position)
    return BlockHandle(offset, size), position


class Footer(NamedTuple):
    """The fixed-size end of a table, where reading begins."""

    metaindex_handle: BlockHandle
    index_handle: BlockHandle

    def encode(self) -> bytes:
        handles = self.metaindex_handle.encode() + self.index_handle.encode()
        return handles.ljust(FOOTER_SIZE - 8, b"\0") + coding.encode_fixed64(MAGIC)


def decode_footer(data: bytes, path: str) -> Footer:
    """The footer in the last 48 bytes of the file at `path`.

    Raises:
        DataLossError: Another magic: the file is no table. Or the handles are damaged.
    """
    magic = coding.read_fixed64(data, FOOTER_SIZE - 8)
    if magic != MAGIC:
        raise DataLossError(f"{path} is not an sstable: bad magic number {magic:#018x}, expected {MAGIC:#018x}")
    metaindex_handle, position = read_block_handle(data)
    index_handle, _ = read_block_handle(data, position)
    return Footer(metaindex_handle, index_handle)


def block_trailer(contents: bytes | memoryview, compression: int = NO_COMPRESSION) -> bytes:
    """The 5 bytes behind a block's stored contents."""
    return block_trailer_of_crc(crc32c.value(contents), compression)


def block_trailer_of_crc(crc: int, compression: int = NO_COMPRESSION) -> bytes:
    """The 5 bytes behind contents whose CRC-32C is `crc`: for contents that were never in one piece."""
    kind = bytes((compression,))
    return kind + coding.encode_fixed32(crc32c.mask(crc32c.extend(crc, kind)))


def read_block(file: RandomAccessFile, handle: BlockHandle) -> bytes:
    """The contents of a block, checked and decompressed.

    Raises:
        TruncatedError: The file ends before the block does.
        ChecksumError: The bytes are not those that were written.
        DataLossError: Unknown compression, or a damaged Snappy stream.
    """
    with DataLossError.located(file.path, handle.offset, handle.size + BLOCK_TRAILER_SIZE):
        return _read_block(file, handle)


def _read_block(file: RandomAccessFile, handle: BlockHandle) -> bytes:
    what = f"block at byte {handle.offset} of {file.path}"
    wanted = handle.size + BLOCK_TRAILER_SIZE
    if handle.offset + wanted > file.size:
        raise TruncatedError(what, wanted=wanted, available=max(0, file.size - handle.offset))
    data = read_exactly(file, handle.offset, wanted, "block")
    stored = crc32c.unmask(coding.read_fixed32(data, handle.size + 1))
    computed = crc32c.value(memoryview(data)[: handle.size + 1])
    if stored != computed:
        raise ChecksumError(what, stored=stored, computed=computed)
    return decode_block(data, what)


def decode_block(stored: bytes, what: str) -> bytes:
    """The contents of a stored block, whose checksum is taken to be right, decompressed.

    Raises:
        DataLossError: Unknown compression, or a damaged Snappy stream.
    """
    compression = stored[-BLOCK_TRAILER_SIZE]
    contents = stored[:-BLOCK_TRAILER_SIZE]
    if compression == NO_COMPRESSION:
        return contents
    if compression == SNAPPY_COMPRESSION:
        try:
            return snappy.decompress(contents)
        except DataLossError as error:
            error.add_context(what)
            raise
    raise DataLossError(f"{what}: unknown compression {compression}, only 0 (none) and 1 (Snappy) are known")
