"""tfsaver.Saver, told not to wait for the disk, as TensorFlow's does not.

    save_shards      two data files instead of one
    save_background  the time until `save(..., blocking=False)` returns: how long training stands still
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tfsaver
from benchmarks.contenders.contender import NotThereError, Work
from benchmarks.contenders.session_contender import SessionContender


class TfsaverSaver(SessionContender):
    def make_saver(self) -> Any:
        return tfsaver.Saver(self.variables, durable=False)

    @contextlib.contextmanager
    def save_shards(self) -> Iterator[Work]:
        if "num_data_shards" not in inspect.signature(tfsaver.Saver).parameters:
            raise NotThereError("this tfsaver.Saver has no num_data_shards")
        self._session_with_values()
        kept = self.saver
        with self._graph.as_default():
            self.saver = self._saver_of_shards
        try:
            with self.measured_save("save_shards", self._save) as work:
                yield work
        finally:
            self.saver = kept

    @property
    def _saver_of_shards(self) -> Any:
        if not hasattr(self, "_kept_saver_of_shards"):
            self._kept_saver_of_shards = tfsaver.Saver(self.variables, durable=False, num_data_shards=2)
        return self._kept_saver_of_shards

    @contextlib.contextmanager
    def save_background(self) -> Iterator[Work]:
        if "blocking" not in inspect.signature(tfsaver.Saver.save).parameters:
            raise NotThereError("this tfsaver.Saver.save has no blocking")
        self._session_with_values()
        session = self._session

        def save(directory: Path) -> Any:
            return self.saver.save(session, str(directory / "model"), write_meta_graph=False, blocking=False)

        with self.measured_save("save_background", save) as work:
            try:
                yield work
            finally:
                self.saver.wait()
