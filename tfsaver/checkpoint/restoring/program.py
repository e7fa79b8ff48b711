"""What has variables to restore: the protocol that the adapters of TensorFlow, Keras and PyTorch follow.

`tfsaver.targets` has the adapters that need no TensorFlow, `tfsaver.compat` those of TensorFlow's objects and sessions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from tfsaver.checkpoint.execution import Target
from tfsaver.checkpoint.selection import Selection
from tfsaver.errors import InvalidArgumentError, nearest_names

_V = TypeVar("_V")


@runtime_checkable
class Program(Protocol):
    """Something with variables.

    Attributes:
        root: The object whose paths a checkpoint of objects is compared with; None where there are only names.
        variables: The variables, each once; see `tfsaver.compat.v2.target_variable.TargetVariable` for what they have.
        notes: What a report should mention.
    """

    root: Any
    variables: list[Any]
    notes: list[str]

    def paths(self, item: Any) -> tuple[str, ...]:
        """The paths on which a variable is reached."""

    def select(self, selection: Selection | None) -> list[Any]:
        """The variables that a selection leaves; raises as `selected`."""

    def assigning(self, items: Mapping[str, Any], *, is_held: bool) -> Target | None:
        """What gets the values; None for variables that are assigned one by one."""


def selected(
    variables: Sequence[_V],
    spellings_of: Callable[[_V], Sequence[str]],
    selection: Selection | None,
) -> list[_V]:
    """The variables in whose names a pattern to include occurs, and none of those to exclude.

    Raises:
        InvalidArgumentError: A pattern is no regular expression, or occurs nowhere; or nothing is left.
    """
    if selection is None:
        return list(variables)
    spellings = {id(item): spellings_of(item) for item in variables}
    allow_unmatched = selection.allow_unmatched

    def occurs(patterns: Sequence[str]) -> set[int]:
        found: set[int] = set()
        for pattern in patterns:
            try:
                search = re.compile(pattern).search
            except (re.error, TypeError) as error:
                raise InvalidArgumentError(f"{pattern!r} is no regular expression: {error}") from error
            matching = {number for number, names in spellings.items() if any(map(search, names))}
            if not matching and not allow_unmatched:
                near = nearest_names(pattern.strip("^$"), (name for names in spellings.values() for name in names))
                hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
                raise InvalidArgumentError(f"{pattern!r} is in no name of the target's variables{hint}")
            found |= matching
        return found

    kept = occurs(selection.include) if selection.include else set(spellings)
    kept -= occurs(selection.exclude)
    if not kept:
        raise InvalidArgumentError("include and exclude leave none of the target's variables")
    return [item for item in variables if id(item) in kept]
