"""torch.save and torch.load of a dict of tensors, as a state_dict is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.contenders.file_contender import FileContender
from benchmarks.workloads import Array


class TorchFiles(FileContender):
    def convert(self, arrays: dict[str, Array]) -> dict[str, Any]:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def write_files(self, arrays: dict[str, Any], directory: Path) -> None:
        torch.save(arrays, directory / "model.pt")

    def read_files(self, directory: Path) -> Mapping[str, Any]:
        return torch.load(directory / "model.pt", weights_only=True)
