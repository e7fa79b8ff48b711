"""Which of a Saver's checkpoints are kept.

    record   the checkpoint just written goes to the end of the list; when the list is longer than `max_to_keep`,
             its first becomes a candidate for removal
    sweep    one candidate is taken: kept for good if it was written after `next_checkpoint_time`, which then moves on by
             `keep_every_n_hours`; removed otherwise

Between the two the state file is written, so that at no moment it names a checkpoint that is gone. The rule is TensorFlow's
to the letter: strictly after, one candidate at a time, nothing recorded at all when `max_to_keep` is 0, and everything kept
when the hours are 0, since each candidate was then written after the Saver was made.

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
from typing import TypeAlias

from tfsaver import schemas
from tfsaver.checkpoint import checkpoint_management
from tfsaver.checkpoint.checkpoint_files import identifying_files
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME
from tfsaver.errors import SaverError
from tfsaver.lib import file_io

# What tells a file from another of the same name: the index's, or that of each of a V1 checkpoint's files.
Identity: TypeAlias = "tuple[tuple[int, int, int, int], ...]"

# Of what the Savers of this process have written and not removed. What one of them has written another one removes, as
# TensorFlow's do.
_written_here: set[Identity] = set()

_logger = logging.getLogger(__name__)


class Retention:
    """The checkpoints that a Saver has written and not removed.

    Attributes:
        max_to_keep: How many are kept; 0 for all, and none is recorded then.
        keep_every_n_hours: One in so many hours is kept for good.
        checkpoints: (path, seconds since the epoch), oldest first.
        candidates: The same, for those that the next sweeps decide about.
        next_checkpoint_time: A candidate written after this is kept.
    """

    def __init__(self, max_to_keep: int, keep_every_n_hours: float) -> None:
        self.max_to_keep = max_to_keep
        self.keep_every_n_hours = keep_every_n_hours
        self.checkpoints: list[tuple[str, float]] = []
        self.candidates: list[tuple[str, float]] = []
        self._written: dict[str, Identity] = {}
        self.start()

    def start(self) -> None:
        """Counts the hours from now on."""
        self.next_checkpoint_time = time.time() + self.keep_every_n_hours * 3600

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.checkpoints]

    def record(self, path: str) -> None:
        """Puts the newest checkpoint at the end; one that was there under the same path counts no more."""
        if not self.max_to_keep:
            return
        self.checkpoints[:] = [item for item in self.checkpoints if item[0] != path]
        self.checkpoints.append((path, time.time()))
        _written_here.discard(self._written.pop(path, ()))
        self._written[path] = _identity(path)
        _written_here.add(self._written[path])
        if len(self.checkpoints) > self.max_to_keep:
            self.candidates.append(self.checkpoints.pop(0))

    @contextlib.contextmanager
    def recording(
        self,
        path: str,
        *,
        latest_filename: str = STATE_FILE_NAME,
        metric: float | None = None,
        version: int = schemas.SaverDef.V2,
        meta_graph_suffix: str = "meta",
    ) -> Iterator[None]:
        """Records a checkpoint; forgets it again when the block fails. Only a policy asks for more than the path."""
        checkpoints, candidates = list(self.checkpoints), list(self.candidates)
        self.record(path)
        try:
            yield
        except BaseException:
            self.checkpoints[:], self.candidates[:] = checkpoints, candidates
            raise

    def sweep(self, version: int, meta_graph_suffix: str) -> None:
        """Removes a candidate, or keeps it. What cannot be removed is logged: the save has succeeded."""
        if not self.candidates:
            return
        path, written = self.candidates.pop(0)
        identity = self._written.pop(path, ())
        if written > self.next_checkpoint_time:
            self.next_checkpoint_time += self.keep_every_n_hours * 3600
            return
        is_ours = not identity or (_identity(path) or identity) in _written_here
        _written_here.discard(identity)
        if not is_ours:
            _logger.info("%s was written again by another process, and stays", path)
            return
        try:
            checkpoint_management.remove_checkpoint(path, version, meta_graph_suffix)
        except (SaverError, OSError) as error:
            _logger.warning("Ignoring: %s", error)

    def recover(self, paths: Iterable[str]) -> None:
        """Takes those of `paths` that are there for the Saver's own, at the times when they were written."""
        recovered = []
        for path in paths:
            recovered += [(path, mtime) for mtime in checkpoint_management.get_checkpoint_mtimes([path])]
        self.checkpoints = recovered


def _identity(path: str) -> Identity:
    """What tells a checkpoint from another of the same name; empty where that cannot be told, or none is there."""
    if file_io.is_remote(path):
        return ()
    try:
        found = [os.stat(each) for each in identifying_files(path)]
    except (SaverError, OSError):
        return ()
    return tuple((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) for status in found)
