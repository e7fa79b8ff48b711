"""A file or a directory that a neighbour's library writes, in its place whole or not at all.

The libraries write to a path and know nothing of half-written files: some rename at the end, some write in place, few sync.
So each writes to a temporary name beside the target, and the rename is done here::

    model.npz.tmp1f0c...    written, then synced
    model.npz               the name, after one rename; what was there before is there until then
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

from tfsaver.errors import AlreadyExistsError, InvalidArgumentError, UnimplementedError
from tfsaver.lib import file_io


def local_path(path: file_io.PathLike) -> str:
    """The path as text.

    Raises:
        UnimplementedError: It is elsewhere, where the neighbours' libraries cannot go.
    """
    text = file_io.as_path(path)
    if file_io.is_remote(text):
        raise UnimplementedError(f"{text} is elsewhere, and the library of its format reads and writes local files")
    return text


@contextlib.contextmanager
def atomic_file(path: str, *, durable: bool = True) -> Iterator[str]:
    """A temporary name that becomes `path` when the block ends without an error, and goes away when it does not.

    Raises:
        AlreadyExistsError: A directory is there.
    """
    if file_io.is_directory(path):
        raise AlreadyExistsError(f"{path} is a directory, and a file of that name is to be written")
    directory, _ = file_io.split(path)
    if directory:
        file_io.make_directory(directory)
    temporary = file_io.temporary_name(path)
    try:
        yield temporary
        if durable:
            _sync(temporary)
        file_io.replace(temporary, path)
    except BaseException:
        file_io.remove(temporary)
        raise
    if durable:
        file_io.sync_directory(directory)


@contextlib.contextmanager
def atomic_directory(path: str, *, overwrite: bool = False, durable: bool = True) -> Iterator[str]:
    """The same for a directory; what was there steps aside for a moment, since no directory replaces a full one.

    Raises:
        AlreadyExistsError: Something is there, and `overwrite` does not say that it may go.
        InvalidArgumentError: It is a file.
    """
    path = path.rstrip(os.sep) or path
    check_directory_target(path, overwrite)
    parent, _ = file_io.split(path)
    if parent:
        file_io.make_directory(parent)
    temporary = file_io.temporary_name(path)
    aside = file_io.temporary_name(path)
    try:
        yield temporary
        if durable:
            _sync_tree(temporary)
        if file_io.exists(path):
            os.rename(path, aside)
        try:
            os.rename(temporary, path)
        except BaseException:
            if file_io.exists(aside):
                os.rename(aside, path)
            raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    if durable:
        file_io.sync_directory(parent)


def check_directory_target(path: str, overwrite: bool) -> None:
    """Refuses a directory's name that is taken.

    Raises:
        AlreadyExistsError: Something is there, and `overwrite` does not say that it may go.
        InvalidArgumentError: It is a file.
    """
    if not file_io.exists(path):
        return
    if not file_io.is_directory(path):
        raise InvalidArgumentError(f"{path} is a file, and a directory of that name is to be written")
    if not overwrite:
        raise AlreadyExistsError(f"{path} exists, and a directory is replaced only with overwrite (--overwrite)")


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(path: str) -> None:
    for directory, _, names in os.walk(path):
        for name in names:
            _sync(os.path.join(directory, name))
        file_io.sync_directory(directory)
