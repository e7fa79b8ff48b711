"""Has the disk begin with a file that is still being written, so that the sync at its end has less to wait for.

    memory    [ written  ][ written  ][ written  ]              sync
    disk                  [ written  ][ written  ][ written  ]

A system writes back what is in its page cache when a sync asks for it, or after many seconds: until then the disk would do
nothing. Linux can be told to begin and not to wait (sync_file_range), which promises nothing: the sync must follow.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

# The call returns before the bytes are written.
_WRITE = 2
# To the end of the file.
_ALL = 0


def begin_write_back(descriptor: int) -> None:
    """Has the disk begin with what was written to a file; no error says that it cannot."""
    if (begin := _sync_file_range()) is not None:
        begin(descriptor, 0, _ALL, _WRITE)


@functools.cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError, TypeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return function
