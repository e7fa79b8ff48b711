"""A directory to write in until what is written gets its name; whoever comes later sees that its writer is there, or was.

    model.npz.tmp0123456789/model.npz     while it is written, by a library that knows nothing of half-written files
    model.npz                             one rename; then the directory goes

The directory is locked, not the file: a library may open, replace and lock files in it as it likes.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Callable, Iterator

from tfsaver.lib import abandoned, advisory_lock, file_io
from tfsaver.lib.write_errors import write_error, write_errors


@contextlib.contextmanager
def temporary_directory(target: str) -> Iterator[str]:
    """A new, empty, local directory beside `target`, gone after the block unless it was renamed there.

    What killed processes left of earlier ones for the same target goes first.

    Raises:
        WriteError: The system refuses it.
    """
    parent, base = os.path.split(target)
    abandoned.remove_abandoned_directories(parent, base)
    path, release = make_temporary_directory(target)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        release()


def make_temporary_directory(target: str) -> tuple[str, Callable[[], None]]:
    """A new, empty, local directory next to `target`, and a function that releases its lock.

    Raises:
        WriteError: The system refuses it.
    """
    while True:
        path = file_io.temporary_name(target)
        with write_errors(target):
            os.mkdir(path)
        if not advisory_lock.HAS_LOCKS:
            return path, _nothing
        try:
            descriptor = advisory_lock.open_directory(path)
        except FileNotFoundError:
            # Somebody who cleans up was faster than the lock.
            continue
        except OSError as error:
            with contextlib.suppress(OSError):
                os.rmdir(path)
            raise write_error(target, error) from error
        try:
            is_free = advisory_lock.lock(descriptor) is not False
        except OSError:
            is_free = True
        # Without locks there, it cannot be found unlocked either.
        if is_free and os.path.isdir(path):
            return path, functools.partial(os.close, descriptor)
        os.close(descriptor)


def _nothing() -> None:
    """Where nothing is locked, nothing is released."""
