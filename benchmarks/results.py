"""From the answers of all rounds to what is told: medians of ratios, one ratio for each round, and speeds.

A ratio is taken between two steps of the same round, which met the same machine; the median of these is what counts. The
ratio of two medians would compare what may have happened minutes apart. The lowest and the highest show how far to trust it.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.plan import Group, Row, Step
from benchmarks.workloads import Workload

_PROGRAMS = ("tfsaver", "tensorflow", "safetensors", "torch", "orbax-checkpoint", "numpy", "crc32c", "protobuf")

Answers = Mapping[Step, Sequence[Mapping[str, Any]]]


@dataclasses.dataclass(frozen=True)
class RowResult:
    """What a row shows.

    Args:
        work: What is done.
        data: On what, in words.
        place: `memory` or `disk`.
        unit: `times`, or `MiB` of memory.
        value: The median; None when it could not be measured.
        low: The lowest of all rounds.
        high: The highest.
        target: What it should be at least, or at most for memory; None for a row that is there to be looked at.
        reason: Why it could not be measured.
    """

    work: str
    data: str
    place: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    target: float | None
    reason: str | None = None

    @property
    def is_reached(self) -> bool | None:
        """Whether the target is; None without one, or without a value."""
        if self.value is None or self.target is None:
            return None
        return self.value <= self.target if self.unit == "MiB" else self.value >= self.target


@dataclasses.dataclass(frozen=True)
class Speed:
    """How long a step took.

    Args:
        step: Which.
        data: On what, in words.
        place: `memory` or `disk`.
        seconds: The median.
        gigabytes_per_second: What that makes of the workload's bytes.
        samples: The seconds of each round.
    """

    step: str
    data: str
    place: str
    seconds: float
    gigabytes_per_second: float
    samples: list[float]


def row_results(group: Group, workload: Workload, answers: Answers) -> list[RowResult]:
    """What the rows of a group show."""
    return [_row_result(group, workload, row, answers) for row in group.rows]


def speeds(group: Group, workload: Workload, answers: Answers) -> list[Speed]:
    """How long each step of a group took; none for peaks of memory."""
    found = []
    for step, of_step in answers.items():
        samples = [answer["seconds"] for answer in of_step if "seconds" in answer]
        if samples:
            median = statistics.median(samples)
            found.append(Speed(str(step), workload.title, group.place, median, workload.size / median / 1e9, samples))
    return found


def machine() -> dict[str, Any]:
    """Where it was measured, and the versions of what was."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "versions": {name: version for name in _PROGRAMS if (version := _version(name)) is not None},
    }


def _version(program: str) -> str | None:
    try:
        return importlib.metadata.version(program)
    except importlib.metadata.PackageNotFoundError:
        return None


def _row_result(group: Group, workload: Workload, row: Row, answers: Answers) -> RowResult:
    steps = [step for step in (row.ours, row.theirs) if step is not None]
    told = [answer for step in steps for answer in answers.get(step, [{"skipped": "not run"}])]
    # A step that failed has one answer, which says so.
    reasons = (answer.get("error") or answer.get("skipped") for answer in told)
    reason = next((words for words in reasons if words), None)
    unit = "MiB" if group.is_memory else "times"
    if reason is None and row.theirs is not None:
        pairs = zip(answers[row.ours], answers[row.theirs], strict=True)
        values = [theirs["seconds"] / ours["seconds"] for ours, theirs in pairs]
    elif reason is None:
        # What a restore puts into variables that had none is theirs.
        variables = workload.size if row.ours.name == "restore_fresh" else 0
        values = [(answer["extra_bytes"] - variables) / 2**20 for answer in answers[row.ours]]
    if reason is not None:
        return RowResult(row.title, workload.title, group.place, unit, None, None, None, row.target, reason)
    return RowResult(
        row.title, workload.title, group.place, unit, statistics.median(values), min(values), max(values), row.target
    )
