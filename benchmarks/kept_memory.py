"""Memory that is kept from the machine's host between steps, and free while a step runs.

A virtual machine may hand free memory back to its host after a second or two (free page reporting, ballooning). Whoever uses
it next waits until the host has found it again, which was seen to take twenty times as long as writing to it. Which step
that hits is a matter of who came first and how long the one before took, and not of the programs. So what the next step may
want is in use until it begins.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator

from benchmarks import places

# Of linux/mman.h; since Linux 5.14.
_MADV_POPULATE_WRITE = 23
# What the system and the contenders have for themselves.
_LEFT_SIZE = 2 << 30


class KeptMemory:
    """Memory in use, except in a block of `released`.

    Args:
        size: The bytes; less is kept where less is there.
    """

    def __init__(self, size: int) -> None:
        self._taken_size = 0
        self._map = mmap.mmap(-1, max(mmap.PAGESIZE, size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError):
            self._map.madvise(mmap.MADV_HUGEPAGE)

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """A block in which the memory is free; before it, it was in use, so that it is the machine's own."""
        self._take()
        self._map.madvise(mmap.MADV_DONTNEED)
        self._taken_size = 0
        try:
            yield
        finally:
            self._take()

    def close(self) -> None:
        self._map.close()

    def _take(self) -> None:
        # What others could give back is theirs: a step may be about to use it.
        size = max(0, min(len(self._map), places.free_memory() + self._taken_size - _LEFT_SIZE))
        size -= size % mmap.PAGESIZE
        if not size:
            return
        # A system without it measures as it always did.
        with contextlib.suppress(OSError):
            self._map.madvise(_MADV_POPULATE_WRITE, 0, size)
            self._taken_size = size
