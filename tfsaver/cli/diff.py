"""``tfsaver diff``: what two checkpoints differ in."""

from __future__ import annotations

import argparse

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    editing.add_source(parser, "a")
    editing.add_source(parser, "b")
    add_patterns(parser, "compare only tensors whose name matches; may be repeated", "ignore tensors whose name matches")
    editing.add_mapping(parser)
    parser.add_argument("--rtol", type=_tolerance, default=0.0, help="how far numbers may differ, relative to B (0)")
    parser.add_argument("--atol", type=_tolerance, default=0.0, help="how far numbers may differ (0)")
    parser.add_argument("--ignore-dtype", action="store_true", help="compare numbers of different types by value")
    add_common(parser, epilog=_EPILOG, verbose="name the tensors that are equal, too", quiet="print nothing but errors")


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
        for line in report.lines(all_names=arguments.verbose):
            out.line(escape_message(line))
    return Outcome(OK if report.ok else FOUND, report.to_json() if arguments.json else None)


def _tolerance(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return number
