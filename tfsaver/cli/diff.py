"""``tfsaver diff``: what two checkpoints differ in."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Iterator

from tfsaver.checkpoint.editing.diff import DiffReport, TensorDifference
from tfsaver.cli import editing, output
from tfsaver.cli.arguments import add_common, add_patterns, selection_of
from tfsaver.cli.outcome import FOUND, OK, Outcome
from tfsaver.cli.text import escape, escape_message
from tfsaver.verbs.diff import diff

NAME = "diff"
HELP = "Compare two checkpoints, in whatever formats: names, types, shapes, values."

_EPILOG = f"""\
Elements are equal if their bytes are, so a NaN equals itself and 0.0 differs from -0.0. With a tolerance, numbers are
equal if they differ by at most ATOL + RTOL * |b|, and any two NaNs are equal. For each tensor that differs, the report
gives the number of elements that differ, the largest difference, the L2 norm of the difference, and its share of the
norm of A.

{editing.MAPPING_EPILOG}examples:
  tfsaver diff model.ckpt-1000 model.ckpt-2000
  tfsaver diff model.ckpt-1000 half --ignore-dtype --rtol 0.01
  tfsaver diff old new --rule ^bert/ encoder/ && deploy

The report in the JSON document:
  ok, a, b, different, only_in_a, only_in_b, equal, num_equal
  tensors         of each that differs: name, kinds, dtypes, shapes, num_elements, num_different, num_not_finite, max_abs,
                  norm, relative_norm
"""
_CHANGES_IN_TEXT = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    editing.add_source(parser, "a")
    editing.add_source(parser, "b")
    add_patterns(parser, "compare only tensors whose name matches; may be repeated", "ignore tensors whose name matches")
    editing.add_mapping(parser)
    parser.add_argument("--rtol", type=_tolerance, default=0.0, help="how far numbers may differ, relative to B (0)")
    parser.add_argument("--atol", type=_tolerance, default=0.0, help="how far numbers may differ (0)")
    parser.add_argument("--ignore-dtype", action="store_true", help="compare numbers of different types by value")
    add_common(parser, epilog=_EPILOG, verbose="list every difference, and what is equal", quiet="print nothing but errors")


def run(arguments: argparse.Namespace) -> Outcome:
    """Prints the differences; `FOUND` when there is one."""
    with output.open_progress(escape(arguments.a)) as progress:
        report = diff(
            arguments.a,
            arguments.b,
            rtol=arguments.rtol,
            atol=arguments.atol,
            ignore_dtype=arguments.ignore_dtype,
            select=selection_of(arguments),
            mapping=editing.mapping_of(arguments.mapping),
            trusted=not arguments.untrusted,
            allow_unmatched=arguments.allow_unmatched,
            progress=progress,
        )
    if not (arguments.json or arguments.quiet):
        out = output.open_screen()
        for line in report.lines(all_names=True) if arguments.verbose else _summary(report):
            out.line(escape_message(line))
    return Outcome(OK if report.ok else FOUND, report.to_json() if arguments.json else None)


def _summary(report: DiffReport) -> Iterator[str]:
    """The lines of a report, of each kind the first few: of the tensors that differ those that changed most."""
    different = report.different
    if len(different) > _CHANGES_IN_TEXT:
        different = tuple(sorted(different, key=_size_of_change)[:_CHANGES_IN_TEXT])
    shown = dataclasses.replace(
        report,
        only_in_a=report.only_in_a[:_CHANGES_IN_TEXT],
        only_in_b=report.only_in_b[:_CHANGES_IN_TEXT],
        different=different,
    )
    *lines, _ = shown.lines()
    *_, counts = report.lines()
    yield from lines
    if num_left := _num_listed(report) - _num_listed(shown):
        yield f"and {num_left:,} more; -v lists all, not the {_CHANGES_IN_TEXT} largest changes"
    yield counts


def _num_listed(report: DiffReport) -> int:
    return len(report.only_in_a) + len(report.only_in_b) + len(report.different)


def _size_of_change(item: TensorDifference) -> tuple[float, str]:
    """For sorting: other types and shapes first, then by the share of the norm that changed."""
    if item.values is None or item.relative_norm is None or not math.isfinite(item.relative_norm):
        return -math.inf, item.name
    return -item.relative_norm, item.name


def _tolerance(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return number
