"""A TensorFlow in a process of its own, asked about checkpoints through the script in guest/.

The process is started at the first question and serves every test after it. TensorFlow aborts where others raise: a
process that dies answers with GuestError, and the next question starts a new one.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

_SERVER = Path(__file__).with_name("guest") / "server.py"
_SECONDS_PER_ANSWER = 120  # not a measurement: what a hanging process may cost before it is killed


class GuestError(Exception):
    """What TensorFlow raised, or how its process ended."""


class GuestProcess:
    """Questions to one TensorFlow.

    Args:
        python: The interpreter that can import it.
        path: What it can import besides, for the one that has tfsaver too.
        log: Where its standard error goes; the end of it is quoted when the process dies.

    Attributes:
        python: See above.
    """

    def __init__(self, python: str, log: Path, path: str = "") -> None:
        self.python = python
        self._log = log
        self._path = path
        self._process: subprocess.Popen[str] | None = None
        self._about: dict[str, Any] | None = None

    @property
    def about(self) -> dict[str, Any]:
        """tensorflow, python: versions; dtypes, ref, resource: what it knows and what its variables can hold."""
        if self._about is None:
            self._about = self.ask("about")
        return self._about

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Calls the function of guest/verbs.py named `verb` in the other process."""
        if self._process is None:
            self._process = self._start()
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        watchdog = threading.Timer(_SECONDS_PER_ANSWER, process.kill)
        watchdog.start()
        try:
            process.stdin.write(json.dumps({"verb": verb, "arguments": arguments}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watchdog.cancel()
        if not line:
            self.close()
            raise GuestError(f"{verb}: the process ended with {process.returncode}\n{self._log.read_text()[-2000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise GuestError(f"{verb}: {answer['error']}")
        return answer["result"]

    def close(self) -> None:
        """Ends the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None and process.stdout is not None
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def _start(self) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", PYTHONDONTWRITEBYTECODE="1")
        environment.update(PYTHONPATH=self._path)
        with self._log.open("a") as log:
            return subprocess.Popen(
                [self.python, str(_SERVER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=self._log.parent,
            )
