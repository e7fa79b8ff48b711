"""Raw Snappy streams: the sizes that they declare, and the bytes that they stand for."""

from __future__ import annotations

from collections.abc import Iterator

import cramjam

from tfsaver.lib import coding, snappy

NAME = "snappy"
MAX_SIZE = 512


def seeds() -> Iterator[bytes]:
    for data in (b"", b"a", b"abcd" * 40, bytes(range(256)), b"layer/kernel" * 9 + b"layer/bias" * 9):
        yield bytes(cramjam.snappy.compress_raw(data))


def run(data: bytes) -> None:
    output = snappy.decompress(data)
    assert len(output) == coding.read_varint(data, 0)[0]
    assert snappy.decompress(bytes(cramjam.snappy.compress_raw(output))) == output
