"""Looking into checkpoints, and waiting for them, with TensorFlow's names, types and errors.

    NewCheckpointReader(prefix)         get_tensor, has_tensor, the maps of shapes and of tf.DTypes
    load_checkpoint(dir_or_file)        the same, of a directory's latest
    list_variables, load_variable       in one call
    checkpoints_iterator(dir)           each new checkpoint of a directory, as it comes

The bytes are read by the layers below; without TensorFlow all of it works but the map of tf.DTypes, and errors are ours.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from tfsaver.checkpoint import checkpoint_location, checkpoint_management, checkpoint_reader
from tfsaver.compat import _tensorflow
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.errors import CheckpointNotFoundError, InvalidArgumentError
from tfsaver.lib import file_io

__all__ = [
    "CheckpointReader",
    "NewCheckpointReader",
    "checkpoints_iterator",
    "list_variables",
    "load_checkpoint",
    "load_variable",
]

_SECONDS_BETWEEN_LOOKS = 1.0

_logger = logging.getLogger(__name__)


class CheckpointReader(checkpoint_reader.CheckpointReader):
    """`tfsaver.checkpoint`'s reader, a Mapping from names to arrays; TensorFlow's methods have its dtypes and errors."""

    def has_tensor(self, tensor_str: str | bytes) -> bool:
        """Whether there is a tensor of that name."""
        return super().has_tensor(_to_name(tensor_str))

    def get_tensor(self, tensor_str: str | bytes) -> Any:
        """A tensor: an array, or for a scalar a numpy scalar or bytes.

        Raises:
            tf.errors.NotFoundError: There is no such tensor.
            tf.errors.DataLossError: Its bytes are damaged.
        """
        with tensorflow_errors():
            return super().get_tensor(_to_name(tensor_str))

    def get_variable_to_dtype_map(self) -> dict[str, Any]:
        """The tf.DType of every tensor by name."""
        as_dtype = _tensorflow.tf.dtypes.as_dtype
        return {info.name: as_dtype(info.dtype.data_type) for info in self.infos()}


def NewCheckpointReader(filepattern: file_io.PathLike) -> CheckpointReader:  # noqa: N802 - TensorFlow's name
    """A checkpoint's reader.

    Args:
        filepattern: A prefix, or the pattern of a V1 checkpoint in several files.

    Raises:
        tf.errors.NotFoundError: There is no checkpoint.
        tf.errors.DataLossError: What is there is no checkpoint, or its index is damaged.
    """
    with tensorflow_errors():
        try:
            return CheckpointReader(checkpoint_location.locate_checkpoint(filepattern))
        except CheckpointNotFoundError as error:
            if not _tensorflow.is_imported():
                raise
            message = (
                f"Unsuccessful TensorSliceReader constructor: Failed to find any matching files for {error.prefix}: {error}"
            )
            raise _tensorflow.tf.errors.NotFoundError(None, None, message) from error


def load_checkpoint(ckpt_dir_or_file: file_io.PathLike) -> CheckpointReader:
    """The reader of a checkpoint, or of the latest one of a directory.

    Raises:
        InvalidArgumentError: A ValueError; a directory without checkpoints.
        tf.errors.NotFoundError: There is no checkpoint.
        tf.errors.DataLossError: It is damaged.
    """
    _refuse_empty_directory(ckpt_dir_or_file)
    return NewCheckpointReader(ckpt_dir_or_file)


def list_variables(ckpt_dir_or_file: file_io.PathLike) -> list[tuple[str, list[int]]]:
    """The name and the shape of every tensor, sorted by name.

    Raises:
        InvalidArgumentError: A ValueError; a directory without checkpoints.
        tf.errors.NotFoundError: There is no checkpoint.
        tf.errors.DataLossError: It is damaged.
    """
    with load_checkpoint(ckpt_dir_or_file) as reader:
        return sorted(reader.get_variable_to_shape_map().items())


def load_variable(ckpt_dir_or_file: file_io.PathLike, name: str) -> Any:
    """One tensor: an array, a numpy scalar or bytes; a ``:0`` at the end of its name is taken off.

    Raises:
        InvalidArgumentError: A ValueError; a directory without checkpoints.
        tf.errors.NotFoundError: There is no checkpoint, or no such tensor in it.
        tf.errors.DataLossError: It is damaged.
    """
    with load_checkpoint(ckpt_dir_or_file) as reader:
        return reader.get_tensor(name.removesuffix(":0"))


def checkpoints_iterator(
    checkpoint_dir: file_io.PathLike,
    min_interval_secs: float = 0,
    timeout: float | None = None,
    timeout_fn: Callable[[], bool] | None = None,
) -> Iterator[str]:
    """Each new latest checkpoint of a directory, the first as soon as there is one.

    What is written and replaced while the caller is busy with an earlier checkpoint is passed over: only the latest counts.

    Args:
        checkpoint_dir: A directory, which need not exist yet.
        min_interval_secs: How long there is at least between two checkpoints that are yielded.
        timeout: For how long to wait for a checkpoint; None for ever.
        timeout_fn: Asked after each timeout and after each checkpoint whether to stop. Without it a timeout ends it all.

    Raises:
        InvalidArgumentError: A ValueError; the directory's state file names no checkpoint.
    """
    last = None
    while True:
        found = _wait_for_new_checkpoint(checkpoint_dir, last, timeout)
        if found is not None:
            earliest = time.time() + min_interval_secs
            last = found
            yield found
            remaining = earliest - time.time()
            if remaining > 0:
                time.sleep(remaining)
        elif timeout_fn is None:
            _logger.info("No new checkpoint in %s within %s seconds", checkpoint_dir, timeout)
            return
        if timeout_fn is not None and timeout_fn():
            return


def _wait_for_new_checkpoint(checkpoint_dir: file_io.PathLike, last: str | None, timeout: float | None) -> str | None:
    deadline = None if timeout is None else time.time() + timeout
    while True:
        found = checkpoint_management.latest_checkpoint(checkpoint_dir)
        if found is not None and found != last:
            return found
        # Another look after the deadline would be one too many.
        if deadline is not None and time.time() + _SECONDS_BETWEEN_LOOKS > deadline:
            return None
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _to_name(name: str | bytes) -> str:
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name


def _refuse_empty_directory(path: file_io.PathLike) -> None:
    """A directory without checkpoints is a mistake in the argument, which TensorFlow reports as such."""
    text = file_io.as_path(path)
    if not file_io.is_directory(text) or file_io.exists(f"{text}.index") or file_io.is_directory(f"{text}/variables"):
        return
    if checkpoint_management.latest_checkpoint(text) is None:
        raise InvalidArgumentError(f"Couldn't find 'checkpoint' file or checkpoints in given directory {text}")
