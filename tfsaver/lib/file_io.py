"""Files, local or remote, behind one set of functions.

A path is a string, bytes or `os.PathLike`. A path with a scheme (``gs://bucket/model``) goes to fsspec, an optional
package; ``file://`` URLs and everything else are local. The functions dispatch, `local_file_system` and
`remote_file_system` do the work, and nothing else in tfsaver opens a file.

What a file system must offer is in `FileSystem`; it is small on purpose: whole-file reads and writes, positioned reads,
appends, one atomic rename.
"""

from __future__ import annotations

import contextlib
import functools
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeAlias

from tfsaver.errors import InvalidArgumentError, TruncatedError, UnimplementedError
from tfsaver.lib import local_file_system, remote_file_system
from tfsaver.lib.local_file_system import DescriptorCache
from tfsaver.lib.storage_path import StoragePath
from tfsaver.lib.workers import Task, run_tasks

PathLike: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"
Buffer: TypeAlias = "bytes | bytearray | memoryview"


# Requests of a store that are under way at once.
_NUM_REQUESTS = 16
_TEMPORARY = re.compile(r"\.tmp[0-9a-f]{10}\Z")


class RandomAccessFile(Protocol):
    """A file open for positioned reads; safe to use from several threads."""

    path: str
    size: int

    def read(self, offset: int, size: int) -> bytes: ...
    def readinto(self, offset: int, buffer: memoryview) -> int: ...
    def close(self) -> None: ...


class WritableFile(Protocol):
    """A new file open for appending."""

    path: str

    def append(self, data: Buffer) -> None: ...
    def append_all(self, pieces: list[Buffer]) -> None: ...
    def skip(self, size: int) -> None: ...
    def sync(self) -> None: ...
    def hold(self) -> bool: ...
    def close(self) -> None: ...
    def discard(self) -> None: ...
    def release(self) -> None: ...


class FileSystem(Protocol):
    """What `file_io` needs from a place where files live."""

    def open_for_reading(self, path: str, descriptors: DescriptorCache | None) -> RandomAccessFile: ...
    def open_for_writing(self, path: str, target: str | None, durable: bool) -> WritableFile: ...
    def create(self, path: str) -> None: ...
    def exists(self, path: str) -> bool: ...
    def is_directory(self, path: str) -> bool: ...
    def list_directory(self, path: str) -> list[str]: ...
    def modification_time(self, path: str) -> float: ...
    def make_directory(self, path: str, durable: bool) -> list[str]: ...
    def remove_directories(self, paths: list[str]) -> None: ...
    def replace(self, source: str, target: str) -> None: ...
    def link(self, source: str, target: str) -> None: ...
    def remove(self, path: str) -> None: ...
    def sync_file(self, path: str, target: str) -> None: ...
    def sync_directory(self, path: str, target: str) -> None: ...


def as_path(path: PathLike) -> str:
    """The path as text, a ``file://`` URL as the local path it stands for.

    Raises:
        InvalidArgumentError: `path` is no path at all, or is empty.
    """
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise InvalidArgumentError(f"a path must be str, bytes or os.PathLike, not {type(path).__name__}") from None
    if not text:
        raise InvalidArgumentError("a path must not be empty")
    if "\0" in text:
        raise InvalidArgumentError(f"a path must not hold a NUL character: {text!r}")
    return text.removeprefix("file://") if text.startswith("file:///") else text


def is_remote(path: str) -> bool:
    """Whether the path names a file elsewhere, as in ``gs://bucket/model``."""
    scheme, separator, _ = path.partition("://")
    # One letter is a Windows drive, and a scheme never holds a slash.
    return bool(separator) and len(scheme) > 1 and "/" not in scheme


def file_system(path: str) -> FileSystem:
    """The file system that a path belongs to."""
    return remote_file_system if is_remote(path) else local_file_system


def join(directory: str, name: str) -> str:
    """`name` inside `directory`; an absolute or remote `name` stands for itself."""
    if not directory or is_remote(name):
        return in_store_of(directory, name)
    return posixpath.join(directory, name) if is_remote(directory) else os.path.join(directory, name)


def split(path: str) -> tuple[str, str]:
    """The directory and the last part of a path; the directory is empty for a bare name."""
    if not is_remote(path):
        return os.path.split(path)
    directory, name = posixpath.split(path)
    return in_store_of(path, directory), name


def in_store_of(path: str, url: str) -> str:
    """A URL as it is reached when `path` is, if both have one scheme; see `StoragePath`."""
    if isinstance(path, StoragePath) and not isinstance(url, StoragePath) and _scheme(url) == _scheme(path):
        return path.at(url)
    return url


def _scheme(path: str) -> str:
    return path.partition("://")[0]


def exists(path: str) -> bool:
    """Whether a file or a directory is there."""
    return file_system(path).exists(path)


def is_directory(path: str) -> bool:
    """Whether a directory is there."""
    return file_system(path).is_directory(path)


def list_directory(path: str) -> list[str]:
    """The names in a directory, sorted; none when there is no such directory."""
    return file_system(path).list_directory(path or os.curdir)


def names_beginning(path: str) -> list[str]:
    """The names next to `path` that begin like it, sorted; in a store this is one request."""
    if is_remote(path):
        return remote_file_system.names_beginning(path)
    directory, start = split(path)
    return [name for name in list_directory(directory) if name.startswith(start)]


def files_beginning(path: str) -> dict[str, int]:
    """The files whose paths begin like `path`, those in directories included, and their sizes; in a store one request."""
    if is_remote(path):
        return remote_file_system.files_beginning(path)
    directory, start = split(path)
    root = path[: len(path) - len(start)]
    return {root + name: size for name, size in local_file_system.files_beginning(directory, start).items()}


def unfinished_uploads(path: str) -> list[tuple[str, str, float]]:
    """See `remote_file_system.unfinished_uploads`; none of local files."""
    return remote_file_system.unfinished_uploads(path) if is_remote(path) else []


def abort_upload(path: str, number: str) -> None:
    """Gives an upload of `unfinished_uploads` up; it is no error when it is over already."""
    remote_file_system.abort_upload(path, number)


def modification_time(path: str) -> float:
    """Seconds since the epoch at which a file was last written."""
    return file_system(path).modification_time(path)


def make_directory(path: str, *, durable: bool = True) -> list[str]:
    """Makes a directory and its parents, as far as they are missing.

    Args:
        path: The directory.
        durable: Whether to return only once the disk has their names.

    Returns:
        Those that were made, outermost first.

    Raises:
        WriteError: The system refuses it; none of them is there then.
    """
    return file_system(path).make_directory(path, durable)


def has_directories(path: str) -> bool:
    """Whether a directory must be made before a file can be written in it; in most stores there is no such thing."""
    return not is_remote(path) or remote_file_system.has_directories(path)


@contextlib.contextmanager
def directory_made(path: str, *, durable: bool = True) -> Iterator[None]:
    """Makes a directory for the block, as `make_directory`; if that fails, what was made and is empty goes again.

    Args:
        path: The directory; empty for the working directory, which is there.
        durable: Whether the disk has their names before the block begins.
    """
    made = make_directory(path, durable=durable) if path else []
    try:
        yield
    except BaseException:
        remove_directories(made)
        raise


def remove_directories(paths: list[str]) -> None:
    """Removes what `make_directory` has made, as far as nothing is in it."""
    if paths:
        file_system(paths[0]).remove_directories(paths)


def replace(source: str, target: str) -> None:
    """Renames a file in one atomic step; a file that has the new name already is gone afterwards.

    Raises:
        WriteError: The system refuses it.
    """
    file_system(target).replace(source, target)


def link(source: str, target: str) -> None:
    """Gives a file a second name.

    Raises:
        OSError: The file system has no such thing, or the name is taken.
    """
    file_system(target).link(source, target)


def remove(path: str) -> None:
    """Removes a file; it is no error when it is gone already."""
    file_system(path).remove(path)


def remove_all(paths: Iterable[str]) -> None:
    """Removes files; in a store that takes a list this is one request. It is no error when some are gone already."""
    remote = []
    for path in paths:
        if is_remote(path):
            remote.append(path)
        else:
            remove(path)
    if remote:
        remote_file_system.remove_all(remote)


def sync_file(path: str, target: str | None = None) -> None:
    """Makes the bytes of a file that was written and closed survive a power cut.

    Args:
        path: The file.
        target: The name that it is to have in the end, which errors say; `path` when None.

    Raises:
        WriteError: The system cannot.
    """
    file_system(path).sync_file(path, path if target is None else target)


def sync_directory(path: str, target: str | None = None) -> None:
    """Makes the names in a directory survive a power cut, where the system can.

    Args:
        path: The directory; empty for the working directory.
        target: What errors name; the directory when None.

    Raises:
        WriteError: The system cannot.
    """
    file_system(path).sync_directory(path or os.curdir, (path or os.curdir) if target is None else target)


def open_for_reading(path: str, descriptors: DescriptorCache | None = None) -> RandomAccessFile:
    """Opens a file for positioned reads.

    Args:
        path: The file.
        descriptors: Limits how many files of a set have a descriptor at once; None for a file that keeps its own.

    Raises:
        FileNotFoundError: There is no such file.
    """
    return file_system(path).open_for_reading(path, descriptors)


def open_for_writing(path: str, target: str | None = None, durable: bool = False) -> WritableFile:
    """Makes an empty file, in the place of any that was there, for appending.

    Args:
        path: The file.
        target: The name that it is to have in the end, which errors say; `path` when None.
        durable: Whether it will be synced: the disk then begins while it is written.

    Raises:
        WriteError: The system refuses it.
    """
    return file_system(path).open_for_writing(path, target, durable)


def create(path: str) -> None:
    """Makes an empty file, unless its name is taken: of several processes, one succeeds.

    Raises:
        FileExistsError: The name is taken; in a store this is a WriteError.
        WriteError: The system refuses it.
    """
    file_system(path).create(path)


def open_temporary(path: str, *, durable: bool = False, exclusive: bool = False) -> WritableFile:
    """Makes an empty file under a temporary name beside `path`, its `path`, and holds it until `release` is called.

    An object in a store appears only when it is closed, and a store has no cheap rename: it has its final name at once.

    Args:
        path: The name that it is to have in the end.
        durable: Whether it will be synced: the disk then begins while it is written.
        exclusive: Whether an object that is in a store under that name when this one is closed is an error.

    Raises:
        WriteError: The system refuses it.
    """
    if is_remote(path):
        return remote_file_system.RemoteWritableFile(path, exclusive=exclusive)
    while True:
        file = open_for_writing(temporary_name(path), path, durable)
        if file.hold():
            return file
        file.close()
        file.release()


def read_exactly(file: RandomAccessFile, offset: int, size: int, what: str) -> bytes:
    """`size` bytes from `offset`, with the bounds checked before memory is taken.

    Raises:
        TruncatedError: The file ends before `offset + size`; names `what`.
    """
    available = max(0, file.size - offset)
    if size > available:
        raise TruncatedError(f"{what} at byte {offset} of {file.path}", wanted=size, available=available)
    data = file.read(offset, size)
    if len(data) != size:
        raise TruncatedError(f"{what} at byte {offset} of {file.path}", wanted=size, available=len(data))
    return data


def map_exactly(file: RandomAccessFile, offset: int, size: int, what: str) -> memoryview:
    """`size` bytes from `offset` as read-only memory, without reading them; see `LocalRandomAccessFile.map`.

    Raises:
        TruncatedError: The file ends before `offset + size`; names `what`.
        UnimplementedError: The file is elsewhere.
    """
    if not isinstance(file, local_file_system.LocalRandomAccessFile):
        raise UnimplementedError(f"{file.path} is no local file, which alone can be mapped into memory")
    # It may have been cut short since it was opened.
    available = max(0, min(file.size, file.status().st_size) - offset)
    if size > available:
        raise TruncatedError(f"{what} at byte {offset} of {file.path}", wanted=size, available=available)
    return file.map(offset, size)


def read_file(path: str) -> bytes:
    """A whole small file."""
    with contextlib.closing(open_for_reading(path)) as file:
        return file.read(0, file.size)


def read_files(sizes: Mapping[str, int]) -> list[bytes]:
    """Whole small files; in a store each is one request, and several are under way at a time.

    Args:
        sizes: The size of each file by its path, as `files_beginning` gives it.

    Raises:
        FileNotFoundError: One is not there.
    """
    found = [b""] * len(sizes)

    def read(number: int, path: str, size: int) -> None:
        found[number] = remote_file_system.read_file(path, size) if is_remote(path) else read_file(path)

    tasks = [Task(functools.partial(read, number, path, size)) for number, (path, size) in enumerate(sizes.items())]
    run_tasks(tasks, _NUM_REQUESTS if any(map(is_remote, sizes)) else 1)
    return found


def temporary_name(path: str) -> str:
    """A name beside `path` that no other writer takes.

    Fourteen characters longer than the final name: long temporary names are what breaks first where paths are limited.
    """
    return path + f".tmp{os.urandom(5).hex()}"


def is_temporary_name(path: str) -> bool:
    """Whether a name is one that `temporary_name` makes."""
    return _TEMPORARY.search(path) is not None


@contextlib.contextmanager
def atomic_writer(path: str, *, durable: bool = True, exclusive: bool = False) -> Iterator[WritableFile]:
    """A file that appears under its name whole or not at all.

    What is written goes to a temporary name beside `path`, which is renamed when the block ends without an error and
    removed when it does not. With `durable`, the bytes and then the name are synced to the disk.

    Args:
        path: The file.
        durable: See above.
        exclusive: See `open_temporary`.

    Raises:
        AlreadyExistsError: It is exclusive, and an object is in a store under that name.
        WriteError: The system refuses it.
    """
    file = open_temporary(path, durable=durable, exclusive=exclusive)
    try:
        yield file
        if durable:
            file.sync()
        file.close()
        replace(file.path, path)
    except BaseException:
        file.discard()
        raise
    finally:
        file.release()
    if durable:
        sync_directory(split(path)[0])


def write_file(path: str, data: Buffer, *, durable: bool = True) -> None:
    """Writes a whole small file atomically."""
    with atomic_writer(path, durable=durable) as file:
        file.append(data)
