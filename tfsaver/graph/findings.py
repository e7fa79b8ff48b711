"""What is wrong with a graph, one finding a thing."""

from __future__ import annotations

import dataclasses
import enum


class Severity(str, enum.Enum):
    """How bad it is: an error keeps the graph from being loaded or run; a warning, some programs; a note, none."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    def __str__(self) -> str:
        return self.value


@dataclasses.dataclass(frozen=True)
class Finding:
    """A finding.

    Attributes:
        code: A short name for its kind, for programs: `dangling-input`.
        severity: How bad it is.
        place: The node, signature, variable, collection or asset; in a function, `function/node`.
        sentence: What is wrong, and what it means, where that is not plain.
    """

    code: str
    severity: Severity
    place: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.place}: {self.sentence} [{self.code}]"


def error(code: str, place: str, sentence: str) -> Finding:
    """A finding that keeps the graph from being loaded or run."""
    return Finding(code, Severity.ERROR, place, sentence)


def warning(code: str, place: str, sentence: str) -> Finding:
    """A finding that keeps some programs from it."""
    return Finding(code, Severity.WARNING, place, sentence)


def note(code: str, place: str, sentence: str) -> Finding:
    """A finding worth knowing."""
    return Finding(code, Severity.NOTE, place, sentence)
