"""Raw Snappy, the compression that some builds of TensorFlow use for table blocks.

    varint uncompressed size | element*
    element = tag byte, low two bits:  0 literal   1, 2, 3 copy with an 11, 16 or 32 bit offset

The decompressing is cramjam's. Ours is to take no more memory than the stream can honestly ask for.
"""

from __future__ import annotations

import cramjam

from tfsaver.errors import DataLossError
from tfsaver.lib import coding

# The densest element is a copy of 64 bytes told in three: no stream says more than 64/3 times its own size.
_MAX_EXPANSION = 22


def decompress(data: bytes) -> bytes:
    """The bytes that a raw Snappy stream stands for.

    Raises:
        DataLossError: The stream is damaged, or declares a size that it cannot have.
    """
    size, start = coding.read_varint(data, 0)
    if size > _MAX_EXPANSION * (len(data) - start):
        raise DataLossError(f"Snappy stream of {len(data)} bytes: declares {size} bytes, more than it can hold")
    if not size:
        if start != len(data):
            raise DataLossError(f"Snappy stream of {len(data)} bytes: declares none, yet goes on")
        return b""
    output = bytearray(size)
    try:
        written = cramjam.snappy.decompress_raw_into(data, output)
    except cramjam.DecompressionError as error:
        raise DataLossError(f"Snappy stream of {len(data)} bytes: {error}") from error
    if written != size:
        raise DataLossError(f"Snappy stream of {len(data)} bytes: declares {size} bytes, holds {written}")
    return bytes(output)
