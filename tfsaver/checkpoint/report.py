"""What every report has: a verdict, a text for people and a document for programs.

    WriteReport       what an edit, a conversion, a split or a salvage wrote       `write_report`
    MatchReport       which tensor of a checkpoint is for which variable           `match_report`
    DiffReport        what two checkpoints differ in                               `editing.diff`
    VerifyReport      what is damaged in a checkpoint                              `verify`
    Diagnosis         what is wrong in a directory of checkpoints                  `doctor`
    LintReport        what keeps a graph from being loaded or run                  `graph.lint`
    RiskReport        what a graph can do to the machine that runs it              `graph.op_risks`
    SelectionReport   which tensors a selection keeps                              `selection`

A report in a condition is its `ok`, so that ``assert tfsaver.verify(path)`` means what it says. That of `diff` changes its
meaning in the next release, and warns.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator
from typing import Any

from tfsaver.lib import html_tables

_ITEMS_IN_TEXT = 4


class Report(abc.ABC):
    """The result of an operation on checkpoints.

    Attributes:
        notes: What else the caller should know, in sentences.
    """

    notes: tuple[str, ...] = ()

    @property
    @abc.abstractmethod
    def ok(self) -> bool:
        """Whether everything that was asked for is there and sound."""

    def __bool__(self) -> bool:
        return self.ok

    @abc.abstractmethod
    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line.

        Args:
            all_names: Whether to name every tensor, not only what is wrong and the first few of each kind.
        """

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_tables.lines(self.lines())

    def __str__(self) -> str:
        return "\n".join(self.lines())


def count(number: int, noun: str) -> str:
    """Returns ``1 tensor``, ``5,001 tensors``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def indented(items: list[str], *, all_items: bool) -> Iterator[str]:
    """Yields items one a line: all of them, or the first few and how many more there are."""
    shown = items if all_items or len(items) <= _ITEMS_IN_TEXT + 1 else items[:_ITEMS_IN_TEXT]
    yield from (f"    {item}" for item in shown)
    if len(shown) < len(items):
        yield f"    and {len(items) - len(shown):,} more"


def json_number(value: float | None) -> float | str | None:
    """Returns a number for JSON, which has no infinities and no NaN: these become text, as in protobuf's JSON."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
