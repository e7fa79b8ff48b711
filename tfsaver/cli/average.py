"""``tfsaver average``: the mean of several checkpoints."""

from __future__ import annotations

import argparse

from tfsaver.checkpoint.editing.average import last_checkpoints
from tfsaver.cli import editing, output
from tfsaver.cli.arguments import checkpoint_path
from tfsaver.cli.text import escape
from tfsaver.errors import InvalidArgumentError
from tfsaver.verbs.average import average

NAME = "average"
HELP = "Write the mean of several checkpoints of one model."

_EPILOG = f"""\
Floats and complex numbers are averaged, in float64, and rounded once. Everything else (steps, words, random states) is
the last checkpoint's. All must have the same tensors, of the same types and shapes; what is not so is said at once.

examples:
  tfsaver average model.ckpt-8000 model.ckpt-9000 model.ckpt-10000 averaged
  tfsaver average run/ averaged --last 5                   the five newest checkpoints of a directory
  tfsaver average a b averaged --weights 0.9,0.1 --with-meta

{editing.RESULT_EPILOG}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "checkpoints", metavar="CHECKPOINT", type=checkpoint_path, nargs="+", help="prefixes, or with --last a directory"
    )
    parser.add_argument("--weights", metavar="W,W,...", type=_weights, help="how much each counts (all the same)")
    parser.add_argument("--last", metavar="N", type=int, help="the N newest checkpoints of a directory")
    parser.add_argument("--with-meta", action="store_true", help="copy the .meta of the last one too, which still fits")
    editing.add_result(parser, can_be_dry=False)


def run(arguments: argparse.Namespace) -> int:
    """Averages and says what was."""
    checkpoints = arguments.checkpoints
    if arguments.last is not None:
        if len(checkpoints) != 1:
            raise InvalidArgumentError(f"--last takes one directory, not {len(checkpoints)} paths")
        checkpoints = last_checkpoints(checkpoints[0], arguments.last)
    with output.open_progress(escape(arguments.out)) as progress:
        report = average(
            checkpoints,
            arguments.out,
            weights=arguments.weights,
            with_meta=arguments.with_meta,
            **editing.write_options(arguments, progress),
        )
    return editing.print_report(report, arguments)


def _weights(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers, as in 0.9,0.1") from None
