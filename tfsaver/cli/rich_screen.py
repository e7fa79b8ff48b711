"""The same tables in colour, and a progress bar: imported only when a person is watching and rich is installed.

Rich's own table looks at every cell several times before it prints the first, which takes seconds for tens of thousands of
rows. `screen.Layout` places the cells, and rich says how a style looks in this terminal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.style import Style
from rich.text import Text

from tfsaver.cli import screen


class RichScreen:
    """A terminal, or a stream that is to have its colours."""

    def __init__(self) -> None:
        # Names hold brackets and colons, which are neither markup nor emoji.
        self._console = Console(highlight=False, markup=False, emoji=False)

    def line(self, text: str = "", style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)

    def table(self, columns: Sequence[screen.Column], rows: Sequence[Sequence[str]]) -> None:
        layout = screen.Layout(columns, rows, self._console.width)
        gap = " " * screen.GAP
        looks = [self._look(column.style) for column in layout.columns]
        start, end = self._look("bold")
        lines = [start + gap.join(layout.cells([column.title for column in columns])).rstrip() + end]
        lines.append("─" * (sum(layout.widths) + screen.GAP * (len(layout.widths) - 1)))
        for row in rows:
            cells = layout.cells(row)
            lines.append(gap.join(f"{start}{cell}{end}" for cell, (start, end) in zip(cells, looks, strict=True)).rstrip())
        self._console.file.write("\n".join(lines) + "\n")

    def _look(self, style: str) -> tuple[str, str]:
        """What comes before a text of a style, and what comes after it."""
        if not style:
            return "", ""
        drawn = Style.parse(style).render("\0", color_system=self._console._color_system)
        start, _, end = drawn.partition("\0")
        return start, end


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
