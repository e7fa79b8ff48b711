"""Checkpoints in a directory that a stranger made: what lies in it is read, and nothing else.

A state file names checkpoints by any path, absolute ones too, and TensorFlow goes where it says; a directory that was
unpacked from an archive may hold symbolic links to anywhere. To who trusts neither, both are errors that name the entry.
"""

from __future__ import annotations

from tfsaver.checkpoint import checkpoint_files, checkpoint_location
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME, get_checkpoint_state, path_or_empty
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import confinement, file_io


def confined_checkpoint(path: file_io.PathLike) -> str:
    """The prefix that a path means, as `load_checkpoint` takes it, once all that it leads to is in one directory.

    Args:
        path: What `load_checkpoint` takes. A directory may lead into itself alone, and so may its state file; a prefix or a
            file, into the directory that it is in.

    Raises:
        CheckpointNotFoundError: There is no checkpoint.
        InvalidArgumentError: An entry of the state file, or a file of the checkpoint, is outside of the directory.
        DataLossError: A state file that cannot be read.
    """
    text = file_io.as_path(path)
    directory, name = (text, STATE_FILE_NAME) if file_io.is_directory(text) else file_io.split(text)
    if name == STATE_FILE_NAME:
        get_checkpoint_state(directory, trusted=False)
    prefix = checkpoint_location.locate_checkpoint(text).prefix
    refuse_files(directory, prefix)
    return prefix


def refuse_directory(directory: file_io.PathLike, latest_filename: file_io.PathLike | None = None) -> None:
    """Refuses a directory in which anything leads out of it: an entry of the state file, a symbolic link.

    Raises:
        InvalidArgumentError: Something does; names it.
    """
    get_checkpoint_state(directory, latest_filename, trusted=False)
    text = path_or_empty(directory)
    for name in file_io.list_directory(text):
        if not confinement.is_inside(text, file_io.join(text, name)):
            raise InvalidArgumentError(f"{file_io.join(text, name)} leads out of {text or '.'}, which is not trusted")


def refuse_link(path: str) -> None:
    """Refuses a file that is a symbolic link out of the directory it is in.

    Raises:
        InvalidArgumentError: It is one.
    """
    directory = file_io.split(path.rstrip("/"))[0]
    if not confinement.is_inside(directory, path):
        raise InvalidArgumentError(f"{path} leads out of {directory or '.'}, which is not trusted")


def refuse_files(directory: str, prefix: str) -> None:
    """Refuses a checkpoint that is not in a directory with all of its files.

    Raises:
        InvalidArgumentError: One of them is outside; names it.
    """
    place = outside(directory, prefix)
    if place is not None:
        raise InvalidArgumentError(f"{place} leads out of {directory or '.'}, which is not trusted")


def outside(directory: str, prefix: str) -> str | None:
    """The first of a checkpoint's files that is not in a directory; None where all are."""
    # Before anything is looked for, which may be on another machine.
    if not confinement.is_inside(directory, prefix):
        return prefix
    folder, base = file_io.split(prefix)
    names = (name for name in file_io.list_directory(folder) if name.startswith(base))
    # Not those of model-10 for model-1.
    beside = [file_io.join(folder, name) for name in names if name[len(base) :][:1] in ("", ".", "-")]
    paths = [*checkpoint_files.identifying_files(prefix), *beside]
    return next((path for path in paths if not confinement.is_inside(directory, path)), None)
