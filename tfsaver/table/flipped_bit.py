"""Finds the one bit of a block that was flipped, where its checksum says that some were.

CRC-32C is linear: what a flipped bit does to the checksum depends on nothing but how many bytes are behind it, and of the
first 2**31 bits of a message no two do the same. So the difference of the checksum in the file and that of the bytes, taken
back byte by byte from the end, shows at which byte and bit it began, if there was only one.

Of many wrong bytes, one in 2**32 / (8 * size) looks like one bit elsewhere. Whoever repairs a block must have a second proof
that its contents are right: an index has one in the checksums of the tensors that it points at.
"""

from __future__ import annotations

from tfsaver.lib import coding, crc32c

_ZERO = crc32c.value(b"\0")
# What a byte does to a checksum of zeros.
_TABLE = [crc32c.value(bytes((byte,))) ^ _ZERO for byte in range(256)]
_BYTE_OF_TOP = {entry >> 24: byte for byte, entry in enumerate(_TABLE)}
_BIT_OF = {_TABLE[1 << bit]: bit for bit in range(8)}


def find_flipped_bit(data: bytes, masked_crc: int) -> int | None:
    """The number of the bit (8 times the byte, plus the bit) that must be flipped for data to fit a stored checksum.

    Args:
        data: What the checksum is of: a block's contents and type.
        masked_crc: The checksum as it is stored behind them.

    Returns:
        A number below ``8 * len(data)`` for a bit of the data, from there on for one of the checksum; None when more bits
        than one are wrong, or none.
    """
    computed = crc32c.value(data)
    difference = crc32c.unmask(masked_crc) ^ computed
    if not difference:
        return None
    for position in range(len(data) - 1, -1, -1):
        bit = _BIT_OF.get(difference)
        if bit is not None:
            return 8 * position + bit
        byte = _BYTE_OF_TOP[difference >> 24]
        difference = ((difference ^ _TABLE[byte]) << 8 | byte) & 0xFFFFFFFF
    wrong_bits = crc32c.mask(computed) ^ masked_crc
    return 8 * len(data) + wrong_bits.bit_length() - 1 if wrong_bits.bit_count() == 1 else None


def with_bit_flipped(data: bytes, number: int) -> bytes:
    """Bytes with one bit changed."""
    changed = bytearray(data)
    changed[number // 8] ^= 1 << number % 8
    return bytes(changed)


def repaired(stored: bytes) -> tuple[bytes, int] | None:
    """A stored block (contents, type, checksum) with its one flipped bit put right, and the bit's number; else None."""
    number = find_flipped_bit(stored[:-4], coding.read_fixed32(stored, len(stored) - 4))
    return None if number is None else (with_bit_flipped(stored, number), number)
