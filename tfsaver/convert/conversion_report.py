"""What a conversion did, in facts and in words."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tfsaver.checkpoint.losses import Losses
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

    def __str__(self) -> str:
        old = "" if self.old_name == self.name else f"{self.old_name} -> "
        turned = ", transposed" if self.is_transposed else ""
        return f"{old}{self.name} {self.dtype} {list(self.shape)}{turned}"


@dataclasses.dataclass(frozen=True)
class ConversionReport:
    """What a conversion wrote, and what it left out.

    Attributes:
        source: The path that was read, or what to call what was.
        source_format: What it was: a format's name in `formats`.
        target: The path that was written, as what reads it takes it; None after a dry run.
        format: What was written.
        tensors: The tensors, in the order of their new names.
        left_out: Of each tensor of the source that is not in the target, by its old name, the reason.
        cast: Of each tensor that was cast, by its new name, what it lost.
        notes: What else is to be said, in sentences.
    """

    source: str
    source_format: str
    target: str | None
    format: str
    tensors: tuple[ConvertedTensor, ...]
    left_out: Mapping[str, str]
    cast: Mapping[str, Losses] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def num_bytes(self) -> int:
        """The bytes of the values that were written."""
        return sum(tensor.num_bytes for tensor in self.tensors)

    @property
    def renamed(self) -> dict[str, list[str]]:
        """The new names of the tensors that have others than before, by the old ones."""
        found: dict[str, list[str]] = defaultdict(list)
        for tensor in self.tensors:
            if tensor.old_name != tensor.name:
                found[tensor.old_name].append(tensor.name)
        return dict(found)

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """The report line by line.

        Args:
            all_names: Whether every name is in it, or only the first ones of each kind.
        """
        target = "nothing written, dry run" if self.target is None else self.target
        yield f"{self.source} ({self.source_format}) -> {target} ({self.format})"
        casts = Counter((item.old_dtype.name, item.dtype.name) for item in self.tensors if item.old_dtype != item.dtype)
        changes = [
            *_numbers(renamed=sum(item.old_name != item.name for item in self.tensors)),
            *_numbers(transposed=sum(item.is_transposed for item in self.tensors)),
            *(f"{number:,} cast from {old} to {new}" for (old, new), number in sorted(casts.items())),
        ]
        detail = f"; {', '.join(changes)}" if changes else ""
        yield f"written:   {_count(len(self.tensors), 'tensor')}, {_count(self.num_bytes, 'byte')}{detail}"
        if all_names:
            yield from (f"  {item}" for item in self.tensors)
        if self.left_out:
            yield f"left out:  {_count(len(self.left_out), 'tensor')}"
        names_by_reason: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            names_by_reason.setdefault(reason, []).append(name)
        for reason, names in names_by_reason.items():
            shown = names if all_names else names[:_NAMES_IN_TEXT]
            more = f", and {len(names) - len(shown):,} more" if len(names) > len(shown) else ""
            yield f"  {reason}: {', '.join(shown)}{more}"
        if self.cast:
            worst = max(self.cast, key=lambda name: self.cast[name].badness)
            yield f"cast:      {worst} lost most: {self.cast[worst]}"
        yield from self.notes

    def document(self) -> dict[str, Any]:
        """The report as what JSON can hold."""
        return {
            "source": self.source,
            "source_format": self.source_format,
            "target": self.target,
            "format": self.format,
            "num_bytes": self.num_bytes,
            "tensors": [
                {
                    "old_name": item.old_name,
                    "name": item.name,
                    "old_dtype": item.old_dtype.name,
                    "dtype": item.dtype.name,
                    "shape": list(item.shape),
                    "is_transposed": item.is_transposed,
                }
                for item in self.tensors
            ],
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out.items()],
            "cast": [{"name": name, **errors.to_json()} for name, errors in self.cast.items()],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _numbers(**numbers: int) -> list[str]:
    return [f"{number:,} {word}" for word, number in numbers.items() if number]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
