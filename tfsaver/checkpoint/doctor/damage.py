"""What a verification found, in as few sentences as there are causes.

A data file that ends early, or a damaged block of a V1 checkpoint, may take thousands of tensors with it: that is one thing
that is wrong, and its tensors are its consequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tfsaver.checkpoint.checkpoint_files import file_size
from tfsaver.checkpoint.verify import Problem, VerifyReport
from tfsaver.errors import CheckpointNotFoundError, ChecksumError, DataLossError, TruncatedError

# As many names as a sentence can bear.
_MAX_NAMES = 3


class Damage(NamedTuple):
    """One thing that is wrong with a checkpoint.

    Attributes:
        path: The file; None where it is not known.
        offset: Where the bytes begin that cannot be trusted; None where that is not known.
        size: How many they are, from the first to the last of them.
        tensors: The names of the tensors that are lost with them.
        message: All of it in words.
    """

    path: str | None
    offset: int | None
    size: int | None
    tensors: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return self.message


def describe_damage(report: VerifyReport) -> list[Damage]:
    """What is wrong with a checkpoint, each cause once."""
    causes: dict[tuple[object, ...], list[Problem]] = {}
    for number, problem in enumerate(report.problems):
        causes.setdefault(_cause(problem, number), []).append(problem)
    return [_describe(report, problems) for problems in causes.values()]


def listed(names: Sequence[str], limit: int = _MAX_NAMES) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(map(repr, names[:limit])) + more


def _cause(problem: Problem, number: int) -> tuple[object, ...]:
    """What problems of one cause have in common."""
    error = problem.error
    if isinstance(error, DataLossError) and error.path is not None and error.offset is not None:
        if isinstance(error, TruncatedError):
            return error.path, "ends early"
        if isinstance(error, ChecksumError):
            return error.path, error.offset
    return (number,)


def _describe(report: VerifyReport, problems: list[Problem]) -> Damage:
    names = tuple(dict.fromkeys(problem.where for problem in problems if _is_tensor(report, problem)))
    error = problems[0].error
    if isinstance(error, CheckpointNotFoundError):
        return Damage(error.looked_for[0], None, None, names, f"{error.looked_for[0]} is missing: {error.found}")
    if not isinstance(error, DataLossError) or error.path is None or error.offset is None:
        path = getattr(error, "path", None)
        return Damage(path, None, None, names, str(error))
    spans = [(each.offset or 0, (each.offset or 0) + (each.size or 0)) for each in _located(problems)]
    start, end = min(start for start, _ in spans), max(end for _, end in spans)
    if isinstance(error, TruncatedError):
        message = f"{error.path} ends at byte {_size(error)}, bytes {start} to {end} are needed"
    else:
        message = error.sentence()
    lost = f"; lost with {'it' if len(problems) == 1 else 'them'}: {listed(names)}" if names else ""
    return Damage(error.path, start, end - start, names, message + lost)


def _located(problems: list[Problem]) -> list[DataLossError]:
    return [problem.error for problem in problems if isinstance(problem.error, DataLossError)]


def _is_tensor(report: VerifyReport, problem: Problem) -> bool:
    return problem.where not in ("index", report.prefix) and not isinstance(problem.error, CheckpointNotFoundError)


def _size(error: DataLossError) -> object:
    try:
        return file_size(error.path or "")
    except OSError:
        return "?"
