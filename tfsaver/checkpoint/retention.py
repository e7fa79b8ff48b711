"""Which checkpoints of a directory are kept: a policy of rules, of which one is enough to keep a checkpoint.

    last=5            the newest five
    every_hours=6     one in six hours: the first that is six hours or more after the one kept before it
    best=3            the three with the least metric, or with the greatest: mode="max"
    (pinned)          what somebody pinned, until it is unpinned
    (always)          the newest

A policy is a calculation: from all checkpoints there are, in the order in which they were written, to those that stay. It
has no memory of its own, so that it says after a restart what it said before, a lower limit takes effect at the next save,
and a checkpoint removed by hand leaves no gap in the count. What must be remembered (times, metrics, pins) is in
`retention_ledger`.

Order, not time, says which checkpoint is newer: a clock that went backwards makes no old checkpoint of a new one. For
`every_hours` a step of the clock, in either direction, of that many hours keeps a checkpoint and starts the count anew.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Sequence
from typing import Literal, Protocol

from tfsaver.errors import InvalidArgumentError

__all__ = ["Retention", "Written"]


class Written(Protocol):
    """What a policy wants to know of a checkpoint.

    Attributes:
        time: When it was written, in seconds since the epoch.
        metric: How good it is; None when nobody said.
        is_pinned: Whether it stays whatever the rules say.
    """

    @property
    def time(self) -> float: ...
    @property
    def metric(self) -> float | None: ...
    @property
    def is_pinned(self) -> bool: ...


@dataclasses.dataclass(frozen=True)
class Retention:
    """A policy; see the module for its rules.

    Attributes:
        last: How many of the newest are kept; None for no such rule.
        every_hours: One in so many hours is kept for good; None for no such rule.
        best: How many of the best by metric are kept; None for no such rule. Of two that are equal the older one is the
            better, so that a metric that stands still replaces nothing.
        mode: "min" when a small metric is good, as a loss, or "max", as an accuracy.
        series: To which checkpoints of a directory the policy applies; others are never touched. By default to those named
            like the one being saved, up to the step: ``model.ckpt-8`` and ``model.ckpt-9`` are of the series
            ``model.ckpt``. Name one where the names do not end with ``-`` and the step.

    Raises:
        InvalidArgumentError: There is no rule, or a number makes no sense.

    Example:
        >>> Retention(last=3, best=1, mode="max")
        Retention(last=3, every_hours=None, best=1, mode='max', series=None)
    """

    last: int | None = None
    every_hours: float | None = None
    best: int | None = None
    mode: Literal["min", "max"] = "min"
    series: str | None = None

    def __post_init__(self) -> None:
        if self.last is None and self.every_hours is None and self.best is None:
            raise InvalidArgumentError("a retention needs a rule: last, every_hours or best")
        for name in ("last", "best"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InvalidArgumentError(f"{name}={value!r}: how many checkpoints are kept is a whole number from 1")
        hours = self.every_hours
        if hours is not None and not (isinstance(hours, (int, float)) and 0 < hours < math.inf):
            raise InvalidArgumentError(f"every_hours={hours!r}: hours are a number above 0")
        if self.mode not in ("min", "max"):
            raise InvalidArgumentError(f'mode={self.mode!r}: the best metric is the "min" or the "max"')

    def keeps(self, checkpoints: Sequence[Written], began: float) -> list[bool]:
        """Of each checkpoint, whether it stays.

        Args:
            checkpoints: All there are, oldest first.
            began: From when on the first `every_hours` count.
        """
        kept = [checkpoint.is_pinned for checkpoint in checkpoints]
        count = len(checkpoints)
        newest = range(max(count - (self.last or 1), 0), count)
        for position in (*newest, *self._spaced(checkpoints, began), *self._best(checkpoints)):
            kept[position] = True
        return kept

    def _spaced(self, checkpoints: Sequence[Written], began: float) -> list[int]:
        if self.every_hours is None:
            return []
        positions = []
        for position, checkpoint in enumerate(checkpoints):
            # The difference counts in either direction: after a clock was wrong by years and is right again, nothing would
            # be kept for years.
            if abs(checkpoint.time - began) >= self.every_hours * 3600:
                positions.append(position)
                began = checkpoint.time
        return positions

    def _best(self, checkpoints: Sequence[Written]) -> list[int]:
        if self.best is None:
            return []
        sign = 1 if self.mode == "min" else -1
        ranked = [
            (sign * checkpoint.metric, position)
            for position, checkpoint in enumerate(checkpoints)
            if checkpoint.metric is not None and math.isfinite(checkpoint.metric)
        ]
        return [position for _, position in heapq.nsmallest(self.best, ranked)]
