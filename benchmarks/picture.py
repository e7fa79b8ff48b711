"""The ratios as a picture: a bar for each row that has a target, the target as a line across it, 1 as a line across all."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.results import RowResult

_REACHED, _MISSED = "#3b7dd8", "#c9a227"
_INK = "#333333"


def draw(rows: Sequence[RowResult], path: Path, caption: str) -> bool:
    """Draws the rows that are ratios and have a target.

    Args:
        rows: All rows.
        path: The picture's file; its suffix says the format.
        caption: What stands below: the machine, say.

    Returns:
        Whether there were any.
    """
    shown = [row for row in rows if row.unit == "times" and row.target is not None and row.value is not None]
    if not shown:
        return False
    # A figure without pyplot: no display is looked for.
    figure = Figure(figsize=(10, 1.3 + 0.34 * len(shown)), layout="constrained")
    axes = figure.subplots()
    places = range(len(shown))
    values = [row.value or 0.0 for row in shown]
    # Twice as fast and half as fast are as far from 1; what is hundreds of times as fast leaves room for the others.
    axes.set_xscale("log", base=2)
    colors = [_REACHED if row.is_reached else _MISSED for row in shown]
    axes.barh(places, [value - 1 for value in values], left=1, color=colors, height=0.62)
    spreads = [[value - (row.low or value) for row, value in zip(shown, values, strict=True)],
               [(row.high or value) - value for row, value in zip(shown, values, strict=True)]]  # fmt: skip
    axes.errorbar(values, places, xerr=spreads, fmt="none", ecolor=_INK, elinewidth=0.8, capsize=2)
    targets = [row.target or 0.0 for row in shown]
    low, high = ([place + shift for place in places] for shift in (-0.42, 0.42))
    axes.vlines(targets, low, high, color="black", linewidth=2.2)
    for place, row in zip(places, shown, strict=True):
        axes.annotate(f"{row.value:.1f}", (max(row.high or 0, row.target or 0), place), (6, 0), textcoords="offset points",
                      va="center", fontsize=8.5, color=_INK)  # fmt: skip
    axes.axvline(1, color=_INK, linewidth=0.8, linestyle=":")
    axes.set_yticks(places, [f"{row.work}  ({row.data})" for row in shown], fontsize=8.5)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:g}")
    lowest = min(row.low or row.value or 1 for row in shown)
    axes.set_xlim(0.8 * min(lowest, 0.5), 2 * max(max(row.high or 0, row.target or 0) for row in shown))
    legend = "times as fast: medians of rounds; thin lines from lowest to highest, thick lines the targets"
    figure.supxlabel("\n".join([legend, *textwrap.wrap(caption, 140)]), fontsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=110, facecolor="white")
    return True
