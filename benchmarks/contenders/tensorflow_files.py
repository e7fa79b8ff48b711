"""TensorFlow's own operation that writes a checkpoint, and every tensor through its reader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from benchmarks.contenders.file_contender import FileContender
from benchmarks.workloads import Array


class TensorFlowFiles(FileContender):
    """V2 checkpoints without a session."""

    def convert(self, arrays: dict[str, Array]) -> dict[str, Any]:
        return {name: tf.constant(array) for name, array in arrays.items()}

    def write_files(self, arrays: dict[str, Any], directory: Path) -> None:
        tf.raw_ops.SaveV2(
            prefix=str(directory / "model"),
            tensor_names=list(arrays),
            shape_and_slices=[""] * len(arrays),
            tensors=list(arrays.values()),
        )

    def read_files(self, directory: Path) -> Mapping[str, Any]:
        reader = tf.train.load_checkpoint(str(directory / "model"))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
