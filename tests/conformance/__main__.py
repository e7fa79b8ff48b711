"""Runs all cells and prints the table: ``python -m tests.conformance``.

    python -m tests.conformance                  all cells, and the rules
    python -m tests.conformance --only v2-sliced the cells with that in their ids

Ends with status 1 where a cell is wrong that is not known to be, or a known fault is right.
"""

from __future__ import annotations

import argparse
import collections
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.conformance.cells import CELLS, Bench, Cell
from tests.conformance.expected import Reason
from tests.conformance.guests import MissingPackageError
from tests.conformance.known_faults import known_fault
from tests.conformance.routes import ROUTES
from tests.conformance.rules import RULES

RIGHT, KNOWN, WRONG, SKIPPED, SURPRISE = "ok", "x", "WRONG", "-", "RIGHT?"


class Results:
    """What came of every cell and rule."""

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}
        self.problems: list[str] = []

    def add(self, identifier: str, run: Callable[[], list[str]]) -> None:
        try:
            problems = run()
        except MissingPackageError:
            self.marks[identifier] = SKIPPED
            return
        except Exception as error:  # noqa: BLE001 - a cell that fails in any way is wrong, and the table goes on
            problems = [f"{type(error).__name__}: {error}"]
        is_known = known_fault(identifier) is not None
        if problems:
            self.marks[identifier] = KNOWN if is_known else WRONG
        else:
            self.marks[identifier] = SURPRISE if is_known else RIGHT
        if self.marks[identifier] is WRONG:
            self.problems += [f"{identifier}: {problem}" for problem in problems]
        if self.marks[identifier] is SURPRISE:
            self.problems.append(f"{identifier} is right; take it out of known_faults.py")


def table(marks: dict[str, str]) -> list[str]:
    """A row for each fault of each source, a column for each route; rows without a cell that ran are left out."""
    rows: dict[tuple[str, str], list[Cell]] = collections.defaultdict(list)
    for cell in CELLS:
        rows[cell.source.name, cell.fault.name].append(cell)
    lines = ["| source | fault | " + " | ".join(ROUTES) + " |", "|---|---|" + ":-:|" * len(ROUTES)]
    for names, cells in rows.items():
        if any(cell.id in marks for cell in cells):
            found = [cell.hole.letter if cell.hole is not None else marks.get(cell.id, "") for cell in cells]
            lines.append(f"| {' | '.join([*names, *found])} |")
    return lines


def summary(marks: dict[str, str], cells: list[Cell]) -> list[str]:
    """How many cells there are of each kind."""
    counts = collections.Counter(marks.values())
    holes = collections.Counter(cell.hole for cell in cells if cell.hole is not None)
    return [
        f"* right: {counts[RIGHT]}",
        f"* known faults (`{KNOWN}`): {counts[KNOWN]}",
        f"* wrong: {counts[WRONG]}; known faults that are right: {counts[SURPRISE]}",
        f"* without an optional package (`{SKIPPED}`): {counts[SKIPPED]}",
        *(f"* holes (`{reason.letter}`), {reason.value}: {holes[reason]}" for reason in Reason),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description="Prints what every route says of every fault.")
    parser.add_argument("--only", default="", metavar="PATTERN", help="only cells and rules in whose ids this occurs")
    arguments = parser.parse_args()
    results = Results()
    cells = [cell for cell in CELLS if re.search(arguments.only, cell.id)]
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        bench = Bench(Path(directory))
        for cell in cells:
            if cell.hole is None:
                results.add(cell.id, lambda cell=cell: bench.run(cell))  # type: ignore[misc]
        for name, rule in RULES.items():
            if re.search(arguments.only, name):
                place = bench.root / name
                place.mkdir()
                results.add(name, lambda rule=rule, place=place: rule(place) or [])  # type: ignore[misc]
    print("\n".join(table(results.marks)), "", sep="\n")
    print("\n".join(f"* rule {name}: {results.marks[name]}" for name in RULES if name in results.marks), "", sep="\n")
    print("\n".join(summary(results.marks, cells)))
    for problem in results.problems:
        print(f"\n{problem}")
    return 1 if results.problems else 0


if __name__ == "__main__":
    sys.exit(main())
