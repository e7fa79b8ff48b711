"""Tries mutants in copies of a project: which tests execute a line, and whether one of them fails with the change."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tests.mutation.mutants import Mutant

_COPIED = ("tfsaver", "tests", "setup.cfg", "pyproject.toml")
_UNWANTED = shutil.ignore_patterns("__pycache__", ".*")


class Project(NamedTuple):
    """Where the sources are, and which folder of tests is to notice changes in which folder of sources."""

    root: pathlib.Path
    # Of sources, and of the tests of these.
    folders: Mapping[str, str]
    copied: tuple[str, ...] = _COPIED
    # Recordings, which files of a changed content do not use; None keeps none.
    cache: pathlib.Path | None = None

    def tests_of(self, file: str) -> str:
        """The folder of the tests of a source file."""
        return next(tests for sources, tests in self.folders.items() if file.startswith(sources + "/"))

    def sources(self, folder: str) -> list[str]:
        return self._files(folder, "*.py")

    def test_files(self, folder: str) -> list[str]:
        return self._files(folder, "test_*.py")

    def _files(self, folder: str, pattern: str) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in (self.root / folder).rglob(pattern))


class Outcome(NamedTuple):
    """What became of a mutant."""

    # The test that fails; None if none does.
    caught_by: str | None
    # How many tests execute the line.
    tests: int


class Worker:
    """A copy of the project, and the process that runs tests in it."""

    def __init__(self, project: Project, place: pathlib.Path) -> None:
        self.folder = place
        self._mutants = 0
        for name in project.copied:
            source = project.root / name
            if source.is_dir():
                shutil.copytree(source, place / name, ignore=_UNWANTED)
            elif source.exists():
                shutil.copy2(source, place / name)
        environment = {
            **os.environ,
            "PYTHONPATH": str(place),
            "PYTHONHASHSEED": "0",
            "PYTHONPYCACHEPREFIX": str(place / "bytecode"),
            "TFSAVER_CASES": os.environ.get("TFSAVER_CASES", str(project.root.parent / "shared" / "cases")),
        }
        worker = pathlib.Path(__file__).with_name("worker.py")
        self._process = subprocess.Popen(
            [sys.executable, worker, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    @contextlib.contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """The copy has the mutant."""
        path = self.folder / mutant.file
        status = path.stat()
        path.write_text(mutant.mutated, "utf-8")
        # Bytecode is taken for that of a source of the same time and size, so no two mutants have the same time.
        self._mutants += 1
        os.utime(path, (status.st_mtime, int(status.st_mtime) + 1_000_000 + self._mutants))
        try:
            yield
        finally:
            path.write_text(mutant.source, "utf-8")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Recording:
    """Which tests of a folder execute which lines."""

    def __init__(self, project: Project, sources: str) -> None:
        self.seconds: dict[str, float] = {}
        self._project = project
        self._sources = project.sources(sources)
        self._tests = project.test_files(project.folders[sources])
        self._modules = [source[:-3].replace("/", ".").removesuffix(".__init__") for source in self._sources]
        self._imported: dict[str, set[int]] = {}
        self._by_line: dict[tuple[str, int], set[str]] = collections.defaultdict(set)
        self._by_file: dict[str, set[str]] = collections.defaultdict(set)

    def record(self, worker: Worker, progress: Callable[[str], None]) -> None:
        """Runs every test once, but those of files that were recorded with the same sources."""
        base = self._hash_of_all_but_tests(worker.folder)
        imported = self._cached(f"{base}imports", functools.partial(worker.ask, do="imports", modules=self._modules))
        self._imported = {file: set(lines) for file, lines in imported.items()}
        for file in self._tests:
            key = base + file + (worker.folder / file).read_text("utf-8")
            progress(file)
            self._add(self._cached(key, functools.partial(worker.ask, do="record", file=file, modules=self._modules)))

    def _hash_of_all_but_tests(self, folder: pathlib.Path) -> str:
        digest = hashlib.sha256()
        for path in sorted(folder.rglob("*.py")):
            file = path.relative_to(folder).as_posix()
            if not path.name.startswith("test_") and not file.startswith("tests/mutation/"):
                digest.update(f"{file}\0{path.read_text('utf-8')}\0".encode())
        digest.update(pathlib.Path(__file__).with_name("worker.py").read_bytes())
        return f"{digest.hexdigest()} {' '.join(self._modules)} "

    def _cached(self, key: str, make: Callable[[], Any]) -> Any:
        if self._project.cache is None:
            return make()
        path = self._project.cache / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
        if path.exists():
            return json.loads(path.read_text("utf-8"))
        made = make()
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(made), "utf-8")
        return made

    def _add(self, tests: dict[str, Any]) -> None:
        for test, (seconds, files) in tests.items():
            self.seconds[test] = seconds
            for file, lines in files.items():
                self._by_file[file].add(test)
                for line in lines:
                    self._by_line[file, line].add(test)

    def tests_of(self, mutant: Mutant) -> set[str]:
        """The tests that execute the statement; of one that only imports execute, those that execute any of its file."""
        tests: set[str] = set().union(*(self._by_line[mutant.file, line] for line in mutant.lines))
        if not tests and self._imported.get(mutant.file, set()).intersection(mutant.lines):
            tests = self._by_file[mutant.file] or set(self.seconds)
        return tests


def _mirrors(test_file: str, mutant: Mutant) -> bool:
    return pathlib.Path(mutant.file).stem in pathlib.Path(test_file).stem


def _by_file(tests: Iterable[str], recording: Recording) -> dict[str, dict[str, float]]:
    files: dict[str, dict[str, float]] = collections.defaultdict(dict)
    for test in sorted(tests):
        files[test.partition("::")[0]][test] = recording.seconds[test]
    return files


class Trials:
    """Tries mutants, several at once if there are several workers."""

    def __init__(self, project: Project, *, jobs: int = 1, slowest: float = 1.0) -> None:
        self._project = project
        self._slowest = slowest
        self._jobs = jobs
        self._place = tempfile.TemporaryDirectory(prefix="mutants-")
        self._workers: queue.Queue[Worker] = queue.Queue()
        self._recordings: dict[str, Recording] = {}
        self._all = [Worker(project, pathlib.Path(self._place.name) / str(job)) for job in range(jobs)]
        for worker in self._all:
            self._workers.put(worker)

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._all:
            worker.close()
        self._place.cleanup()

    def record(self, sources: Iterable[str], progress: Callable[[str], None]) -> None:
        """Records the tests of these folders of sources."""
        for folder in sources:
            self._recordings[folder] = Recording(self._project, folder)
            self._recordings[folder].record(self._all[0], progress)

    def run(self, mutants: Iterable[Mutant]) -> Iterator[Outcome]:
        """What becomes of each mutant, in their order."""
        with concurrent.futures.ThreadPoolExecutor(self._jobs) as pool:
            yield from pool.map(self._try, mutants)

    def _recording_of(self, file: str) -> Recording:
        return next(recording for folder, recording in self._recordings.items() if file.startswith(folder + "/"))

    def _try(self, mutant: Mutant) -> Outcome:
        recording = self._recording_of(mutant.file)
        tests = recording.tests_of(mutant)
        fast = (test for test in tests if recording.seconds[test] <= self._slowest or _mirrors(test.partition("::")[0], mutant))
        files = _by_file(fast, recording)
        worker = self._workers.get()
        try:
            with worker.mutated(mutant):
                for file in sorted(files, key=lambda file: (not _mirrors(file, mutant), sum(files[file].values()))):
                    failed = worker.ask(do="try", file=file, tests=files[file], first=True)
                    if failed:
                        return Outcome(failed[0], len(tests))
        finally:
            self._workers.put(worker)
        return Outcome(None, len(tests))

    def false_alarms(self, tests: Iterable[str]) -> list[str]:
        """Those of the tests that fail without any change."""
        seconds = {test: time for recording in self._recordings.values() for test, time in recording.seconds.items()}
        files: dict[str, dict[str, float]] = collections.defaultdict(dict)
        for test in sorted(tests):
            name = test.partition(" (")[0] if test.endswith(")") else test
            if name in seconds:
                files[name.partition("::")[0]][name] = seconds[name]
        answers = (self._all[0].ask(do="try", file=file, tests=chosen, first=False) for file, chosen in files.items())
        return [failed for answer in answers for failed in answer]
