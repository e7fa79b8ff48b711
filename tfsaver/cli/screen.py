"""What a verb prints on, and the plain form of it, in which nothing is ever cut and no line depends on a window's width.

`rich_screen` is the other form; `output` chooses between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from tfsaver.cli.text import width as text_width

# Called with how much is done and how much there is.
Progress = Callable[[int, int], None]


class Column(NamedTuple):
    """One column of a table; `style` is rich's."""

    title: str
    is_number: bool = False
    style: str = ""


class Screen(Protocol):
    """What a verb prints on."""

    def line(self, text: str = "", style: str = "") -> None: ...
    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None: ...


class PlainScreen:
    """Text for pipes and files: columns two blanks apart, numbers to the right."""

    def line(self, text: str = "", style: str = "") -> None:
        print(text)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        lines = [[column.title for column in columns], *rows]
        widths = [max(map(text_width, cells)) for cells in zip(*lines, strict=True)]
        print("\n".join("  ".join(map(_aligned, line, columns, widths)).rstrip() for line in lines))


def _aligned(cell: str, column: Column, width: int) -> str:
    blanks = " " * (width - text_width(cell))
    return blanks + cell if column.is_number else cell + blanks
