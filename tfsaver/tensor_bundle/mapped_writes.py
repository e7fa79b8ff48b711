"""Writes to a file in memory by way of a map of it, while another thread writes to the same file.

    thread    write -------- write -------- write -------- write --------
    caller    hash | map, copy ----- | hash | map, copy ----- | hash ...

Linux lets one thread at a time write to a file, and a file in memory (tmpfs) is written no faster than that thread copies.
Pages of a map stand in no queue. They take twice the processor's time, since the system clears them first: this is for a
thread that could only wait.

A map cannot say that there is no memory left: touching a page that cannot be had ends the process. Pages are therefore asked
for first (MADV_POPULATE_WRITE, since Linux 5.14), and when the system has none, nothing is written here.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfsaver.lib.file_io import Buffer, WritableFile
from tfsaver.lib.local_file_system import LocalWritableFile
from tfsaver.lib.write_errors import write_errors

_TMPFS = 0x01021994
_POPULATE_WRITE = 23
_FAILED = ctypes.c_void_p(-1).value
# The file grows in steps: that waits for the thread that writes.
_STEP = 64 << 20


class MappedWrites:
    """Writes at any place of a file that another thread appends to.

    Args:
        file: The file, on a tmpfs.
    """

    def __init__(self, file: LocalWritableFile) -> None:
        self._file = file
        self._length = 0
        self._is_refused = False

    def write(self, pieces: Sequence[Buffer], offset: int) -> bool:
        """Writes buffers one after the other; returns whether it did.

        Args:
            pieces: What is to be written.
            offset: Where; nothing of the file lies behind it so far, and nobody else writes there.
        """
        views = [memoryview(piece).cast("B") for piece in pieces]
        size = sum(map(len, views))
        start = offset - offset % mmap.PAGESIZE
        if self._is_refused or not size or not self._grow(offset + size):
            return False
        address = _libc().mmap(
            None, offset + size - start, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, self._file.descriptor, start
        )
        if address == _FAILED:
            self._is_refused = True
            return False
        try:
            if _libc().madvise(address, offset + size - start, _POPULATE_WRITE):
                self._is_refused = True
                return False
            target = np.frombuffer(memoryview((ctypes.c_char * size).from_address(address + offset - start)), np.uint8)
            at = 0
            for view in views:
                target[at : at + len(view)] = np.frombuffer(view, np.uint8)
                at += len(view)
        finally:
            _libc().munmap(address, offset + size - start)
        return True

    def end(self, size: int) -> None:
        """Gives the file its size, when nobody writes to it.

        Raises:
            WriteError: The system refuses it.
        """
        if self._length:
            with write_errors(self._file.target):
                os.ftruncate(self._file.descriptor, size)
            self._length = 0

    def _grow(self, length: int) -> bool:
        """Makes the file at least so long; what nobody has written yet takes no memory."""
        if length > self._length:
            try:
                os.ftruncate(self._file.descriptor, length + _STEP)
            except OSError:
                self._is_refused = True
                return False
            self._length = length + _STEP
        return True


def mapped_writes(file: WritableFile) -> MappedWrites | None:
    """What writes to a file beside the thread that appends to it; None where the system has no such thing for that file."""
    if not isinstance(file, LocalWritableFile) or not sys.platform.startswith("linux"):
        return None
    # The first field says the kind, and has the size of a long; there is no room for more than 256 bytes anywhere.
    about = (ctypes.c_long * (256 // ctypes.sizeof(ctypes.c_long)))()
    if _libc().fstatfs(file.descriptor, about) or about[0] != _TMPFS:
        return None
    return MappedWrites(file)


@functools.cache
def _libc() -> Any:
    """The C library; its calls let other threads run, unlike those of Python's own maps."""
    libc: Any = ctypes.CDLL(None)
    size, number, pointer = ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p
    # An offset of 64 bits also where a long has 32.
    libc.mmap = getattr(libc, "mmap64", None) or libc.mmap
    libc.mmap.restype = pointer
    libc.mmap.argtypes = (pointer, size, number, number, number, ctypes.c_int64)
    libc.munmap.argtypes = (pointer, size)
    libc.madvise.argtypes = (pointer, size, number)
    return libc
