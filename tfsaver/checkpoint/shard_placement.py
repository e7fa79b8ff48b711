"""Gives the files of one V1 checkpoint their names: all of them in one step, also where old ones have the names.

A V1 checkpoint in several files has no index that would say which of them belong together, and a system renames one file at
a time. A directory can change at once, though, and what a link leads to with it::

    model-of-00002.tmp0123456789/old/model-0000?-of-00002     the old files once more: second names (hard links)
    model-of-00002.tmp0123456789/new/model-0000?-of-00002     the new ones, whole, and synced
    model-of-00002.tmp0123456789/now -> old
    model-0000?-of-00002 -> model-of-00002.tmp0123456789/now/model-0000?-of-00002   one by one: what they show stays the same
    model-of-00002.tmp0123456789/now -> new                   the step
    model-0000?-of-00002                                      files again, one by one; the directory goes

Whoever looks at any moment, or finds what a stop at any moment has left, finds the old files or the new ones, under their
names. The next save (and `tfsaver doctor DIR --clean`) makes files again of links that a stop has left: `settle`.

Where nothing has the names yet the files get them one by one, the first one last; where something is not there that this
needs (links, or some of the old files), the first of the old files also goes before. A stop then leaves a checkpoint that
lacks a file, which every reader sees, and none with files of two saves.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Sequence

from tfsaver.checkpoint.saved_tensor_slices import shard_path
from tfsaver.lib import file_io
from tfsaver.lib.abandoned import abandoned
from tfsaver.lib.directory_lock import try_directory_lock
from tfsaver.lib.temporary_directory import make_temporary_directory
from tfsaver.lib.write_errors import write_error, write_errors

_NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EINVAL})
_FIRST_SHARD = re.compile(r"(.+)-00000-of-(\d{5})\.tmp[0-9a-f]{10}", re.DOTALL)
_DIRECTORY = re.compile(r"(.+)-of-\d{5}\.tmp[0-9a-f]{10}", re.DOTALL)
_OLD, _NEW, _NOW = "old", "new", "now"


def place_shards(temporaries: Sequence[str], paths: Sequence[str], *, durable: bool = True) -> None:
    """Gives files their names; on an error those that had them before have them again. The directory's lock is held.

    Args:
        temporaries: The files, whole, and synced if that is wanted; those that are not renamed stay.
        paths: Their names, all in one directory.
        durable: Whether to return only once disks have the names.

    Raises:
        WriteError: The system refuses something.
    """
    if file_io.is_remote(paths[0]):
        for temporary, path in zip(temporaries, paths, strict=True):
            file_io.replace(temporary, path)
        return
    if len(paths) > 1:
        _settle_left(file_io.split(paths[0])[0])
    if len(paths) == 1 or not all(map(_is_file, paths)) or not _replace_together(temporaries, paths, durable):
        _replace_one_by_one(temporaries, paths, durable)


def clean_shards(directory: str) -> None:
    """Removes the files that have got their names of a checkpoint whose first file has not, since its writer was killed."""
    if file_io.is_remote(directory):
        return
    for match in filter(None, map(_FIRST_SHARD.fullmatch, file_io.list_directory(directory))):
        left = file_io.join(directory, match[0])
        prefix, num_shards = file_io.join(directory, match[1]), int(match[2])
        with try_directory_lock(directory) as is_held, abandoned(left) as is_left:
            if not (is_held and is_left) or file_io.exists(shard_path(prefix, 0, num_shards)):
                continue
            for shard_id in range(1, num_shards):
                path = shard_path(prefix, shard_id, num_shards)
                # The first is written first; what is older and has no second name is not of that save.
                with contextlib.suppress(OSError):
                    status = os.lstat(path)
                    if status.st_nlink > 1 or status.st_mtime_ns >= os.lstat(left).st_mtime_ns:
                        file_io.remove(path)


def owner_of_directory(name: str) -> str | None:
    """The checkpoint whose files a directory is for, by its name; None if it is for none."""
    match = _DIRECTORY.fullmatch(name)
    return match and match[1]


def settle(place: str, *, durable: bool = True) -> bool:
    """Makes files of the names that lead into a directory of `place_shards`; what they show stays the same.

    Args:
        place: The directory, whose writer is gone or is the caller.
        durable: Whether disks are to have the names before the directory goes.

    Returns:
        Whether that was done, and the directory is gone. What the system refuses is left for the next save.
    """
    directory, base = file_io.split(place)
    try:
        if os.path.lexists(os.path.join(place, _NOW)):
            for name in os.listdir(os.path.join(place, _NOW)):
                path = file_io.join(directory, name)
                if os.path.islink(path) and os.readlink(path) == os.path.join(base, _NOW, name):
                    os.replace(os.path.join(place, _NOW, name), path)
            _sync(durable, place, directory)
        shutil.rmtree(place)
    except OSError:
        return False
    return True


def _replace_together(temporaries: Sequence[str], paths: Sequence[str], durable: bool) -> bool:
    """Replaces files in one step; returns whether the file system has what that takes, having changed nothing if not."""
    directory, base = file_io.split(paths[0])
    place, release = make_temporary_directory(file_io.join(directory, re.sub(r"-\d{5}(-of-\d{5})\Z", r"\1", base)))
    old, new, link = (os.path.join(place, name) for name in (_OLD, _NEW, "link"))
    try:
        with write_errors(paths[0]):
            for made in (old, new):
                os.mkdir(made)
            try:
                os.symlink(_OLD, os.path.join(place, _NOW))
                for path in paths:
                    os.link(path, os.path.join(old, os.path.basename(path)))
            except OSError as error:
                if error.errno in _NO_LINKS:
                    return False
                raise
            for temporary, path in zip(temporaries, paths, strict=True):
                os.replace(temporary, os.path.join(new, os.path.basename(path)))
            _sync(durable, paths[0], old, new, place, directory)
            for path in paths:
                os.symlink(os.path.join(os.path.basename(place), _NOW, os.path.basename(path)), link)
                os.replace(link, path)
            _sync(durable, paths[0], directory)
            os.symlink(_NEW, link)
            os.replace(link, os.path.join(place, _NOW))
            try:
                _sync(durable, paths[0], place)
            except BaseException:
                os.symlink(_OLD, link)
                os.replace(link, os.path.join(place, _NOW))
                raise
    finally:
        try:
            settle(place, durable=durable)
        finally:
            release()
    return True


def _replace_one_by_one(temporaries: Sequence[str], paths: Sequence[str], durable: bool) -> None:
    changed: list[str] = []
    old: dict[str, str | None] = {}
    with contextlib.ExitStack() as aside:
        for path in filter(file_io.exists, paths):
            note = file_io.temporary_name(path)
            aside.callback(_remove, note)
            old[path] = note
            try:
                file_io.link(path, note)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise write_error(path, error) from error
                # Without links an old file cannot come back.
                old[path] = None
        try:
            if len(paths) > 1 and paths[0] in old:
                changed.append(paths[0])
                file_io.remove(paths[0])
            for temporary, path in reversed(list(zip(temporaries, paths, strict=True))):
                file_io.replace(temporary, path)
                changed.append(path)
            _sync(durable, paths[0], file_io.split(paths[0])[0])
        except BaseException:
            for path in dict.fromkeys(changed):
                with contextlib.suppress(OSError):
                    kept = old.get(path)
                    if kept is not None:
                        file_io.replace(kept, path)
                    elif path not in old:
                        file_io.remove(path)
            raise


def _settle_left(directory: str) -> None:
    """Settles what killed saves left in a directory, whose lock is held."""
    for name in file_io.list_directory(directory):
        if owner_of_directory(name) is not None:
            path = file_io.join(directory, name)
            with abandoned(path, is_directory=True) as is_left:
                if is_left:
                    settle(path)


def _is_file(path: str) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)


def _sync(durable: bool, target: str, *directories: str) -> None:
    for directory in directories if durable else ():
        file_io.sync_directory(directory, target)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        file_io.remove(path)
