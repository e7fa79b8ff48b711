"""Runs the routes in a process that has no file descriptors left: ``python -m tests.conformance.starved FOLDER``.

A descriptor that cannot be had is the process's trouble and says nothing of a checkpoint. Each cell is run once in peace and
then with no descriptor to spare, with one, and with some more; the results are printed as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import tfsaver
from tests.conformance.verdicts import Verdict

if TYPE_CHECKING:
    from tests.conformance.cells import Bench, Cell

# Operations that open several files get to the last of them only with more descriptors.
_SPARE = (0, 1, 3)
# These have to name the limit.
_REFUSALS = {Verdict.SYSTEM, Verdict.REFUSED}


def run(root: Path, *, is_quick: bool) -> dict[str, list[str]]:
    """What is wrong with each of the cells."""
    folder = root / f"starved-{os.getpid()}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance.starved", str(folder), *(["--quick"] if is_quick else [])],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextlib.contextmanager
def spare(number: int) -> Iterator[None]:
    """So many descriptors more may be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(number):
            os.close(taken.pop())
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def problems(cell: Cell, bench: Bench) -> list[str]:
    """What is wrong with a cell, in sentences."""
    from tests.conformance.expected import expected, judge
    from tests.conformance.routes import Subject, keeps_reader

    found = []
    for number in _SPARE:
        place = bench.place()
        bench.templates.copy(cell.source, place / "run")
        subject = Subject(cell.source, place / "run", place / "results")
        with contextlib.ExitStack() as stack:
            if number == _SPARE[0]:
                # In peace, which also imports what the route needs.
                verdicts, words = judge(lambda subject=subject: cell.route.run(subject), cell.source)  # type: ignore[misc]
                if Verdict.OLD not in verdicts:
                    return [f"before the fault: {words}"]
                bench.templates.copy(cell.source, place / "run")
            if number == _SPARE[-1] and keeps_reader(cell.route):
                subject.reader = stack.enter_context(tfsaver.load_checkpoint(subject.path))
            stack.enter_context(spare(number))
            verdicts, words = judge(lambda subject=subject: cell.route.run(subject), cell.source)  # type: ignore[misc]
        if not verdicts & expected(*cell, again=subject.reader is not None):
            found.append(f"{number} to spare: {'/'.join(each.name for each in verdicts)}: {words[:300]}")
        elif verdicts & _REFUSALS and "Too many open files" not in words and "ulimit" not in words:
            found.append(f"{number} to spare: the limit is not spoken of: {words[:300]}")
    return found


def main(root: str, *, is_quick: bool) -> None:
    from tests.conformance.cells import CELLS, Bench
    from tests.conformance.guests import MissingPackageError

    bench = Bench(Path(root))
    found = {}
    for cell in CELLS:
        if cell.fault.is_starved and cell.hole is None and (cell.is_quick or not is_quick):
            with contextlib.suppress(MissingPackageError):
                found[cell.id] = problems(cell, bench)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], is_quick="--quick" in sys.argv)
