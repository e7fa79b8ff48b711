"""What all contenders have in common: steps, of which one part is timed.

    @contextlib.contextmanager
    def write(self):
        ...                         made ready; not timed
        work = Work(function)
        yield work                  `function()` is timed, and leaves what it returns in `work.result`
        ...                         checked, and removed again; not timed

A step's name is the name of its method. Results are compared with the workload the first time that a step is taken:
a program that is fast because it is wrong must not win.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads import Array, Workload


class NotThereError(RuntimeError):
    """The contender cannot do this, and says in words why."""


class WrongResultError(RuntimeError):
    """The contender gave other values than those it was to write or read."""


@dataclasses.dataclass
class Work:
    """What is timed, and what came of it."""

    call: Callable[[], Any]
    result: Any = None


class Contender:
    """A program that takes steps.

    Args:
        workload: What it saves and restores.
        directory: Where its files are; others have theirs beside it.
    """

    def __init__(self, workload: Workload, directory: Path) -> None:
        self.workload = workload
        self.directory = directory
        self._checked: set[str] = set()

    def step(self, name: str) -> contextlib.AbstractContextManager[Work]:
        """A step by its name.

        Raises:
            NotThereError: It has none of that name.
        """
        method = getattr(self, name, None)
        if method is None:
            raise NotThereError(f"{type(self).__name__} has no {name}")
        step: contextlib.AbstractContextManager[Work] = method()
        return step

    def make_source(self) -> None:
        """Makes the files that are read, unless that was done."""

    def close(self) -> None:
        """Lets go of everything."""

    def is_unchecked(self, step: str) -> bool:
        """Whether this is the first time that is asked for a step."""
        is_first = step not in self._checked
        self._checked.add(step)
        return is_first

    def check(self, step: str, values_of: Callable[[list[str]], Sequence[Array]]) -> None:
        """Compares a few values with the workload's, once for each step.

        Raises:
            WrongResultError: They differ.
        """
        if not self.is_unchecked(step):
            return
        names, numbers = self.workload.names(), self.workload.samples()
        for number, value in zip(numbers, values_of([names[number] for number in numbers]), strict=True):
            if not np.array_equal(np.asarray(value), self.workload.array(number)):
                raise WrongResultError(f"{type(self).__name__}.{step}: {names[number]} has other values")
