"""The ready tables of names, by name: renames that libraries made, and that nobody should have to find out again."""

from __future__ import annotations

from typing import NamedTuple

from tfsaver.checkpoint.name_steps import Step

__all__ = ["TABLES", "Table"]


class Table(NamedTuple):
    """A ready table.

    Attributes:
        description: What it renames, in a line.
        step: The step that does it.
    """

    description: str
    step: Step


TABLES: dict[str, Table] = {}
