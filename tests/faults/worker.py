"""A process that makes sweeps: it has imported everything, has one thread, and forks for each trial.

    tests            Worker("plain")          saves that need no TensorFlow: forks cost little
      |                 `- Worker("tensorflow")  reads for it
      `------------- Worker("tensorflow")     Savers, and what TensorFlow writes itself

Started as ``python -m tests.faults.worker``; `Worker` is the other end. A line of JSON asks, a line answers.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
# No measurement: what a process that hangs may cost.
_SECONDS = 900
# How long a thread that has been joined may still be listed.
_SECONDS_TO_END = 2
_PR_SET_PDEATHSIG = 1


class WorkerDiedError(Exception):
    """The process ended without an answer."""


class Worker:
    """The process, started at the first question.

    Args:
        kind: ``plain``, or ``tensorflow`` for one that has imported it; ``alone`` is a plain one that has nobody to read
            with TensorFlow.
        log: Where its standard error goes; where this one's goes when None.
    """

    def __init__(self, kind: str, log: Path | None = None) -> None:
        self._kind = kind
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def ask(self, function: str, **arguments: Any) -> Any:
        """The answer to one question.

        Raises:
            WorkerDiedError: There is none.
        """
        process = self._process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        line = ""
        try:
            process.stdin.write(json.dumps([function, arguments]) + "\n")
            process.stdin.flush()
            # One question, one answer: nothing of it has been read before.
            if select.select([process.stdout], [], [], _SECONDS)[0]:
                line = process.stdout.readline()
        except BrokenPipeError:
            pass
        if not line:
            self.close()
            said = self._log.read_text(errors="replace")[-4000:] if self._log else ""
            raise WorkerDiedError(f"{function} {arguments}: {said}")
        return json.loads(line)

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        # Libraries for linear algebra start threads when they are imported.
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONDONTWRITEBYTECODE": "1"}
        log = None if self._log is None else self._log.open("a")
        try:
            return subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.faults.worker", self._kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **one_thread, **quiet},
                cwd=_ROOT,
            )
        finally:
            if log is not None:
                log.close()


def _threads() -> list[str]:
    """The names of this process' threads but for the first."""
    names = []
    for thread in os.listdir("/proc/self/task"):
        if int(thread) != os.getpid():
            # It may end between the two calls.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                names.append(Path(f"/proc/self/task/{thread}/comm").read_text().strip())
    return names


def _threads_left() -> list[str]:
    """The names of the threads that are still there after a while.

    The kernel wakes whoever joins a thread before it takes the thread out of /proc.
    """
    deadline = time.monotonic() + _SECONDS_TO_END
    while (threads := _threads()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return threads


def _serve(kind: str) -> None:
    # Here, and not above: only this process needs it all.
    import tfsaver
    from tests.faults import full_disk, reading, sweep, trials

    # Whoever asked may be stopped in the middle of a sweep.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for name in tfsaver.__all__:
        getattr(tfsaver, name)
    importlib.import_module("tfsaver.verbs.convert")
    if kind == "tensorflow":
        reading.import_tensorflow()
    elif kind == "plain" and importlib.util.find_spec("tensorflow") is not None:
        trials.reader = Worker("tensorflow")
    logging.disable(logging.WARNING)
    # What is there now is never let go of, and a child that does not look at it does not copy it.
    gc.collect()
    gc.freeze()
    gc.disable()
    functions = {"sweep": sweep.sweep, "calls": sweep.calls, "fill": full_disk.fill, "read": trials.read_with_tensorflow}
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        function, arguments = json.loads(line)
        answer = functions[function](**arguments)
        if threads := _threads_left():
            raise RuntimeError(f"{function} {arguments} has left {threads}, and a fork would have half of them")
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
