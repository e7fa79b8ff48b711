"""What came of salvaging a checkpoint, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class SalvageReport:
    """What was saved of a checkpoint and what was lost.

    Attributes:
        prefix: The damaged checkpoint.
        out: The new one; None when there was nothing to write, or in a dry run.
        saved: The bytes of each tensor that is whole.
        partial: Of each tensor of which some slices are kept, what is lost: the slices, as text.
        lost: Why each tensor is lost that is known to have been there.
        damage: What is wrong with the index, or with V1 files.
        notes: What else is to be known: what was taken for granted, which names may be missing.
    """

    prefix: str
    out: str | None = None
    saved: dict[str, int] = field(default_factory=dict)
    partial: dict[str, list[str]] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def num_bytes(self) -> int:
        """The bytes of the tensors that are whole."""
        return sum(self.saved.values())

    @property
    def is_complete(self) -> bool:
        """Whether nothing is lost that anybody knows of."""
        return not self.lost and not self.partial and not self.damage

    def __str__(self) -> str:
        where = f" to {self.out}" if self.out is not None else ""
        lines = [f"{self.prefix}: {len(self.saved)} tensors saved{where}, {self.num_bytes} bytes; {len(self.lost)} lost"]
        lines += [f"  {sentence}" for sentence in (*self.damage, *self.notes)]
        lines += [f"  in part: {name}, without {', '.join(slices)}" for name, slices in self.partial.items()]
        lines += [f"  lost: {name}: {reason}" for name, reason in self.lost.items()]
        return "\n".join(lines)
