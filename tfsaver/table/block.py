"""The inside of a block: sorted entries that leave out what they share with the key before them.

    contents = entry* | restart offset (fixed32)* | number of restarts (fixed32)
    entry    = varint shared | varint unshared | varint value size | unshared key bytes | value

A key is the first `shared` bytes of the key before it and the `unshared` bytes that follow. At each restart offset
stands an entry that shares nothing, so that a search may begin there. A block is decoded as a whole here: it is at most
some hundred KiB, and Python's loop costs more than the bytes do. Decoding needs only the number of restart offsets, which
says where the entries end.

TensorFlow needs the offsets too: it looks up a key with a binary search over the entries at them, and iterates from the
first one. If an offset is wrong, TensorFlow may miss keys or fail; `restart_fault` reports that.

Three bytes may make a key as long as the one before it, so that keys can take the square of what the block takes. Writers
begin anew after every 16 entries: of what a file needs honestly, 64 times its bytes is more than anybody has had.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator

from tfsaver.errors import DataLossError, TruncatedError
from tfsaver.lib import coding

# What the entries of a block may take beyond the block itself, for each byte of it as it is stored, and in any case.
_MAX_EXPANSION = 64
_FREE_SIZE = 1 << 10
# What the objects of an entry take, roughly.
_ENTRY_SIZE = 32


class Block:
    """A decoded block: its keys in ascending order and, at the same positions, their values.

    Args:
        contents: The decompressed contents.
        what: The block's name in errors, as in ``block at byte 0 of model.index``.
        only_first: Whether the first entry is enough; nothing else is decoded then.
        stored_size: The bytes that the contents take in the file; None for as many as they are.

    Raises:
        DataLossError: The contents contradict the format, the keys are not in order, or they are out of all proportion.
    """

    def __init__(self, contents: bytes, what: str, *, only_first: bool = False, stored_size: int | None = None) -> None:
        self.keys: list[bytes] = []
        self.values: list[bytes] = []
        try:
            end = _end_of_entries(contents)
            size = len(contents) if stored_size is None else stored_size
            self._decode(contents, end, min(end, 1) if only_first else end, _MAX_EXPANSION * size + _FREE_SIZE)
        except DataLossError as error:
            error.add_context(what)
            raise

    def _decode(self, contents: bytes, end: int, stop: int, room: int) -> None:
        """Decodes the entries that begin before `stop`, and what they share takes no more than `room`."""
        keys, values = self.keys, self.values
        key = b""
        position = 0
        read_varint = coding.read_varint
        while position < stop:
            start = position
            # Nearly every entry spells its three numbers in one byte each. Behind the entries stand four bytes at least.
            shared, unshared, value_size = contents[position], contents[position + 1], contents[position + 2]
            if shared | unshared | value_size < 0x80:
                position += 3
            else:
                shared, position = read_varint(contents, position)
                unshared, position = read_varint(contents, position)
                value_size, position = read_varint(contents, position)
            value_start = position + unshared
            position = value_start + value_size
            if position > end:
                raise TruncatedError(f"entry at byte {start}", wanted=position - start, available=end - start)
            if shared > len(key):
                raise DataLossError(f"entry at byte {start}: shares {shared} bytes with a key of {len(key)}")
            room -= shared + _ENTRY_SIZE
            if room < 0:
                raise DataLossError(f"entry at byte {start}: the keys up to here take far more than the block")
            previous = key
            key = key[:shared] + contents[value_start - unshared : value_start]
            if key <= previous and keys:
                raise DataLossError(f"entry at byte {start}: key {key!r} does not sort after {previous!r}")
            keys.append(key)
            values.append(contents[value_start:position])

    def lower_bound(self, key: bytes) -> int:
        """The position of the first key that is not less than `key`."""
        return bisect.bisect_left(self.keys, key)


def _end_of_entries(contents: bytes) -> int:
    if len(contents) < 4:
        raise TruncatedError("restart count", wanted=4, available=len(contents))
    num_restarts = coding.read_fixed32(contents, len(contents) - 4)
    # Other writers leave a block without restarts where there are no entries.
    end = len(contents) - 4 * (num_restarts + 1)
    if end < 0:
        raise DataLossError(f"{num_restarts} restarts do not fit in {len(contents)} bytes")
    return end if num_restarts else 0


def restart_fault(contents: bytes) -> str | None:
    """What is wrong with the restart offsets of a block; None if a binary search over them finds every key.

    Args:
        contents: The decompressed contents.

    Raises:
        DataLossError: The entries cannot be decoded.
    """
    end = _end_of_entries(contents)
    num_restarts = coding.read_fixed32(contents, len(contents) - 4)
    if not num_restarts:
        num_skipped = len(contents) - 4
        return f"has no restart offsets, but {num_skipped} bytes before their count" if num_skipped else None
    # A block without entries has one offset, which points to where the first would be.
    complete_starts = set(_complete_starts(contents, end)) or {0}
    previous = -1
    for number, (offset,) in enumerate(struct.iter_unpack("<I", contents[end:-4]), 1):
        if number == 1 and offset:
            fault = "not 0"
        elif offset <= previous:
            fault = f"not greater than {previous}, the one before it"
        elif offset not in complete_starts:
            fault = "where no entry with a complete key begins"
        else:
            previous = offset
            continue
        return f"restart offset {number} of {num_restarts} is {offset}, {fault}"
    return None


def _complete_starts(contents: bytes, end: int) -> Iterator[int]:
    """Where entries with a complete key begin: the only places that a restart offset may point to."""
    position = 0
    while position < end:
        start = position
        shared, unshared, size = contents[position : position + 3]
        if (shared | unshared | size) < 0x80:
            position += 3
        else:
            shared, position = coding.read_varint(contents, position)
            unshared, position = coding.read_varint(contents, position)
            size, position = coding.read_varint(contents, position)
        if not shared:
            yield start
        position += unshared + size
