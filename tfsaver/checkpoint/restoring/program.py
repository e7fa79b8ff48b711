"""What has variables to restore: the protocol that the adapters of TensorFlow, Keras and PyTorch follow.

`tfsaver.targets` has the adapters that need no TensorFlow, `tfsaver.compat` those of TensorFlow's objects and sessions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from tfsaver.checkpoint.execution import Target
from tfsaver.checkpoint.objects.object_graph import ObjectGraph
from tfsaver.checkpoint.selection import Selection
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.checkpoint.wanted_tensor import PartialShape
from tfsaver.errors import InvalidArgumentError, nearest_names
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_slice import TensorSlice

_V = TypeVar("_V")


class ProgramVariable(Protocol):
    """A variable of a program, or a shard of one.

    Attributes:
        variable: The variable as its library has it.
        whole: The variable that it is a shard of; itself where it is none.
        names: What its program calls it, the best first.
        slot: What it is to an optimizer, see `tfsaver.targets.optimizers.SlotOf`; None for what is no slot.
        counts: ``steps``, ``adam steps``, ``rate`` or ``momentum cache`` for an optimizer's numbers.
        optimizer: The optimizer that it belongs to.
        is_optional: Whether it may keep its value when a checkpoint has none for it.
    """

    variable: Any
    whole: Any
    names: tuple[str, ...]
    slot: Any
    counts: Any
    optimizer: Any
    is_optional: bool

    @property
    def own_name(self) -> str:
        """What its library calls it, whatever the program does."""

    @property
    def dtype(self) -> DType:
        """The dtype that a tensor must have."""

    @property
    def shape(self) -> PartialShape:
        """Its shape, as far as it is fixed."""

    @property
    def part(self) -> tuple[tuple[int, ...], TensorSlice] | None:
        """The shape of the whole and which part of it this is, for a shard."""

    def numpy(self) -> Array:
        """The value."""

    def assign(self, value: Any) -> None:
        """Gives it a value of its dtype and shape."""

    def current(self) -> Any:
        """What `assign` takes to give it the value back that it has now."""


@runtime_checkable
class Unordered(Protocol):
    """A variable whose value has no order: the keys of a table."""

    def num_different(self, expected: Array) -> tuple[int, int]:
        """How many of its elements are not those that are expected, and how many there are."""


@runtime_checkable
class Program(Protocol):
    """Something with variables.

    Attributes:
        root: The object whose paths a checkpoint of objects is compared with; None where there are only names.
        variables: The variables, each once; see `ProgramVariable`.
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


@runtime_checkable
class ObjectProgram(Program, Protocol):
    """A program whose variables are reached from objects, as those of an object-based checkpoint are."""

    def keys_of_objects(
        self, graph: ObjectGraph, source: TensorSource, there: Sequence[str], here: Sequence[str]
    ) -> dict[int, tuple[str, ...]]:
        """The tensors of a checkpoint that stand where the program has its variables, by the variables' ids.

        Args:
            graph: The checkpoint's objects.
            source: The checkpoint.
            there: The path in the checkpoint to the object that is compared.
            here: The path in the program to the one that it is compared with.
        """


@runtime_checkable
class KerasProgram(Protocol):
    """A program whose variables have places in the files that Keras writes."""

    def keys_in_file(self, file_paths: Mapping[str, str], source: TensorSource) -> dict[int, tuple[str, ...]]:
        """The tensors of a file of Keras that belong to variables, by the variables' ids.

        Args:
            file_paths: Where each tensor lies in the file, by its name.
            source: The file.
        """


@runtime_checkable
class Finishing(Protocol):
    """A program that has something to do once its variables have new values."""

    def finish(self) -> Any:
        """Makes anew what is made of variables and kept, such as the mean that a Normalization layer computes with.

        Returns:
            The target: another one than was given where that could not be changed, which a note of the program says.
        """


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
