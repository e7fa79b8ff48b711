"""String tensors in a data file.

    varint size of element 1 .. N | masked CRC-32C of the sizes (4 bytes) | bytes of element 1 .. N

The checksum of the sizes is not of the varints: each size is hashed as a number of 4 bytes, or of 8 where it does not
fit in 4, in the file's byte order. (Before 2018 all were hashed in 4; the bytes are the same.) The checksum in the
tensor's entry goes on from there, over the 4 bytes stored and then over the strings. A tensor without elements is the 4
bytes alone, or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfsaver.errors import ChecksumError, TruncatedError
from tfsaver.framework import varint_array
from tfsaver.lib import crc32c

_CHECKSUM_SIZE = 4
_LARGE = 1 << 32


def decode(data: memoryview, count: int, byte_order: str) -> tuple[list[bytes], int]:
    """The elements, and the (unmasked) checksum that their entry must have.

    Raises:
        ChecksumError: The sizes are not those that were written.
        TruncatedError: The bytes end before the last element does.
    """
    if not count and not data:
        return [], 0
    sizes, position = varint_array.decode(data, count)
    if len(data) - position < _CHECKSUM_SIZE:
        raise TruncatedError("checksum of the string sizes", wanted=_CHECKSUM_SIZE, available=len(data) - position)
    stored = data[position : position + _CHECKSUM_SIZE]
    crc = _crc_of_sizes(sizes, byte_order)
    if (expected := crc32c.unmask(int.from_bytes(stored, _order(byte_order)))) != crc:
        raise ChecksumError("string sizes", stored=expected, computed=crc)
    position += _CHECKSUM_SIZE
    # Summed as Python's numbers: 64 bits of damaged sizes overflow, and their checksum may have been made to match.
    wanted = sum(sizes.tolist())
    if wanted != len(data) - position:
        raise TruncatedError("bytes of the strings", wanted=wanted, available=len(data) - position)
    crc = crc32c.extend(crc32c.extend(crc, stored), data[position:])
    elements = []
    for size in sizes.tolist():
        elements.append(bytes(data[position : position + size]))
        position += size
    return elements, crc


def encode_sizes(elements: Sequence[bytes], byte_order: str) -> tuple[bytes, int]:
    """What stands before the elements' own bytes, and the checksum so far."""
    sizes = np.fromiter(map(len, elements), np.uint64, len(elements))
    crc = _crc_of_sizes(sizes, byte_order)
    stored = crc32c.mask(crc).to_bytes(_CHECKSUM_SIZE, _order(byte_order))
    return varint_array.encode(sizes) + stored, crc32c.extend(crc, stored)


def stored_size(elements: Sequence[bytes]) -> int:
    """The bytes that a tensor of these elements takes in a data file."""
    sizes = np.fromiter(map(len, elements), np.uint64, len(elements))
    return len(varint_array.encode(sizes)) + _CHECKSUM_SIZE + sum(map(len, elements))


def _order(byte_order: str) -> Any:
    return byte_order


def _crc_of_sizes(sizes: varint_array.UInt64Array, byte_order: str) -> int:
    prefix = "<" if byte_order == "little" else ">"
    if not (sizes >= _LARGE).any():
        return crc32c.value(sizes.astype(f"{prefix}u4").tobytes())
    crc = 0
    for size in sizes.tolist():
        crc = crc32c.extend(crc, size.to_bytes(4 if size < _LARGE else 8, _order(byte_order)))
    return crc
