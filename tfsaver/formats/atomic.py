"""A file or a directory that a neighbour's library writes, in its place whole or not at all.

The libraries write to a path and know nothing of half-written files: some rename at the end, some write in place, few sync.
So each writes into a temporary directory beside the target, and the rename is done here::

    model.npz.tmp0123456789/model.npz    written, then synced
    model.npz                            the name, after one rename; what was there before is there until then

What a killed process has left of such a directory, the next one for the same target removes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator

from tfsaver.errors import AlreadyExistsError, InvalidArgumentError, SaverError, UnimplementedError
from tfsaver.lib import file_io
from tfsaver.lib.abandoned import ASIDE
from tfsaver.lib.exchange import exchange
from tfsaver.lib.free_space import check_free_space
from tfsaver.lib.temporary_directory import temporary_directory
from tfsaver.lib.write_errors import write_error

# What is copied to and from a store at once.
_COPIED_SIZE = 16 << 20
_OF_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


def local_path(path: file_io.PathLike) -> str:
    """The path as text.

    Raises:
        UnimplementedError: It is in a store, where the formats' libraries cannot go; verbs open a `downloaded` copy.
    """
    text = file_io.as_path(path)
    if file_io.is_remote(text):
        raise UnimplementedError(f"{text} is elsewhere, and the library of its format reads and writes local files")
    return text


@contextlib.contextmanager
def downloaded(path: str) -> Iterator[str]:
    """A local copy of a file in a store, for the length of the block; a local file's own path.

    Raises:
        FileNotFoundError: There is no such file.
        StorageError: The store refuses it.
    """
    if not file_io.is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="tfsaver-") as directory:
        copy = os.path.join(directory, file_io.split(path)[1])
        source = file_io.open_for_reading(path)
        with contextlib.closing(source), open(copy, "wb") as file:
            for start in range(0, source.size, _COPIED_SIZE):
                file.write(source.read(start, _COPIED_SIZE))
        yield copy


@contextlib.contextmanager
def _uploaded(path: str) -> Iterator[str]:
    """A local file that is uploaded when the block ends without an error."""
    with tempfile.TemporaryDirectory(prefix="tfsaver-") as directory:
        copy = os.path.join(directory, file_io.split(path)[1])
        yield copy
        with file_io.atomic_writer(path) as target, open(copy, "rb") as file:
            while data := file.read(_COPIED_SIZE):
                target.append(data)


def check_file_target(path: str) -> None:
    """Refuses a file's name that a directory has.

    Raises:
        AlreadyExistsError: A directory is there.
    """
    if not file_io.is_remote(path) and file_io.is_directory(path):
        raise AlreadyExistsError(f"{path} is a directory, and a file of that name is to be written")


@contextlib.contextmanager
def atomic_file(path: str, *, durable: bool = True, expected_size: int = 0) -> Iterator[str]:
    """A temporary name that becomes `path` when the block ends without an error, and goes away when it does not.

    Args:
        path: The file's name in the end. Missing directories are made.
        durable: Whether the disk has it, and the name, when the block has ended.
        expected_size: How many bytes it will have at least: the disk must have room for them.

    Raises:
        AlreadyExistsError: A directory is there.
        WriteError: The system refuses it, or there is no room.
    """
    check_file_target(path)
    if file_io.is_remote(path):
        with _uploaded(path) as copy:
            yield copy
        return
    directory, name = file_io.split(path)
    with file_io.directory_made(directory, durable=durable), _place_for(path, expected_size) as place:
        temporary = file_io.join(place, name)
        yield temporary
        _give_usual_modes(place, [temporary])
        if durable:
            file_io.sync_file(temporary, path)
        file_io.replace(temporary, path)
    if durable:
        file_io.sync_directory(directory)


@contextlib.contextmanager
def atomic_directory(path: str, *, overwrite: bool = False, durable: bool = True) -> Iterator[str]:
    """The same for a directory.

    Where the system cannot exchange two names, what was there steps aside for a moment, since no directory replaces a full
    one.

    Raises:
        AlreadyExistsError: Something is there, and `overwrite` does not say that it may go.
        InvalidArgumentError: It is a file.
        WriteError: The system refuses it, or there is no room.
    """
    path = path.rstrip(os.sep) or path
    check_directory_target(path, overwrite)
    parent, name = file_io.split(path)
    with file_io.directory_made(parent, durable=durable), _place_for(path) as place:
        # What a killed process had put aside is back by now.
        check_directory_target(path, overwrite)
        temporary = file_io.join(place, name)
        yield temporary
        _give_usual_modes(place, [os.path.join(parent, name) for parent, _, names in os.walk(temporary) for name in names])
        if durable:
            _sync_tree(temporary)
        if file_io.exists(path):
            _replace_directory(temporary, path)
        else:
            file_io.replace(temporary, path)
        if durable:
            file_io.sync_directory(parent)


@contextlib.contextmanager
def _place_for(path: str, expected_size: int = 0) -> Iterator[str]:
    with temporary_directory(path) as place:
        check_free_space(path, expected_size)
        try:
            yield place
        except OSError as error:
            # What a library could not write; everything else may be about what it reads.
            if isinstance(error, SaverError) or error.errno not in _OF_WRITING:
                raise
            raise write_error(path, error) from error


def _give_usual_modes(place: str, paths: list[str]) -> None:
    """Gives files the mode that a new file gets here; some libraries make files that only their owner may read."""
    usual = file_io.temporary_name(os.path.join(place, "mode"))
    file_io.create(usual)
    mode = stat.S_IMODE(os.stat(usual).st_mode)
    os.remove(usual)
    for path in paths:
        if stat.S_IMODE(os.stat(path).st_mode) != mode:
            os.chmod(path, mode)


def _replace_directory(temporary: str, path: str) -> None:
    """Puts a directory in the place of another, which has the temporary name then."""
    try:
        exchange(temporary, path)
    except OSError:
        # A stop here leaves neither under the name; whoever comes next puts it back.
        aside = f"{temporary}{ASIDE}"
        file_io.replace(path, aside)
        try:
            file_io.replace(temporary, path)
        except BaseException:
            file_io.replace(aside, path)
            raise


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


def _sync_tree(path: str) -> None:
    for directory, _, names in os.walk(path):
        for name in names:
            file_io.sync_file(os.path.join(directory, name))
        file_io.sync_directory(directory)
