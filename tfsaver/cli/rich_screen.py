"""The same tables in colour, and a progress bar: imported only when a person is watching and rich is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from tfsaver.cli import screen

# Columns that a name always has.
_MIN_NAME = 20


class RichScreen:
    """A terminal. Names that are too long for their column lose their middle.

    Args:
        plain: Draws the tables that are too long for rich.
        max_rows: What is too long.
    """

    def __init__(self, plain: screen.Screen, max_rows: int) -> None:
        # Names hold brackets and colons, which are neither markup nor emoji.
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._plain = plain
        self._max_rows = max_rows

    def line(self, text: str = "", style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)

    def table(self, columns: Sequence[screen.Column], rows: Sequence[Sequence[str]]) -> None:
        if len(rows) > self._max_rows:
            self._plain.table(columns, rows)
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
        for column in columns:
            table.add_column(
                column.title,
                justify="right" if column.is_number else "left",
                style=column.style,
                overflow="fold",
                no_wrap=column.is_number,
            )
        # The first column has what the others leave, three blanks before each.
        others = zip(*[[column.title for column in columns[1:]], *(row[1:] for row in rows)], strict=True)
        room = self._console.width - sum(max(map(cell_len, cells)) + 3 for cells in others)
        for row in rows:
            table.add_row(Text(_cut(row[0], max(room, _MIN_NAME))), *map(Text, row[1:]))
        self._console.print(table)


def _cut(name: str, room: int) -> str:
    """A name without its middle if it is wider than there is room: scopes begin it, and what it is ends it."""
    if cell_len(name) <= room:
        return name
    start = set_cell_size(name, (room - 1) // 3).rstrip()
    end = name
    while cell_len(end) > room - 1 - cell_len(start):
        end = end[1:]
    return f"{start}…{end}"


@contextlib.contextmanager
def progress_bar(description: str) -> Iterator[screen.Progress]:
    """A bar of bytes on standard error, gone when it is done."""
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
    )
    with bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
