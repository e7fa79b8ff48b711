"""A directory to write in until what is written gets its name; whoever comes later sees that its writer is there, or was.

    model.npz.tmp0123456789/model.npz     while it is written, by a library that knows nothing of half-written files
    model.npz                             one rename; then the directory goes

The directory is locked, not the file: a library may open, replace and lock files in it as it likes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator

from tfsaver.lib import abandoned, file_io
from tfsaver.lib.write_errors import write_errors


@contextlib.contextmanager
def temporary_directory(target: str) -> Iterator[str]:
    """A new, empty, local directory beside `target`, gone after the block unless it was renamed there.

    What killed processes left of earlier ones for the same target goes first.

    Raises:
        WriteError: The system refuses it.
    """
    parent, base = os.path.split(target)
    abandoned.remove_abandoned_directories(parent, base)
    path, descriptor = make_temporary_directory(target)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def make_temporary_directory(target: str) -> tuple[str, int]:
    """A new, empty, local directory beside `target`, and the descriptor that holds its lock until it is closed.

    Raises:
        WriteError: The system refuses it.
    """
    while True:
        path = file_io.temporary_name(target)
        with write_errors(target):
            os.mkdir(path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            # Somebody who cleans up was faster than the lock.
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        except OSError:
            # No locks there: nobody can find it unlocked either.
            return path, descriptor
        if os.path.isdir(path):
            return path, descriptor
        os.close(descriptor)
