"""Files and directories whose writer is gone, and their removal.

Whoever writes under a temporary name holds a lock on it until it has its name (`file_io.open_temporary`,
`temporary_directory`), and the system takes the lock away when the process ends, however it ends. So what can be locked was
left behind; and as long as the lock is held here, nobody else takes it for his own.

That is certain where the file system is this machine's own. On one that several machines share, a lock may be known to one
of them only: there a file must also have been quiet for an hour. Where there are no locks, nothing is removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Iterator

from tfsaver.lib import advisory_lock, file_io

# File systems of one machine, as /proc/mounts calls them.
_OWN = frozenset({
    "apfs", "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfs", "jfs", "ntfs3", "overlay", "ramfs",
    "reiserfs", "tmpfs", "vfat", "xfs", "zfs",
})
# The end of a name inside of a temporary directory: what is to be replaced steps aside under it.
ASIDE = ".old"
_MOUNTS = "/proc/self/mounts"
# Seconds for which what may be another machine's must have been quiet.
MIN_AGE = 3600.0


@contextlib.contextmanager
def abandoned(path: str, *, is_directory: bool = False) -> Iterator[bool]:
    """Whether the writer of a file or a directory is gone; within the block nobody else finds that out.

    Args:
        path: A local path whose name says that it is temporary.
        is_directory: Which of both it must be.
    """
    if not advisory_lock.HAS_LOCKS:
        yield False
        return
    # Neither a link nor a pipe is anything that a writer makes.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags | (os.O_DIRECTORY if is_directory else 0))
    except OSError:
        yield False
        return
    try:
        yield _is_left(path, descriptor, is_directory)
    finally:
        os.close(descriptor)


def remove_abandoned(path: str, *, is_directory: bool = False) -> bool:
    """Removes a file, or a directory with all that is in it, if its writer is gone; returns whether it did."""
    with abandoned(path, is_directory=is_directory) as is_left:
        if not is_left:
            return False
        try:
            if is_directory:
                shutil.rmtree(path)
            else:
                os.remove(path)
        except OSError:
            # It stays for somebody who may remove it.
            return False
        return True


def is_shared(directory: str) -> bool:
    """Whether other machines may write to a directory, as far as the system says; what is unknown may be."""
    place = os.path.realpath(directory or os.curdir)
    best, kind = "", ""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                _, point, of_kind, *_ = line.split(" ")
                point = point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
                # What was mounted last at one place is what is seen.
                if len(point) >= len(best) and (place == point or place.startswith(point.rstrip("/") + "/")):
                    best, kind = point, of_kind
    except (OSError, ValueError):
        return True
    return kind not in _OWN


def _is_left(path: str, descriptor: int, is_directory: bool) -> bool:
    """Whether what was opened is what has the name, can be locked, and is certainly nobody's."""
    try:
        opened, named = os.fstat(descriptor), os.lstat(path)
        if not is_directory and not stat.S_ISREG(opened.st_mode):
            return False
        if (opened.st_dev, opened.st_ino) != (named.st_dev, named.st_ino):
            return False
        if not advisory_lock.lock(descriptor):
            return False
        # It may have got its name, and been let go of, just before.
        named = os.lstat(path)
    except OSError:
        return False
    if (opened.st_dev, opened.st_ino) != (named.st_dev, named.st_ino):
        return False
    return not is_shared(os.path.dirname(path)) or time.time() - _newest(path, named.st_mtime) >= MIN_AGE


def _newest(path: str, newest: float) -> float:
    for directory, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                newest = max(newest, os.lstat(os.path.join(directory, name)).st_mtime)
    return newest


def remove_abandoned_directories(directory: str, base: str) -> None:
    """Removes the temporary directories of a name in a local directory whose writers are gone.

    What had the name and had stepped aside into one of them, as `ASIDE`, gets it back if nothing has it now.
    """
    for name in file_io.list_directory(directory):
        if name.startswith(f"{base}.tmp") and file_io.is_temporary_name(name) and len(name) == len(base) + 14:
            path, target = file_io.join(directory, name), file_io.join(directory, base)
            with abandoned(path, is_directory=True) as is_left, contextlib.suppress(OSError):
                if is_left:
                    aside = file_io.join(path, f"{base}{ASIDE}")
                    if os.path.lexists(aside) and not os.path.lexists(target):
                        os.rename(aside, target)
                    shutil.rmtree(path)
