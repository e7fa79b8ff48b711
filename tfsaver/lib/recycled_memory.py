"""Large pieces of memory that are used again when nobody uses them any more.

New memory is not free: the system clears each page of it, and below a virtual machine the host may first have to find it,
which was seen to take ten times as long as filling it. What a program has just let go of has neither cost. A piece that
comes back stays mapped, and the system is told that it may take its pages whenever it wants memory (MADV_FREE).
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import mmap
import weakref

from tfsaver.lib.fork_safe_lock import ForkSafeLock

# Of the size of a huge page where pages are of 4 KiB: what is smaller gains nothing.
_GRANULARITY = 2 << 20
# A piece is used again for what fills at least this share of it.
_MIN_USED = 0.75


class RecycledMemory:
    """Memory for one purpose.

    Args:
        max_kept: The bytes that are kept for later at most.
    """

    def __init__(self, max_kept: int) -> None:
        # Where the system cannot take back what is kept, nothing is.
        self._max_kept = max_kept if hasattr(mmap, "MADV_FREE") else 0
        self._kept: collections.deque[mmap.mmap] = collections.deque()
        self._lock = ForkSafeLock()

    @property
    def num_bytes_kept(self) -> int:
        """What is kept for later."""
        return sum(map(len, tuple(self._kept)))

    def take(self, size: int) -> memoryview:
        """Writable memory with anything in it, which begins where a page does; it comes back when it is let go of."""
        if not size:
            return memoryview(bytearray())
        capacity = -(-size // _GRANULARITY) * _GRANULARITY
        piece = self._find(capacity) or _new_piece(capacity)
        # The one object that all views of the memory keep alive.
        borrowed = (ctypes.c_char * size).from_buffer(piece)
        weakref.finalize(borrowed, self._give_back, piece).atexit = False
        return memoryview(borrowed).cast("B")

    def _find(self, capacity: int) -> mmap.mmap | None:
        with self._lock:
            fitting = [piece for piece in tuple(self._kept) if capacity <= len(piece) <= capacity / _MIN_USED]
            if not fitting:
                return None
            piece = min(fitting, key=len)
            self._kept.remove(piece)
            return piece

    def _give_back(self, piece: mmap.mmap) -> None:
        # Whatever thread lets go of the last view runs this, perhaps the one that holds the lock: it takes none.
        if self.num_bytes_kept + len(piece) <= self._max_kept:
            piece.madvise(mmap.MADV_FREE)
            self._kept.append(piece)


def _new_piece(capacity: int) -> mmap.mmap:
    # Private: shared memory is another kind, which is never taken back.
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, capacity)
    piece = mmap.mmap(-1, capacity, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # A kernel may be without huge pages.
        with contextlib.suppress(OSError):
            piece.madvise(mmap.MADV_HUGEPAGE)
    return piece
