"""Files in object stores and elsewhere (``s3://``, ``gs://``, ``https://``, ``memory://``, ...), through fsspec.

    reading    an object is opened by one request for its size and its ETag; reads that follow one another fetch ahead
    writing    an object is written under its final name and appears, whole, when it is closed
    listing    never from a cache: another process may have written since
    errors     what the store refuses is a StorageError that says what was tried; a store that asks for patience gets it

An object store has no append and no rename. The order in which objects are closed is the order in which they appear, so data
are closed before their index.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import inspect
import io
import posixpath
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, TypeVar

from tfsaver._lazy_imports import lazy_import
from tfsaver.errors import AlreadyExistsError, InvalidArgumentError, MissingExtraError, SaverError, StorageError
from tfsaver.lib.fork_safe_lock import ForkSafeLock
from tfsaver.lib.storage_path import StoragePath

_T = TypeVar("_T")

# A store that throttles, or a connection that breaks, is tried again after 0.1, 0.2, 0.4 and 0.8 seconds, more or less.
_MAX_ATTEMPTS = 5
_FIRST_DELAY = 0.1
_TRANSIENT = frozenset({errno.EAGAIN, errno.EBUSY, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT})
_TRANSIENT_WORDS = ("slowdown", "slow down", "request rate", "timeout", "timed out", "internalerror", "internal error")
# An object is uploaded in parts of this size, of which some copies are in memory. S3 takes 10,000 parts, so that those of a
# huge object are larger from some number on: 400 GB in all.
_PART_SIZE = 8 << 20
_LARGE_PART_SIZE = 64 << 20
_NUM_SMALL_PARTS = 4000
# In seconds: an object that was looked for and is opened at once is not looked for again.
_MAX_AGE = 1.0
# Reads up to the first size fetch ahead if they follow one another; the window doubles up to the second.
_READ_AHEAD_LIMIT = 1 << 20
_MAX_WINDOW = 8 << 20
_MAX_GAP = 64 << 10
# Stores whose directories are nothing but common beginnings of names: none is ever made, and no bucket either.
_WITHOUT_DIRECTORIES = frozenset(
    {"abfs", "abfss", "adl", "az", "gcs", "gs", "hf", "http", "https", "memory", "oci", "oss", "r2", "s3", "s3a"}
)
# What stores call something that changes with an object.
_VERSIONS = ("ETag", "etag", "md5Hash", "crc32c", "generation", "mtime", "LastModified", "last_modified", "created")
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "hf": "hf", "http": "http", "https": "http"}


def _resolve(path: str) -> tuple[Any, str]:
    options: Mapping[str, Any] = {}
    if isinstance(path, StoragePath):
        if path.fs is not None:
            # The caller's own may list from a cache.
            path.fs.invalidate_cache()
            return path.fs, path.fs._strip_protocol(str(path))
        options = path.storage_options
    scheme = path.partition("://")[0]
    extra = _EXTRAS.get(scheme, "remote")
    try:
        with lazy_import():
            import fsspec
    except ImportError as error:
        raise MissingExtraError("fsspec", extra=extra, purpose=f"reading or writing {path}") from error
    try:
        # The module for the scheme.
        with lazy_import():
            system, inner = fsspec.core.url_to_fs(str(path), **{**options, "use_listings_cache": False})
    except ImportError as error:
        # fsspec's own message names the package that serves this scheme.
        raise MissingExtraError(str(error), extra=extra, purpose=f"reading or writing {path}") from error
    except OSError as error:
        raise StorageError(path, "open the file system", str(error) or type(error).__name__) from error
    except (TypeError, ValueError) as error:
        if not options:
            raise
        raise InvalidArgumentError(f"{path}: storage_options {', '.join(map(repr, options))}: {error}") from error
    return system, inner


def _attempt(path: str, operation: str, call: Callable[[], _T]) -> _T:
    """The result of a request, which is repeated while the store asks for patience.

    Raises:
        FileNotFoundError: There is no such object.
        FileExistsError: There is one.
        StorageError: Anything else that the store or its library raises.
    """
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        try:
            return call()
        except (SaverError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, MemoryError):
            raise
        except Exception as error:
            if attempt == _MAX_ATTEMPTS or not _is_transient(error):
                reason = str(error) or type(error).__name__
                raise StorageError(path, operation, reason, attempt) from error
            time.sleep(_FIRST_DELAY * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))
    raise AssertionError


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, (TimeoutError, ConnectionError)) or getattr(error, "errno", None) in _TRANSIENT:
        return True
    text = f"{type(error).__name__} {error}".lower()
    return any(word in text for word in _TRANSIENT_WORDS)


def version(info: dict[str, Any]) -> int:
    """A number that changes when an object is written again, from what the store says of it; 0 where it says nothing."""
    for key in _VERSIONS:
        if (value := info.get(key)) is not None:
            return int.from_bytes(hashlib.blake2b(f"{key}={value}".encode(), digest_size=7).digest(), "big")
    return 0


class RemoteRandomAccessFile:
    """An object read by ranges. Several threads may read from it at once.

    Args:
        path: The URL.

    Attributes:
        size: Its size when it was opened.
        version: See `version`.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._system, self._inner = _resolve(path)
        info = _just_seen.take(path) or _attempt(path, "look up", lambda: self._system.info(self._inner))
        if info.get("type") == "directory":
            raise FileNotFoundError(errno.ENOENT, "a directory, not an object", path)
        self.size: int = int(info.get("size") or 0)
        self.version = version(info)
        self._lock = ForkSafeLock()
        # The bytes that were fetched last, from this offset on, and how many are fetched ahead.
        self._ahead = b""
        self._ahead_offset = 0
        self._window = 0

    def read(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        if size > _READ_AHEAD_LIMIT or size == self.size:
            return self._fetch(offset, size)
        with self._lock:
            end = self._ahead_offset + len(self._ahead)
            if self._ahead_offset <= offset and offset + size <= end:
                start = offset - self._ahead_offset
                return self._ahead[start : start + size]
            follows = bool(self._ahead) and self._ahead_offset <= offset <= end + _MAX_GAP
            self._window = min(max(2 * self._window, 4 * size), _MAX_WINDOW) if follows else 0
            self._ahead = self._fetch(offset, min(max(size, self._window), self.size - offset))
            self._ahead_offset = offset
            return self._ahead[:size]

    def readinto(self, offset: int, buffer: memoryview) -> int:
        data = self.read(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _fetch(self, offset: int, size: int) -> bytes:
        data: bytes = _attempt(
            self.path,
            f"read {size:,} bytes at {offset:,}",
            lambda: self._system.cat_file(self._inner, start=offset, end=offset + size),
        )
        if len(data) > size:
            # A server that does not know ranges sends all of the object.
            data = data[offset : offset + size] if len(data) == self.size else b""
        return data

    def close(self) -> None:
        with self._lock:
            self._ahead = b""


class RemoteWritableFile:
    """A new object, written under its final name; it appears when it is closed, and not at all when it is discarded.

    Args:
        path: The URL.
        exclusive: Whether an object that is there when this one is closed stays, which is then an error.
    """

    def __init__(self, path: str, *, exclusive: bool = False) -> None:
        self.path = path
        self._system, self._inner = _resolve(path)
        self._mode = "xb" if exclusive else "wb"
        # The upload, if the store takes parts that appear together at the end.
        self._upload: Any = None
        # What waits for the end where it does not, and until an upload is worth beginning.
        self._waiting: IO[bytes] = tempfile.SpooledTemporaryFile(_PART_SIZE)  # noqa: SIM115 - closed with this file
        self._part_size = _PART_SIZE
        self._num_parts = 0
        self._is_closed = False

    def append(self, data: bytes | bytearray | memoryview) -> None:
        if not _is_object_store(self._system):
            self._waiting.write(data)
            return
        rest = memoryview(data).cast("B")
        while len(rest):
            room = self._part_size - self._waiting.tell()
            self._waiting.write(rest[:room])
            rest = rest[room:]
            if self._waiting.tell() == self._part_size:
                self._hand_over()

    def append_all(self, pieces: list[bytes | bytearray | memoryview]) -> None:
        for piece in pieces:
            self.append(piece)

    def _hand_over(self) -> None:
        if self._upload is None:
            self._upload = _attempt(self.path, "begin an upload", self._open)
        self._waiting.seek(0)
        _attempt_once(self.path, "upload a part", functools.partial(self._upload.write, self._waiting.read()))
        self._waiting.seek(0)
        self._waiting.truncate()
        self._num_parts += 1
        if self._num_parts == _NUM_SMALL_PARTS:
            self._part_size = self._upload.blocksize = _LARGE_PART_SIZE

    def _open(self) -> Any:
        # Only object stores have a PUT that is refused if the name is taken.
        mode = self._mode if _is_object_store(self._system) else "wb"
        return self._system.open(self._inner, mode, block_size=_PART_SIZE)

    def skip(self, size: int) -> None:
        raise io.UnsupportedOperation(f"{self.path}: an object is written from its first byte to its last")

    def sync(self) -> None:
        """Nothing to do: a store keeps what it has acknowledged."""

    def hold(self) -> bool:
        """Nothing to do: nobody cleans up in a store."""
        return True

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        _just_seen.forget()
        try:
            if self._upload is None:
                _attempt(self.path, "write", self._write_at_once)
            else:
                self._hand_over()
                _attempt_once(self.path, "finish an upload", self._upload.close)
        except FileExistsError as error:
            raise AlreadyExistsError(f"{self.path}: another save has written it meanwhile") from error
        finally:
            self._waiting.close()

    def _write_at_once(self) -> None:
        if self._mode == "xb" and not _is_object_store(self._system) and self._system.exists(self._inner):
            raise FileExistsError(errno.EEXIST, "it is there", self.path)
        self._waiting.seek(0)
        with self._open() as file:
            shutil.copyfileobj(self._waiting, file, _PART_SIZE)

    def discard(self) -> None:
        """Gives the upload up: nothing of it appears."""
        if self._is_closed:
            return
        self._is_closed = True
        self._waiting.close()
        if self._upload is not None:
            with contextlib.suppress(Exception):
                self._upload.discard()
            # Or else its finalizer finishes the upload.
            self._upload.closed = True

    def release(self) -> None:
        pass


def _is_object_store(system: Any) -> bool:
    """Whether a file is uploaded in parts, which appear together when it is closed."""
    return _protocols(system).isdisjoint({"memory", "file", "sftp", "ssh", "smb", "ftp", "hdfs"})


def _protocols(system: Any) -> set[str]:
    """What a file system is called, and those that it is a part of or a cache for."""
    found: set[str] = set()
    while system is not None and hasattr(system, "protocol"):
        found.update((system.protocol,) if isinstance(system.protocol, str) else system.protocol)
        system = getattr(system, "fs", None)
    return found


def _attempt_once(path: str, operation: str, call: Callable[[], _T]) -> _T:
    """The result of a request that must not be repeated: a part that was half written would be there twice."""
    try:
        return call()
    except (SaverError, FileExistsError, MemoryError):
        raise
    except Exception as error:
        raise StorageError(path, operation, str(error) or type(error).__name__) from error


def has_directories(path: str) -> bool:
    """Whether a directory must be made before a file can be written in it."""
    names = {path.partition("://")[0]}
    if isinstance(path, StoragePath) and path.fs is not None:
        names |= _protocols(path.fs)
    return names.isdisjoint(_WITHOUT_DIRECTORIES)


def open_for_reading(path: str, descriptors: object) -> RemoteRandomAccessFile:
    return RemoteRandomAccessFile(path)


def open_for_writing(path: str, target: str | None, durable: bool) -> RemoteWritableFile:
    return RemoteWritableFile(path)


class _JustSeen(threading.local):
    """What was found when this thread last looked for an object, for opening it at once: these two are one request."""

    _path = ""
    _info: dict[str, Any] | None = None
    _time = 0.0

    def put(self, path: str, info: dict[str, Any]) -> None:
        self._path, self._info, self._time = path, info, time.monotonic()

    def has(self, path: str) -> bool:
        return self._info is not None and self._is_at(path) and time.monotonic() - self._time < _MAX_AGE

    def forget(self) -> None:
        self._info = None

    def take(self, path: str) -> dict[str, Any] | None:
        info, self._info = self._info, None
        is_fresh = time.monotonic() - self._time < _MAX_AGE
        return info if is_fresh and self._is_at(path) else None

    def _is_at(self, path: str) -> bool:
        is_plain = not isinstance(path, StoragePath) and not isinstance(self._path, StoragePath)
        return path == self._path and (is_plain or (isinstance(path, StoragePath) and path.has_store_of(self._path)))


_just_seen = _JustSeen()


def create(path: str) -> None:
    RemoteWritableFile(path, exclusive=True).close()


def exists(path: str) -> bool:
    if _just_seen.has(path):
        return True
    system, inner = _resolve(path)
    try:
        info = _attempt(path, "look up", lambda: system.info(inner))
    except (FileNotFoundError, NotADirectoryError):
        return False
    _just_seen.put(path, info)
    return True


def names_beginning(path: str) -> list[str]:
    """The names of the objects next to `path` that begin like it."""
    start = path.rindex("/") + 1
    return sorted({found[start:].partition("/")[0] for found in files_beginning(path)})


def files_beginning(path: str) -> dict[str, int]:
    """The objects whose paths begin like `path`, and their sizes."""
    system, inner = _resolve(path)
    directory, _, start = inner.rpartition("/")
    try:
        if "prefix" in inspect.signature(system.find).parameters:
            found = _attempt(path, "list", lambda: system.find(directory, prefix=start, detail=True))
        else:
            found = _attempt(path, "list", lambda: _found_in_turn(system, directory, start))
    except FileNotFoundError as error:
        if has_directories(path):
            return {}
        # A store that has no directories has no such bucket, which is not ours to make.
        raise StorageError(path, "list", str(error)) from error
    # Some file systems list what they call "bucket/x" as "/bucket/x".
    parent, size = path[: path.rindex("/") + 1], len(directory.strip("/"))
    inside = {name.strip("/")[size:].lstrip("/"): info for name, info in found.items() if info.get("type") != "directory"}
    return {parent + name: int(info.get("size") or 0) for name, info in sorted(inside.items()) if name.startswith(start)}


def _found_in_turn(system: Any, directory: str, start: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        listing = system.ls(directory, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        # Where directories are made, and none is there yet.
        return found
    for info in listing:
        if info["name"].rstrip("/").rpartition("/")[2].startswith(start):
            found |= system.find(info["name"], detail=True) if info["type"] == "directory" else {info["name"]: info}
    return found


def read_file(path: str, size: int) -> bytes:
    """An object whose size is known, by one request."""
    system, inner = _resolve(path)
    # Without a range, some file systems ask for the size first.
    data: bytes = _attempt(path, "read", lambda: system.cat_file(inner, start=0, end=size)) if size else b""
    return data


def remove_all(paths: list[str]) -> None:
    """Removes objects of one store, many by a request."""
    _just_seen.forget()
    system, _ = _resolve(paths[0])
    if _is_object_store(system):
        inner = [_resolve(path)[1] for path in paths]
        with contextlib.suppress(FileNotFoundError):
            _attempt(paths[0], f"remove {len(paths)} objects", lambda: system.rm(inner))
            return
    for path in paths:
        remove(path)


def unfinished_uploads(path: str) -> list[tuple[str, str, float]]:
    """The uploads of objects whose paths begin like `path` that have begun and not ended: path, number, time of beginning.

    They take room, and nobody sees them. Empty where the store does not tell, or ends them by itself.
    """
    system, inner = _resolve(path)
    if not hasattr(system, "list_multipart_uploads"):
        return []
    bucket, _, start = inner.partition("/")
    found = _attempt(path, "list uploads", lambda: system.list_multipart_uploads(bucket))
    root = path[: path.index("://") + len(f"://{bucket}/")]
    inside = [each for each in found if each["Key"].startswith(start)]
    return [(root + each["Key"], each["UploadId"], each["Initiated"].timestamp()) for each in inside]


def abort_upload(path: str, number: str) -> None:
    """Gives an upload of `unfinished_uploads` up."""
    system, inner = _resolve(path)
    bucket, _, key = inner.partition("/")
    with contextlib.suppress(FileNotFoundError):
        _attempt(path, "give an upload up", lambda: system.abort_mpu(bucket, key, number))


def is_directory(path: str) -> bool:
    system, inner = _resolve(path)
    return bool(_attempt(path, "look up", lambda: system.isdir(inner)))


def list_directory(path: str) -> list[str]:
    system, inner = _resolve(path)
    try:
        listing = _attempt(path, "list", lambda: system.ls(inner, detail=False))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted({posixpath.basename(entry.rstrip("/")) for entry in listing} - {""})


def modification_time(path: str) -> float:
    system, inner = _resolve(path)
    return float(system.modified(inner).timestamp())


def make_directory(path: str, durable: bool) -> list[str]:
    if has_directories(path):
        system, inner = _resolve(path)
        _attempt(path, "make a directory", lambda: system.makedirs(inner, exist_ok=True))
    return []


def remove_directories(paths: list[str]) -> None:
    """Nothing to do: a store has no directories."""


def replace(source: str, target: str) -> None:
    _just_seen.forget()
    if source != target:
        system, inner = _resolve(source)
        _attempt(target, f"move {source} here", lambda: system.mv(inner, _resolve(target)[1]))


def link(source: str, target: str) -> None:
    raise OSError(errno.ENOTSUP, "a store has no links", target)


def remove(path: str) -> None:
    _just_seen.forget()
    system, inner = _resolve(path)
    with contextlib.suppress(FileNotFoundError):
        _attempt(path, "remove", lambda: system.rm_file(inner))


def sync_file(path: str, target: str) -> None:
    """Nothing to do: a store keeps what it has acknowledged."""


def sync_directory(path: str, target: str) -> None:
    """Nothing to do: a store keeps what it has acknowledged."""
