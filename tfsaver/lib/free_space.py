"""Room on the disk that a file goes to, asked for before anything is written.

A file that replaces another is written beside it, so that for a moment both need room: what a save needs is the size of what
it writes, whatever is there already. Some file systems say nothing about room, or nothing that can be true; then the first
write that fails says it.
"""

from __future__ import annotations

import errno
import os
import shutil

from tfsaver.errors import NoSpaceError


def free_space(directory: str) -> int | None:
    """Bytes that this process may still write to a local directory's disk; None when the system does not say.

    Args:
        directory: It need not be there yet: then its nearest parent is asked.
    """
    directory = directory or os.curdir
    while True:
        try:
            return _free_space(directory)
        except FileNotFoundError:
            parent = os.path.dirname(directory.rstrip(os.sep)) or (os.sep if os.path.isabs(directory) else os.curdir)
            if parent == directory:
                return None
            directory = parent
        except OSError:
            return None


def _free_space(directory: str) -> int | None:
    if not hasattr(os, "statvfs"):
        # Windows, where this is what the user's quota leaves.
        return shutil.disk_usage(directory).free
    status = os.statvfs(directory)
    if not status.f_blocks or not status.f_frsize:
        return None
    # A reserve is kept for the system's own programs, which `f_bfree` counts and `f_bavail` does not.
    blocks = status.f_bfree if os.geteuid() == 0 else status.f_bavail
    return int(blocks) * int(status.f_frsize)


def check_free_space(path: str, size: int) -> None:
    """Makes sure that there is room for so many bytes.

    Args:
        path: The local file, or the prefix of several, that is to be written.
        size: Their size, as far as it is known.

    Raises:
        NoSpaceError: There is not.
    """
    available = free_space(os.path.dirname(path)) if size else None
    if available is not None and available < size:
        raise NoSpaceError(path, errno.ENOSPC, os.strerror(errno.ENOSPC), needed=size, available=available)
