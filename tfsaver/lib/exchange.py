"""Two names that change places in one step: what lets a directory replace one that is not empty.

A rename replaces a file, or an empty directory, and never a full one. Linux can exchange two names instead, so that there is
no moment at which neither is there; Python has no function for it, the C library has. Other systems cannot, or not by that
name: their callers rename twice.
"""

from __future__ import annotations

import ctypes
import errno
import os

_AT_FDCWD = -100
_EXCHANGE = 2


def exchange(left: str, right: str) -> None:
    """Gives two files or directories of one file system each other's names.

    Raises:
        OSError: The system or the file system cannot do that, or one of them is not there.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), right) from None
    rename.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if rename(_AT_FDCWD, os.fsencode(left), _AT_FDCWD, os.fsencode(right), _EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), right)
