"""The same tables in colour, and a progress bar: imported only when a person is watching and rich is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from tfsaver.cli import screen


class RichScreen:
    """A terminal. Long names fold inside of their column.

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
        for row in rows:
            table.add_row(*map(Text, row))
        self._console.print(table)


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
