"""The checkpoints that a Saver keeps, and the state file that lists them.

    enter      the checkpoint just written goes to the end of the list -> the state file -> what is not kept goes

Between the list and the removal the state file is written, so that at no moment it names a checkpoint that is gone. What is
kept is said by one of two histories:

    CountedHistory    the last `max_to_keep`, and one in so many hours: TensorFlow's rule, to the letter. What leaves the
                      list becomes a candidate, of which each save takes one: it is kept for good if it was written after
                      `next_checkpoint_time`, which then moves on, and removed otherwise. Nothing is recorded when
                      `max_to_keep` is 0, and everything is kept when the hours are 0.
    LedgerHistory     what a `tfsaver.checkpoint.retention` policy keeps. What it remembers is in the directory, in a ledger
                      next to each state file: a Saver that was just made knows what an earlier run has saved.

A checkpoint that is pinned in the ledger of any state file of its directory is never removed.

Several processes may save to one directory, each with a list of its own. So nothing is removed that another one has written
again since under the same name. Whoever sweeps holds the lock of the directory, as whoever gives a checkpoint its name does.
The lists are not locked here: a Saver holds its lock while it saves.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeAlias

from tfsaver.checkpoint import checkpoint_management
from tfsaver.checkpoint.checkpoint_files import identifying_files
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME
from tfsaver.checkpoint.retention import Retention
from tfsaver.checkpoint.retention_ledger import RetentionLedger, ledgers_in, pinned_in
from tfsaver.compat._errors import writing
from tfsaver.compat._options import SaveOptions
from tfsaver.compat._paths import is_listable
from tfsaver.errors import InvalidArgumentError, SaverError
from tfsaver.lib import file_io
from tfsaver.lib.directory_lock import directory_lock

# What tells a file from another of the same name: the index's, or that of each of a V1 checkpoint's files.
Identity: TypeAlias = "tuple[tuple[int, int, int, int], ...]"

# Of what the Savers of this process have written and not removed. What one of them has written another one removes, as
# TensorFlow's do.
_written_here: set[Identity] = set()

_logger = logging.getLogger(__name__)


class History(Protocol):
    """A list of checkpoints, and the rule by which they are removed.

    Attributes:
        checkpoints: (path, seconds since the epoch), oldest first.
        candidates: The same, for those that the next sweeps decide about.
        next_checkpoint_time: A candidate written after this is kept.
    """

    checkpoints: list[tuple[str, float]]
    candidates: list[tuple[str, float]]
    next_checkpoint_time: float

    def start(self, max_to_keep: int, keep_every_n_hours: float) -> None:
        """Counts from now on, by these numbers."""

    def recording(self, path: str, options: SaveOptions) -> contextlib.AbstractContextManager[None]:
        """Records a checkpoint; in the block `checkpoints` are what the state file must list. Undone when that fails."""

    def sweep(self, options: SaveOptions) -> None:
        """Removes what is not kept. What cannot be removed is logged: the save has succeeded."""

    def recover(self, paths: Iterable[str]) -> None:
        """Takes those of `paths` that are there for the Saver's own, at the times when they were written."""


def enter(history: History, written: str, directory: str, options: SaveOptions) -> None:
    """Enters a checkpoint that was written into a history and its state file, and removes what is not kept.

    Args:
        history: The checkpoints.
        written: What finds the checkpoint again.
        directory: Where the state file is; empty for the working directory.
        options: How it was saved.
    """
    place = file_io.as_path(directory) if directory else ""
    # What another process writes there comes before all of this or after it: no state file names what is gone.
    with writing(file_io.join(place, options.latest_filename)), directory_lock(place):
        with history.recording(written, options):
            checkpoint_management.update_checkpoint_state(
                directory,
                written,
                [path for path, _ in history.checkpoints if is_listable(path, directory)],
                options.latest_filename,
                save_relative_paths=options.save_relative_paths,
                durable=options.durable,
            )
        history.sweep(options)


class CountedHistory:
    """The checkpoints that a Saver has written and not removed: the last ones, and one in so many hours.

    Args:
        max_to_keep: How many are kept; 0 for all, and none is recorded then.
        keep_every_n_hours: One in so many hours is kept for good.

    Attributes: See `History`.
    """

    def __init__(self, max_to_keep: int, keep_every_n_hours: float) -> None:
        self.checkpoints: list[tuple[str, float]] = []
        self.candidates: list[tuple[str, float]] = []
        self._written: dict[str, Identity] = {}
        self.start(max_to_keep, keep_every_n_hours)

    def start(self, max_to_keep: int, keep_every_n_hours: float) -> None:
        self._max_to_keep = max_to_keep
        self._keep_every_n_hours = keep_every_n_hours
        self.next_checkpoint_time = time.time() + keep_every_n_hours * 3600

    @contextlib.contextmanager
    def recording(self, path: str, options: SaveOptions) -> Iterator[None]:
        checkpoints, candidates = list(self.checkpoints), list(self.candidates)
        self._record(path)
        try:
            yield
        except BaseException:
            self.checkpoints[:], self.candidates[:] = checkpoints, candidates
            raise

    def _record(self, path: str) -> None:
        """Puts the newest checkpoint at the end; one that was there under the same path counts no more."""
        if not self._max_to_keep:
            return
        self.checkpoints[:] = [item for item in self.checkpoints if item[0] != path]
        self.checkpoints.append((path, time.time()))
        _written_here.discard(self._written.pop(path, ()))
        self._written[path] = _identity(path)
        _written_here.add(self._written[path])
        if len(self.checkpoints) > self._max_to_keep:
            self.candidates.append(self.checkpoints.pop(0))

    def sweep(self, options: SaveOptions) -> None:
        if not self.candidates:
            return
        path, written = self.candidates.pop(0)
        identity = self._written.pop(path, ())
        if written > self.next_checkpoint_time:
            self.next_checkpoint_time += self._keep_every_n_hours * 3600
            return
        is_ours = not identity or (_identity(path) or identity) in _written_here
        _written_here.discard(identity)
        directory, name = file_io.split(path)
        try:
            if not is_ours:
                _logger.info("%s was written again by another process, and stays", path)
            elif name in pinned_in(directory):
                _logger.info("%s is pinned, and stays", path)
            else:
                checkpoint_management.remove_checkpoint(path, options.version, options.meta_graph_suffix)
        except (SaverError, OSError) as error:
            _logger.warning("Ignoring: %s", error)

    def recover(self, paths: Iterable[str]) -> None:
        self.checkpoints = _that_are_there(paths)


class LedgerHistory:
    """The checkpoints that a policy keeps, as the ledger of the state file that records them says.

    Args:
        policy: What is kept.
        durable: Whether the ledgers wait for the disk.

    Attributes: See `History`.
        removed: What the last sweep has removed.

    Raises:
        InvalidArgumentError: `policy` is not a policy.
    """

    def __init__(self, policy: Retention, *, durable: bool = True) -> None:
        if not isinstance(policy, Retention):
            raise InvalidArgumentError(f"retention must be a tfsaver.checkpoint.retention.Retention, not {policy!r}")
        self.checkpoints: list[tuple[str, float]] = []
        self.candidates: list[tuple[str, float]] = []
        self.next_checkpoint_time = time.time()
        self.removed: list[str] = []
        self._policy = policy
        self._durable = durable
        self._ledgers: dict[tuple[str, str], RetentionLedger] = {}
        self._latest: RetentionLedger | None = None
        self._recovered: list[str] = []

    def start(self, max_to_keep: int, keep_every_n_hours: float) -> None:
        """Numbers say nothing here."""

    @contextlib.contextmanager
    def recording(self, path: str, options: SaveOptions) -> Iterator[None]:
        """See `History`. The checkpoint is there already, so that its entry in the ledger stays when the block fails."""
        ledger = self._ledger(path, options.latest_filename)
        checkpoints = ledger.record(
            path, metric=options.metric, version=options.version, meta_graph_suffix=options.meta_graph_suffix
        )
        before, self.checkpoints = self.checkpoints, checkpoints
        self._latest = ledger
        try:
            yield
        except BaseException:
            self.checkpoints = before
            raise

    def sweep(self, options: SaveOptions) -> None:
        if self._latest is not None:
            self.removed = self._latest.sweep()

    def recover(self, paths: Iterable[str]) -> None:
        """See `History`; the Saver goes on with their series."""
        self.checkpoints = _that_are_there(paths)
        self._recovered = [path for path, _ in self.checkpoints]

    def pin(self, path: file_io.PathLike) -> None:
        """Keeps a checkpoint until `unpin`, whatever the policy says, by the ledger that records it.

        Raises:
            CheckpointNotFoundError: There is no such checkpoint.
        """
        recorded, _ = self._state_files(path)
        self._ledger(path, next(iter(recorded), STATE_FILE_NAME)).pin(path)

    def unpin(self, path: file_io.PathLike) -> None:
        """Leaves a checkpoint to the policy again, whichever ledger pins it.

        Raises:
            CheckpointNotFoundError: There is no such checkpoint.
        """
        recorded, pinned = self._state_files(path)
        for latest_filename in pinned or recorded or [STATE_FILE_NAME]:
            self._ledger(path, latest_filename).unpin(path)

    def _state_files(self, path: file_io.PathLike) -> tuple[list[str], list[str]]:
        """The names of the state files whose ledgers record a checkpoint, and of those whose ledgers pin it."""
        directory, name = file_io.split(file_io.as_path(path))
        recorded, pinned = [], []
        for latest_filename, page in ledgers_in(directory):
            for entry in page.entries:
                if entry.name == name:
                    recorded.append(latest_filename)
                    pinned += [latest_filename] * entry.is_pinned
        return recorded, pinned

    def _ledger(self, path: file_io.PathLike, latest_filename: str) -> RetentionLedger:
        directory = file_io.split(file_io.as_path(path))[0]
        place = (directory, latest_filename)
        if place not in self._ledgers:
            ledger = RetentionLedger(directory, self._policy, latest_filename, durable=self._durable)
            ledger.adopt(self._recovered)
            self._ledgers[place] = ledger
        return self._ledgers[place]


def _that_are_there(paths: Iterable[str]) -> list[tuple[str, float]]:
    return [(path, mtime) for path in paths for mtime in checkpoint_management.get_checkpoint_mtimes([path])]


def _identity(path: str) -> Identity:
    """What tells a checkpoint from another of the same name; empty where that cannot be told, or none is there."""
    if file_io.is_remote(path):
        return ()
    try:
        found = [os.stat(each) for each in identifying_files(path)]
    except (SaverError, OSError):
        return ()
    return tuple((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) for status in found)
