"""What an edit did to a checkpoint, in facts and in words.

    left out    tensors of the source that the result has not, and why
    renamed     tensors of another name, or of several
    cast        tensors of another dtype, and what that cost them
    notes       whatever else somebody should know, in sentences
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tfsaver.checkpoint.losses import Losses
from tfsaver.checkpoint.tensor_source import TensorSource

_NAMES_IN_TEXT = 4


class LeftOut(NamedTuple):
    """A tensor that the result has not.

    Attributes:
        reason: Why.
        num_bytes: How many bytes that saves.
    """

    reason: str
    num_bytes: int


class Contents(NamedTuple):
    """How much is in checkpoints."""

    num_tensors: int
    num_bytes: int

    def __str__(self) -> str:
        return f"{count(self.num_tensors, 'tensor')}, {count(self.num_bytes, 'byte')}"


@dataclasses.dataclass(frozen=True)
class EditReport:
    """What came of an edit.

    Attributes:
        verb: What was done.
        sources: The checkpoints that were read.
        prefix: The one that was written; None when nothing was, since only the report was wanted.
        before: What the sources hold.
        after: What the result holds.
        left_out: Of each tensor that is left out, by name, why.
        renamed: The new names of each tensor that has others, by the old one.
        cast: What casting cost each tensor, by name.
        notes: What else is to be known, in sentences.
        are_inputs: Whether `before` is the sum of several checkpoints, from which nothing was saved.
    """

    verb: str
    sources: tuple[str, ...]
    prefix: str | None
    before: Contents
    after: Contents
    left_out: Mapping[str, LeftOut] = dataclasses.field(default_factory=dict)
    renamed: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    cast: Mapping[str, Losses] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    are_inputs: bool = False

    @property
    def num_bytes_saved(self) -> int:
        """How much smaller the tensors of the result are; less than 0 when they are larger."""
        return self.before.num_bytes - self.after.num_bytes

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """The report line by line.

        Args:
            all_names: Whether every name is in it, or only the first ones of each kind.
        """
        result = "nothing written (dry run)" if self.prefix is None else f"wrote {self.prefix}"
        yield f"{self.verb}: {result}"
        yield f"{'inputs:' if self.are_inputs else 'before:':<10} {self.before}"
        yield f"after:     {self.after}"
        if (saved := self.num_bytes_saved) and not self.are_inputs:
            share = f" ({abs(saved) / self.before.num_bytes:.1%})" if self.before.num_bytes else ""
            yield f"{'saved:' if saved > 0 else 'added:':<10} {count(abs(saved), 'byte')}{share}"
        if self.left_out:
            yield f"left out:  {Contents(len(self.left_out), sum(item.num_bytes for item in self.left_out.values()))}"
        for reason, names in self._names_by_reason().items():
            yield f"  {reason}: {Contents(len(names), sum(self.left_out[name].num_bytes for name in names))}"
            yield from _indented(names, all_names)
        if self.renamed:
            yield f"renamed:   {count(len(self.renamed), 'tensor')}"
            yield from _indented([f"{old} -> {', '.join(new)}" for old, new in self.renamed.items()], all_names)
        if self.cast:
            yield f"cast:      {count(len(self.cast), 'tensor')}"
            worst = sorted(self.cast, key=lambda name: self.cast[name].badness, reverse=True)
            yield from _indented([f"{name}: {self.cast[name]}" for name in worst], all_names)
        yield from self.notes

    def document(self) -> dict[str, Any]:
        """The report as what JSON can hold."""
        return {
            "verb": self.verb,
            "sources": list(self.sources),
            "result": self.prefix,
            "before": self.before._asdict(),
            "after": self.after._asdict(),
            "num_bytes_saved": self.num_bytes_saved,
            "left_out": [{"name": name, **item._asdict()} for name, item in self.left_out.items()],
            "renamed": [{"name": old, "new_names": list(new)} for old, new in self.renamed.items()],
            "cast": [{"name": name, **errors.to_json()} for name, errors in self.cast.items()],
            "notes": list(self.notes),
        }

    def _names_by_reason(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, item in self.left_out.items():
            found.setdefault(item.reason, []).append(name)
        return found

    def __str__(self) -> str:
        return "\n".join(self.lines())


def contents_of(sources: Iterable[TensorSource]) -> Contents:
    """How much is in the sources, all together."""
    sizes = [source.info(name).num_bytes for source in sources for name in source.names]
    return Contents(len(sizes), sum(sizes))


def count(number: int, noun: str) -> str:
    """``1 tensor``, ``5,001 tensors``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _indented(items: list[str], all_items: bool) -> Iterator[str]:
    shown = items if all_items or len(items) <= _NAMES_IN_TEXT + 1 else items[:_NAMES_IN_TEXT]
    yield from (f"    {item}" for item in shown)
    if len(shown) < len(items):
        yield f"    and {len(items) - len(shown):,} more"
