"""Mutants that no test can catch, because they do the same, and why."""

from __future__ import annotations

from typing import NamedTuple


class Equivalent(NamedTuple):
    """A mutant by its file, its function and the line before and after the change."""

    file: str
    function: str
    before: str
    after: str
    reason: str


EQUIVALENTS: tuple[Equivalent, ...] = ()
