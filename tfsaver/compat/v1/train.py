"""`tf.compat.v1.train`, as far as it is about checkpoints: change the import, keep the program.

Most functions are those of `tfsaver.checkpoint`, which need no TensorFlow; the others differ from them in the names of
arguments and in the classes of errors, which are TensorFlow's when TensorFlow is in use by the same process, and ours when
it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tfsaver.checkpoint import checkpoint_management, checkpoint_reader
from tfsaver.checkpoint.checkpoint_management import (
    checkpoint_exists,
    generate_checkpoint_state_proto,
    get_checkpoint_mtimes,
    get_checkpoint_state,
    latest_checkpoint,
    remove_checkpoint,
)
from tfsaver.compat._errors import tensorflow_errors, translate
from tfsaver.compat.v1.saver import Saver
from tfsaver.errors import InvalidArgumentError, NotFoundError
from tfsaver.lib import file_io

__all__ = [
    "Saver",
    "checkpoint_exists",
    "generate_checkpoint_state_proto",
    "get_checkpoint_mtimes",
    "get_checkpoint_state",
    "latest_checkpoint",
    "list_variables",
    "load_variable",
    "remove_checkpoint",
    "update_checkpoint_state",
]


def list_variables(ckpt_dir_or_file: file_io.PathLike) -> list[tuple[str, list[int]]]:
    """The name and the shape of every tensor, sorted by name.

    Raises:
        InvalidArgumentError: A ValueError; a directory without checkpoints.
        tf.errors.NotFoundError: There is no checkpoint.
        tf.errors.DataLossError: It is damaged.
    """
    _refuse_empty_directory(ckpt_dir_or_file)
    with tensorflow_errors():
        return checkpoint_reader.list_variables(ckpt_dir_or_file)


def load_variable(ckpt_dir_or_file: file_io.PathLike, name: str) -> Any:
    """One tensor: an array, a numpy scalar or bytes; a ``:0`` at the end of its name is taken off.

    Raises:
        InvalidArgumentError: A ValueError; a directory without checkpoints.
        tf.errors.NotFoundError: There is no checkpoint, or no such tensor in it.
        tf.errors.DataLossError: It is damaged.
    """
    _refuse_empty_directory(ckpt_dir_or_file)
    with tensorflow_errors():
        return checkpoint_reader.load_variable(ckpt_dir_or_file, name)


def update_checkpoint_state(
    save_dir: file_io.PathLike,
    model_checkpoint_path: file_io.PathLike,
    all_model_checkpoint_paths: Iterable[file_io.PathLike] | None = None,
    latest_filename: file_io.PathLike | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
) -> None:
    """Writes a directory's state file; see `tfsaver.checkpoint.checkpoint_management`.

    Raises:
        InvalidArgumentError: A ValueError; the arguments contradict each other.
        PathConflictError: A RuntimeError; the state file would take the place of the checkpoint.
        tf.errors.NotFoundError: There is no directory `save_dir`.
    """
    try:
        checkpoint_management.update_checkpoint_state(
            save_dir,
            model_checkpoint_path,
            all_model_checkpoint_paths,
            latest_filename,
            all_model_checkpoint_timestamps,
            last_preserved_timestamp,
        )
    except (NotFoundError, OSError) as error:
        raise translate(error) from error


def _refuse_empty_directory(path: file_io.PathLike) -> None:
    """A directory without checkpoints is a mistake in the argument, which TensorFlow reports as such."""
    text = file_io.as_path(path)
    if not file_io.is_directory(text) or file_io.exists(f"{text}.index") or file_io.is_directory(f"{text}/variables"):
        return
    if latest_checkpoint(text) is None:
        raise InvalidArgumentError(f"Couldn't find 'checkpoint' file or checkpoints in given directory {text}")
