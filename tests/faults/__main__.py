"""Prints what was tried and what came of it, for all points: ``python -m tests.faults``.

    python -m tests.faults                 every point of every scenario; minutes
    python -m tests.faults --sample 10     some points of each
    python -m tests.faults --only V1       the scenarios with that in their names
    python -m tests.faults --table killed  one of the three tables
    python -m tests.faults --publish docs/evidence.md

Ends with status 1 where anything of tfsaver's was not as promised.
"""

from __future__ import annotations

import argparse
import queue
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.full_disk import SCENARIOS_ON_A_FULL_DISK
from tests.faults.scenarios import SCENARIOS
from tests.faults.sweep import Sweep
from tests.faults.worker import Worker

_BEGIN, _END = "<!-- python -m tests.faults -->", "<!-- end -->"
_THEIR_COLUMNS = ("TensorFlow's own: points", "readable")


class Workers:
    """So many pairs of workers, each asked one thing at a time."""

    def __init__(self, num: int, log: Path) -> None:
        self._free: queue.Queue[dict[str, Worker]] = queue.Queue()
        self._all = [{kind: Worker(kind, log) for kind in ("plain", "tensorflow")} for _ in range(num)]
        for pair in self._all:
            self._free.put(pair)

    def ask(self, needs_tensorflow: bool, function: str, **arguments: Any) -> Any:
        pair = self._free.get()
        try:
            return pair["tensorflow" if needs_tensorflow else "plain"].ask(function, **arguments)
        finally:
            self._free.put(pair)

    def close(self) -> None:
        for pair in self._all:
            for worker in pair.values():
                worker.close()


class Tables:
    """The three tables; what is not as promised is collected."""

    def __init__(self, workers: Workers, pool: ThreadPoolExecutor, names: list[str], limit: int | None) -> None:
        self._workers = workers
        self._pool = pool
        self._names = names
        self._limit = limit
        self.problems: list[str] = []

    def _each(self, function: Callable[[str], Any], names: list[str]) -> Iterator[tuple[str, Any]]:
        return zip(names, self._pool.map(function, names), strict=True)

    def _sweep(self, name: str, what: str, tensorflows: bool = False) -> Sweep:
        needs_tensorflow = SCENARIOS[name].needs_tensorflow or tensorflows
        answer = self._workers.ask(
            needs_tensorflow, "sweep", name=name, what=what, limit=self._limit, tensorflows=tensorflows
        )
        return Sweep(*answer)

    def _collect(self, what: str, name: str, problems: list[str]) -> None:
        self.problems += [f"{what}: {name}: {problem}" for problem in problems]

    def killed(self) -> None:
        header(
            "Killed at every call", "save", "calls", "points", "old or new readable", "next save cleans up", *_THEIR_COLUMNS
        )
        total = [0, 0, 0, 0, 0]

        def both(name: str) -> tuple[Sweep, Sweep | None]:
            has_twin = SCENARIOS[name].tensorflows is not None
            return self._sweep(name, "killed"), self._sweep(name, "killed", True) if has_twin else None

        for name, (ours, theirs) in self._each(both, self._names):
            others = (theirs.num_tried, theirs.num_readable) if theirs else ("", "")
            row(name, ours.num_calls, ours.num_tried, ours.num_readable, ours.num_good, *others)
            counts = (ours.num_tried, ours.num_readable, ours.num_good, *(others if theirs else (0, 0)))
            total = [sum(pair) for pair in zip(total, counts, strict=True)]
            self._collect("killed", name, ours.problems)
        row("all", "", *total)

    def refused(self) -> None:
        header("ENOSPC, EIO and short writes at every call", "save", "calls", "points", "as promised")
        total = [0, 0]
        for name, swept in self._each(lambda name: self._sweep(name, "refused"), self._names):
            row(name, swept.num_calls, swept.num_tried, swept.num_good)
            total = [total[0] + swept.num_tried, total[1] + swept.num_good]
            self._collect("refused", name, swept.problems)
        row("all", "", *total)

    def filled(self) -> None:
        def fill(name: str) -> dict[str, Any] | None:
            answer: dict[str, Any] | None = self._workers.ask(
                SCENARIOS[name].needs_tensorflow, "fill", name=name, limit=self._limit
            )
            return answer

        header("A full disk", "save", "sizes tried", "too small", "as promised")
        for name, filled in self._each(fill, [name for name in self._names if name in SCENARIOS_ON_A_FULL_DISK]):
            if filled is None:
                row(name, "nobody may mount here", "", "")
                continue
            row(name, filled["tried"], filled["failed"], "no" if filled["problems"] else "all")
            self.problems += [f"full disk: {name}: {problem}" for problem in filled["problems"]]


_printed: list[str] = []


def say(line: str) -> None:
    _printed.append(line)
    print(line, flush=True)


def header(title: str, *columns: str) -> None:
    for line in ("", f"### {title}", ""):
        say(line)
    row(*columns)
    say("|---" + "|---:" * (len(columns) - 1) + "|")


def row(*cells: Any) -> None:
    say(f"| {' | '.join(str(cell) for cell in cells)} |")


def publish(page: Path) -> None:
    """Puts what was printed between the two marks of a page."""
    before, begin, rest = page.read_text("utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        sys.exit(f"{page} has no place for tables: {_BEGIN} and {_END} on lines of their own")
    page.write_text("\n".join([before + begin, *_printed, "", end + after]), "utf-8")


@contextmanager
def _workers(num: int) -> Iterator[Workers]:
    with tempfile.TemporaryDirectory(prefix="faults-log-") as directory:
        workers = Workers(num, Path(directory) / "log.txt")
        try:
            yield workers
        finally:
            workers.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Stops saves everywhere and looks at what is left.")
    parser.add_argument("--sample", type=int, metavar="N", help="how many points of each scenario; all by default")
    parser.add_argument("--only", default="", metavar="TEXT", help="only scenarios that this pattern occurs in")
    parser.add_argument("--table", choices=["killed", "refused", "filled"], action="append", help="only this table")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    parser.add_argument("--publish", type=Path, metavar="PAGE", help="put the tables into a page")
    arguments = parser.parse_args()
    names = [name for name in SCENARIOS if re.search(arguments.only, name)]
    with _workers(arguments.jobs) as workers, ThreadPoolExecutor(arguments.jobs) as pool:
        tables = Tables(workers, pool, names, arguments.sample)
        for table in arguments.table or ["killed", "refused", "filled"]:
            getattr(tables, table)()
    if arguments.publish:
        publish(arguments.publish)
    for problem in tables.problems:
        print(f"\nNOT AS PROMISED: {problem}")
    print(f"\n{len(tables.problems)} points where something was not as promised")
    return 1 if tables.problems else 0


if __name__ == "__main__":
    sys.exit(main())
