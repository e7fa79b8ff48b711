"""Files elsewhere (``gs://``, ``s3://``, ``memory://``, ...), through fsspec, an optional package.

An object store has no append and no rename: an appended file becomes visible when it is closed, and a replace is a move
that the store makes as atomic as it can (one object written whole). The order in which tfsaver closes files is therefore
the order in which they appear, data before index.
"""

from __future__ import annotations

import errno
import io
import posixpath
from typing import Any

from tfsaver._lazy_imports import lazy_import
from tfsaver.errors import MissingExtraError


def _resolve(path: str) -> tuple[Any, str]:
    try:
        with lazy_import():
            import fsspec
    except ImportError as error:
        raise MissingExtraError("fsspec", extra="remote", purpose=f"reading or writing {path}") from error
    try:
        # The module for the scheme.
        with lazy_import():
            system, inner = fsspec.core.url_to_fs(path)
    except ImportError as error:
        # fsspec's own message names the package that serves this scheme.
        raise MissingExtraError(str(error), extra="remote", purpose=f"reading or writing {path}") from error
    return system, inner


class RemoteRandomAccessFile:
    """An object read by ranges."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._system, self._inner = _resolve(path)
        self.size: int = self._system.size(self._inner)

    def read(self, offset: int, size: int) -> bytes:
        if offset >= self.size or not size:
            return b""
        return bytes(self._system.cat_file(self._inner, start=offset, end=min(offset + size, self.size)))

    def readinto(self, offset: int, buffer: memoryview) -> int:
        data = self.read(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        pass


class RemoteWritableFile:
    """A new object; it appears when it is closed."""

    def __init__(self, path: str) -> None:
        self.path = path
        system, inner = _resolve(path)
        self._file = system.open(inner, "wb")

    def append(self, data: bytes | bytearray | memoryview) -> None:
        self._file.write(data)

    def append_all(self, pieces: list[bytes | bytearray | memoryview]) -> None:
        for piece in pieces:
            self._file.write(piece)

    def skip(self, size: int) -> None:
        raise io.UnsupportedOperation(f"{self.path}: an object is written from its first byte to its last")

    def sync(self) -> None:
        self._file.flush()

    def hold(self) -> bool:
        """Nothing to do: nobody cleans up in a store."""
        return True

    def close(self) -> None:
        self._file.close()

    def release(self) -> None:
        pass


def open_for_reading(path: str, descriptors: object) -> RemoteRandomAccessFile:
    return RemoteRandomAccessFile(path)


def open_for_writing(path: str, target: str | None, durable: bool) -> RemoteWritableFile:
    return RemoteWritableFile(path)


def exists(path: str) -> bool:
    system, inner = _resolve(path)
    return bool(system.exists(inner))


def is_directory(path: str) -> bool:
    system, inner = _resolve(path)
    return bool(system.isdir(inner))


def list_directory(path: str) -> list[str]:
    system, inner = _resolve(path)
    try:
        listing = system.ls(inner, detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(posixpath.basename(entry.rstrip("/")) for entry in listing)


def modification_time(path: str) -> float:
    system, inner = _resolve(path)
    return float(system.modified(inner).timestamp())


def make_directory(path: str, durable: bool) -> list[str]:
    system, inner = _resolve(path)
    system.makedirs(inner, exist_ok=True)
    return []


def remove_directories(paths: list[str]) -> None:
    """Nothing to do: a store has no directories."""


def replace(source: str, target: str) -> None:
    system, inner = _resolve(source)
    system.mv(inner, _resolve(target)[1])


def link(source: str, target: str) -> None:
    raise OSError(errno.ENOTSUP, "a store has no links", target)


def remove(path: str) -> None:
    system, inner = _resolve(path)
    if system.exists(inner):
        system.rm_file(inner)


def sync_file(path: str, target: str) -> None:
    """Nothing to do: a store keeps what it has acknowledged."""


def sync_directory(path: str, target: str) -> None:
    """Nothing to do: a store keeps what it has acknowledged."""
