"""Variant tensors in a data file.

    element* = varint size | VariantTensorDataProto (size bytes) | masked CRC-32C (4 bytes)

One checksum runs through all elements: over each size as 8 little-endian bytes, over the proto, and over the 4 bytes
stored behind it, which hold what it was before them. Where it ends is the checksum in the tensor's entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tfsaver.errors import ChecksumError, DataLossError, TruncatedError
from tfsaver.framework.variant import Variant
from tfsaver.lib import coding, crc32c

_CHECKSUM_SIZE = 4


def decode(data: memoryview, count: int) -> tuple[list[Variant], int]:
    """The elements, and the (unmasked) checksum that their entry must have.

    Raises:
        ChecksumError: An element's bytes are not those that were written.
        TruncatedError: The bytes end before the last element does.
    """
    elements = []
    position = crc = 0
    for index in range(count):
        size, position = coding.read_varint(data, position)
        wanted = size + _CHECKSUM_SIZE
        if wanted > len(data) - position:
            raise TruncatedError(f"variant {index}", wanted=wanted, available=len(data) - position)
        element, stored = data[position : position + size], data[position + size : position + wanted]
        crc = crc32c.extend(crc32c.extend(crc, coding.encode_fixed64(size)), element)
        if (expected := crc32c.unmask(coding.read_fixed32(stored, 0))) != crc:
            raise ChecksumError(f"variant {index}", stored=expected, computed=crc)
        crc = crc32c.extend(crc, stored)
        elements.append(Variant(element))
        position += wanted
    if position != len(data):
        raise DataLossError(f"{len(data) - position} bytes behind the last of {count} variants")
    return elements, crc


def encode(elements: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Each element's bytes, and the checksum up to and with them."""
    crc = 0
    for element in elements:
        crc = crc32c.extend(crc32c.extend(crc, coding.encode_fixed64(len(element))), element)
        stored = coding.encode_fixed32(crc32c.mask(crc))
        crc = crc32c.extend(crc, stored)
        yield coding.encode_varint(len(element)) + element + stored, crc
