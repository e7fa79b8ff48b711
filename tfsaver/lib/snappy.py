"""Raw Snappy, the compression that some builds of TensorFlow use for table blocks.

    varint uncompressed size | element*
    element = tag byte, low two bits:  0 literal   1, 2, 3 copy with an 11, 16 or 32 bit offset

cramjam decompresses, and is imported when the first such block is read. Ours is to take no more memory than the stream can
honestly ask for.
"""

from __future__ import annotations

from typing import Any

from tfsaver._lazy_imports import lazy_import
from tfsaver.errors import DataLossError, MissingExtraError
from tfsaver.lib import coding

# The densest element is a copy of 64 bytes told in three: no stream says more than 64/3 times its own size.
_MAX_EXPANSION = 22


def codecs() -> Any:
    """The library that decompresses.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        with lazy_import():
            import cramjam  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("cramjam", extra="", purpose="reading compressed blocks") from error
    return cramjam


def decompress(data: bytes) -> bytes:
    """The bytes that a raw Snappy stream stands for.

    Raises:
        DataLossError: The stream is damaged, or declares a size that it cannot have.
        MissingExtraError: cramjam is not installed.
    """
    size, start = coding.read_varint(data, 0)
    if size > _MAX_EXPANSION * (len(data) - start):
        raise DataLossError(f"Snappy stream of {len(data)} bytes: declares {size} bytes, more than it can hold")
    if not size:
        if start != len(data):
            raise DataLossError(f"Snappy stream of {len(data)} bytes: declares none, yet goes on")
        return b""
    output = bytearray(size)
    cramjam = codecs()
    try:
        written = cramjam.snappy.decompress_raw_into(data, output)
    except cramjam.DecompressionError as error:
        raise DataLossError(f"Snappy stream of {len(data)} bytes: {error}") from error
    if written != size:
        raise DataLossError(f"Snappy stream of {len(data)} bytes: declares {size} bytes, holds {written}")
    return bytes(output)
