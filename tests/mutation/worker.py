"""Runs tests in children of a process that has imported what is slow to import.

    python worker.py <folder>

The folder is a copy of the project, and the only place that modules come from besides the installed ones. Requests come in
lines of JSON, and so do the answers:

    {"do": "imports", "modules": [...]}                      the lines that importing the modules executes
    {"do": "record", "file": ..., "modules": [...]}          {test: [seconds, {source file: [line, ...]}]} of the tests that pass
    {"do": "try", "file": ..., "tests": {test: seconds}, "first": true}    the tests that fail, or the first one

This file imports nothing of the project: tests of a mutant must not find the checkout.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from types import CodeType, FrameType
from typing import Any

# Programs whose import takes seconds: a test that needs one skips.
_LEFT_OUT = ("tensorflow", "torch", "keras", "jax", "orbax", "safetensors", "h5py")
# A mutant may allocate or write without end.
_MAX_BYTES = 16 << 30
# A test that takes longer than this, and than so many times what it took when it was recorded, hangs.
_LIMIT = 20.0
_LIMIT_FACTOR = 10.0


class _Tracer:
    """Collects the lines that are executed of files in a folder, by file."""

    def __init__(self, folder: str, *, functions_only: bool) -> None:
        self.lines: dict[str, set[int]] = {}
        self._folder = folder.rstrip("/") + "/"
        self._names: dict[CodeType, str | None] = {}
        self._functions_only = functions_only

    def _name_of(self, code: CodeType) -> str | None:
        is_function = bool(code.co_flags & 1)  # CO_OPTIMIZED: the bodies of modules and classes lack it
        if code.co_filename.startswith(self._folder) and (is_function or not self._functions_only):
            return code.co_filename[len(self._folder) :]
        return None

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        code = frame.f_code
        if code not in self._names:
            self._names[code] = self._name_of(code)
        return None if self._names[code] is None else self._line

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self.lines.setdefault(self._names[frame.f_code] or "", set()).add(frame.f_lineno)
        return self._line

    def start(self) -> None:
        threading.settrace(self)
        sys.settrace(self)

    def stop(self) -> dict[str, list[int]]:
        sys.settrace(None)
        threading.settrace(None)
        taken, self.lines = self.lines, {}
        return {file: sorted(lines) for file, lines in sorted(taken.items())}


def _hypothesis_profile() -> None:
    """The same examples every time, and none from a run before."""
    import hypothesis

    hypothesis.settings.register_profile("mutation", database=None, derandomize=True, deadline=None)
    hypothesis.settings.load_profile("mutation")


class _Recording:
    """A pytest plugin: which lines each test executes, and how long it takes."""

    def __init__(self, tracer: _Tracer) -> None:
        self.tests: dict[str, Any] = {}
        self._tracer = tracer
        self._started = 0.0
        self._passed: dict[str, bool] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._started = time.perf_counter()
        self._tracer.start()

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._passed[report.nodeid] = self._passed.get(report.nodeid, True) and report.outcome == "passed"

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        lines = self._tracer.stop()
        if self._passed.get(nodeid):
            self.tests[nodeid] = [round(time.perf_counter() - self._started, 3), lines]


class _Trial:
    """A pytest plugin: runs the chosen tests, the fastest ones first, each with a limit of time."""

    def __init__(self, tests: dict[str, float], progress: str) -> None:
        self.failed: list[str] = []
        self._tests = tests
        self._progress = progress

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self._tests), key=lambda item: self._tests[item.nodeid])

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(f"collecting {report.nodeid}")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        with open(self._progress, "w", encoding="utf-8") as file:
            file.write(nodeid)
        signal.setitimer(signal.ITIMER_REAL, max(_LIMIT, _LIMIT_FACTOR * self._tests[nodeid]))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_runtest_logfinish(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _pytest(file: str, plugin: object, place: str, *options: str) -> int:
    import pytest

    _hypothesis_profile()
    arguments = [file, "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", "--import-mode=importlib", *options]
    return int(pytest.main([*arguments, "-W", "ignore::pytest.PytestAssertRewriteWarning", f"--basetemp={place}/tmp"], [plugin]))


def _imports(request: dict[str, Any], place: str) -> Any:
    tracer = _Tracer(os.getcwd(), functions_only=False)
    tracer.start()
    for module in request["modules"]:
        importlib.import_module(module)
    return tracer.stop()


def _record(request: dict[str, Any], place: str) -> Any:
    for module in request["modules"]:  # what only importing executes is no test's
        importlib.import_module(module)
    recording = _Recording(_Tracer(os.getcwd(), functions_only=True))
    _pytest(request["file"], recording, place)
    return recording.tests


def _try(request: dict[str, Any], place: str) -> Any:
    trial = _Trial(request["tests"], f"{place}/progress")
    code = _pytest(request["file"], trial, place, *(["--exitfirst"] if request["first"] else []))
    if not trial.failed and code not in (0, 5):
        trial.failed.append(f"pytest's exit code {code}")
    return trial.failed


def _child(request: dict[str, Any], place: str) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (_MAX_BYTES, _MAX_BYTES))
    answer = {"imports": _imports, "record": _record, "try": _try}[request["do"]](request, place)
    with open(f"{place}/answer", "w", encoding="utf-8") as file:
        json.dump(answer, file)


def _answer(request: dict[str, Any]) -> Any:
    """What a child answers; of one that ended otherwise, the test that it was at."""
    place = tempfile.mkdtemp()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _child(request, place)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what the tests started and left
    try:
        if status == 0:
            with open(f"{place}/answer", encoding="utf-8") as file:
                return json.load(file)
        reason = "hangs" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM else "ends the process"
        try:
            with open(f"{place}/progress", encoding="utf-8") as file:
                return [f"{file.read()} ({reason})"]
        except FileNotFoundError:
            return [f"{request['file']} ({reason})"]
    finally:
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    folder = sys.argv[1]
    os.chdir(folder)
    sys.path[0] = folder
    for name in _LEFT_OUT:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in ("pytest", "hypothesis", "numpy", "ml_dtypes", "google.protobuf", "fsspec"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
