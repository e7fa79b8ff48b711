"""Which checkpoint a directory's state file means, and which files a prefix stands for.

A checkpoint is named by its prefix, and what files that stands for depends on its format::

    V2    prefix.index  prefix.data-00000-of-00002  ...  prefix.meta
    V1    prefix                                         prefix.meta        one file
    V1    prefix-00000-of-00002  ...                     prefix.meta        several, named by prefix-?????-of-00002

A prefix may hold the very characters that patterns are made of (``run[1]/model``), so a file of exactly that name comes
first, and only where there is none is the prefix taken as a pattern.
"""

from __future__ import annotations

import contextlib
import fnmatch
import logging
import re

from tfsaver.checkpoint.checkpoint_state import path_or_empty, recorded_state, state_file_path
from tfsaver.errors import SaverError
from tfsaver.lib import file_io
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options

_logger = logging.getLogger(__name__)

_STEP = re.compile(r"-\d+(-[\d?]+-of-\d+)?\Z")


def series_of(prefix: file_io.PathLike) -> str:
    """The series that a checkpoint belongs to by its name: the name without the step.

    Example:
        >>> series_of("run/model.ckpt-1200")
        'model.ckpt'
    """
    return _STEP.sub("", file_io.split(file_io.as_path(prefix))[1])


def recorded_checkpoint(checkpoint_dir: file_io.PathLike, latest_filename: file_io.PathLike | None = None) -> str | None:
    """The newest checkpoint of a directory, as its state file names it.

    When what the state file names is gone, a checkpoint of the same name beside the state file takes its place: that is
    what is left after a directory was moved, copied or renamed, or came from another machine. An older checkpoint never
    does, since a program would train on from it without a word.

    Args:
        checkpoint_dir: The directory of the checkpoints; empty for the working directory.
        latest_filename: The name of the state file, if it is not `checkpoint`.

    Returns:
        A prefix, or the pattern of a V1 checkpoint in several files. None when there is no state file that can be read, or,
        with a warning in the log, when the checkpoint it names is nowhere.

    Raises:
        InvalidArgumentError: The state file names no checkpoint, or one whose name no file can have.
    """
    state = recorded_state(checkpoint_dir, latest_filename)
    if state is None:
        return None
    directory = path_or_empty(checkpoint_dir)
    recorded = file_io.in_store_of(directory, state.model_checkpoint_path)
    if file_io.is_remote(recorded) and (beside := checkpoint_beside(checkpoint_dir, recorded)) is not None:
        # A directory that was fetched from a store: what lies here is asked first, and the store may need a password.
        _logger.info("%s is elsewhere; using %s, beside the state file that names it", recorded, beside)
        return beside
    while not _is_there(recorded):
        # A training that keeps one checkpoint removes it when the state file names the next.
        before, state = recorded, recorded_state(checkpoint_dir, latest_filename)
        if state is None or state.model_checkpoint_path == before:
            break
        recorded = file_io.in_store_of(directory, state.model_checkpoint_path)
    else:
        return recorded
    if (beside := checkpoint_beside(checkpoint_dir, recorded)) is not None:
        _logger.info("%s is not there; using %s, beside the state file that names it", recorded, beside)
        return beside
    looked_for = dict.fromkeys([recorded, *(file_io.join(directory, name) for name in last_parts(recorded))])
    _logger.warning(
        "%s names a checkpoint that is not there: looked for %s",
        state_file_path(directory, latest_filename),
        " or ".join(f"{path}.index or {path}" for path in looked_for),
    )
    return None


def checkpoint_beside(checkpoint_dir: file_io.PathLike, recorded: str) -> str | None:
    """The checkpoint in a directory that has the name of one that its state file names elsewhere; None if there is none."""
    directory = path_or_empty(checkpoint_dir)
    if file_io.is_remote(recorded) and file_io.split(recorded)[0].rstrip("/") == directory.rstrip("/"):
        return None
    for name in last_parts(recorded):
        candidate = file_io.join(directory, name)
        if candidate != recorded and not file_io.is_directory(candidate) and checkpoint_exists(candidate):
            return candidate
    return None


def _is_there(prefix: str) -> bool:
    """Whether a checkpoint is there; false, with a warning in the log, where the store that it is in cannot be asked."""
    if not file_io.is_remote(prefix):
        return checkpoint_exists(prefix)
    try:
        return checkpoint_exists(prefix)
    except (SaverError, OSError, ImportError, ValueError) as error:
        _logger.warning("%s cannot be looked for: %s", prefix, error)
        return False


@takes_storage_options("checkpoint_prefix")
def checkpoint_exists(
    checkpoint_prefix: file_io.PathLike, *, storage_options: StorageOptions | None = None, fs: OpenFileSystem | None = None
) -> bool:
    """Whether there is a checkpoint of that prefix.

    Its index file makes a V2 checkpoint; a file of exactly that name, or one that matches it as a pattern, is taken for a V1
    checkpoint without a look inside.

    Args:
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.
    """
    return bool(identifying_files(checkpoint_prefix))


def matching_files(pattern: file_io.PathLike) -> list[str]:
    """The paths that a pattern stands for, sorted.

    A file or directory of exactly that name is the only match where there is one. Otherwise `*`, `?` and `[...]` match in
    the last part of the path, and in no other: the directory is always taken literally.
    """
    path = path_or_empty(pattern)
    if not path:
        return []
    if file_io.exists(path):
        return [path]
    directory, name = file_io.split(path)
    if not any(character in name for character in "*?["):
        return []
    return files_named(directory, fnmatch.translate(name))


def identifying_files(prefix: file_io.PathLike) -> list[str]:
    """The index file of a V2 checkpoint or the files of a V1 checkpoint; empty when there is neither."""
    path = path_or_empty(prefix)
    return (matching_files(path + ".index") or matching_files(path)) if path else []


def files_named(directory: str, expression: str) -> list[str]:
    """The paths in a directory whose names match a regular expression as a whole, sorted."""
    matches = re.compile(expression, re.DOTALL).fullmatch
    return [file_io.join(directory, name) for name in file_io.list_directory(directory) if matches(name)]


def last_parts(path: str) -> list[str]:
    """What the file name in a recorded path may be: after the last slash, and after the last backslash of a Windows path."""
    names = (path.rsplit("/", 1)[-1], re.split(r"[/\\]", path)[-1])
    return [name for name in dict.fromkeys(names) if name not in ("", ".", "..")]


def file_size(path: str) -> int:
    """How many bytes a file has."""
    with contextlib.closing(file_io.open_for_reading(path)) as file:
        return file.size
