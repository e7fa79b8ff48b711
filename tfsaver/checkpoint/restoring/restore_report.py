"""What a checkpoint has for a program, in facts and in words.

    matched      wanted, there, and it fits
    missing      wanted, not there                     with the names there that look most like it
    mismatched   wanted, there, of another dtype or shape
    unexpected   there, and nobody wants it
    withheld     fits, but belongs together with one that does not: the keys of a table without its values
    ambiguous    wanted, and more than one tensor, or none for sure, can be meant
    left         not there, and nobody minds: an optimizer's learning rate

The words that TensorFlow's runtime has for such a fact are in its sentence, since programs look for them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice

_KEYS_IN_TEXT = 4

PartialShape: TypeAlias = "tuple[int | None, ...] | None"


@dataclasses.dataclass(frozen=True, eq=False)
class WantedTensor:
    """What a program wants to restore.

    Attributes:
        name: The name to look for.
        dtype: The dtype it must have.
        shape: The shape it must have; None in it and for it where any will do.
        full_shape: The shape of the whole tensor, when only a part is wanted.
        tensor_slice: Which part; None for all of it.
        group: Tensors of one group are restored together or not at all; None for a tensor by itself.
    """

    name: str
    dtype: DType
    shape: PartialShape = None
    full_shape: Shape | None = None
    tensor_slice: TensorSlice | None = None
    group: Hashable = None


class MatchedTensor(NamedTuple):
    """A tensor that fits.

    Attributes:
        wanted: What the program wants.
        key: The tensor's name in the checkpoint.
        shape: The shape of what is read: the tensor's, or the slice's.
        num_bytes: What that takes in memory, strings at what the file stores for them.
        is_stored_sliced: Whether the checkpoint has the tensor in slices.
        transpose: The order that the axes of what is read are brought into; None leaves them.
        how: What it was found by: its ``name``, a ``mapping``, its ``shape``, ...
    """

    wanted: WantedTensor
    key: str
    shape: Shape
    num_bytes: int
    is_stored_sliced: bool
    transpose: tuple[int, ...] | None = None
    how: str = "name"

    @property
    def name(self) -> str:
        """The name that the program looks for."""
        return self.wanted.name


class MissingTensor(NamedTuple):
    """A tensor that is wanted and not there.

    Attributes:
        name: The name that was looked for.
        near: Names in the checkpoint that look most like it, best first.
    """

    name: str
    near: tuple[str, ...]


class MismatchedTensor(NamedTuple):
    """A tensor of that name is there, and is another.

    Attributes:
        name: The name that was looked for.
        key: The tensor's name in the checkpoint.
        fact: What differs: ``dtype``, ``shape``, ``full shape`` where a part is wanted, ``size`` of a tensor to reshape, or
            ``slices`` of one that the checkpoint does not have all of.
        wanted: The program's side of it, as text.
        found: The checkpoint's side.
    """

    name: str
    key: str
    fact: str
    wanted: str
    found: str

    def __str__(self) -> str:
        """The sentence, with the words that TensorFlow's runtime has for it."""
        if self.fact == "dtype":
            said = f"expected dtype {self.wanted} does not equal original dtype {self.found}"
        elif self.fact == "full shape":
            said = f"shape in shape_and_slice spec {self.wanted} does not match the shape stored in checkpoint: {self.found}"
        elif self.fact == "slices":
            said = (
                f"Does not have sufficient slices for partitioned tensor: {self.wanted} is wanted, stored are {self.found}"
            )
        elif self.fact == "size":
            said = f"Input to reshape is a tensor with {self.found}, but the requested shape has {self.wanted}"
        else:
            said = (
                f"Assign requires shapes of both tensors to match. lhs shape= {self.wanted} rhs shape= {self.found} "
                "(variable, checkpoint)"
            )
        return f"tensor_name = {self.key}; {said}"


class AmbiguousTensor(NamedTuple):
    """A tensor that is wanted, and there is no telling which of the checkpoint's it is.

    Attributes:
        name: The name that was looked for.
        keys: The tensors of the checkpoint that come into question.
        reason: Why none of them was taken.
    """

    name: str
    keys: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        shown = ", ".join(map(repr, self.keys[:_KEYS_IN_TEXT]))
        more = f" and {len(self.keys) - _KEYS_IN_TEXT} more" if len(self.keys) > _KEYS_IN_TEXT else ""
        return f"{self.name} is ambiguous: {self.reason}: {shown}{more}"


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """What a checkpoint has for a program, and what was or would be restored.

    Attributes:
        checkpoint: The checkpoint's prefix.
        version: Its format, ``V1`` or ``V2``.
        matched: What fits; this is restored.
        missing: What is wanted and not there.
        mismatched: What is there with another dtype or shape.
        unexpected: The names of tensors that nobody wants, sorted.
        withheld: The names of tensors that fit and are not restored, since others of their group do not.
        full_names: What variables were called, by key, when the checkpoint was written from objects; else None.
        mapping: From the names of unexpected tensors to those of the missing ones that they fit and most likely are; a
            `mapping` to restore with.
        ambiguous: What is wanted, and may be one tensor or another.
        left: The names of what is not there and may be so: it keeps its value.
        notes: What else is worth to know, in sentences.
    """

    checkpoint: str
    version: str
    matched: tuple[MatchedTensor, ...]
    missing: tuple[MissingTensor, ...]
    mismatched: tuple[MismatchedTensor, ...]
    unexpected: tuple[str, ...]
    withheld: tuple[str, ...]
    full_names: Mapping[str, str] | None
    mapping: Mapping[str, str]
    ambiguous: tuple[AmbiguousTensor, ...] = ()
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all that is wanted is there and fits; what is unexpected does not count."""
        return not (self.missing or self.mismatched or self.ambiguous)

    @property
    def num_wanted(self) -> int:
        """How many names are wanted."""
        names = {item.name for items in self._wanted for item in items}
        return len(names.union(self.withheld))

    @property
    def _wanted(self) -> tuple[tuple[MatchedTensor | MissingTensor | MismatchedTensor | AmbiguousTensor, ...], ...]:
        return (self.matched, self.missing, self.mismatched, self.ambiguous)

    @property
    def num_bytes(self) -> int:
        """The bytes of what fits."""
        return sum(item.num_bytes for item in self.matched)

    def lines(self) -> Iterator[str]:
        """Everything that is wrong, one fact a line, and at the end what may help."""
        # The two forms in which TensorFlow says it.
        form = 'Tensor name "{}" not found in checkpoint files' if self.version == "V1" else "Key {} not found in checkpoint"
        for missing in self.missing:
            hint = f"; did you mean {', '.join(map(repr, missing.near))}?" if missing.near else ""
            yield f"  {form.format(missing.name)} {self.checkpoint}{hint}"
        for mismatched in self.mismatched:
            yield f"  {mismatched}"
        for ambiguous in self.ambiguous:
            yield f"  {ambiguous}"
        for name in self.withheld:
            yield f"  {name} fits, and is not restored without what belongs to it"
        if self.full_names is not None and self.missing:
            yield from self._lines_of_full_names(self.full_names)
        if not self.ok and self.unexpected:
            yield f"Not wanted, but in the checkpoint ({len(self.unexpected)}):"
            for name in self.unexpected:
                full_name = self.full_names.get(name) if self.full_names else None
                yield f"  {name}" + (f" ({full_name})" if full_name else "")
        if self.mapping:
            yield "Tensors of these other names would fit (name in the checkpoint: name here):"
            yield "{"
            for key, name in self.mapping.items():
                yield f"    {key!r}: {name!r},"
            yield "}"
        for note in self.notes:
            yield f"note: {note}"

    def _lines_of_full_names(self, full_names: Mapping[str, str]) -> Iterator[str]:
        missing = [item.name for item in self.missing]
        found = {item.name for items in (self.matched, self.mismatched) for item in items}.union(self.withheld)
        then = sorted(name for name in set(full_names.values()) if name and name not in found)
        yield "The checkpoint was written from objects; by the names that its variables had:"
        yield f"  Existing variables not in the checkpoint: {', '.join(missing)}"
        yield f"  Variables names when this checkpoint was written which don't exist now: {', '.join(then)}"
        yield f"  ({len(found)} variable name(s) did match)"

    def __str__(self) -> str:
        fitting = len({item.name for item in self.matched})
        counts = [f"{fitting} of {self.num_wanted} tensors fit"]
        counts += [
            f"{len(items)} {word}"
            for items, word in (
                (self.missing, "missing"),
                (self.mismatched, "mismatched"),
                (self.ambiguous, "ambiguous"),
                (self.withheld, "withheld"),
                (self.unexpected, "unexpected"),
                (self.left, "left as they are"),
            )
            if items
        ]
        return "\n".join([f"{self.checkpoint}: {', '.join(counts)}", *self.lines()])
