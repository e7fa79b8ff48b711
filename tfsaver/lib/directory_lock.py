"""One process at a time in a directory, by the system's advisory lock on the directory itself.

The lock leaves no file behind, and a process that dies releases it. It holds between threads as well, since each holder
opens the directory anew. Where there is no such lock (a store behind a URL, some network mounts) the block runs without one:
what is written atomically stays whole, and the last of two writers at the same moment wins.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

from tfsaver.lib import file_io

_NOT_THERE = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF})


@contextlib.contextmanager
def directory_lock(directory: str) -> Iterator[None]:
    """Holds the lock of a directory for a block, waiting for whoever holds it; not to be taken twice by one thread.

    Raises:
        FileNotFoundError: There is no such directory.
    """
    if file_io.is_remote(directory):
        yield
        return
    descriptor = os.open(directory or os.curdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
        yield
    finally:
        # Closing releases the lock.
        os.close(descriptor)
