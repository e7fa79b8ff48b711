"""Workers, and the rounds in which they take their steps.

    round 0   A  B  C     prepares everything, and checks the results; not counted
    round 1   A  B  C     one time for each
    round 2   A  B  C     ...

One step runs at a time. Each contender has one process for a group of steps, so that neither's memory nor threads are the
other's; a session stays alive there over the rounds.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import places
from benchmarks.kept_memory import KeptMemory
from benchmarks.plan import Group, Step
from benchmarks.workloads import Workload

ROOT = Path(__file__).resolve().parents[1]

# Beside the workload's copies: what programs have for themselves.
_PROGRAMS_SIZE = 2 << 30
# Far more than any step takes: a program that hangs must not hold up the others for ever.
_TIMEOUT = 300.0


class Worker:
    """A process with one contender.

    Args:
        contender: Its name.
        workload: What it works on.
        directory: Where its files go.
    """

    def __init__(self, contender: str, workload: Workload, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._contender = contender
        self._log = directory / "stderr"
        environment = {
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(ROOT),
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )
        told = {**vars(workload), "contender": contender, "directory": str(directory)}
        self._write(told)
        self._failure: dict[str, Any] | None = None
        self._is_ready = False

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What it answers; what it said when it could not start, if it could not."""
        if not self._is_ready and self._failure is None:
            self._is_ready = True
            started = self._read()
            self._failure = None if started.get("ready") else started
        if self._failure is not None:
            return self._failure
        self._write(request)
        answer = self._read()
        if self._process.poll() is not None:
            self._failure = answer
        return answer

    def close(self) -> None:
        """Ends the process, politely at first."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _write(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        timer = threading.Timer(_TIMEOUT, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            status = self._process.wait()
            words = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
            return {"error": f"{self._contender} ended with {status}{': ' + words[-1] if words else ''}"}
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def working(group: Group, steps: Sequence[Step], workload: Workload, directory: Path) -> Iterator[dict[str, Worker]]:
    """A worker for each contender of some steps, started together; they end, and their files go, with the block."""
    with places.emptied(directory), contextlib.ExitStack() as stack:
        workers = {}
        for name in dict.fromkeys(step.contender for step in steps):
            workers[name] = Worker(name, workload, directory / name.replace(", ", "-").replace(" ", "-"))
            stack.callback(workers[name].close)
        yield workers


def run_rounds(
    group: Group, workload: Workload, num_rounds: int, directory: Path, kept: KeptMemory
) -> dict[Step, list[dict[str, Any]]]:
    """The answers of each step in each counted round; of one that failed or cannot be done, the one that says so."""
    answers: dict[Step, list[dict[str, Any]]] = {step: [] for step in group.steps}
    failed: dict[Step, dict[str, Any]] = {}
    kept.leave(group.num_copies * workload.size + _PROGRAMS_SIZE)
    with working(group, group.steps, workload, directory) as workers:
        for number in range(num_rounds + 1):
            for step in group.steps:
                if step in failed:
                    continue
                with kept.released():
                    answer = workers[step.contender].ask({"step": step.name, "measure": "seconds"})
                if "seconds" not in answer:
                    failed[step] = answer
                elif number > 0:
                    answers[step].append(answer)
    return answers | {step: [answer] for step, answer in failed.items()}


def run_once_each(group: Group, workload: Workload, directory: Path) -> dict[Step, list[dict[str, Any]]]:
    """The peak memory of each step, in a process that has done nothing else."""
    answers = {}
    for step in group.steps:
        with working(group, [step], workload, directory) as workers:
            if step.name.startswith("restore"):
                # By another process, whose memory this one must not inherit.
                maker = Worker(step.contender, workload, directory / "maker")
                said = maker.ask({"source": True})
                maker.close()
                if "ready" not in said:
                    answers[step] = [said]
                    continue
            answers[step] = [workers[step.contender].ask({"step": step.name, "measure": "memory"})]
    return answers
