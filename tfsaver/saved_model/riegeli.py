"""Records in a Riegeli file, the container of chunked SavedModels.

    file    = blocks of 64 KiB, each opening with 24 bytes that are no part of what runs through the file:
              hash, previous chunk, next chunk
    chunk   = header, 40 bytes: header hash, data size, data hash (8 bytes each), type (1), records (7), decoded size (8)
              data
    type    's' the file's signature, the first chunk   'p' padding   'm' metadata   'r' records   't' transposed records
    'r'     compression (1 byte: 0, 'b' Brotli, 'z' Zstandard, 's' Snappy)
            size of the sizes, varint | sizes | values         sizes: a varint for each record; values: records, joined
            compressed, each of the two is its size as a varint and a stream

A record's position is the byte where its chunk begins plus its number in the chunk. TensorFlow writes Brotli. The two
hashes are HighwayHash-64, which no dependency of tfsaver has: they are not checked.

Brotli and Zstandard make gigabytes of a few bytes. What a file may become when it is unpacked is bounded, by its own size,
and room is made for what a stream declares and for no more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from tfsaver.errors import DataLossError, TruncatedError, UnimplementedError
from tfsaver.lib import coding, file_io, snappy

_BLOCK_SIZE = 1 << 16
_BLOCK_HEADER_SIZE = 24
_CHUNK_HEADER_SIZE = 40
_SIGNATURE = bytes.fromhex("83af70d10d884a3f00000000000000004000000000000000")
# All that a file may become: of a model, ten times as much as its file is rare. Small files may be nothing but zeros.
_MAX_EXPANSION = 64
_MIN_ROOM = 1 << 20
# Records of fewer bytes in the file than this are nobody's: each takes a hundred bytes of memory, even an empty one.
_MIN_RECORD_SIZE = 8
_MIN_RECORDS = 1024


class _ChunkHeader(NamedTuple):
    data_size: int
    kind: bytes
    num_records: int
    decoded_size: int


def read_records(path: str) -> dict[int, bytes]:
    """The records of a file by their positions, in that order.

    Raises:
        DataLossError: It is no such file, or its sizes contradict each other.
        UnimplementedError: Transposed records, or an unknown compression.
    """
    with contextlib.closing(file_io.open_for_reading(path)) as file, DataLossError.located(path, 0, file.size):
        try:
            return dict(_records(file))
        except (DataLossError, UnimplementedError) as error:
            error.add_context(path)
            raise


def _records(file: file_io.RandomAccessFile) -> Iterator[tuple[int, bytes]]:
    if file.read(0, len(_SIGNATURE)) != _SIGNATURE:
        raise DataLossError("no Riegeli file: it opens with another signature")
    begin = num_records = 0
    room = _Room(max(_MIN_ROOM, _MAX_EXPANSION * file.size))
    while begin < file.size:
        header = _chunk_header(file, begin)
        if header.kind in (b"r", b"t"):
            data = _read(file, _after(begin, _CHUNK_HEADER_SIZE), header.data_size, f"chunk at byte {begin}")
            if header.kind == b"t":
                raise UnimplementedError(f"chunk at byte {begin}: transposed records")
            num_records += header.num_records
            if num_records > max(_MIN_RECORDS, file.size // _MIN_RECORD_SIZE):
                raise DataLossError(f"chunk at byte {begin}: {num_records} records in a file of {file.size} bytes")
            try:
                yield from enumerate(_split(data, header, room), begin)
            except DataLossError as error:
                error.add_context(f"chunk at byte {begin}")
                raise
        elif header.kind not in (b"s", b"p", b"m"):
            raise DataLossError(f"chunk at byte {begin}: unknown type {header.kind!r}")
        # Positions of records stay apart even where the records are smaller than a byte each.
        begin = max(_after(begin, _CHUNK_HEADER_SIZE + header.data_size), _past_block_header(begin + header.num_records))


def _chunk_header(file: file_io.RandomAccessFile, begin: int) -> _ChunkHeader:
    data = _read(file, begin, _CHUNK_HEADER_SIZE, f"header of the chunk at byte {begin}")
    return _ChunkHeader(
        coding.read_fixed64(data, 8),
        data[24:25],
        int.from_bytes(data[25:32], "little"),
        coding.read_fixed64(data, 32),
    )


def _past_block_header(position: int) -> int:
    inside = position % _BLOCK_SIZE
    return position - inside + _BLOCK_HEADER_SIZE if 0 < inside < _BLOCK_HEADER_SIZE else position


def _after(position: int, size: int) -> int:
    """Where one is after `size` bytes of content from `position` on; the headers of blocks do not count."""
    content = _BLOCK_SIZE - _BLOCK_HEADER_SIZE
    blocks, inside = divmod(position, _BLOCK_SIZE)
    total = blocks * content + max(0, inside - _BLOCK_HEADER_SIZE) + size
    blocks, inside = divmod(total, content)
    # The end of a block's content is the beginning of the next block, in front of its header.
    return blocks * _BLOCK_SIZE + (inside + _BLOCK_HEADER_SIZE if inside else 0)


def _read(file: file_io.RandomAccessFile, position: int, size: int, what: str) -> bytes:
    """`size` bytes of content."""
    if size > file.size:
        raise TruncatedError(what, wanted=size, available=max(0, file.size - position))
    end = _after(position, size)
    raw = memoryview(file_io.read_exactly(file, position, end - position, what))
    parts = []
    while raw:
        inside = position % _BLOCK_SIZE
        if inside < _BLOCK_HEADER_SIZE:
            skipped = min(_BLOCK_HEADER_SIZE - inside, len(raw))
            raw, position = raw[skipped:], position + skipped
            continue
        parts.append(raw[: _BLOCK_SIZE - inside])
        raw, position = raw[_BLOCK_SIZE - inside :], position + len(parts[-1])
    return b"".join(parts)


class _Room:
    """How many bytes may still be unpacked."""

    def __init__(self, size: int) -> None:
        self._left = self._size = size

    def take(self, size: int, what: str) -> None:
        if size > self._left:
            raise DataLossError(f"{what} declare {size}, more than a file of that size may become, {self._size} in all")
        self._left -= size


def _split(data: bytes, header: _ChunkHeader, room: _Room) -> list[bytes]:
    """The records of a chunk of type 'r'."""
    compression = data[:1]
    sizes_size, position = coding.read_varint(data, 1)
    if sizes_size > len(data) - position:
        raise TruncatedError("sizes of records", wanted=sizes_size, available=len(data) - position)
    sizes = _decompress(data[position : position + sizes_size], compression, room)
    values = _decompress(data[position + sizes_size :], compression, room)
    records: list[bytes] = []
    at = start = 0
    while at < len(sizes):
        size, at = coding.read_varint(sizes, at)
        if len(records) == header.num_records:
            raise DataLossError(f"{header.num_records} records declared, there are more")
        if size > len(values) - start:
            raise TruncatedError(f"record {len(records)}", wanted=size, available=len(values) - start)
        records.append(bytes(values[start : start + size]))
        start += size
    if len(records) != header.num_records or start != len(values) or len(values) != header.decoded_size:
        raise DataLossError(
            f"{len(records)} records of {start} bytes; {header.num_records} records of {header.decoded_size} bytes declared"
        )
    return records


def _decompress(data: bytes, compression: bytes, room: _Room) -> memoryview:
    if compression == b"\0":
        return memoryview(data)
    size, start = coding.read_varint(data, 0)
    stream = data[start:]
    what = f"{len(stream)} compressed bytes"
    room.take(size, what)
    if compression == b"s":
        content = memoryview(snappy.decompress(stream))
        found = len(content)
    elif compression in (b"b", b"z"):
        cramjam = snappy.codecs()
        codec = cramjam.brotli if compression == b"b" else cramjam.zstd
        # One byte more than there should be, so that a stream that goes on shows.
        unpacked = bytearray(size + 1)
        try:
            found = codec.decompress_into(stream, unpacked) if stream else 0
        except cramjam.DecompressionError as error:
            raise DataLossError(f"{what}: {error}") from error
        content = memoryview(unpacked)[:found]
    else:
        raise UnimplementedError(f"compression {compression!r}")
    if found != size:
        raise DataLossError(f"{what}: {size} bytes declared, {found} found")
    return content
