"""At a restart: the newest checkpoint that is whole goes into the variables, and the log says which were not, and why.

A restore reads and compares every byte that it needs before the first variable changes. So nothing is verified beforehand,
which would read all of it twice: each checkpoint is restored, the first choice first, until one can be.

    bytes are wrong, or missing; files are gone      the next one is tried
    slices of a tensor are missing                   the next one is tried: it is a part of a checkpoint, as a rank writes it
    tensors are missing, dtypes or shapes differ     an error: the program has changed, and an older checkpoint would hide it
    there are checkpoints, and none is whole         an error that names each of them: starting anew would overwrite them

Programs that name the checkpoint themselves, as sessions and estimators of TensorFlow do, get the same where they ask for it
(`patch_tensorflow(fall_back=True)`): the one that they name is the first choice, and those before it follow.

TensorFlow takes a state file that is missing, or that it cannot read, for a directory without checkpoints, and a program
starts anew over those that are there. While that patch is on, these take the places of what sessions, supervisors,
estimators and checkpoint managers ask:

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
from typing import Any, Generic, TypeVar

from tfsaver.checkpoint.checkpoint_files import checkpoint_exists
from tfsaver.checkpoint.checkpoint_location import prefix_of_entry
from tfsaver.checkpoint.checkpoint_state import recorded_state
from tfsaver.checkpoint.latest_verified import (
    LatestVerified,
    is_of_the_process,
    newest_usable,
    warn_of_skipped,
    why_not,
    why_not_whole,
)
from tfsaver.checkpoint.one_checkpoint import MAX_ATTEMPTS
from tfsaver.compat import _tensorflow
from tfsaver.compat._errors import translate
from tfsaver.errors import (
    CheckpointNotFoundError,
    CheckpointReplacedError,
    DataLossError,
    InvalidArgumentError,
    SaverError,
)
from tfsaver.lib import file_io

_T = TypeVar("_T")
_logger = logging.getLogger(__name__)
_verifies: contextvars.ContextVar[bool] = contextvars.ContextVar("tfsaver_verifies", default=False)

_num_falling_back = 0


def fall_back(step: int) -> None:
    """Has every `Saver.restore` of this process fall back from now on, or takes that back."""
    global _num_falling_back
    _num_falling_back += step


def is_falling_back() -> bool:
    """Whether a `Saver.restore` that is given a damaged checkpoint goes on to those before it."""
    return _num_falling_back > 0


def restore_newest(
    checkpoint_dir: file_io.PathLike,
    restore: Callable[[str], _T],
    latest_filename: file_io.PathLike | None = None,
    *,
    trusted: bool = True,
) -> tuple[LatestVerified, _T | None]:
    """Restores the newest checkpoint of a directory that is whole.

    Args:
        checkpoint_dir: The directory.
        restore: Restores the checkpoint of a prefix: all of it or nothing.
        latest_filename: The name of the state file, if it is not `checkpoint`.
        trusted: Whether a checkpoint may be outside of the directory.

    Returns:
        Which it was, with those that were skipped; and what `restore` returned. None twice when there is no checkpoint.

    Raises:
        DataLossError: There are checkpoints, and none is whole.
        Exception: What else `restore` raises.
    """
    attempt = _Attempt(restore)
    latest = newest_usable(checkpoint_dir, attempt, latest_filename, trusted=trusted)
    warn_of_skipped(latest)
    if latest.prefix is None and latest.skipped:
        raise DataLossError.of_lines(
            [
                f"none of the checkpoints in {file_io.as_path(checkpoint_dir or '.')!r} can be restored:",
                *(f"  {prefix}: {reason}" for prefix, reason in latest.skipped),
            ]
        )
    return latest, attempt.result


def restore_or_older(save_path: str, restore: Callable[[str], _T]) -> tuple[str, _T | None]:
    """Restores a checkpoint, or the newest before it in its directory that is whole.

    Returns:
        Which it was, and what `restore` returned.

    Raises:
        Exception: What `restore` raises for the first, when there is no other.
    """
    attempt = _Attempt(restore, is_choice=False)
    reason = attempt(save_path)
    if reason is None:
        return save_path, attempt.result
    attempt.is_choice = True
    latest = newest_usable(file_io.split(save_path)[0], attempt, after=save_path)
    _logger.warning("%s is skipped: %s", save_path, reason)
    warn_of_skipped(latest)
    if latest.prefix is None:
        raise attempt.errors[0]
    _logger.warning("%s is restored in the place of %s, which cannot be", latest.prefix, save_path)
    return latest.prefix, attempt.result


class _Attempt(Generic[_T]):
    """Restores a checkpoint, and says why not when it is the checkpoint's fault.

    Args:
        restore: Restores the checkpoint of a prefix: all of it or nothing.
        is_choice: Whether nobody named the checkpoint, so that it has to be whole.
    """

    def __init__(self, restore: Callable[[str], _T], *, is_choice: bool = True) -> None:
        self._restore = restore
        self.is_choice = is_choice
        self.result: _T | None = None
        self.errors: list[Exception] = []

    def __call__(self, prefix: str) -> str | None:
        try:
            if not checkpoint_exists(prefix):
                raise CheckpointNotFoundError(prefix, looked_for=[f"{prefix}.index", prefix])
            # What a program wants of it may be there all the same; a choice never falls on a part.
            if self.is_choice and (reason := why_not_whole(prefix)) is not None:
                raise DataLossError(reason)
            self.result = self._restored(prefix)
        except (DataLossError, CheckpointNotFoundError) as error:
            self.errors.append(error)
            return str(error)
        except OSError as error:
            if is_of_the_process(error):
                raise
            self.errors.append(error)
            return str(error)
        except Exception as error:
            # The nodes of a graph do not say what is wrong with a file as exactly as our reader.
            if not _is_of_the_runtime(error) or (reason := why_not(prefix)) is None:
                raise
            self.errors.append(error)
            return reason
        return None

    def _restored(self, prefix: str) -> _T:
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return self._restore(prefix)
            except CheckpointReplacedError:
                continue
        return self._restore(prefix)


def _is_of_the_runtime(error: Exception) -> bool:
    return _tensorflow.is_imported() and isinstance(error, _tensorflow.tf.errors.OpError)


def recorded_checkpoints(
    checkpoint_dir: file_io.PathLike, latest: LatestVerified, latest_filename: file_io.PathLike | None = None
) -> list[str]:
    """What a Saver goes on with: the checkpoints that the state file lists, the skipped ones as the oldest.

    The oldest is what is removed first, and a damaged one is not to stay in the place of one that is whole.
    """
    try:
        state = recorded_state(checkpoint_dir, latest_filename)
    except InvalidArgumentError:
        state = None
    listed = [] if state is None else list(state.all_model_checkpoint_paths)
    skipped = {prefix for prefix, _ in latest.skipped}
    others = [path for path in listed if path not in skipped and path != latest.prefix]
    newest = [latest.prefix] if latest.prefix is not None else []
    return [path for path in listed if path in skipped] + others + newest


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
    paths = recorded_checkpoints(directory, latest, latest_filename)
    # A message of TensorFlow's own class, which its code copies from.
    chosen = type(_tensorflow.tf.compat.v1.train.generate_checkpoint_state_proto("", "x"))()
    try:
        chosen.model_checkpoint_path = latest.prefix
        chosen.all_model_checkpoint_paths.extend(paths)
    except UnicodeEncodeError as error:
        text = InvalidArgumentError(f"{latest.prefix!r} is not UTF-8, as the text of a CheckpointState has to be")
        raise translate(text) from error
    return chosen


def _is_usable(path: str) -> bool:
    with contextlib.suppress(SaverError, OSError):
        # What names a directory names no checkpoint, unless there is one of its name.
        if checkpoint_exists(prefix_of_entry(path)):
            return (why_not(path) if _verifies.get() else why_not_whole(path)) is None
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
