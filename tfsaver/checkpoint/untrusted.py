"""The files of a checkpoint, and of a directory of checkpoints, as `confinement` has to see them.

A state file names checkpoints by any path, absolute ones too, and TensorFlow goes where it says; a directory that was
unpacked from an archive may hold symbolic links to anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from tfsaver.checkpoint import checkpoint_files, checkpoint_location
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME, path_or_empty, recorded_state
from tfsaver.errors import UntrustedPathError
from tfsaver.lib import file_io
from tfsaver.lib.confinement import Confinement


def confined_checkpoint(path: file_io.PathLike) -> str:
    """The prefix that a path means, as `load_checkpoint` takes it, once all that it leads to is in one directory.

    Args:
        path: What `load_checkpoint` takes. A directory may lead into itself alone, and so may its state file; a prefix or a
            file, into the directory that it is in.

    Raises:
        CheckpointNotFoundError: There is no checkpoint.
        UntrustedPathError: An entry of the state file, or a file of the checkpoint, is outside of the directory.
        DataLossError: A state file that cannot be read.
    """
    text = file_io.as_path(path)
    directory, name = (text, STATE_FILE_NAME) if file_io.is_directory(text) else file_io.split(text)
    if name == STATE_FILE_NAME:
        recorded_state(directory, trusted=False)
    prefix = checkpoint_location.locate_checkpoint(text).prefix
    check_files(Confinement(directory), prefix)
    return prefix


def refuse_directory(directory: file_io.PathLike, latest_filename: file_io.PathLike | None = None) -> None:
    """Refuses a directory in which anything leads out of it: an entry of the state file, a symbolic link.

    Raises:
        UntrustedPathError: Something does; names it.
    """
    recorded_state(directory, latest_filename, trusted=False)
    text = path_or_empty(directory)
    Confinement(text).check(*(file_io.join(text, name) for name in file_io.list_directory(text)))


def check_files(confinement: Confinement, prefix: str) -> None:
    """Refuses a checkpoint that is not in a directory with all of its files.

    Raises:
        UntrustedPathError: One of them is outside; names it.
    """
    if confinement.trusted:
        return
    # Before anything is looked for, which may be on another machine.
    confinement.check(prefix)
    confinement.check(*_files(prefix))


def reason_against(confinement: Confinement, prefix: str) -> str | None:
    """Why a checkpoint's files may not be read; None where they may."""
    try:
        check_files(confinement, prefix)
    except UntrustedPathError as error:
        return str(error)
    return None


def _files(prefix: str) -> Iterator[str]:
    folder, base = file_io.split(prefix)
    yield from checkpoint_files.identifying_files(prefix)
    for name in file_io.list_directory(folder):
        # Not those of model-10 for model-1.
        if name.startswith(base) and name[len(base) :][:1] in ("", ".", "-"):
            yield file_io.join(folder, name)
