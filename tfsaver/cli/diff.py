"""``tfsaver diff``: what two checkpoints differ in."""

from __future__ import annotations

import argparse

from tfsaver._version import __version__
from tfsaver.cli import editing, output
from tfsaver.cli.text import escape, escape_message
from tfsaver.verbs.diff import diff

NAME = "diff"
HELP = "Compare two checkpoints of whatever formats: names, types, shapes, values."

_EPILOG = f"""\
Elements are equal when their bytes are, so that a NaN is equal to itself and 0.0 is not -0.0. With a tolerance numbers are
equal that differ by at most ATOL + RTOL * |b|, and so are any two NaNs. Beside how many elements differ stand the largest
difference, the L2 norm of the difference, and its share of the norm of the first checkpoint's tensor.

{editing.MAPPING_EPILOG}examples:
  tfsaver diff model.ckpt-1000 model.ckpt-2000
  tfsaver diff model.ckpt-1000 half --ignore-dtype --rtol 0.01
  tfsaver diff old new --rule ^bert/ encoder/ && deploy

exit codes: 0 equal, 1 different or an error, which is on standard error, 2 the arguments make no sense
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    editing.add_source(parser, "a")
    editing.add_source(parser, "b")
    editing.add_patterns(parser, "compare tensors whose name has it", "do not compare tensors whose name has it")
    editing.add_mapping(parser)
    parser.add_argument("--rtol", type=_tolerance, default=0.0, help="how far numbers may differ, relative to b's (0)")
    parser.add_argument("--atol", type=_tolerance, default=0.0, help="how far numbers may differ (0)")
    parser.add_argument("--ignore-dtype", action="store_true", help="numbers of other types may be equal")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors; the exit code says it")
    parser.add_argument("--json", action="store_true", help="one JSON object instead, every difference in it")


def run(arguments: argparse.Namespace) -> int:
    """Prints what differs; 1 when anything does."""
    with output.open_progress(escape(arguments.a)) as progress:
        report = diff(
            arguments.a,
            arguments.b,
            rtol=arguments.rtol,
            atol=arguments.atol,
            ignore_dtype=arguments.ignore_dtype,
            select=editing.selection_of(arguments),
            mapping=editing.mapping_of(arguments.mapping),
            progress=progress,
        )
    if arguments.json:
        output.print_json({"tfsaver": __version__, **report.to_json()})
    elif not arguments.quiet:
        out = output.open_screen()
        for line in report.lines():
            out.line(escape_message(line))
    return 0 if report.ok else 1


def _tolerance(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return number
