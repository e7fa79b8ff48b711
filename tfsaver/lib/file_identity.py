"""What tells a file from another that has its name later, or from itself after somebody has written to it.

    device, inode           another file was renamed to the name
    size, time of change    the file was written over in place

An inode is given to no other file as long as somebody has the first one open. A store behind a URL has no inodes; its
ETag, or what else it says of a version, takes their place.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from tfsaver.lib import file_io
from tfsaver.lib.local_file_system import LocalRandomAccessFile
from tfsaver.lib.remote_file_system import RemoteRandomAccessFile


class FileIdentity(NamedTuple):
    """Equal as long as a name stands for the same bytes."""

    device: int
    inode: int
    size: int
    modification_time_ns: int


def of_open(file: file_io.RandomAccessFile) -> FileIdentity:
    """What an open file is now.

    Raises:
        FileNotFoundError: A store has it no more.
    """
    if isinstance(file, LocalRandomAccessFile):
        return _of_status(file.status())
    if isinstance(file, RemoteRandomAccessFile):
        # What it was when it was opened: its reads are of that version, or their checksums say otherwise.
        return FileIdentity(0, file.version, file.size, 0)
    return of_path(file.path)


def of_path(path: str) -> FileIdentity:
    """What the file of a name is now.

    Raises:
        FileNotFoundError: There is none.
    """
    if not file_io.is_remote(path):
        return _of_status(os.stat(path))
    file = file_io.open_for_reading(path)
    return of_open(file) if isinstance(file, RemoteRandomAccessFile) else FileIdentity(0, 0, file.size, 0)


def _of_status(status: os.stat_result) -> FileIdentity:
    return FileIdentity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
