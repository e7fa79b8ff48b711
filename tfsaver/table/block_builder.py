"""Builds the inside of a block; `block` has the format.

A new restart begins every `restart_interval` entries. TensorFlow takes 16 in data blocks and 1 in the index block, where
every entry is a place to start from.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

from tfsaver.lib import coding

# A fixed32 for each restart, and one for their number.
_RESTART_SIZE = 4


class BlockBuilder:
    """Collects entries, in ascending order of their keys, into a block's contents."""

    def __init__(self, restart_interval: int) -> None:
        self._restart_interval = restart_interval
        self.reset()

    def reset(self) -> None:
        """Starts the next block."""
        self._entries = bytearray()
        self._restarts = [0]
        self._num_since_restart = 0
        self._last_key = b""

    @property
    def is_empty(self) -> bool:
        return not self._entries

    @property
    def size(self) -> int:
        """Bytes that `finish` would give now."""
        return len(self._entries) + _RESTART_SIZE * (len(self._restarts) + 1)

    def entry_header(self, key: bytes, value_size: int) -> bytes:
        """What stands before the value of the next entry; makes `key` the last one."""
        if self._num_since_restart < self._restart_interval:
            shared = len(os.path.commonprefix((self._last_key, key)))
        else:
            shared = 0
            self._restarts.append(len(self._entries))
            self._num_since_restart = 0
        self._num_since_restart += 1
        self._last_key = key
        unshared = key[shared:]
        if shared | len(unshared) | value_size < 128:
            # Each is a varint of one byte.
            return bytes((shared, len(unshared), value_size)) + unshared
        return b"".join(map(coding.encode_varint, (shared, len(unshared), value_size))) + unshared

    def add(self, key: bytes, value: bytes) -> None:
        self._entries += self.entry_header(key, len(value))
        self._entries += value

    def add_all(self, keys: Sequence[bytes], values: Sequence[bytes], start: int, stop_size: int) -> int:
        """Adds entries until `size` has reached `stop_size`; returns how far it came.

        It stops before an entry of 128 bytes and more, before a key that does not sort after the last one, and, where there
        are no entries yet, at once.

        Args:
            keys: The keys.
            values: Their values.
            start: The first one to add.
            stop_size: See above.
        """
        if not self._entries:
            return start
        restarts, interval = self._restarts, self._restart_interval
        num_since_restart, last = self._num_since_restart, self._last_key
        from_bytes = int.from_bytes
        # As a number a key says where it differs from another one: the first bit tells the byte.
        last_size, last_number = len(last), from_bytes(last, "big")
        parts: list[bytes] = []
        size = len(self._entries)
        # Without the restarts: these are looked at now and then.
        stop = stop_size - _RESTART_SIZE * (len(restarts) + 1)
        position = start
        for position in range(start, len(keys)):
            if size >= stop:
                break
            key, value = keys[position], values[position]
            key_size, value_size = len(key), len(value)
            if key <= last or key_size | value_size >= 128:
                break
            number = from_bytes(key, "big")
            if num_since_restart < interval:
                if key_size == last_size:
                    shared = key_size - ((number ^ last_number).bit_length() + 7 >> 3)
                elif key_size > last_size:
                    longer = key_size - last_size
                    shared = last_size - (((number >> 8 * longer) ^ last_number).bit_length() + 7 >> 3)
                else:
                    longer = last_size - key_size
                    shared = key_size - ((number ^ (last_number >> 8 * longer)).bit_length() + 7 >> 3)
                num_since_restart += 1
            else:
                shared = 0
                restarts.append(size)
                stop -= _RESTART_SIZE
                num_since_restart = 1
            unshared = key_size - shared
            parts += (bytes((shared, unshared, value_size)), key[shared:], value)
            size += 3 + unshared + value_size
            last, last_size, last_number = key, key_size, number
        else:
            position = len(keys)
        self._entries += b"".join(parts)
        self._num_since_restart, self._last_key = num_since_restart, last
        return position

    def restart_array(self) -> bytes:
        """What stands behind the entries."""
        return struct.pack(f"<{len(self._restarts) + 1}I", *self._restarts, len(self._restarts))

    def finish(self) -> bytes:
        return bytes(self._entries) + self.restart_array()
