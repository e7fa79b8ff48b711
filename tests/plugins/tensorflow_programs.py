"""Programs that need a TensorFlow of their own, each run in a fork of a process that has imported it.

A program costs what it does, and not the six seconds that TensorFlow takes to be imported. It starts as in a new
interpreter: the process it is forked from has imported TensorFlow and done nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

_SERVER = Path(__file__).with_name("fork_server.py")
_SECONDS = 300  # no measurement: what a hanging program may cost before it is killed


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a program ended: its exit status, or minus a signal's number, and what it printed."""

    status: int
    stdout: str
    stderr: str


class TensorFlowPrograms:
    """Runs programs with the TensorFlow of one interpreter.

    Args:
        python: The interpreter.
        folder: Where output goes until it is read.
    """

    def __init__(self, python: str, folder: Path) -> None:
        self._python = python
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def run(
        self,
        target: str | Path,
        arguments: Sequence[str] = (),
        *,
        cwd: str | Path,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
        paths: Sequence[str] = (),
    ) -> Ended:
        """Runs a program and waits for its end.

        Args:
            target: A script, or the name of a module.
            environment: What its environment has besides. What TensorFlow reads while it is imported has no effect.
            paths: Where it can import from besides.
        """
        process = self._process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        files = {name: self._folder / name for name in ("stdin", "stdout", "stderr")}
        files["stdin"].write_text(stdin)
        request = {
            "target": str(target),
            "arguments": list(arguments),
            "environment": dict(environment or {}),
            "paths": list(paths),
            "cwd": str(cwd),
            **{name: str(path) for name, path in files.items()},
        }
        watchdog = threading.Timer(_SECONDS, _kill, [process])
        watchdog.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watchdog.cancel()
        if not line:
            self.close()
            raise AssertionError(f"no answer from {target}: {(self._folder / 'server.txt').read_text()[-2000:]}")
        said = [files[name].read_text(errors="replace") for name in ("stdout", "stderr")]
        return Ended(json.loads(line)["status"], *said)

    def run_code(self, code: str, arguments: Sequence[str] = (), **options: Any) -> Ended:
        """Runs a program by its text, as `run` does; stops the test if it fails."""
        script = self._folder / "code.py"
        script.write_text(code)
        done = self.run(script, arguments, **options)
        assert done.status == 0, done.stderr[-4000:]
        return done

    def close(self) -> None:
        """Ends the process, if there is one, and the program that it runs."""
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", PYTHONDONTWRITEBYTECODE="1")
        # Libraries for linear algebra start threads when they are imported.
        environment.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
        with (self._folder / "server.txt").open("a") as log:
            return subprocess.Popen(
                [self._python, "-W", "ignore", str(_SERVER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=self._folder,
                start_new_session=True,
            )


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def tensorflow_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], TensorFlowPrograms]]:
    """The runner of programs by an interpreter's path; each is started when its first program runs."""
    made: dict[str, TensorFlowPrograms] = {}

    def get(python: str) -> TensorFlowPrograms:
        if python not in made:
            made[python] = TensorFlowPrograms(python, tmp_path_factory.mktemp("programs"))
        return made[python]

    yield get
    for programs in made.values():
        programs.close()
