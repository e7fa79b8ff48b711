"""What is wrong with a graph: a report, and one finding a thing."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias

from tfsaver.checkpoint.report import Report, count

Loader: TypeAlias = Literal["C++", "compat.v1", "tf.saved_model.load", "Keras", "TFLite", "tf2onnx"]
Verdict: TypeAlias = Literal["loads", "refuses", "cannot say"]

# The C++ loader of servers; what loads into a session; what makes objects; then what converts.
CPP: Loader = "C++"
V1: Loader = "compat.v1"
V2: Loader = "tf.saved_model.load"
LOADERS: tuple[Loader, ...] = (CPP, V1, V2, "Keras", "TFLite", "tf2onnx")
CONVERTERS: tuple[Loader, ...] = LOADERS[3:]

# What a person reads of a name, or of a sentence with names in it: one of a megabyte may stand in ten thousand sentences.
_MAX_NAME = 200
_MAX_SENTENCE = 1000


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
        refused_by: The loaders that refuse the model for it.
        unsure: The loaders that may refuse it.
    """

    code: str
    severity: Severity
    place: str
    sentence: str
    refused_by: tuple[Loader, ...] = ()
    unsure: tuple[Loader, ...] = ()

    def __str__(self) -> str:
        return f"{self.severity}: {self.place}: {self.sentence} [{self.code}]"


class LintReport(list[Finding], Report):
    """The findings, in the order of the graph.

    In a condition, the report is `ok`, whether or not there are warnings and notes.
    """

    @property
    def ok(self) -> bool:
        """Whether no finding is an error: the graph can be loaded and run."""
        return not any(finding.severity is Severity.ERROR for finding in self)

    @property
    def loaders(self) -> dict[Loader, Verdict]:
        """What each loader is expected to do; a converter that nothing speaks against may still refuse."""
        return verdicts(self)

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line.

        Args:
            all_names: Makes no difference: every finding has a line.
        """
        yield f"{'OK' if self.ok else 'not OK'}, {count(len(self), 'finding')}"
        yield from (f"  {finding}" for finding in self)

    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""
        findings = [{**dataclasses.asdict(finding), "severity": finding.severity.value} for finding in self]
        return {"ok": self.ok, "loaders": self.loaders, "findings": findings}


def verdicts(findings: Iterable[Finding]) -> dict[Loader, Verdict]:
    """What each loader is expected to do with a model that has these findings."""
    verdict: dict[Loader, Verdict] = {each: "cannot say" if each in CONVERTERS else "loads" for each in LOADERS}
    for finding in findings:
        for loader in finding.unsure:
            if verdict[loader] != "refuses":
                verdict[loader] = "cannot say"
        verdict.update(dict.fromkeys(finding.refused_by, "refuses"))
    return verdict


def error(
    code: str, place: str, sentence: str, refused_by: tuple[Loader, ...] = (), unsure: tuple[Loader, ...] = ()
) -> Finding:
    """A finding that keeps the graph from being loaded or run."""
    return Finding(code, Severity.ERROR, _shortened(place), _shortened(sentence), refused_by, unsure)


def warning(
    code: str, place: str, sentence: str, refused_by: tuple[Loader, ...] = (), unsure: tuple[Loader, ...] = ()
) -> Finding:
    """A finding that keeps some programs from it."""
    return Finding(code, Severity.WARNING, _shortened(place), _shortened(sentence), refused_by, unsure)


def note(
    code: str, place: str, sentence: str, refused_by: tuple[Loader, ...] = (), unsure: tuple[Loader, ...] = ()
) -> Finding:
    """A finding worth knowing."""
    return Finding(code, Severity.NOTE, _shortened(place), _shortened(sentence), refused_by, unsure)


def shown(name: object) -> str:
    """A name as it stands in a sentence: quoted, and not longer than anyone reads."""
    if isinstance(name, str) and len(name) > _MAX_NAME:
        return f"{name[:_MAX_NAME]!r}... of {len(name):,} characters"
    return repr(name)


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SENTENCE else f"{text[:_MAX_SENTENCE]}..."
