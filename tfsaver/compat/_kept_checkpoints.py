"""The checkpoints that a Saver keeps: the half of it that needs no variables and no graph.

    save    files of a checkpoint, then here: the list of those that are kept -> the state file -> what is not kept goes

A save may go on in a thread meanwhile: whoever asks for the list or changes it waits until that has ended, and hears of it
if it failed. The list is TensorFlow's, by `max_to_keep` and the hours, or that of a retention policy, which survives a
restart. A Saver is one of these; the names of the methods are those of TensorFlow's Saver.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tfsaver.checkpoint.retention import Retention as Policy
from tfsaver.compat._background import BackgroundSaves
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat._history import CountedHistory, History, LedgerHistory
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io
from tfsaver.lib.fork_safe_lock import ForkSafeLock


class KeptCheckpoints:
    """A list of checkpoints, oldest first, and the state file that says what is in it.

    Args:
        max_to_keep: How many checkpoints are kept; 0 for all.
        keep_every_n_hours: One in so many hours is kept for good; 0 keeps every one.
        policy: What says it in the place of both.
        durable: Whether the state file is on the disk before anything is removed.
    """

    def __init__(self, max_to_keep: int, keep_every_n_hours: float, policy: Policy | None, durable: bool) -> None:
        self._durable = durable
        # A supervisor saves from a thread of its own.
        self._lock = ForkSafeLock(reentrant=True)
        self._background = BackgroundSaves()
        self._history: History = CountedHistory(max_to_keep, keep_every_n_hours)
        if policy is not None:
            self._history = LedgerHistory(policy, durable=durable)

    def wait(self) -> None:
        """Waits until the save that goes on in the background, if any, has ended.

        Raises:
            Exception: It failed, or one did before that nobody has heard of: the error that ``blocking=True`` would have
                raised. Its cause is the error of the thread.
        """
        self._background.wait()

    @property
    def last_checkpoints(self) -> list[str]:
        """The checkpoints that were not removed yet, oldest first; what `recover_last_checkpoints` takes."""
        self.wait()
        return [path for path, _ in self._history.checkpoints]

    def set_last_checkpoints(self, last_checkpoints: list[str]) -> None:
        """Deprecated: use `set_last_checkpoints_with_time`. Checkpoints set here are never removed."""
        if not isinstance(last_checkpoints, list):
            raise AssertionError(f"last_checkpoints must be a list, not {type(last_checkpoints).__name__}")
        self.set_last_checkpoints_with_time([(path, np.inf) for path in last_checkpoints])

    def set_last_checkpoints_with_time(self, last_checkpoints_with_time: list[tuple[str, float]]) -> None:
        """Replaces the list of checkpoints by pairs of a path and seconds since the epoch, oldest first."""
        if not isinstance(last_checkpoints_with_time, list):
            raise AssertionError(f"last_checkpoints must be a list, not {type(last_checkpoints_with_time).__name__}")
        with self._lock:
            self.wait()
            self._history.checkpoints = last_checkpoints_with_time

    def recover_last_checkpoints(self, checkpoint_paths: Iterable[str]) -> None:
        """Replaces the list of checkpoints after a restart by those of `checkpoint_paths` that are there."""
        with self._lock:
            self.wait()
            self._history.recover(checkpoint_paths)

    def pin(self, save_path: file_io.PathLike) -> None:
        """Keeps a checkpoint for good, or until `unpin`, whatever the retention policy says.

        Raises:
            InvalidArgumentError: The Saver has no policy.
            tf.errors.NotFoundError: There is no such checkpoint.
        """
        ledgers = self._ledgers("pin()")
        with tensorflow_errors(), self._lock:
            self.wait()
            ledgers.pin(save_path)

    def unpin(self, save_path: file_io.PathLike) -> None:
        """Leaves a checkpoint to the retention policy again; raises as `pin`."""
        ledgers = self._ledgers("unpin()")
        with tensorflow_errors(), self._lock:
            self.wait()
            ledgers.unpin(save_path)

    # TensorFlow keeps these on the Saver itself, where some programs look.
    @property
    def _last_checkpoints(self) -> list[tuple[str, float]]:
        self.wait()
        return self._history.checkpoints

    @property
    def _checkpoints_to_be_deleted(self) -> list[tuple[str, float]]:
        self.wait()
        return self._history.candidates

    @property
    def _next_checkpoint_time(self) -> float:
        return self._history.next_checkpoint_time

    def _ledgers(self, what: str) -> LedgerHistory:
        if not isinstance(self._history, LedgerHistory):
            raise InvalidArgumentError(f"{what} is for a Saver with a retention policy: Saver(retention=Retention(...))")
        return self._history

    def _checked_metric(self, metric: Any) -> float | None:
        """A metric as a number; what is not one shows before anything is written."""
        if metric is None:
            return None
        self._ledgers("metric=")
        try:
            return float(metric)
        except (TypeError, ValueError):
            raise InvalidArgumentError(f"metric={metric!r}: a metric is a number") from None
