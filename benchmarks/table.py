"""The results as text: for a terminal, and as Markdown for a page."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.results import RowResult, Speed

_MARKS = {True: "yes", False: "no", None: ""}
_HEADER = ("work", "data", "place", "median", "lowest to highest", "target", "reached")
_SPEEDS_HEADER = ("step", "data", "place", "seconds", "GB/s")


def rows_as_cells(rows: Sequence[RowResult]) -> list[tuple[str, ...]]:
    """A header, and a line for each row."""
    return [_HEADER, *(_row_cells(row) for row in rows)]


def reasons(rows: Sequence[RowResult]) -> list[str]:
    """Why rows could not be measured, one line for each reason."""
    return list(dict.fromkeys(f"not measured, {row.work} ({row.place}): {row.reason}" for row in rows if row.value is None))


def speeds_as_cells(speeds: Sequence[Speed]) -> list[tuple[str, ...]]:
    """A header, and a line for each step."""
    lines = [
        (speed.step, speed.data, speed.place, f"{speed.seconds:.4f}", f"{speed.gigabytes_per_second:.2f}")
        for speed in speeds
    ]
    return [_SPEEDS_HEADER, *lines]


def as_text(cells: Sequence[Sequence[str]]) -> str:
    """Columns that are as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)
    return "\n".join(lines)


def as_markdown(cells: Sequence[Sequence[str]]) -> str:
    """A table for a page."""
    header, *lines = ("| " + " | ".join(line) + " |" for line in cells)
    return "\n".join([header, "|" + "---|" * len(cells[0]), *lines])


def _row_cells(row: RowResult) -> tuple[str, ...]:
    if row.value is None or row.low is None or row.high is None:
        median, spread = "not measured", ""
    elif row.unit == "MiB":
        median, spread = f"{row.value:.0f} MiB", ""
    else:
        median, spread = f"{row.value:.2f} x", f"{row.low:.2f} to {row.high:.2f}"
    if row.target is None:
        target = ""
    else:
        target = f"at most {row.target:.0f} MiB" if row.unit == "MiB" else f"{row.target:g} x"
    return row.work, row.data, row.place, median, spread, target, _MARKS[row.is_reached]
