"""numpy.savez, and every array of the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders.file_contender import FileContender
from benchmarks.workloads import Array


class NumpyFiles(FileContender):
    def write_files(self, arrays: dict[str, Array], directory: Path) -> None:
        np.savez(directory / "model.npz", allow_pickle=False, **arrays)

    def read_files(self, directory: Path) -> Mapping[str, Any]:
        with np.load(directory / "model.npz") as file:
            return dict(file)
