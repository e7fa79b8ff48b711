"""Checksums made right again in changed files, so that what is behind them is fuzzed too."""

from __future__ import annotations

from typing import Any

from tfsaver import schemas
from tfsaver.errors import SaverError
from tfsaver.framework import dtypes, tensor_shape, varint_array
from tfsaver.lib import coding, crc32c
from tfsaver.table import format as table_format
from tfsaver.table.block import Block
from tfsaver.tensor_bundle import strings, variants

_MAX_BLOCKS = 32
# The end of a block with one restart, at its first byte.
_ONE_RESTART = bytes(4) + coding.encode_fixed32(1)


def right_table(data: bytes) -> bytes:
    """A table with the magic, and with the checksums of the blocks that it says it has."""
    table = bytearray(data.ljust(table_format.FOOTER_SIZE, b"\0"))
    table[-8:] = coding.encode_fixed64(table_format.MAGIC)
    try:
        footer = table_format.decode_footer(bytes(table[-table_format.FOOTER_SIZE :]), "table")
        _set_checksum(table, footer.index_handle)
        start, size = footer.index_handle
        stored = bytes(table[start : start + size + table_format.BLOCK_TRAILER_SIZE])
        if len(stored) == size + table_format.BLOCK_TRAILER_SIZE:
            for value in Block(table_format.decode_block(stored, "index"), "index").values[:_MAX_BLOCKS]:
                _set_checksum(table, table_format.read_block_handle(value)[0])
        _set_checksum(table, footer.metaindex_handle)
        _set_checksum(table, footer.index_handle)
    except SaverError:
        pass
    return bytes(table)


def _set_checksum(table: bytearray, handle: table_format.BlockHandle) -> None:
    end = handle.offset + handle.size + 1
    if end + 4 <= len(table):
        table[end : end + 4] = coding.encode_fixed32(crc32c.mask(crc32c.value(memoryview(table)[handle.offset : end])))


def table_of(pairs: dict[bytes, bytes]) -> bytes:
    """A sound table with these entries, whatever they are: in one block, which shares nothing, for speed."""
    items = sorted(pairs.items())
    contents = b"".join(_entry(key, value) for key, value in items) + _ONE_RESTART
    handle = table_format.BlockHandle(0, len(contents))
    index = _entry(items[-1][0] if items else b"", handle.encode()) + _ONE_RESTART
    output = contents + table_format.block_trailer(contents)
    metaindex_handle = table_format.BlockHandle(len(output), len(_ONE_RESTART))
    output += _ONE_RESTART + table_format.block_trailer(_ONE_RESTART)
    index_handle = table_format.BlockHandle(len(output), len(index))
    return output + index + table_format.block_trailer(index) + table_format.Footer(metaindex_handle, index_handle).encode()


def _entry(key: bytes, value: bytes) -> bytes:
    return b"\0" + coding.encode_varint(len(key)) + coding.encode_varint(len(value)) + key + value


def right_entry(value: bytes, data: bytes, byte_order: str = "little") -> bytes:
    """An index's entry with the checksum of the bytes that it points at, as far as there is one."""
    try:
        proto: Any = schemas.BundleEntryProto.FromString(value)
        dtype = dtypes.from_data_type(proto.dtype)
        raw = data[proto.offset : proto.offset + proto.size] if proto.offset >= 0 and proto.size >= 0 else b""
        if dtype.has_fixed_size:
            crc = crc32c.value(raw)
        else:
            count = tensor_shape.num_elements(tensor_shape.from_proto(proto.shape))
            decode = strings.decode if dtype is dtypes.STRING else variants.decode
            crc = decode(memoryview(raw), count, *([byte_order] if dtype is dtypes.STRING else []))[1]
    except Exception:  # noqa: BLE001 - whatever is wrong with it is for the reader to find
        return value
    # The last of several values of a field counts.
    return value + schemas.BundleEntryProto(crc32c=crc32c.mask(crc)).SerializeToString()


def right_strings(data: bytes, count: int, byte_order: str = "little") -> bytes:
    """The bytes of a string tensor with the checksum of its sizes behind them."""
    try:
        sizes, position = varint_array.decode(memoryview(data), count)
    except SaverError:
        return data
    order: Any = byte_order
    stored = crc32c.mask(strings._crc_of_sizes(sizes, byte_order)).to_bytes(4, order)
    return data[:position] + stored + data[position + 4 :]


def right_variants(data: bytes, count: int) -> bytes:
    """The bytes of a variant tensor with the checksums of its elements."""
    changed = bytearray(data)
    position = crc = 0
    try:
        for _ in range(min(count, _MAX_BLOCKS)):
            size, position = coding.read_varint(changed, position)
            end = position + size
            if end + 4 > len(changed):
                break
            crc = crc32c.extend(crc32c.extend(crc, coding.encode_fixed64(size)), changed[position:end])
            changed[end : end + 4] = coding.encode_fixed32(crc32c.mask(crc))
            crc = crc32c.extend(crc, changed[end : end + 4])
            position = end + 4
    except SaverError:
        pass
    return bytes(changed)
