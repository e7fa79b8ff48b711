"""Which tensor of a checkpoint is for which variable of a program, or for which value of a graph of objects.

    matched      wanted and there, and it fits
    missing      wanted and not there                  with the most similar names that are there
    mismatched   wanted and there, with another dtype or shape
    ambiguous    wanted, and several tensors may be meant, or none for certain
    unexpected   there and not wanted
    withheld     fits, but belongs to a group of which another tensor does not: the keys of a table without its values
    left         not there and not needed: an optimizer's learning rate keeps its value
    defaults     not there, and the caller gave a value
    losses       what a cast cost

Where TensorFlow's runtime has words for such a fact, the sentence contains them, because programs look for them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tfsaver.checkpoint.losses import Losses
from tfsaver.checkpoint.names.name_steps import Renamed
from tfsaver.checkpoint.report import Report
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.framework.tensor_shape import Shape

_KEYS_IN_TEXT = 4


class MatchedTensor(NamedTuple):
    """A tensor that fits.

    Attributes:
        wanted: What the program wants.
        key: The tensor's name in the checkpoint.
        shape: The shape of what is read: the tensor's, or the slice's.
        num_bytes: What that takes in memory, strings at what the file stores for them.
        is_stored_sliced: Whether the checkpoint has the tensor in slices.
        changes: What a mapping does to it before, for people.
        how: What it was found by: its ``name``, a ``mapping``, its ``shape``, ...
    """

    wanted: WantedTensor
    key: str
    shape: Shape
    num_bytes: int
    is_stored_sliced: bool
    changes: tuple[str, ...] = ()
    how: str = "name"

    @property
    def name(self) -> str:
        """The name that the program looks for."""
        return self.wanted.name

    def __str__(self) -> str:
        told = f"{self.name} gets {self.key} {self.wanted.dtype} {list(self.shape)} by {self.how}"
        return ", ".join([told, *self.changes])

    def to_json(self) -> dict[str, Any]:
        """Returns the facts in types that JSON has."""
        part = self.wanted.tensor_slice
        return {
            "name": self.name,
            "key": self.key,
            "dtype": self.wanted.dtype.name,
            "shape": list(self.shape),
            "slice": None if part is None else str(part),
            "num_bytes": self.num_bytes,
            "changes": list(self.changes),
            "how": self.how,
        }


class MissingTensor(NamedTuple):
    """A tensor that is wanted and not there.

    Attributes:
        name: The name that was looked for.
        near: The most similar names in the checkpoint, best first.
        full_name: What the program calls the variable, where a key was looked for.
    """

    name: str
    near: tuple[str, ...]
    full_name: str = ""


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
    """A tensor that is wanted, and the checkpoint's names do not tell which of its tensors that is.

    Attributes:
        name: The name that was looked for.
        keys: The tensors of the checkpoint that may be meant.
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
class MatchReport(Report):
    """Which tensor of a checkpoint is for which variable, and what was or would be restored.

    Attributes:
        checkpoint: The checkpoint's prefix, or a description of another source.
        version: ``V1`` or ``V2``, whose words TensorFlow uses for a missing tensor; None where a conversion looks for the
            tensors of objects.
        matched: The tensors that fit; these are restored.
        missing: What is wanted and not there.
        mismatched: What is there with another dtype or shape.
        unexpected: The names of tensors that are not wanted.
        withheld: The names of tensors that fit and are not restored, because others of their group do not fit.
        full_names: What variables were called, by key, if the checkpoint was written from objects; otherwise None.
        mapping: From the names of tensors to those that are wanted and that they are by evidence: a name or scope in
            common, with the dtype and the shape, or one order of the axes (a `Renamed`). `mapping=` takes it as it stands.
        ambiguous: What is wanted and may be one tensor or another.
        left: The names of what is not there and not needed: it keeps its value.
        notes: What else the caller should know, in sentences.
        losses: What each cast tensor lost, by name.
        defaults: The names of what is not there and has a value that the caller gave.
        guesses: The same for tensors that fit and whose names are merely similar, or the only ones of their dtype and shape.
            They are never in `mapping`; `accept_guesses=True` takes them.
        initialized: The names of variables that got their initial values, having none after the restore.
        is_unexpected_wrong: Whether an unexpected tensor is an error.
        target: What was restored: the object that the caller gave, or, where arrays stand in what cannot be changed, another
            one with the new arrays. None where nothing was.
    """

    checkpoint: str
    version: str | None
    matched: tuple[MatchedTensor, ...]
    missing: tuple[MissingTensor, ...]
    mismatched: tuple[MismatchedTensor, ...]
    unexpected: tuple[str, ...]
    withheld: tuple[str, ...]
    full_names: Mapping[str, str] | None
    mapping: Mapping[str, str | Renamed]
    ambiguous: tuple[AmbiguousTensor, ...] = ()
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    losses: Mapping[str, Losses] = dataclasses.field(default_factory=dict)
    defaults: tuple[str, ...] = ()
    is_unexpected_wrong: bool = False
    guesses: Mapping[str, str] = dataclasses.field(default_factory=dict)
    initialized: tuple[str, ...] = ()
    target: Any = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def fits(self) -> bool:
        """Whether everything that is wanted is there and fits, and everything there is wanted where that is required."""
        return not (
            self.missing or self.mismatched or self.ambiguous or (self.is_unexpected_wrong and self.unexpected)
        )

    @property
    def ok(self) -> bool:
        """Whether everything fits, see `fits`."""
        return self.fits

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
        """The size of what fits."""
        return sum(item.num_bytes for item in self.matched)

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line.

        Args:
            all_names: Whether to name the tensors that fit too, not only what is wrong.
        """
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
                (self.defaults, "given as defaults"),
                (self.initialized, "initialized"),
            )
            if items
        ]
        yield f"{self.checkpoint}: {', '.join(counts)}"
        if all_names:
            yield from (f"  {item}" for item in self.matched)
        yield from self.details()

    def details(self) -> Iterator[str]:
        """Yields everything that is wrong, one fact a line, then what may help."""
        for missing in self.missing:
            full_name = f" ({missing.full_name})" if missing.full_name else ""
            hint = f"; did you mean {', '.join(map(repr, missing.near))}?" if missing.near else ""
            yield f"  {self._not_found(missing.name)}{full_name}{hint}"
        for mismatched in self.mismatched:
            yield f"  {self._does_not_fit(mismatched)}"
        for ambiguous in self.ambiguous:
            yield f"  {ambiguous}"
        for name in self.withheld:
            yield f"  {name} fits, and is not restored without what belongs to it"
        if self.full_names is not None and self.missing:
            yield from self._lines_of_full_names(self.full_names)
        if not self.fits and self.unexpected:
            yield f"Not wanted, but in the checkpoint ({len(self.unexpected)}):"
            for name in self.unexpected:
                old_name = self.full_names.get(name) if self.full_names else None
                yield f"  {name}" + (f" ({old_name})" if old_name else "")
        if self.mapping:
            yield "These would fit (name in the checkpoint: name here); mapping= takes this as it stands:"
            yield "{"
            for key, target in self.mapping.items():
                yield f"    {key!r}: {target.to_json() if isinstance(target, Renamed) else target!r},"
            yield "}"
        if self.guesses:
            all_of_them = ", or accept_guesses=True takes all" if self.version else ""
            yield (
                "Guesses: these fit, but neither a name nor a scope says that they are meant (name in the checkpoint: name "
                f"here); check each, then pass it in mapping={all_of_them}:"
            )
            yield "{"
            for key, name in self.guesses.items():
                yield f"    {key!r}: {name!r},"
            yield "}"
        yield from (f"  {name} got its initial value" for name in self.initialized)
        yield from (f"note: {note}" for note in self.notes)
        yield from (f"note: cast: {name}: {losses}" for name, losses in self.losses.items())

    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""
        return {
            "ok": self.ok,
            "checkpoint": self.checkpoint,
            "version": self.version,
            "num_wanted": self.num_wanted,
            "num_bytes": self.num_bytes,
            "matched": [item.to_json() for item in self.matched],
            "missing": [{**item._asdict(), "near": list(item.near)} for item in self.missing],
            "mismatched": [item._asdict() for item in self.mismatched],
            "ambiguous": [{**item._asdict(), "keys": list(item.keys)} for item in self.ambiguous],
            "unexpected": list(self.unexpected),
            "withheld": list(self.withheld),
            "left": list(self.left),
            "defaults": list(self.defaults),
            "initialized": list(self.initialized),
            "full_names": None if self.full_names is None else dict(self.full_names),
            "mapping": {
                key: name if isinstance(name, str) else name.to_json()
                for key, name in self.mapping.items()
            },
            "guesses": dict(self.guesses),
            "losses": [{"name": name, **losses.to_json()} for name, losses in self.losses.items()],
            "notes": list(self.notes),
        }

    def _not_found(self, name: str) -> str:
        # Two forms in which TensorFlow says it.
        if self.version == "V1":
            return f'Tensor name "{name}" not found in checkpoint files {self.checkpoint}'
        return f"Key {name} not found in checkpoint {self.checkpoint}" if self.version else f"missing: {name}"

    def _does_not_fit(self, item: MismatchedTensor) -> str:
        if self.version:
            return str(item)
        return f"mismatched: {item.name} has {item.fact} {item.wanted}, {item.key} has {item.found}"

    def _lines_of_full_names(self, full_names: Mapping[str, str]) -> Iterator[str]:
        missing = [item.name for item in self.missing]
        found = {item.name for items in (self.matched, self.mismatched) for item in items}.union(self.withheld)
        then = sorted(name for name in set(full_names.values()) if name and name not in found)
        yield "The checkpoint was written from objects; by the names that its variables had:"
        yield f"  Existing variables not in the checkpoint: {', '.join(missing)}"
        yield f"  Variables names when this checkpoint was written which don't exist now: {', '.join(then)}"
        yield f"  ({len(found)} variable name(s) did match)"
