"""What a conversion did, in facts and in words."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tfsaver.checkpoint.editing.cast_errors import CastErrors
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape

_NAMES_IN_TEXT = 3


class ConvertedTensor(NamedTuple):
    """A tensor that was written.

    Attributes:
        old_name: Its name in the source; for the copies of one tensor the same.
        name: Its name in the target.
        dtype: The type it has in the target.
        shape: The shape it has in the target.
        num_bytes: The bytes of its values there.
        is_transposed: Whether its axes have another order than in the source.
        old_dtype: The type it had in the source.
    """

    old_name: str
    name: str
    dtype: DType
    shape: Shape
    num_bytes: int
    is_transposed: bool
    old_dtype: DType


@dataclasses.dataclass(frozen=True)
class ConversionReport:
    """What a conversion wrote, and what it left out.

    Attributes:
        source: The path that was read, or what to call what was.
        source_format: What it was: a format's name in `formats`.
        target: The path that was written, as what reads it takes it.
        format: What was written.
        tensors: The tensors, in the order of their new names.
        left_out: Of each tensor of the source that is not in the target, by its old name, the reason.
        cast: Of each tensor that was cast, by its new name, what it lost.
        notes: What else is to be said, in sentences.
    """

    source: str
    source_format: str
    target: str
    format: str
    tensors: tuple[ConvertedTensor, ...]
    left_out: Mapping[str, str]
    cast: Mapping[str, CastErrors] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def num_bytes(self) -> int:
        """The bytes of the values that were written."""
        return sum(tensor.num_bytes for tensor in self.tensors)

    @property
    def renamed(self) -> dict[str, list[str]]:
        """The new names of the tensors that have others than before, by the old ones."""
        found: dict[str, list[str]] = collections.defaultdict(list)
        for tensor in self.tensors:
            if tensor.old_name != tensor.name:
                found[tensor.old_name].append(tensor.name)
        return dict(found)

    def lines(self) -> Iterator[str]:
        """The report in lines."""
        yield f"{self.source} ({self.source_format}) -> {self.target} ({self.format})"
        changes = [
            f"{number:,} {word}"
            for number, word in (
                (sum(tensor.old_name != tensor.name for tensor in self.tensors), "renamed"),
                (sum(tensor.is_transposed for tensor in self.tensors), "transposed"),
            )
            if number
        ]
        casts = collections.Counter(
            (tensor.old_dtype.name, tensor.dtype.name) for tensor in self.tensors if tensor.old_dtype != tensor.dtype
        )
        changes += [f"{number:,} cast from {old} to {new}" for (old, new), number in sorted(casts.items())]
        detail = f"; {', '.join(changes)}" if changes else ""
        yield f"  written:  {_count(len(self.tensors), 'tensor')}, {_count(self.num_bytes, 'byte')}{detail}"
        names_by_reason = collections.defaultdict(list)
        for name, reason in self.left_out.items():
            names_by_reason[reason].append(name)
        if names_by_reason:
            yield f"  left out: {_count(len(self.left_out), 'tensor')}"
        for reason, names in names_by_reason.items():
            more = f", and {len(names) - _NAMES_IN_TEXT:,} more" if len(names) > _NAMES_IN_TEXT else ""
            yield f"    {reason}: {', '.join(names[:_NAMES_IN_TEXT])}{more}"
        if self.cast:
            worst = max(self.cast, key=lambda name: self.cast[name].badness)
            yield f"  cast:     {worst} lost most: {self.cast[worst]}"
        yield from (f"  {note}" for note in self.notes)

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
