"""One cell of the table: a source, read by a route, with a fault."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import tfsaver
from tests.conformance import starved
from tests.conformance.expected import Expected, Reason, expected, hole, judge
from tests.conformance.faults import CONTENTS, FAULTS, Fault, Scene, Templates, empty
from tests.conformance.guests import guest
from tests.conformance.routes import ROUTES, Route, Subject, keeps_reader
from tests.conformance.sources import SOURCES, Kind, Source
from tests.conformance.verdicts import Verdict


class Cell(NamedTuple):
    """A cell of the table."""

    source: Source
    route: Route
    fault: Fault

    @property
    def id(self) -> str:
        return f"{self.source.name}-{self.route.name}-{self.fault.name}"

    @property
    def hole(self) -> Reason | None:
        """Why it cannot exist; None where it does."""
        return hole(*self)

    @property
    def is_quick(self) -> bool:
        """Whether every run of the tests has it, and not only a run of all."""
        return not self.source.is_variant or self.fault.name in _OF_VARIANTS


# What is tried with sources whose files are like those of others.
_OF_VARIANTS = ("none", "flipped-value", "flipped-string", "replaced")

CELLS = [Cell(*rows) for rows in itertools.product(SOURCES.values(), ROUTES.values(), FAULTS.values())]


class Bench:
    """Where cells are run, one after the other.

    Args:
        root: A directory for it alone.
        is_quick: Whether it runs quick cells alone.
    """

    def __init__(self, root: Path, *, is_quick: bool = False) -> None:
        self._is_quick = is_quick
        self.root = root
        self.templates = Templates(root / "templates")
        self._starved: dict[str, list[str]] | None = None

    def place(self) -> Path:
        """An empty directory, the same for one cell after the other, with empty ones for what it reads and writes."""
        for name in ("run", "results", "outside"):
            empty(self.root / "place" / name)
        return self.root / "place"

    def run(self, cell: Cell) -> list[str]:
        """Runs a cell.

        Returns:
            What is wrong, in sentences; nothing in a cell that is right.

        Raises:
            MissingPackageError: It needs a package that is not installed.
        """
        for package in filter(None, (cell.source.needs, cell.route.needs)):
            guest(package)
        if cell.fault.is_starved:
            if self._starved is None:
                self._starved = starved.run(self.root, is_quick=self._is_quick)
            return self._starved[cell.id]
        return list(_run(cell, self.place(), self.templates))


def _run(cell: Cell, place: Path, templates: Templates) -> Iterator[str]:
    source, route, fault = cell
    subject = Subject(source, place / "run", place / "results", trusted=fault.trusted, location="." if fault.is_by_state else "")
    if source.kind is Kind.MEMORY:
        subject.made = source.write(place, CONTENTS["old"])
    else:
        templates.copy(source, subject.directory)
    scene = Scene(source, subject.directory, templates)
    with contextlib.ExitStack() as stack:
        is_open = fault.again is not None and keeps_reader(route) and source.kind in (Kind.V1, Kind.V2)
        if is_open:
            subject.reader = stack.enter_context(tfsaver.load_checkpoint(subject.path, trusted=fault.trusted))
        yield from _problem("before the fault", cell, subject, frozenset({Verdict.OLD}))
        if route.moves_files:
            # The good run took the files.
            templates.copy(source, subject.directory)
        if source.kind is Kind.MEMORY and fault.is_cast:
            subject.made = source.write(place, CONTENTS["lossy"])
        else:
            context = fault.inject(scene)
            if isinstance(context, AbstractContextManager):
                stack.enter_context(context)
        if is_open:
            yield from _problem("the open reader", cell, subject, expected(*cell, again=True))
            subject.reader = None
        yield from _problem("a new reader", cell, subject, expected(*cell, again=False), casts=fault.is_cast)


def _problem(phase: str, cell: Cell, subject: Subject, wanted: Expected, *, casts: bool = False) -> Iterator[str]:
    run = cell.route.casts if casts else cell.route.run
    assert run is not None
    found, words = judge(lambda: run(subject), cell.source)
    if not found & wanted:
        names = [" or ".join(sorted(verdict.name for verdict in verdicts)) for verdicts in (found, wanted)]
        yield f"{phase}: {names[0]}, not {names[1]}: {words[:400]}"
