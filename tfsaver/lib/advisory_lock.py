"""The system's advisory locks on open files and directories.

A lock lasts until it is released, its descriptor is closed, or its process ends, however it ends. Windows and some network
mounts do not have such locks: `lock` then returns None, and a caller that would remove what it finds unlocked must not.
"""

from __future__ import annotations

import errno
import os

try:
    import fcntl
except ImportError:
    # Windows.
    fcntl = None  # type: ignore[assignment]

_NOT_THERE = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF})

HAS_LOCKS = fcntl is not None


def lock(descriptor: int, *, wait: bool = False) -> bool | None:
    """Locks what is open, exclusively.

    Args:
        descriptor: An open file or directory.
        wait: Whether to wait for the process or thread that has the lock.

    Returns:
        Whether it is locked now: False if somebody else has the lock, None if there is no such lock here.

    Raises:
        OSError: The system refuses it for another reason.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        return None
    return True


def unlock(descriptor: int) -> None:
    """Releases a lock.

    Raises:
        OSError: There is no such lock.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def open_directory(path: str) -> int:
    """A descriptor of a directory, to lock it by; only where there are such locks.

    Raises:
        FileNotFoundError: There is no such directory.
        NotADirectoryError: It is something else.
    """
    return os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
