"""Files on this machine, by plain system calls.

Reads are positioned (`pread`), so that threads share one descriptor without a lock; a short read is repeated until the
file ends. Writes retry what the system did not take. A path of any length or with any characters the system knows works.
"""

from __future__ import annotations

import errno
import mmap
import os

# What one call takes at most: IOV_MAX.
_MAX_PIECES = 1024


class LocalRandomAccessFile:
    """A file open for positioned reads."""

    # Also there when opening fails, for __del__.
    _descriptor: int | None = None

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.size = os.fstat(self._descriptor).st_size
            if os.path.isdir(path):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        except BaseException:
            self.close()
            raise

    @property
    def descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self.path} is closed")
        return self._descriptor

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only where the file ends."""
        data = os.pread(self.descriptor, size, offset)
        if len(data) == size or not data:
            return data
        parts = [data]
        done = len(data)
        while done < size and (data := os.pread(self.descriptor, size - done, offset + done)):
            parts.append(data)
            done += len(data)
        return b"".join(parts)

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """Fills `buffer` from `offset`; returns how many bytes came, fewer only where the file ends."""
        done = 0
        while done < len(buffer):
            count = os.preadv(self.descriptor, [buffer[done:]], offset + done)
            if not count:
                break
            done += count
        return done

    def map(self, offset: int, size: int) -> memoryview:
        """Bytes of the file as read-only memory, which stays after the file is closed, renamed or removed.

        Pages come from the disk when they are first looked at. A file that is cut short afterwards ends the process that
        looks at what is gone (SIGBUS); one that is overwritten in place changes under its eyes.
        """
        if not size:
            return memoryview(b"")
        # A map begins where a page does.
        start = offset % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(self.descriptor, start + size, access=mmap.ACCESS_READ, offset=offset - start)
        return memoryview(mapped)[start:]

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.close()


class LocalWritableFile:
    """A new file open for appending."""

    _descriptor: int | None = None

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)

    @property
    def descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self.path} is closed")
        return self._descriptor

    def append(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        while view:
            view = view[os.write(self.descriptor, view) :]

    def append_all(self, pieces: list[bytes | bytearray | memoryview]) -> None:
        """Appends several buffers in as few calls as the system allows."""
        for start in range(0, len(pieces), _MAX_PIECES):
            part = pieces[start : start + _MAX_PIECES]
            written = os.writev(self.descriptor, part)
            for piece in part:
                # Whatever the system did not take.
                view = memoryview(piece).cast("B")
                if written < len(view):
                    self.append(view[written:])
                written = max(0, written - len(view))

    def sync(self) -> None:
        os.fsync(self.descriptor)

    def close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def open_for_reading(path: str) -> LocalRandomAccessFile:
    return LocalRandomAccessFile(path)


def open_for_writing(path: str) -> LocalWritableFile:
    return LocalWritableFile(path)


def exists(path: str) -> bool:
    return os.path.exists(path)


def is_directory(path: str) -> bool:
    return os.path.isdir(path)


def list_directory(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def modification_time(path: str) -> float:
    return os.stat(path).st_mtime


def make_directory(path: str) -> None:
    os.makedirs(path, exist_ok=True)


def replace(source: str, target: str) -> None:
    os.replace(source, target)


def link(source: str, target: str) -> None:
    os.link(source, target)


def remove(path: str) -> None:
    try:
        os.remove(path)
    except FileNotFoundError:
        pass


def sync_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: str) -> None:
    """Syncs a directory's entries; a system that cannot open directories has nothing to sync."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network mounts refuse to sync a directory; the file's own sync is then all one can have.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise
    finally:
        os.close(descriptor)
