"""tfsaver.save_checkpoint, and every tensor through tfsaver's reader, with checksums both ways."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tfsaver
from benchmarks.contenders.file_contender import FileContender
from benchmarks.workloads import Array, Workload


class TfsaverFiles(FileContender):
    """V2 checkpoints, with one data file or several, in the system's hands or on the disk when a save is over."""

    def __init__(
        self, workload: Workload, directory: Path, *, num_shards: int = 1, is_durable: bool = False
    ) -> None:
        super().__init__(workload, directory)
        self._num_shards = num_shards
        self._is_durable = is_durable

    def write_files(self, arrays: dict[str, Array], directory: Path) -> None:
        tfsaver.save_checkpoint(arrays, directory / "model", num_shards=self._num_shards, durable=self._is_durable)

    def read_files(self, directory: Path) -> Mapping[str, Any]:
        with tfsaver.load_checkpoint(directory / "model") as reader:
            return reader.read_tensors()
