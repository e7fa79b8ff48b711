"""Which checkpoint a program goes on with when its state file does not say: the newest sound one of the directory.

TensorFlow takes a state file that is missing, or that it cannot read, for a directory without checkpoints, and a program
starts anew over those that are there. While `patch_tensorflow(fall_back=True)` is on, these take the places of what
sessions, supervisors, estimators and checkpoint managers ask:

    get_checkpoint_state    what the state file says, where that is a checkpoint; else the newest sound one
    latest_checkpoint       the prefix of the same

A Saver compares every byte when it restores, and goes on to an older checkpoint by itself. A `tf.train.CheckpointManager`
does not restore by a Saver, so that its choice is verified beforehand.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

from tfsaver.checkpoint.checkpoint_files import checkpoint_exists
from tfsaver.checkpoint.checkpoint_location import prefix_of_entry
from tfsaver.checkpoint.latest_verified import newest_usable, warn_of_skipped, why_not
from tfsaver.compat import _restart, _tensorflow
from tfsaver.compat._errors import translate
from tfsaver.errors import DataLossError, SaverError
from tfsaver.lib import file_io

_logger = logging.getLogger(__name__)
_verifies: contextvars.ContextVar[bool] = contextvars.ContextVar("tfsaver_verifies", default=False)


def chosen_state(
    theirs: Callable[..., Any], checkpoint_dir: file_io.PathLike, latest_filename: file_io.PathLike | None = None
) -> Any:
    """TensorFlow's CheckpointState of a directory, with the checkpoint to go on with.

    Args:
        theirs: TensorFlow's function, which reads the state file.
        checkpoint_dir: The directory.
        latest_filename: The name of the state file, if it is not `checkpoint`.

    Returns:
        None when there is no checkpoint.

    Raises:
        DataLossError: There are checkpoints, and none is sound; says why of each. In TensorFlow's class.
        Exception: What `theirs` raises, where there is no checkpoint either.
    """
    state = error = None
    try:
        state = theirs(checkpoint_dir, latest_filename)
    except Exception as caught:  # noqa: BLE001 - what is malformed, protobuf, TensorFlow and Python call by their own names
        error = caught
    if state is not None and _is_usable(state.model_checkpoint_path):
        return state
    directory = file_io.as_path(checkpoint_dir or "")
    latest = newest_usable(directory, why_not, latest_filename)
    warn_of_skipped(latest)
    if latest.prefix is None:
        if latest.skipped:
            # In TensorFlow's class, for the program that asks.
            lines = [f"  {prefix}: {reason}" for prefix, reason in latest.skipped]
            lost = DataLossError.of_lines([f"none of the checkpoints in {directory or '.'!r} can be restored:", *lines])
            raise translate(lost) from lost
        if error is not None:
            raise error
        return state
    _logger.warning("%s does not say what to go on with: %s is the newest sound checkpoint", directory, latest.prefix)
    paths = _restart.recorded_checkpoints(directory, latest, latest_filename)
    # A message of TensorFlow's own class, which its code copies from.
    chosen = type(_tensorflow.tf.compat.v1.train.generate_checkpoint_state_proto("", "x"))()
    chosen.model_checkpoint_path = latest.prefix
    chosen.all_model_checkpoint_paths.extend(paths)
    return chosen


def _is_usable(path: str) -> bool:
    with contextlib.suppress(SaverError, OSError):
        # What names a directory names no checkpoint, unless there is one of its name.
        return checkpoint_exists(prefix_of_entry(path)) and not (_verifies.get() and why_not(path) is not None)
    return False


@contextlib.contextmanager
def verifying_managers() -> Iterator[None]:
    """Has `tf.train.CheckpointManager` verify what it chooses, while the block runs."""
    manager = _tensorflow.tf.train.CheckpointManager
    theirs = manager.__init__

    @functools.wraps(theirs)
    def verified(self: Any, *args: Any, **options: Any) -> None:
        token = _verifies.set(True)
        try:
            theirs(self, *args, **options)
        finally:
            _verifies.reset(token)

    manager.__init__ = verified
    try:
        yield
    finally:
        if manager.__init__ is verified:
            manager.__init__ = theirs
