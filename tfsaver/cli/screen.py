"""What a verb prints on, the layout of its tables, and the plain form of it.

A table in a pipe is never cut. In a window that is too narrow, columns that may go are left out, names and then other texts
lose their middle, and no line is folded. `rich_screen` adds colours; `output` chooses between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from tfsaver.cli.text import cut
from tfsaver.cli.text import width as text_width

# Called with how much is done and how much there is.
Progress = Callable[[int, int], None]
GAP = 2
# What a name always has in a narrow window, and what another text has.
_MIN_NAME, _MIN_TEXT = 20, 6


class Column(NamedTuple):
    """One column of a table; `style` is rich's, and `may_go` says that a narrow window does without it."""

    title: str
    is_number: bool = False
    style: str = ""
    may_go: bool = False


class Screen(Protocol):
    """What a verb prints on."""

    def line(self, text: str = "", style: str = "") -> None: ...
    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None: ...


class Layout:
    """Which columns of a table are shown, and how wide they are.

    Args:
        columns: The columns; the first holds names.
        rows: The cells.
        window: The columns of the window; None where nothing is cut.
    """

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[str]], window: int | None) -> None:
        cells = zip([column.title for column in columns], *rows, strict=True)
        widths = [max(map(text_width, column)) for column in cells]
        shown = list(range(len(columns)))
        if window is not None:
            shown, widths = _fitted(columns, widths, shown, window)
        self.columns = [columns[place] for place in shown]
        self._shown = shown
        self.widths = [widths[place] for place in shown]

    def cells(self, row: Sequence[str]) -> list[str]:
        """The cells of a row that are shown, as wide as their columns."""
        return [
            _aligned(row[place], column, width)
            for place, column, width in zip(self._shown, self.columns, self.widths, strict=True)
        ]


def _fitted(
    columns: Sequence[Column], widths: list[int], shown: list[int], window: int
) -> tuple[list[int], list[int]]:
    """The columns that are shown in a window, and the widths of all."""

    widths = list(widths)

    def surplus(width_of_name: int) -> int:
        others = sum(widths[place] + GAP for place in shown if place)
        return width_of_name + others - window

    def narrow(place: int, least: int) -> None:
        widths[place] = max(min(widths[place], least), widths[place] - max(0, surplus(widths[0])))

    for place in reversed(shown):
        if columns[place].may_go and surplus(min(widths[0], _MIN_NAME)) > 0:
            shown = [each for each in shown if each != place]
    narrow(0, _MIN_NAME)
    for place in sorted(shown[1:], key=lambda each: -widths[each]):
        if not columns[place].is_number:
            narrow(place, max(_MIN_TEXT, text_width(columns[place].title)))
    return shown, widths


class PlainScreen:
    """Text for pipes and files, and for terminals without colours: columns two blanks apart, numbers to the right.

    Args:
        window: The columns of the window; None where there is none, and nothing is cut.
    """

    def __init__(self, window: int | None = None) -> None:
        self._window = window

    def line(self, text: str = "", style: str = "") -> None:
        print(text)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        layout = Layout(columns, rows, self._window)
        gap = " " * GAP
        lines = [[column.title for column in columns], *rows]
        print("\n".join(gap.join(layout.cells(line)).rstrip() for line in lines))


def _aligned(cell: str, column: Column, width: int) -> str:
    cell = cut(cell, width)
    blanks = " " * (width - text_width(cell))
    return blanks + cell if column.is_number else cell + blanks
