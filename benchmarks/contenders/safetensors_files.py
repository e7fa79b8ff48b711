"""safetensors.numpy: one file, no checksums."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from benchmarks.contenders.file_contender import FileContender
from benchmarks.workloads import Array


class SafetensorsFiles(FileContender):
    def write_files(self, arrays: dict[str, Array], directory: Path) -> None:
        save_file(arrays, directory / "model.safetensors")

    def read_files(self, directory: Path) -> Mapping[str, Any]:
        return load_file(directory / "model.safetensors")
