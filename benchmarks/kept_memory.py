"""Memory that is kept from the machine's host between steps, and free while a step runs.

    rest     in use as long as steps are taken: more than any of them wants
    given    in use between steps, free while one runs

A virtual machine may hand free memory back to its host after a second or two (free page reporting, ballooning). Whoever uses
it next waits until the host has found it again, which was seen to take twenty times as long as writing to it. Which step
that hits is a matter of who came first and how long the one before took, and not of the programs. So all memory that nobody
has is in use until a step begins, and what that one may want is then free, and the machine's own.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator

from benchmarks import places

# Of linux/mman.h; since Linux 5.14.
_MADV_POPULATE_WRITE = 23
# For the system: with less it looks for memory that programs could give back, and takes that from them.
_LEFT_SIZE = 2 << 30


class KeptMemory:
    """All memory that nobody has.

    Args:
        limit: The bytes that are kept at most; 0 where a machine keeps its free memory itself.
    """

    def __init__(self, limit: int) -> None:
        self._rest = _Piece(limit)
        self._given = _Piece(limit)

    def leave(self, size: int) -> None:
        """Sees to it that the steps that follow have so many bytes, their programs' own among them."""
        self._given.resize(0)
        self._rest.resize(places.free_memory() + self._rest.size - size - _LEFT_SIZE)

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """A block in which the memory is free; before it, it was in use, so that it is the machine's own."""
        self._take()
        self._given.resize(0)
        try:
            yield
        finally:
            self._take()

    def close(self) -> None:
        self._rest.close()
        self._given.close()

    def _take(self) -> None:
        # What others could give back is theirs: a step may be about to use it.
        self._given.resize(places.free_memory() + self._given.size - _LEFT_SIZE)


class _Piece:
    """Memory of any size up to a limit."""

    def __init__(self, limit: int) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        self._map = mmap.mmap(-1, max(mmap.PAGESIZE, limit), flags=flags)
        with contextlib.suppress(OSError):
            self._map.madvise(mmap.MADV_HUGEPAGE)
        self.size = 0

    def resize(self, size: int) -> None:
        """Has so many bytes in use, or as many as can be had."""
        size = max(0, min(len(self._map), size))
        size -= size % mmap.PAGESIZE
        if size < self.size:
            self._map.madvise(mmap.MADV_DONTNEED, size, self.size - size)
            self.size = size
        elif size > self.size:
            # A system without it measures as it always did.
            with contextlib.suppress(OSError):
                self._map.madvise(_MADV_POPULATE_WRITE, self.size, size - self.size)
                self.size = size

    def close(self) -> None:
        self._map.close()
