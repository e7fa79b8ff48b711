"""Builds the inside of a block; `block` has the format.

A new restart begins every `restart_interval` entries. TensorFlow takes 16 in data blocks and 1 in the index block, where
every entry is a place to start from.
"""

from __future__ import annotations

import os
import struct

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

    def restart_array(self) -> bytes:
        """What stands behind the entries."""
        return struct.pack(f"<{len(self._restarts) + 1}I", *self._restarts, len(self._restarts))

    def finish(self) -> bytes:
        return bytes(self._entries) + self.restart_array()
