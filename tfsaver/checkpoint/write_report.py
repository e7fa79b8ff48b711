"""What an operation wrote: an edit, a conversion, a split or a salvage.

    left out    tensors of the sources that the target does not have, and why
    renamed     tensors with another name, or with several
    losses      tensors with another dtype, and what the cast cost them
    lost        tensors that a damaged source no longer has, and why
    notes       what else the caller should know, in sentences
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tfsaver.checkpoint.losses import Losses
from tfsaver.checkpoint.report import Report, count, indented
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape


class Contents(NamedTuple):
    """How much one or several checkpoints hold."""

    num_tensors: int
    num_bytes: int

    def __str__(self) -> str:
        return f"{count(self.num_tensors, 'tensor')}, {count(self.num_bytes, 'byte')}"


class LeftOut(NamedTuple):
    """A tensor that the target does not have.

    Attributes:
        reason: Why.
        num_bytes: How many bytes that saves.
    """

    reason: str
    num_bytes: int


class WrittenTensor(NamedTuple):
    """A tensor that was written.

    Attributes:
        old_name: Its name in the source, which its copies share; of a tensor that several became, the names of all.
        name: Its name in the target.
        dtype: Its dtype in the target.
        shape: Its shape in the target.
        num_bytes: The size of its values there.
        changes: What a mapping did to it besides renaming, for people.
        old_dtype: Its dtype in the source.
    """

    old_name: str
    name: str
    dtype: DType
    shape: Shape
    num_bytes: int
    changes: tuple[str, ...]
    old_dtype: DType

    def __str__(self) -> str:
        old = "" if self.old_name == self.name else f"{self.old_name} -> "
        return ", ".join([f"{old}{self.name} {self.dtype} {list(self.shape)}", *self.changes])

    def to_json(self) -> dict[str, Any]:
        """Returns the facts in types that JSON has."""
        dtypes = {"dtype": self.dtype.name, "old_dtype": self.old_dtype.name}
        return {**self._asdict(), **dtypes, "shape": list(self.shape), "changes": list(self.changes)}


@dataclasses.dataclass(frozen=True)
class WriteReport(Report):
    """What was written, and what happened to the rest.

    Attributes:
        verb: What was done.
        sources: The checkpoints that were read.
        target: The checkpoint or file that was written, as its reader takes it; None after a dry run, and for a split,
            whose parts have theirs.
        before: What the sources hold; of a damaged one, what it is known to have held.
        after: What the target holds; of a damaged source, the tensors that are complete.
        left_out: Each tensor that was left out, by its old name, and why.
        renamed: The new names of each renamed tensor, by the old one.
        losses: What each cast tensor lost, by its new name.
        notes: What else the caller should know, in sentences.
        are_inputs: Whether `before` is the sum of several checkpoints, so that its size says nothing of what was saved.
        source_format: What a conversion read, as in ``V2 checkpoint``.
        format: What a conversion wrote.
        tensors: The tensors that were written, in the order of their names, where the operation lists them.
        lost: Each tensor that damage has taken, by name, and why.
        partial: The slices that each tensor lost of which other slices were written, by name.
        damage: What is wrong with the index, or with V1 files.
        parts: What a split wrote, by prefix.
    """

    verb: str
    sources: tuple[str, ...]
    target: str | None
    before: Contents
    after: Contents
    left_out: Mapping[str, LeftOut] = dataclasses.field(default_factory=dict)
    renamed: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    losses: Mapping[str, Losses] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    are_inputs: bool = False
    source_format: str | None = None
    format: str | None = None
    tensors: tuple[WrittenTensor, ...] | None = None
    lost: Mapping[str, str] = dataclasses.field(default_factory=dict)
    partial: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    damage: tuple[str, ...] = ()
    parts: Mapping[str, WriteReport] = dataclasses.field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether damage has cost nothing; what the caller asked to leave out does not count."""
        return not (self.lost or self.partial or self.damage) and all(part.ok for part in self.parts.values())

    @property
    def num_bytes(self) -> int:
        """The size of the values that were written."""
        return self.after.num_bytes

    @property
    def num_bytes_saved(self) -> int:
        """How much smaller the target's tensors are; negative if they are larger."""
        return self.before.num_bytes - self.after.num_bytes

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line.

        Args:
            all_names: Whether to name every tensor, or only the first few of each kind. Lost tensors are always named.
        """
        if self.parts:
            for part in self.parts.values():
                yield from part.lines(all_names=all_names)
            return
        yield self._first_line()
        yield from self._lines_of_size() if self.tensors is None else self._lines_of_tensors(self.tensors, all_names)
        if self.lost:
            yield f"lost:      {count(len(self.lost), 'tensor')}"
            yield from indented([f"{name}: {reason}" for name, reason in self.lost.items()], all_items=True)
        if self.partial:
            yield f"in part:   {count(len(self.partial), 'tensor')}"
            partial = [f"{name}, without {', '.join(slices)}" for name, slices in self.partial.items()]
            yield from indented(partial, all_items=True)
        yield from (f"damaged:   {sentence}" for sentence in self.damage)
        if self.left_out:
            yield f"left out:  {Contents(len(self.left_out), sum(item.num_bytes for item in self.left_out.values()))}"
        for reason, names in self._names_by_reason().items():
            yield f"  {reason}: {Contents(len(names), sum(self.left_out[name].num_bytes for name in names))}"
            yield from indented(names, all_items=all_names)
        # A list of tensors has the old names too.
        if self.renamed and self.tensors is None:
            yield f"renamed:   {count(len(self.renamed), 'tensor')}"
            renamed = [f"{old} -> {', '.join(new)}" for old, new in self.renamed.items()]
            yield from indented(renamed, all_items=all_names)
        if self.losses:
            yield f"cast:      {count(len(self.losses), 'tensor')}"
            worst = sorted(self.losses, key=lambda name: self.losses[name].badness, reverse=True)
            yield from indented([f"{name}: {self.losses[name]}" for name in worst], all_items=all_names)
        yield from self.notes

    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""
        return {
            "ok": self.ok,
            "verb": self.verb,
            "sources": list(self.sources),
            "source_format": self.source_format,
            "target": self.target,
            "format": self.format,
            "before": self.before._asdict(),
            "after": self.after._asdict(),
            "num_bytes": self.num_bytes,
            "num_bytes_saved": self.num_bytes_saved,
            "tensors": None if self.tensors is None else [tensor.to_json() for tensor in self.tensors],
            "left_out": [{"name": name, **item._asdict()} for name, item in self.left_out.items()],
            "renamed": [{"name": old, "new_names": list(new)} for old, new in self.renamed.items()],
            "losses": [{"name": name, **losses.to_json()} for name, losses in self.losses.items()],
            "lost": dict(self.lost),
            "partial": {name: list(slices) for name, slices in self.partial.items()},
            "damage": list(self.damage),
            "notes": list(self.notes),
            "parts": [{"prefix": prefix, **part.to_json()} for prefix, part in self.parts.items()],
        }

    def _first_line(self) -> str:
        if self.format is not None:
            target = "nothing written, dry run" if self.target is None else self.target
            return f"{', '.join(self.sources)} ({self.source_format}) -> {target} ({self.format})"
        return f"{self.verb}: " + ("nothing written (dry run)" if self.target is None else f"wrote {self.target}")

    def _lines_of_size(self) -> Iterator[str]:
        yield f"{'inputs:' if self.are_inputs else 'before:':<10} {self.before}"
        yield f"after:     {self.after}"
        if (saved := self.num_bytes_saved) and not self.are_inputs:
            share = f" ({abs(saved) / self.before.num_bytes:.1%})" if self.before.num_bytes else ""
            yield f"{'saved:' if saved > 0 else 'added:':<10} {count(abs(saved), 'byte')}{share}"

    def _lines_of_tensors(self, tensors: tuple[WrittenTensor, ...], all_names: bool) -> Iterator[str]:
        casts = Counter((item.old_dtype.name, item.dtype.name) for item in tensors if item.old_dtype != item.dtype)
        changes = [
            *_numbers(renamed=sum(item.old_name != item.name for item in tensors)),
            *(f"{number:,} {word}" for word, number in sorted(Counter(_words(tensors)).items())),
            *(f"{number:,} cast from {old} to {new}" for (old, new), number in sorted(casts.items())),
        ]
        yield f"written:   {self.after}" + (f"; {', '.join(changes)}" if changes else "")
        if all_names:
            yield from (f"  {item}" for item in tensors)

    def _names_by_reason(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, item in self.left_out.items():
            found.setdefault(item.reason, []).append(name)
        return found


def contents_of(sources: Iterable[TensorSource]) -> Contents:
    """Returns how much the sources hold together."""
    sizes = [source.info(name).num_bytes for source in sources for name in source.names]
    return Contents(len(sizes), sum(sizes))


def _words(tensors: Iterable[WrittenTensor]) -> Iterator[str]:
    """What was done to tensors, in a word for each kind of change of each."""
    for item in tensors:
        # A cast is counted by its types.
        yield from {change.split()[0] for change in item.changes} - {"cast"}


def _numbers(**numbers: int) -> list[str]:
    return [f"{number:,} {word}" for word, number in numbers.items() if number]
