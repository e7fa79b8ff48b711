"""orbax.checkpoint.StandardCheckpointer, until all is written; it saves in the background, and is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from benchmarks.contenders.file_contender import FileContender
from benchmarks.workloads import Array, Workload


class OrbaxFiles(FileContender):
    """A flat tree: one key for each tensor."""

    def __init__(self, workload: Workload, directory: Path) -> None:
        super().__init__(workload, directory)
        self._checkpointer = ocp.StandardCheckpointer()

    def write_files(self, arrays: dict[str, Array], directory: Path) -> None:
        self._checkpointer.save(directory / "model", arrays)
        self._checkpointer.wait_until_finished()

    def read_files(self, directory: Path) -> Mapping[str, Any]:
        return self._checkpointer.restore(directory / "model")

    def close(self) -> None:
        self._checkpointer.close()
