"""Where results are kept: all of them as JSON, the tables in a page between two marks, and the picture."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.results import RowResult, Speed

BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"


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
    text = path.read_text("utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"{path} has no place for figures: {BEGIN}, {END}")
    tables = [table.as_markdown(table.rows_as_cells(rows)), table.as_markdown(table.speeds_as_cells(speeds))]
    reasons = "".join(f"* {reason}\n" for reason in table.reasons(rows))
    figures = f"{caption(about)}\n\n{tables[0]}\n\n{reasons}\nEach step by itself:\n\n{tables[1]}\n"
    path.write_text(f"{head}{begin}\n\n{figures}\n{end}{tail}", "utf-8")
