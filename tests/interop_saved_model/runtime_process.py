"""A runtime of SavedModels in a process of its own, asked through a module of guest/."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.interop.guest_process import GuestProcess

_GUEST = Path(__file__).with_name("guest")


class RuntimeProcess(GuestProcess):
    """Questions to one runtime; the process is started at the first, and again after one that it did not survive.

    Args:
        python: The interpreter that can import it.
        module: The module of guest/ that holds the verbs.
        log: Where its standard error goes.
        environment: What its environment has besides.
    """

    def __init__(self, python: str, module: str, log: Path, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(python, log)
        self._module = module
        self._environment = environment or {}

    def _start(self) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", PYTHONDONTWRITEBYTECODE="1")
        environment.update(self._environment)
        with self._log.open("a") as log:
            return subprocess.Popen(
                [self.python, str(_GUEST / "server.py"), self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=self._log.parent,
            )
