"""One process at a time in a directory, by the system's advisory lock on the directory itself.

The lock leaves no file behind, and a process that dies releases it. It holds between threads as well, since each holder
opens the directory anew; a thread that has it may take it again. Where there is no such lock (a store behind a URL, some
network mounts) the block runs without one: what is written atomically stays whole, and the last of two writers at the same
moment wins.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterator

from tfsaver.lib import file_io

_NOT_THERE = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF})


class _Held(threading.local):
    """The directories that a thread holds, as the system numbers them."""

    def __init__(self) -> None:
        self.places: set[tuple[int, int]] = set()


_held = _Held()


@contextlib.contextmanager
def directory_lock(directory: str) -> Iterator[None]:
    """Holds the lock of a directory for a block, waiting for whoever holds it.

    Raises:
        FileNotFoundError: There is no such directory.
    """
    with _locked(directory, wait=True):
        yield


@contextlib.contextmanager
def try_directory_lock(directory: str) -> Iterator[bool]:
    """Holds the lock of a directory for a block if it can be had at once.

    Yields:
        Whether it is held: not if somebody else has it, or if there is no such lock.

    Raises:
        FileNotFoundError: There is no such directory.
    """
    with _locked(directory, wait=False) as is_held:
        yield is_held


@contextlib.contextmanager
def _locked(directory: str, *, wait: bool) -> Iterator[bool]:
    if file_io.is_remote(directory):
        yield False
        return
    descriptor = os.open(directory or os.curdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        place = (status.st_dev, status.st_ino)
        if place in _held.places:
            yield True
            return
        is_held = _lock(descriptor, wait)
        if is_held:
            _held.places.add(place)
        try:
            yield is_held
        finally:
            _held.places.discard(place)
            if is_held:
                # A process that was forked meanwhile has the descriptor too: closing ours would leave it locked.
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        return False
    return True
