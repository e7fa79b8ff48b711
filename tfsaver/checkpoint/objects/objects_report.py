"""What a source of tensors has for the values of a graph of objects, in facts and in words.

    matched      a value, and the tensor that it gets
    default      a value that no tensor of the source is for, and that was given besides
    missing      a value that nothing is for                 with the names there that look most like it
    ambiguous    several values have the full name by which the tensor was found: which of them is meant?
    mismatched   a tensor of another dtype or shape than the variable's, where that is known
    unused       a tensor that no value gets
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tfsaver.checkpoint.restoring.restore_report import MismatchedTensor, MissingTensor
from tfsaver.errors import InvalidArgumentError, NotFoundError


class AmbiguousTensor(NamedTuple):
    """A tensor whose name is the full name of several values.

    Attributes:
        name: The tensor's name.
        full_name: The full name.
        keys: The values' keys.
    """

    name: str
    full_name: str
    keys: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} may be any of {len(self.keys)} variables called {self.full_name}: {', '.join(self.keys)}"


@dataclasses.dataclass(frozen=True)
class ObjectsReport:
    """What a source has for the values of a graph of objects.

    Attributes:
        checkpoint: What the source is called.
        matched: The name of the tensor that each value gets, by the value's key.
        defaults: The keys of the values that were given besides.
        missing: Values that nothing is for, by key.
        ambiguous: Tensors of which nobody can tell which value gets them.
        mismatched: Tensors of another dtype or shape; `name` is the value's key, `key` the tensor's name.
        unused: Names of tensors that no value gets and nobody left out, sorted.
        full_names: What the variables are called in their program, by key.
        mapping: For tensors that are unused, by name, the key of the missing value that fits and is most likely meant.
        is_unused_wrong: Whether tensors that no value gets are an error.
    """

    checkpoint: str
    matched: Mapping[str, str]
    defaults: tuple[str, ...]
    missing: tuple[MissingTensor, ...]
    ambiguous: tuple[AmbiguousTensor, ...]
    mismatched: tuple[MismatchedTensor, ...]
    unused: tuple[str, ...]
    full_names: Mapping[str, str]
    mapping: Mapping[str, str]
    is_unused_wrong: bool = True

    @property
    def ok(self) -> bool:
        """Whether every value has a tensor that fits, and every tensor a value where that is asked for."""
        return not (self.missing or self.ambiguous or self.mismatched or (self.is_unused_wrong and self.unused))

    @property
    def num_wanted(self) -> int:
        """How many tensors the graph's values are."""
        return len(self.matched) + len(self.defaults) + len(self.missing) + len(self.mismatched)

    def lines(self) -> Iterator[str]:
        """Everything that is wrong, one fact a line, and at the end what may help."""
        for missing in self.missing:
            full_name = f" ({self.full_names[missing.name]})" if self.full_names.get(missing.name) else ""
            hint = f"; did you mean {', '.join(map(repr, missing.near))}?" if missing.near else ""
            yield f"  missing: {missing.name}{full_name}{hint}"
        for ambiguous in self.ambiguous:
            yield f"  ambiguous: {ambiguous}"
        for mismatched in self.mismatched:
            yield (
                f"  mismatched: {mismatched.name} has {mismatched.fact} {mismatched.wanted}, "
                f"{mismatched.key} has {mismatched.found}"
            )
        for name in self.unused:
            yield f"  unused: {name}"
        if self.mapping:
            yield "This mapping (name in the checkpoint: name of the value) would fit:"
            yield "{"
            for name, key in self.mapping.items():
                yield f"    {name!r}: {key!r},"
            yield "}"

    def raise_unless_ok(self) -> None:
        """Raises an error that says everything.

        Raises:
            NotFoundError: Values have no tensor.
            InvalidArgumentError: Otherwise something does not fit, or is not used.
        """
        if not self.ok:
            raise (NotFoundError if self.missing else InvalidArgumentError).of_lines([self._first_line(), *self.lines()])

    def _first_line(self) -> str:
        fitting = len(self.matched) + len(self.defaults)
        counts = [f"{fitting} of {self.num_wanted} values of the objects have a tensor"]
        counts += [
            f"{len(items)} {word}"
            for items, word in (
                (self.missing, "missing"),
                (self.ambiguous, "ambiguous"),
                (self.mismatched, "mismatched"),
                (self.unused, "unused"),
            )
            if items
        ]
        return f"{self.checkpoint}: {', '.join(counts)}"

    def __str__(self) -> str:
        return "\n".join([self._first_line(), *self.lines()])
