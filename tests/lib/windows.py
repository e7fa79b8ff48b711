"""What Python does not have on Windows, or does otherwise, hidden in this process: import it before anything else.

Locks, positioned and vectored reads and writes, symbolic links and the C library's own calls are gone; directories cannot be opened; a
file that is open in this process can be neither renamed, replaced nor removed, and cannot be synced without being writable.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import shutil
import sys
import types
from typing import Any

GONE = ["fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"]
GONE_FROM_OS = [
    "pread", "preadv", "pwrite", "pwritev", "writev", "readv", "statvfs", "fstatvfs", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK",
    "O_CLOEXEC", "geteuid", "getuid", "fork", "register_at_fork", "sched_getaffinity", "fchmod", "posix_fallocate", "mkfifo",
]  # fmt: skip
GONE_FROM_MMAP = ["MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_SHARED", "MADV_FREE", "MADV_HUGEPAGE"]

_open, _replace, _remove, _dlopen, _statvfs = os.open, os.replace, os.remove, ctypes.CDLL, os.statvfs


def _is_open(path: Any) -> bool:
    place = os.path.realpath(os.fsdecode(path))
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}") == place:
                return True
        except OSError:
            pass
    return False


def _refuse_open(*paths: Any) -> None:
    for path in paths:
        if not os.path.isdir(path) and _is_open(path):
            raise PermissionError(errno.EACCES, "The process cannot access the file because it is being used", os.fsdecode(path))


def _windows_open(path: Any, flags: int, *rest: Any, **options: Any) -> int:
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return _open(path, flags, *rest, **options)


def _windows_replace(source: Any, target: Any, **options: Any) -> None:
    _refuse_open(source, target)
    _replace(source, target, **options)


def _windows_remove(path: Any, **options: Any) -> None:
    if "dir_fd" not in options:
        _refuse_open(path)
    _remove(path, **options)


def _disk_usage(path: Any) -> Any:
    found = _statvfs(path)
    return types.SimpleNamespace(free=found.f_bavail * found.f_frsize)


def _no_link(source: Any, target: Any, *_: Any, **__: Any) -> None:
    raise OSError(errno.EINVAL, "A required privilege is not held by the client", os.fsdecode(target))


class _Library:
    """The C library without what only Linux has; what Python does by itself is still done with the rest."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        if name in ("renameat2", "sync_file_range"):
            raise AttributeError(name)
        return getattr(self._library, name)


def _windows_library(name: Any = None, *rest: Any, **options: Any) -> Any:
    library = _dlopen(name, *rest, **options)
    return _Library(library) if name is None else library


def hide() -> None:
    """From now on; what was imported before keeps what it took."""
    for name in GONE:
        sys.modules[name] = None  # type: ignore[assignment]
    for holder, names in ((os, GONE_FROM_OS), (mmap, GONE_FROM_MMAP)):
        for name in names:
            if hasattr(holder, name):
                delattr(holder, name)
    os.open = _windows_open
    os.replace = os.rename = _windows_replace
    os.remove = os.unlink = _windows_remove
    os.symlink = _no_link
    shutil.disk_usage = _disk_usage
    ctypes.CDLL = _windows_library  # type: ignore[assignment,misc]
    # It walks by descriptors of directories.
    shutil.rmtree.avoids_symlink_attacks = False  # type: ignore[attr-defined]
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
