"""The names of a Saver's files: what a caller passes, and what is made of it.

    save_path         global_step    prefix
    "dir/model"       None           dir/model
    "dir/model"       12             dir/model-12            dir/model-00000012 with padding

A path is never made absolute or tidied up: what `save` returns is what was passed, with the step behind it.
"""

from __future__ import annotations

import contextlib
import numbers
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfsaver.checkpoint.checkpoint_location import CheckpointLocation
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.compat._errors import writing
from tfsaver.compat._options import SaveOptions
from tfsaver.errors import CheckpointNotFoundError, DataLossError, InvalidArgumentError
from tfsaver.lib import file_io

_V1_SHARD = re.compile(r"-\d{5,}-of-\d{5,}\Z")


def to_text(path: file_io.PathLike) -> str:
    """A path as the caller spells it, as text.

    Raises:
        TypeError: It is none.
    """
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"Expected binary or unicode string, got {path!r}") from None


def numbered(save_path: str, global_step: Any, session: Any, *, padded: bool) -> str:
    """A path with the step behind it.

    Args:
        save_path: The path.
        global_step: An integer, or whatever a session can fetch one from.
        session: What fetches it; None in eager mode.
        padded: Whether the step has eight digits at least.
    """
    if not isinstance(global_step, (numbers.Integral, np.integer)):
        global_step = int(global_step.numpy()) if session is None else int(session.run(global_step))
    return save_path + (f"-{int(global_step):08d}" if padded else f"-{int(global_step)}")


def collides(prefix: str, options: SaveOptions) -> bool:
    """Whether the state file must not be written next to a checkpoint of that name.

    A V1 checkpoint would be overwritten by it. A V2 checkpoint has files of other names; TensorFlow refuses it all the
    same when the state file would name it exactly as it is named itself.
    """
    directory, name = os.path.split(prefix)
    if name != options.latest_filename or (options.sharded and not options.is_v2):
        return False
    return not options.is_v2 or not directory or (os.path.isabs(prefix) and not options.save_relative_paths)


def needs_relative_paths(prefix: str) -> bool:
    """Whether a state file can name a checkpoint relative to its directory alone: an absolute path may be no Unicode text.

    Raises:
        InvalidArgumentError: It cannot name it at all.
    """
    directory, name = os.path.split(prefix)
    if not is_text(name):
        raise InvalidArgumentError(
            f"{prefix!r} is not UTF-8, as the text of a state file has to be: save under another name, or with "
            "write_state=False"
        )
    return os.path.isabs(prefix) and not is_text(directory)


def is_listable(path: str, directory: str) -> bool:
    """Whether the state file of a directory can list a checkpoint: one elsewhere may have a name that is not text."""
    parent, name = os.path.split(path)
    return is_text(name if parent == directory else path)


def is_text(path: str) -> bool:
    """Whether a path is text, as messages and TensorFlow's own writers need it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def missing_parent(save_path: str) -> InvalidArgumentError | None:
    """The error that says that a checkpoint's directory is not there; None when it is."""
    path = file_io.as_path(save_path)
    if file_io.is_remote(path) or file_io.is_directory(file_io.split(path)[0] or os.curdir):
        return None
    return InvalidArgumentError(f"Parent directory of {save_path} doesn't exist, can't save.")


@contextlib.contextmanager
def parent_directory(path: str, save_path: str, *, may_be_made: bool, durable: bool) -> Iterator[None]:
    """Checks the directory of a checkpoint, or makes it, if only it is missing; it goes again when the block fails.

    Args:
        path: The checkpoint's prefix.
        save_path: What the caller asked to save to, for the error.
        may_be_made: Whether a save makes the last level of it.
        durable: Whether the disk has its name before the block begins.

    Raises:
        InvalidArgumentError: It is not there, in TensorFlow's words.
    """
    directory = file_io.split(path)[0]
    # A store has no directories; what it refuses, it refuses on writing.
    if file_io.is_remote(path) or file_io.is_directory(directory or os.curdir):
        yield
        return
    parent = file_io.split(directory.rstrip("/"))[0]
    if not may_be_made or file_io.exists(directory) or not file_io.is_directory(parent or os.curdir):
        raise InvalidArgumentError(f"Parent directory of {save_path} doesn't exist, can't save.")
    with contextlib.ExitStack() as made:
        with writing(path):
            made.enter_context(file_io.directory_made(directory, durable=durable))
        yield


def open_checkpoint(path: str, *, trusted: bool = True) -> CheckpointReader:
    """Opens the checkpoint that a path names; a V1 shard alone is read as what it holds when the others are elsewhere.

    Args:
        path: The path.
        trusted: Whether a symbolic link may lead out of the checkpoint's directory.

    Raises:
        CheckpointNotFoundError: There is none.
        DataLossError: It is damaged, or a directory.
    """
    _refuse_directory(path)
    try:
        return load_checkpoint(path, trusted=trusted)
    except CheckpointNotFoundError:
        if _V1_SHARD.search(path) and ".data-" not in path and file_io.exists(path):
            return CheckpointReader(CheckpointLocation(path, "V1", (path,)))
        raise


def _refuse_directory(path: str) -> None:
    """A directory has several checkpoints; which one is meant is for `latest_checkpoint` to say.

    Raises:
        DataLossError: It is a directory, and no checkpoint has its name.
    """
    if file_io.is_directory(path) and not file_io.exists(path + ".index"):
        raise DataLossError(f"Unable to open table file {path}: it is a directory; latest_checkpoint finds the newest in it")
