"""Where results are kept: all of them as JSON, tables and bars in pages between two marks, and the picture."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.results import RowResult, Speed

BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"
BEGIN_BARS, END_BARS = "<!-- bars: written by `make bench` -->", "<!-- end of bars -->"
# The rows that the README shows, by work and data.
_BARS = {
    ("Saver.save, one data file, against TensorFlow's", "1 GB in 1,000"): "Saver.save, against TensorFlow's",
    ("Saver.restore into used variables, against TensorFlow's", "1 GB in 1,000"): "Saver.restore, against TensorFlow's",
    ("every tensor read, against TensorFlow's reader", "1 GB in 1,000"): "read, against TensorFlow's reader",
    ("every tensor read, against safetensors' load_file", "1 GB in 1,000"): "read, against safetensors",
}
_BAR_PER_TIMES = 8


def as_json(about: Mapping[str, Any], rows: Sequence[RowResult], speeds: Sequence[Speed]) -> str:
    """Everything that was measured."""
    told = {
        **about,
        "rows": [{**dataclasses.asdict(row), "is_reached": row.is_reached} for row in rows],
        "speeds": [dataclasses.asdict(speed) for speed in speeds],
    }
    return json.dumps(told, indent=1) + "\n"


def caption(about: Mapping[str, Any]) -> str:
    """The machine and the programs, in a line."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    scale = "" if about["scale"] == 1 else f"; data scaled by {about['scale']:g}"
    return f"{about['date']}, {about['cores']} cores, {about['memory_gib']} GiB, Python {about['python']}, {versions}{scale}"


def fill_page(path: Path, about: Mapping[str, Any], rows: Sequence[RowResult], speeds: Sequence[Speed]) -> None:
    """Puts the tables between the marks of a page.

    Raises:
        RuntimeError: It has no such marks.
    """
    tables = [table.as_markdown(table.rows_as_cells(rows)), table.as_markdown(table.speeds_as_cells(speeds))]
    reasons = "".join(f"* {reason}\n" for reason in table.reasons(rows))
    figures = f"{caption(about)}\n\n{tables[0]}\n\n{reasons}\nEach step by itself:\n\n{tables[1]}\n"
    _fill(path, BEGIN, END, figures)


def fill_readme(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Puts the bars between their marks, if all of them were measured.

    Raises:
        RuntimeError: The file has no such marks.
    """
    if shown := bars(rows):
        _fill(path, BEGIN_BARS, END_BARS, f"```text\n{shown}\n```\n")


def bars(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line with a bar of letters for each of a few rows; empty if one of them was not measured."""
    values = {(row["work"], row["data"]): row["value"] for row in rows}
    if not all(values.get(key) for key in _BARS):
        return ""
    width = max(map(len, _BARS.values()))
    return "\n".join(
        f"{title:{width}}  {'█' * round(_BAR_PER_TIMES * values[key])} {values[key]:.1f} x" for key, title in _BARS.items()
    )


def _fill(path: Path, begin_mark: str, end_mark: str, figures: str) -> None:
    text = path.read_text("utf-8")
    head, begin, rest = text.partition(begin_mark)
    _, end, tail = rest.partition(end_mark)
    if not begin or not end:
        raise RuntimeError(f"{path} has no place for figures: {begin_mark}, {end_mark}")
    path.write_text(f"{head}{begin}\n\n{figures}\n{end}{tail}", "utf-8")
