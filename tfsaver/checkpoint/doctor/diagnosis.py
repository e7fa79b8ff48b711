"""What a doctor says of a directory of checkpoints.

What is found is of two kinds: a problem is a checkpoint that is damaged, or what makes a program that asks for the latest
checkpoint get the wrong one, a damaged one, or none; a remark is what only takes space or may surprise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import dataclass, field
from typing import Any

from tfsaver.checkpoint.doctor.damage import Damage
from tfsaver.checkpoint.doctor.data_pairing import Mismatch
from tfsaver.checkpoint.doctor.directory_survey import DirectorySurvey, FoundCheckpoint
from tfsaver.checkpoint.doctor.state_survey import StateFile
from tfsaver.checkpoint.report import Report
from tfsaver.checkpoint.retention_file import LedgerPage


@dataclass
class Examined:
    """A checkpoint of the directory and what is known of it.

    Attributes:
        found: Its files.
        is_read: Whether all of its bytes were read.
        damage: What is wrong with it; of a checkpoint that was not read only what its files' names and its index say.
        num_tensors: How many tensors were read.
        error: Why it could not be read: it is for newer readers, or the system refuses.
        mismatch: Whose data files it has, where these are not its own.
    """

    found: FoundCheckpoint
    is_read: bool = False
    damage: list[Damage] = field(default_factory=list)
    num_tensors: int = 0
    error: Exception | None = None
    mismatch: Mismatch | None = None

    @property
    def is_sound(self) -> bool:
        """Whether every byte was read and is right."""
        return self.is_read and not self.damage

    @property
    def is_usable(self) -> bool:
        """Whether nothing is known that is wrong with it."""
        return not self.damage and self.error is None

    @property
    def state(self) -> str:
        """``sound``, ``damaged``, ``unreadable`` or ``not read``."""
        if self.damage:
            return "damaged"
        if self.error is not None:
            return "unreadable"
        return "sound" if self.is_read else "not read"

    def to_json(self) -> dict[str, Any]:
        """Returns every fact, in types that JSON has."""
        found = self.found
        return {
            "prefix": found.prefix,
            "format": found.version,
            "step": found.step,
            "time": found.time,
            "num_bytes": found.num_bytes,
            "meta_graph": found.meta_graph,
            "state": self.state,
            "num_tensors": self.num_tensors if self.is_read else None,
            "damage": [
                {
                    "message": damage.message,
                    "file": damage.path,
                    "offset": damage.offset,
                    "size": damage.size,
                    "tensors": list(damage.tensors),
                }
                for damage in self.damage
            ],
        }


@dataclass(frozen=True)
class Finding:
    """Something to say of a directory.

    Attributes:
        kind: A word for programs.
        where: The file or the checkpoint it is about.
        message: What it is.
        is_problem: Whether it is wrong, and not only worth knowing.
    """

    kind: str
    where: str
    message: str
    is_problem: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass
class Diagnosis(Report):
    """What a doctor says of a directory.

    Attributes:
        directory: The directory.
        survey: What lies in it.
        state: What its state file says.
        ledger: What its retention ledger says; None where there is none that can be read.
        checkpoints: Its checkpoints, oldest first.
        findings: What is wrong, and what is worth knowing.
        saved_model: The SavedModel whose variables these are, and which has no state file; None for other directories.
    """

    directory: str
    survey: DirectorySurvey
    state: StateFile
    ledger: LedgerPage | None = None
    checkpoints: list[Examined] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    saved_model: str | None = None

    @property
    def problems(self) -> list[Finding]:
        """What is wrong."""
        return [finding for finding in self.findings if finding.is_problem]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def newest_sound(self) -> Examined | None:
        """The newest checkpoint of which every byte was read and is right."""
        return next((each for each in reversed(self.checkpoints) if each.is_sound), None)

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line.

        Args:
            all_names: Makes no difference: every finding has a line.
        """
        newest = self.newest_sound
        yield (
            f"{self.directory or '.'}: {_count(self.checkpoints, 'checkpoint')}, {_count(self.problems, 'problem')}; "
            + (f"{newest.found.prefix} is the newest that is sound" if newest else "none is sound")
        )
        yield from (f"  {finding}" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""
        state, newest = self.state, self.newest_sound
        return {
            "ok": self.ok,
            "directory": self.directory,
            "state_file": state.path if state.is_there else None,
            "newest": state.newest and state.newest.text,
            "newest_sound": newest and newest.found.prefix,
            "checkpoints": [each.to_json() for each in self.checkpoints],
            "findings": [
                {"kind": each.kind, "where": each.where, "message": each.message, "is_problem": each.is_problem}
                for each in self.findings
            ],
            "pending": [
                {"prefix": prefix, **save._asdict(), "missing": save.missing} for prefix, save in self.survey.pending
            ],
        }


def _count(items: Sized, noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"
