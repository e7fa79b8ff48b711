"""One save that goes wrong at one point: made in a process of its own, and what it leaves looked at.

    child    opens the directory, saves the old generations | waits -> saves the new one, the fault comes to pass
             if it lives: says how the save ended | waits, the fault is over -> saves once more if it failed
    here     follows it; looks at the directory after the save, and at the end of the process
    child 2  a program that starts later: saves the next generation
    here     looks at the directory again
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import tempfile
from typing import Any, NamedTuple

from tests.faults import reading
from tests.faults.processes import fork, in_child
from tests.faults.programs import Program
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.system_calls import REMOVE, SYNC
from tests.faults.tracer import Call, Fault, Kind, Tracer
from tfsaver.checkpoint.shard_placement import owner_of_directory
from tfsaver.errors import SaverError

# A name that no program uses: to unlink it is the child's way to say that the fault is over.
OVER = "the-fault-is-over"
_AFTER_THE_NEXT = "after the next save"

# What is stopped is a process and not the machine: no disk has to be waited for.
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

# Who reads with TensorFlow where this process has not imported it: a `Worker`, or nobody where it is not installed.
reader: Any = None


def read_with_tensorflow(name: str, directory: str) -> dict[str, Any]:
    """The generation that TensorFlow finds in the directory of a scenario: `found`, or the `error`."""
    if reading.tf is None:
        answer: dict[str, Any] = reader.ask("read", name=name, directory=directory)
        return answer
    try:
        return {"found": SCENARIOS[name].reader.tensorflows(directory)}
    except Exception as error:  # noqa: BLE001 - a finding
        return {"error": f"{type(error).__name__}: {error}"}


def has_tensorflow() -> bool:
    """Whether there is someone who can."""
    return reading.tf is not None or reader is not None


def is_declared(error: Exception) -> bool:
    """Whether a save may raise such an error when the system refuses something."""
    is_tensorflows = reading.tf is not None and isinstance(error, reading.tf.errors.OpError)
    return is_tensorflows or isinstance(error, (OSError, SaverError))


class Trial(NamedTuple):
    """What became of one save.

    Attributes:
        calls: The calls of interest that it made.
        hit: Whether the fault came to pass.
        readable: Whether old or new values are there for both readers, in whole, and nothing else is listed.
        problems: Everything that is not as promised; `readable` is one part of it.
        killed: Whether it was killed.
    """

    calls: list[Call]
    hit: bool
    readable: bool
    problems: list[str]
    killed: bool


def run_trial(scenario: Scenario, program: Program, fault: Fault | None, *, goes_on: bool = True) -> Trial:
    """Saves with a fault in a new directory, and looks at what is there.

    Args:
        scenario: What is saved over what.
        program: Its program, which was not opened yet, or TensorFlow's in its place.
        fault: What goes wrong; None for nothing.
        goes_on: Whether it is looked at with our reader too, and the program and the next one are to save again without
            leftovers. Without it this is only about what TensorFlow's reader finds.
    """
    base = tempfile.mkdtemp(prefix="faults-", dir=IN_MEMORY)
    try:
        return _Trial(scenario, program, fault, os.path.join(os.path.realpath(base), "run"), goes_on).run()
    finally:
        shutil.rmtree(base)


class _Trial:
    def __init__(self, scenario: Scenario, program: Program, fault: Fault | None, directory: str, goes_on: bool) -> None:
        self._scenario = scenario
        self._program = program
        self._fault = fault
        self._directory = directory
        self._goes_on = goes_on
        self._problems: list[str] = []
        self._readable = True
        self._tracer: Tracer | None = None
        self._answers_pipe = -1
        self._has_failed = False
        # Directories that hold what names of a checkpoint lead to: the next save's to remove.
        self._waits: set[str] = set()

    def run(self) -> Trial:
        os.mkdir(self._directory)
        ready, is_ready = os.pipe()
        goes, go = os.pipe()
        self._answers_pipe, answers = os.pipe()
        process = fork(lambda: self._save(is_ready, goes, answers))
        for descriptor in (is_ready, goes, answers):
            os.close(descriptor)
        try:
            if not os.read(ready, 1):
                _, status = os.waitpid(process, 0)
                raise RuntimeError(f"{self._scenario.name}: the saves before ended with status {status}; see above")
            over = os.path.join(self._directory, OVER)
            self._tracer = Tracer(process, self._directory, self._fault, over=over, when_over=self._after_save)
            trace = self._tracer.follow(go)
        finally:
            for descriptor in (ready, go, self._answers_pipe):
                os.close(descriptor)
        killed = os.WIFSIGNALED(trace.status) and os.WTERMSIG(trace.status) == signal.SIGKILL
        if killed:
            self._look("after it was killed", {self._scenario.before - 1, self._scenario.before})
        elif trace.status:
            self._problems.append(f"the process that saved again ended with status {trace.status}")
        elif self._goes_on and self._has_failed:
            self._look("after it saved again", {self._scenario.before}, counts=False)
            if not self._is_at(REMOVE):
                self._look_for_leftovers("after it saved again")
        if self._goes_on and (killed or self._fault is None or self._is_at(REMOVE) or self._waits):
            self._save_next()
        return Trial(trace.calls, trace.hit, self._readable, self._problems, killed)

    # ---- in the child ----

    def _save(self, is_ready: int, goes: int, answers: int) -> None:
        self._program.open(self._directory)
        for generation in range(self._scenario.before):
            self._program.save(generation)
        os.write(is_ready, b"r")
        os.read(goes, 1)
        error = self._error_of_save()
        os.write(answers, json.dumps(error).encode() + b"\n")
        try:
            os.unlink(os.path.join(self._directory, OVER))
        except FileNotFoundError:
            pass
        if error is not None and self._goes_on and self._read_with_tfsaver().get("found") != self._scenario.before:
            self._program.save(self._scenario.before)

    def _error_of_save(self) -> dict[str, Any] | None:
        try:
            self._program.save(self._scenario.before)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            return {"text": f"{type(error).__name__}: {error}", "is_declared": is_declared(error)}
        return None

    def _save_next_generation(self) -> None:
        self._program.open(self._directory)
        self._program.save(self._scenario.before + 1)

    # ---- here ----

    def _after_save(self) -> None:
        """While the child waits: the save has ended, well or with an error."""
        answer = json.loads(os.read(self._answers_pipe, 1 << 16))
        self._has_failed = answer is not None
        new = self._scenario.before
        if answer is None:
            self._look("after it saved", {new})
        else:
            if not answer["is_declared"]:
                self._problems.append(f"an error that is none of those declared: {answer['text']}")
            self._look(f"after {answer['text']}", {new - 1, new})
        if self._goes_on and not self._is_at(REMOVE):
            self._look_for_leftovers("after it failed" if answer else "after it saved")

    def _is_at(self, names: frozenset[str]) -> bool:
        """Whether the fault is at one of these calls."""
        assert self._tracer is not None
        fault, calls = self._fault, self._tracer.calls
        return fault is not None and fault.at < len(calls) and calls[fault.at].name in names

    def _save_next(self) -> None:
        try:
            in_child(self._save_next_generation)
        except Exception as error:  # noqa: BLE001 - a finding
            self._problems.append(f"the next save failed: {error}")
            return
        self._look(_AFTER_THE_NEXT, {self._scenario.before + 1}, counts=False)
        self._look_for_leftovers(_AFTER_THE_NEXT)

    def _look(self, when: str, allowed: set[int], *, counts: bool = True) -> None:
        """Reads the directory with both readers."""
        problems = []
        expected = {None if generation < 0 else generation for generation in allowed}
        readers = {"tfsaver": self._read_with_tfsaver} if self._goes_on else {}
        if has_tensorflow():
            readers["TensorFlow"] = lambda: read_with_tensorflow(self._scenario.name, self._directory)
        for name, read in readers.items():
            answer = read()
            if "error" in answer:
                problems.append(f"{when}, {name} reads nothing: {answer['error']}")
            elif answer["found"] not in expected:
                problems.append(f"{when}, {name} reads generation {answer['found']}, not one of {expected}")
        try:
            if self._goes_on:
                self._scenario.reader.listed(self._directory)
        except Exception as error:  # noqa: BLE001 - a finding
            problems.append(f"{when}, something that is listed is not whole: {type(error).__name__}: {error}")
        if counts and problems:
            self._readable = False
        self._problems += problems

    def _read_with_tfsaver(self) -> dict[str, Any]:
        try:
            return {"found": self._scenario.reader.ours(self._directory)}
        except Exception as error:  # noqa: BLE001 - a finding
            return {"error": f"{type(error).__name__}: {error}"}

    def _look_for_leftovers(self, when: str) -> None:
        left = self._scenario.reader.unexplained(self._directory)
        if self._is_at(REMOVE) and self._fault is not None and self._fault.kind is Kind.FAIL and self._tracer is not None:
            # What a removal that was refused was about: nobody can know that it was to go.
            left = [name for name in left if name != self._tracer.calls[self._fault.at].path]
        if when != _AFTER_THE_NEXT:
            self._waits.update(filter(self._may_wait, left))
            left = [name for name in left if name not in self._waits]
        if left:
            self._problems.append(f"{when} there is left: {', '.join(left)}")

    def _may_wait(self, name: str) -> bool:
        """Whether names lead into a directory, or may after a power cut, because the system refused to change or sync them."""
        if self._fault is None or self._fault.kind is not Kind.FAIL or owner_of_directory(name) is None:
            return False
        links = [path for path in pathlib.Path(self._directory).iterdir() if path.is_symlink()]
        return self._is_at(SYNC) or any(os.readlink(path).startswith(f"{name}/") for path in links)
