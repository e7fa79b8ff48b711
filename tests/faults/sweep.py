"""All points of a scenario, or some of them, one trial for each.

    killed     at every call, and after half of every write
    refused    EIO at every call; ENOSPC too, from then on where the call takes room; a short write at every write

A run without a fault counts the calls first. Threads may take turns in another order in the next run: a point is the number
of a call, whichever call that then is, and one that is not reached any more is not counted.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.faults.programs import Program
from tests.faults.scenarios import SCENARIOS
from tests.faults.system_calls import TAKE_ROOM
from tests.faults.tracer import Call, Fault, Kind
from tests.faults.trials import Trial, run_trial


class Sweep(NamedTuple):
    """What became of the points of one scenario.

    Attributes:
        num_calls: How many calls of interest a save makes.
        num_tried: How many points were tried.
        num_readable: After how many old or new values were there, whole.
        num_good: After how many everything was as promised.
        problems: What was not, one text for each point.
    """

    num_calls: int
    num_tried: int
    num_readable: int
    num_good: int
    problems: list[str]


def kills(calls: Sequence[Call]) -> list[Fault]:
    """Killed at each call."""
    points = []
    for at, call in enumerate(calls):
        points.append(Fault(at, Kind.KILL))
        if call.can_be_short:
            points.append(Fault(at, Kind.KILL_HALFWAY))
    return points


def refusals(calls: Sequence[Call]) -> list[Fault]:
    """Each call refused."""
    points = []
    for at, call in enumerate(calls):
        points.append(Fault(at, Kind.FAIL, errno.EIO))
        points.append(Fault(at, Kind.FAIL, errno.ENOSPC, stays=call.name in TAKE_ROOM))
        if call.can_be_short:
            points.append(Fault(at, Kind.SHORT))
    return points


_POINTS = {"killed": kills, "refused": refusals}


def sweep(name: str, what: str, *, limit: int | None = None, tensorflows: bool = False) -> Sweep:
    """Tries the points of a scenario.

    Args:
        name: The scenario's.
        what: ``killed`` or ``refused``.
        limit: How many points are tried, spread over all; None for all.
        tensorflows: Whether TensorFlow's own program is interrupted in the place of ours.
    """
    scenario = SCENARIOS[name]
    program, undisturbed = _undisturbed(name, tensorflows)
    if undisturbed.problems:
        return Sweep(len(undisturbed.calls), 0, 0, 0, [f"undisturbed: {'; '.join(undisturbed.problems)}"])
    counts = {"tried": 0, "readable": 0, "good": 0}
    problems = []
    for fault in spread(_POINTS[what](undisturbed.calls), limit):
        trial = run_trial(scenario, program, fault, goes_on=not tensorflows)
        if not trial.hit:
            continue
        counts["tried"] += 1
        counts["readable"] += trial.readable
        counts["good"] += not trial.problems
        if trial.problems:
            problems.append(f"{fault} ({trial.calls[fault.at]}): {'; '.join(trial.problems)}")
    return Sweep(len(undisturbed.calls), counts["tried"], counts["readable"], counts["good"], problems)


@functools.cache
def _undisturbed(name: str, tensorflows: bool) -> tuple[Program, Trial]:
    """A scenario's program, and what it does when nothing is in its way."""
    scenario = SCENARIOS[name]
    make = scenario.tensorflows if tensorflows else scenario.program
    assert make is not None
    program = make()
    return program, run_trial(scenario, program, None, goes_on=not tensorflows)


def calls(name: str) -> list[Call]:
    """The calls of interest that a save makes when nothing is in its way."""
    _, trial = _undisturbed(name, False)
    if trial.problems:
        raise AssertionError(f"{name}, undisturbed: {trial.problems}")
    return trial.calls


def spread(points: Sequence[Any], limit: int | None) -> list[Any]:
    """As many of the points as the limit allows, the first and the last among them."""
    if limit is None or len(points) <= limit:
        return list(points)
    return [points[round(index * (len(points) - 1) / (limit - 1))] for index in range(limit)]
