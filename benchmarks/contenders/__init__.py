"""The programs that are measured, one file each; `CONTENDERS` has them by name.

A class is imported by the worker that needs it, and by nothing else: some of these programs take seconds to import, and
some may not be installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.contenders.contender import Contender
from benchmarks.workloads import Workload

# Name -> module, class, and what it is made with beyond the workload.
CONTENDERS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "tfsaver": ("tfsaver_files", "TfsaverFiles", {}),
    "tfsaver, two files": ("tfsaver_files", "TfsaverFiles", {"num_shards": 2}),
    "tfsaver, durable": ("tfsaver_files", "TfsaverFiles", {"is_durable": True}),
    "tensorflow": ("tensorflow_files", "TensorFlowFiles", {}),
    "safetensors": ("safetensors_files", "SafetensorsFiles", {}),
    "torch": ("torch_files", "TorchFiles", {}),
    "numpy": ("numpy_files", "NumpyFiles", {}),
    "orbax": ("orbax_files", "OrbaxFiles", {}),
    "tfsaver, index": ("indexes", "TfsaverIndex", {}),
    "tensorflow, index": ("indexes", "TensorFlowIndex", {}),
    "limit": ("limits", "Limits", {}),
    "tfsaver.Saver": ("tfsaver_saver", "TfsaverSaver", {}),
    "tf.train.Saver": ("tensorflow_saver", "TensorFlowSaver", {}),
    "tfsaver.Saver, RefVariables": ("tfsaver_saver", "TfsaverSaver", {"use_resource": False}),
    "tf.train.Saver, RefVariables": ("tensorflow_saver", "TensorFlowSaver", {"use_resource": False}),
}


def make_contender(name: str, workload: Workload, directory: Path) -> Contender:
    """A contender, ready to take steps.

    Raises:
        ImportError: The program is not installed.
    """
    module, kind, options = CONTENDERS[name]
    contender: Contender = getattr(importlib.import_module(f"benchmarks.contenders.{module}"), kind)(
        workload, directory, **options
    )
    return contender
