"""Riegeli files as writers make them."""

from __future__ import annotations

from pathlib import Path

import cramjam

from tfsaver.lib import coding

SIGNATURE = bytes.fromhex("83af70d10d884a3f0000000000000000400000000000000091bac23c9287e1a90000000000000000e19f13c0e9b1c37273") + bytes(15)
BLOCK, BLOCK_HEADER = 1 << 16, 24


def chunk(records: list[bytes], compression: bytes = b"\0") -> bytes:
    sizes, values = b"".join(coding.encode_varint(len(record)) for record in records), b"".join(records)
    if compression == b"b":
        sizes, values = (coding.encode_varint(len(part)) + bytes(cramjam.brotli.compress(part, level=1)) for part in (sizes, values))
    if compression == b"z":
        sizes, values = (coding.encode_varint(len(part)) + bytes(cramjam.zstd.compress(part)) for part in (sizes, values))
    if compression == b"s":
        sizes, values = (bytes(cramjam.snappy.compress_raw(part)) for part in (sizes, values))
        sizes, values = (coding.encode_varint(coding.read_varint(part, 0)[0]) + part for part in (sizes, values))
    data = compression + coding.encode_varint(len(sizes)) + sizes + values
    decoded = sum(map(len, records))
    header = bytes(8) + coding.encode_fixed64(len(data)) + bytes(8) + b"r" + len(records).to_bytes(7, "little")
    return header + coding.encode_fixed64(decoded) + data


def write(path: Path, *chunks: bytes) -> list[int]:
    """Writes a file of some chunks, block headers in between; says where each of them begins."""
    content = bytearray(SIGNATURE)
    begins = []
    for each in chunks:
        begins.append(len(content))
        for byte in each:
            if len(content) % BLOCK == 0:
                content += b"\xee" * BLOCK_HEADER
            content.append(byte)
    path.write_bytes(content)
    return begins
