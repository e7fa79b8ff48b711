"""Files on this machine, by plain system calls.

Reads are positioned (`pread`), so that threads share one descriptor without a lock; a short read is repeated until the
file ends. Writes retry what the system did not take. A path of any length or with any characters the system knows works.

A file that is to get its name later is held meanwhile: locked, by whoever writes it, so that a process that cleans up tells
it from one whose writer was killed.

Without positioned reads (Windows), one thread at a time reads from a file. Without locks, nothing that is found is removed.
macOS is asked for F_FULLFSYNC, without which its disks keep bytes in their own memory.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import itertools
import mmap
import os
import stat
import weakref
from collections.abc import Callable, Iterator

from tfsaver.errors import CheckpointReplacedError, DataLossError, InvalidArgumentError
from tfsaver.lib import advisory_lock
from tfsaver.lib.descriptor_limit import descriptors_for_reading
from tfsaver.lib.fork_safe_lock import ForkSafeLock
from tfsaver.lib.write_back import begin_write_back
from tfsaver.lib.write_errors import write_error, write_errors

try:
    from fcntl import F_FULLFSYNC, fcntl  # type: ignore[attr-defined,unused-ignore]
except ImportError:
    # Not macOS.
    F_FULLFSYNC = None

# Not there in every system: waiting for a pipe, and Windows' lines of text.
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
# Windows syncs only what may be written to.
_TO_SYNC = os.O_RDWR if os.name == "nt" else os.O_RDONLY
_HAS_PREAD, _HAS_PREADV, _HAS_WRITEV = (hasattr(os, name) for name in ("pread", "preadv", "writev"))
# What one call takes at most: IOV_MAX.
_MAX_PIECES = 1024
# Enough to keep a disk busy, and few calls.
_WRITE_BACK_SIZE = 8 << 20
# Read at once, where the system does not read into memory that is there.
_COPIED_SIZE = 8 << 20


class LocalRandomAccessFile:
    """A file open for positioned reads. Several threads may read from it at once.

    Every read leases the descriptor. One that is leased is never closed, so a read never reaches another file that was given
    the same number: `close` leaves that to the last lease, and `park` to another time. A parked file is opened again by the
    next read, which makes sure that it still is the same file.

    Args:
        path: The file.
        descriptors: Limits how many files have a descriptor at once; None for a file that always has one.

    Attributes:
        size: Its size when it was opened.
    """

    # Also there when opening fails, for __del__.
    _descriptor: int | None = None

    def __init__(self, path: str, descriptors: DescriptorCache | None = None) -> None:
        self.path = path
        self._descriptors = descriptors
        self._lock = ForkSafeLock()
        # Where reads are not positioned, one moves the position at a time.
        self._position = ForkSafeLock()
        self._num_leases = 0
        self._is_closed = False
        self._descriptor, found = self._opened()
        self.size = found.st_size
        self._identity = _identity(found)
        if descriptors is not None:
            descriptors.note_use(self)

    def _opened(self) -> tuple[int, os.stat_result]:
        try:
            return _open_regular_file(self.path)
        except OSError as error:
            if self._descriptors is None or error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        self._descriptors.park_all()
        return _open_regular_file(self.path)

    def _lease(self) -> int:
        """The descriptor, which stays open until `_release`.

        Raises:
            InvalidArgumentError: The file is closed.
            CheckpointReplacedError: It was parked, and another file has its name now, or it was written to.
            FileNotFoundError: It was parked, and has been removed.
        """
        if self._descriptors is not None and self._descriptors.is_scarce:
            self._descriptors.note_use(self)
        with self._lock.bare:
            if self._is_closed:
                raise InvalidArgumentError(f"{self.path} is closed")
            if self._descriptor is None:
                descriptor, found = self._opened()
                if _identity(found) != self._identity:
                    os.close(descriptor)
                    raise CheckpointReplacedError(self.path, what=f"{self.path} is another file now than when it was opened")
                self._descriptor = descriptor
            self._num_leases += 1
            return self._descriptor

    def _release(self) -> None:
        with self._lock.bare:
            self._num_leases -= 1
            if self._is_closed and not self._num_leases:
                self._close_descriptor()

    def park(self) -> bool:
        """Gives the descriptor back to the system, unless a read is using it; returns whether the file has none now."""
        # Whoever holds the lock is about to lease the descriptor, or waits for the file to be opened.
        lock = self._lock.bare
        if not lock.acquire(blocking=False):
            return False
        try:
            if not self._num_leases:
                self._close_descriptor()
            return self._descriptor is None
        finally:
            lock.release()

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only where the file ends."""
        descriptor = self._lease()
        try:
            data = self._pread(descriptor, size, offset)
            if len(data) == size or not data:
                return data
            parts = [data]
            done = len(data)
            while done < size and (data := self._pread(descriptor, size - done, offset + done)):
                parts.append(data)
                done += len(data)
            return b"".join(parts)
        finally:
            self._release()

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """Fills `buffer` from `offset`; returns how many bytes came, fewer only where the file ends."""
        descriptor = self._lease()
        try:
            done = 0
            while done < len(buffer):
                count = self._preadv(descriptor, buffer[done:], offset + done)
                if not count:
                    break
                done += count
            return done
        finally:
            self._release()

    def _pread(self, descriptor: int, size: int, offset: int) -> bytes:
        if _HAS_PREAD:
            return os.pread(descriptor, size, offset)
        with self._position:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.read(descriptor, size)

    def _preadv(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        if _HAS_PREADV:
            return os.preadv(descriptor, [buffer], offset)
        data = self._pread(descriptor, min(len(buffer), _COPIED_SIZE), offset)
        buffer[: len(data)] = data
        return len(data)

    def map(self, offset: int, size: int) -> memoryview:
        """Bytes of the file as read-only memory, which stays after the file is closed, renamed or removed.

        Pages come from the disk when they are first looked at. A file that is cut short afterwards ends the process that
        looks at what is gone (SIGBUS); one that is overwritten in place changes under its eyes.
        """
        if not size:
            return memoryview(b"")
        # A map begins where a page does.
        start = offset % mmap.ALLOCATIONGRANULARITY
        with self.leased() as descriptor:
            mapped = mmap.mmap(descriptor, start + size, access=mmap.ACCESS_READ, offset=offset - start)
        return memoryview(mapped)[start:]

    @contextlib.contextmanager
    def leased(self) -> Iterator[int]:
        """The descriptor, which stays open for the block; see the class."""
        descriptor = self._lease()
        try:
            yield descriptor
        finally:
            self._release()

    def status(self) -> os.stat_result:
        """What the system says of the open file now."""
        descriptor = self._lease()
        try:
            return os.fstat(descriptor)
        finally:
            self._release()

    def close(self) -> None:
        """Closes the file; reads that are under way end first, and later ones are an error."""
        with self._lock.bare:
            self._is_closed = True
            if not self._num_leases:
                self._close_descriptor()
        if self._descriptors is not None:
            self._descriptors.forget(self)

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    # An interpreter that ends may have emptied this module and `os` by then: what is needed is bound now.
    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                _close(descriptor)
            except OSError:
                # Nobody could catch it here.
                pass


class DescriptorCache:
    """Limits how many of a set of open files have a descriptor at once; the least recently used ones are parked.

    Args:
        capacity: How many; None for a share of what the process may have open.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = descriptors_for_reading() if capacity is None else capacity
        self._lock = ForkSafeLock()
        # From the least to the most recently used. A file that nobody refers to any more closes itself.
        self._used: collections.OrderedDict[int, weakref.ref[LocalRandomAccessFile]] = collections.OrderedDict()
        # Which file was used last matters from then on.
        self.is_scarce = False

    def note_use(self, file: LocalRandomAccessFile) -> None:
        """Called when a file is opened, and before each read once descriptors are scarce: parks others if need be."""
        key = id(file)
        with self._lock:
            self._used[key] = weakref.ref(file)
            self._used.move_to_end(key)
            num_surplus = len(self._used) - self.capacity
            self.is_scarce = self.is_scarce or num_surplus > 0
            oldest = list(itertools.islice(self._used.items(), num_surplus)) if num_surplus > 0 else []
        self._park(oldest)

    def park_all(self) -> None:
        """Parks every file that is not being read."""
        self.is_scarce = True
        with self._lock:
            used = list(self._used.items())
        self._park(used)

    def _park(self, references: list[tuple[int, weakref.ref[LocalRandomAccessFile]]]) -> None:
        # Without the lock: it is never held while that of a file is waited for.
        for key, reference in references:
            file = reference()
            if file is not None and not file.park():
                continue
            with self._lock:
                if self._used.get(key) is reference:
                    del self._used[key]

    def forget(self, file: LocalRandomAccessFile) -> None:
        """Called when a file is closed."""
        with self._lock:
            self._used.pop(id(file), None)


def _open_regular_file(path: str) -> tuple[int, os.stat_result]:
    # A pipe would wait for a writer; an unpacked archive may hold one.
    try:
        descriptor = os.open(path, os.O_RDONLY | _NONBLOCK | _BINARY)
    except PermissionError:
        # What Windows says of a directory.
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path) from None
        raise
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(found.st_mode):
            raise DataLossError(f"{path} is not a file: a pipe, a socket or a device")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, found


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class LocalWritableFile:
    """A new file open for appending.

    Args:
        path: The file.
        target: The name that it is to have in the end, which its errors say.
        durable: Whether it will be synced.
    """

    _descriptor: int | None = None
    _held: int | None = None
    _is_held = False

    def __init__(self, path: str, target: str | None = None, durable: bool = False) -> None:
        self.path = path
        self._durable = durable
        # What the disk has not begun with.
        self._num_waiting = 0
        self.target = path if target is None else target
        with write_errors(self.target):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | _BINARY, 0o666)

    @property
    def descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self.path} is closed")
        return self._descriptor

    def append(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        try:
            while view:
                written = os.write(self.descriptor, view)
                if not written:
                    raise OSError(errno.EIO, "the system wrote nothing", self.path)
                view = view[written:]
                self._begin_write_back(written)
        except OSError as error:
            raise write_error(self.target, error) from error

    def append_all(self, pieces: list[bytes | bytearray | memoryview]) -> None:
        """Appends several buffers in as few calls as the system allows."""
        if not _HAS_WRITEV:
            for piece in pieces:
                self.append(piece)
            return
        for start in range(0, len(pieces), _MAX_PIECES):
            part = pieces[start : start + _MAX_PIECES]
            try:
                written = os.writev(self.descriptor, part)
            except OSError as error:
                raise write_error(self.target, error) from error
            self._begin_write_back(written)
            for piece in part:
                # Whatever the system did not take.
                view = memoryview(piece).cast("B")
                if written < len(view):
                    self.append(view[written:])
                written = max(0, written - len(view))

    def _begin_write_back(self, size: int) -> None:
        self._num_waiting += size
        if self._durable and self._num_waiting >= _WRITE_BACK_SIZE:
            self._num_waiting = 0
            begin_write_back(self.descriptor)

    def skip(self, size: int) -> None:
        """Goes on behind so many bytes, which somebody else writes."""
        with write_errors(self.target):
            os.lseek(self.descriptor, size, os.SEEK_CUR)

    def sync(self) -> None:
        with write_errors(self.target):
            _sync(self.descriptor)

    def hold(self) -> bool:
        """Says of the file that its writer is there, by the system's advisory lock, until `release` or its process's end.

        Returns:
            False if somebody who cleans up has taken it for left behind: it is gone, or is about to be.
        """
        try:
            is_locked = advisory_lock.lock(self.descriptor)
        except OSError:
            is_locked = None
        if is_locked is None:
            # Without locks there, it cannot be found unlocked either. Windows renames no file that is open.
            return True
        if not is_locked:
            return False
        self._is_held = True
        return os.fstat(self.descriptor).st_nlink > 0

    def close(self) -> None:
        """Ends the writing; what the system has noticed only now is raised. A file that is held stays so."""
        if self._descriptor is None:
            return
        if self._is_held and self._held is None:
            with write_errors(self.target):
                self._held = os.dup(self._descriptor)
        descriptor, self._descriptor = self._descriptor, None
        with write_errors(self.target):
            os.close(descriptor)

    def discard(self) -> None:
        """Closes the file and removes it by the name under which it was made; what has another name by now stays."""
        with contextlib.suppress(OSError):
            self.close()
        with contextlib.suppress(OSError):
            os.remove(self.path)

    def release(self) -> None:
        """Lets go of a file that has its name, or is gone; closed it is by then."""
        if self._held is not None:
            held, self._held = self._held, None
            # What the system has to say of the file it has said when it was closed.
            with contextlib.suppress(OSError):
                os.close(held)

    # An interpreter that ends may have emptied this module and `os` by then: what is needed is bound now.
    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        descriptors, self._descriptor, self._held = (self._descriptor, self._held), None, None
        for descriptor in descriptors:
            if descriptor is not None:
                try:
                    _close(descriptor)
                except OSError:
                    # Nobody could catch it here.
                    pass


def open_for_reading(path: str, descriptors: DescriptorCache | None) -> LocalRandomAccessFile:
    return LocalRandomAccessFile(path, descriptors)


def open_for_writing(path: str, target: str | None, durable: bool) -> LocalWritableFile:
    return LocalWritableFile(path, target, durable)


def create(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        raise
    except OSError as error:
        raise write_error(path, error) from error
    os.close(descriptor)


def exists(path: str) -> bool:
    return os.path.exists(path)


def is_directory(path: str) -> bool:
    return os.path.isdir(path)


def list_directory(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def files_beginning(directory: str, start: str) -> dict[str, int]:
    """The files in a directory whose names begin so, those in directories of such names included, and their sizes.

    They are named from the directory on.
    """
    directory = directory or os.curdir
    found: dict[str, int] = {}
    for name in list_directory(directory):
        if not name.startswith(start):
            continue
        path = os.path.join(directory, name)
        inside = (os.path.join(folder, each) for folder, _, names in os.walk(path) for each in sorted(names))
        for file in inside if os.path.isdir(path) else (path,):
            with contextlib.suppress(FileNotFoundError):
                found[os.path.join(name, os.path.relpath(file, path)) if file != path else name] = os.stat(file).st_size
    return found


def modification_time(path: str) -> float:
    return os.stat(path).st_mtime


def make_directory(path: str, durable: bool) -> list[str]:
    missing: list[str] = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path.rstrip(os.sep))
    made: list[str] = []
    try:
        for directory in reversed(missing):
            with write_errors(directory):
                try:
                    os.mkdir(directory)
                except FileExistsError:
                    # Somebody else was faster, or something is there that is none; `a/.` is what `a/` was just made for.
                    if not os.path.isdir(directory):
                        raise
                else:
                    made.append(directory)
                    if durable:
                        sync_directory(os.path.dirname(directory.rstrip(os.sep)) or os.curdir, directory)
    except BaseException:
        remove_directories(made)
        raise
    return made


def remove_directories(paths: list[str]) -> None:
    for path in reversed(paths):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def replace(source: str, target: str) -> None:
    with write_errors(target):
        os.replace(source, target)


def link(source: str, target: str) -> None:
    os.link(source, target)


def remove(path: str) -> None:
    try:
        os.remove(path)
    except FileNotFoundError:
        pass


def sync_file(path: str, target: str) -> None:
    descriptor = os.open(path, _TO_SYNC)
    try:
        with write_errors(target):
            _sync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: str, target: str) -> None:
    """Syncs a directory's entries; a system that cannot open directories has nothing to sync."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):
        return
    except OSError as error:
        raise write_error(target, error) from error
    try:
        _sync(descriptor)
    except OSError as error:
        # Some network mounts refuse to sync a directory; the file's own sync is then all one can have.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise write_error(target, error) from error
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    if F_FULLFSYNC is not None:
        try:
            fcntl(descriptor, F_FULLFSYNC)
        except OSError:
            # A network mount, which may know the other call only.
            pass
        else:
            return
    os.fsync(descriptor)
