"""Where files lie while they are measured: in memory (tmpfs), or on a disk; and how a file on a disk is made cold.

Everything is below one temporary directory in each place, which is removed at the end, whatever happened. A file of which
the page cache holds nothing is cold. Any user may ask for that, file by file (posix_fadvise); it is a request, so `evict`
looks whether it was granted. What the disk's own cache or a virtual machine's host holds, nobody here can know.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

MEMORY = Path("/dev/shm")

_PAGE = mmap.PAGESIZE
# The share of a file's pages that may stay, in use by somebody, for it to count as cold.
_MAX_RESIDENT = 0.05


class NotColdError(RuntimeError):
    """The system keeps a file in memory."""


@contextlib.contextmanager
def emptied(directory: Path) -> Iterator[Path]:
    """A new directory, which is removed with all that is in it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def free_size(directory: Path) -> int:
    """The bytes that may still be written there; in memory, no more than can be had without swapping."""
    free = shutil.disk_usage(directory).free
    return min(free, available_memory()) if directory.is_relative_to(MEMORY) else free


def available_memory() -> int:
    """The bytes that programs can have."""
    return _memory("MemAvailable", 1 << 62)


def free_memory() -> int:
    """The bytes that nobody has, not even to be given back when somebody wants them."""
    return _memory("MemFree", 0)


def total_memory() -> int:
    """The bytes that the machine has."""
    return _memory("MemTotal", 0)


def _memory(key: str, unknown: int) -> int:
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return unknown


def files_below(path: Path) -> list[Path]:
    """All files in a directory and below."""
    return [found for found in path.rglob("*") if found.is_file()]


def evict(path: Path) -> None:
    """Writes the files below a directory to the disk, and has the page cache forget them.

    Raises:
        NotColdError: It keeps them, as a tmpfs must.
    """
    for file in files_below(path):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            size = os.fstat(descriptor).st_size
            num_pages = -(-size // _PAGE)
            num_resident = _num_resident_pages(descriptor, size) if size else 0
            if num_resident > num_pages * _MAX_RESIDENT:
                raise NotColdError(f"{num_resident} of {num_pages} pages of {file.name} stay in memory")
        finally:
            os.close(descriptor)


def _num_resident_pages(descriptor: int, size: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    try:
        pages = (ctypes.c_ubyte * -(-size // _PAGE))()
        if libc.mincore(address, size, pages) != 0:
            raise OSError(ctypes.get_errno(), "mincore")
        return sum(page & 1 for page in pages)
    finally:
        libc.munmap(address, size)
