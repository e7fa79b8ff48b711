"""One process at a time in a directory, by the system's advisory lock on the directory itself.

The lock leaves no file behind, and a process that dies releases it. It holds between threads as well, since each holder
opens the directory anew; a thread that has it may take it again. Windows cannot lock a directory: there `filelock` locks a
file in it. Where there is no lock at all (a store behind a URL, some network mounts) the block runs without one, and is told
so: what is written atomically stays whole, and the last of two writers at the same moment wins.

A forked child has copies of all descriptors, and a lock lasts as long as any of them: the child closes those of locks that
its parent's other threads hold or wait for. A child that outlives its parent would otherwise keep the directory locked.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from tfsaver._lazy_imports import lazy_import
from tfsaver.lib import advisory_lock, file_io

# In the directory, where the directory itself cannot be locked.
LOCK_FILE = ".tfsaver.lock"


class _Held(threading.local):
    """The directories that a thread holds, as the system numbers them."""

    def __init__(self) -> None:
        self.places: set[tuple[int, int]] = set()


_held = _Held()
# The descriptors that are locked or about to be, with the thread that has each.
_threads: dict[int, int] = {}


def _close_inherited() -> None:
    this = threading.get_ident()
    for descriptor, thread in tuple(_threads.items()):
        # The thread that forks closes its own where its block ends.
        if thread != this:
            del _threads[descriptor]
            with contextlib.suppress(OSError):
                os.close(descriptor)


# Where a system cannot fork, it is not there.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


@contextlib.contextmanager
def directory_lock(directory: str) -> Iterator[bool]:
    """Holds the lock of a directory for a block, waiting for whoever holds it.

    Yields:
        Whether it is held: not if there is no such lock.

    Raises:
        FileNotFoundError: There is no such directory.
    """
    with _locked(directory, wait=True) as is_held:
        yield is_held


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
    if not advisory_lock.HAS_LOCKS:
        with _locked_by_file(directory or os.curdir, wait=wait) as is_held:
            yield is_held
        return
    descriptor = advisory_lock.open_directory(directory or os.curdir)
    _threads[descriptor] = threading.get_ident()
    process = os.getpid()
    try:
        status = os.fstat(descriptor)
        place = (status.st_dev, status.st_ino)
        if place in _held.places:
            yield True
            return
        is_held = bool(advisory_lock.lock(descriptor, wait=wait))
        if is_held:
            _held.places.add(place)
        try:
            yield is_held
        finally:
            _held.places.discard(place)
            # A child that was forked in the block has the descriptor too: closing ours would leave it locked. Nor may the
            # child release the lock.
            if is_held and process == os.getpid():
                with contextlib.suppress(OSError):
                    advisory_lock.unlock(descriptor)
    finally:
        if _threads.pop(descriptor, None) is not None:
            os.close(descriptor)


@contextlib.contextmanager
def _locked_by_file(directory: str, *, wait: bool) -> Iterator[bool]:
    status = os.stat(directory)
    place = (status.st_dev, status.st_ino)
    if place in _held.places:
        yield True
        return
    try:
        with lazy_import():
            import filelock  # noqa: PLC0415
    except ImportError:
        yield False
        return
    lock = filelock.FileLock(os.path.join(directory, LOCK_FILE), timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except (filelock.Timeout, OSError):
        # Another process has it, or this user may not write in the directory.
        yield False
        return
    _held.places.add(place)
    try:
        yield True
    finally:
        _held.places.discard(place)
        lock.release()
