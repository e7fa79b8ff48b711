"""``tfsaver average``: the mean of several checkpoints."""

from __future__ import annotations

import argparse

from tfsaver.checkpoint.editing.average import last_checkpoints
from tfsaver.cli import editing, output
from tfsaver.cli.arguments import add_patterns, checkpoint_path, positive, selection_of
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.parser import UsageError
from tfsaver.cli.text import escape
from tfsaver.verbs.average import average

NAME = "average"
HELP = "Write the mean of several checkpoints of one model."

_EPILOG = """\
Floats and complex numbers are averaged in float64 and rounded once. Everything else (steps, words, random states) is
taken from the last checkpoint. All checkpoints must have the same tensors, of the same types and shapes.

examples:
  tfsaver average model.ckpt-8000 model.ckpt-9000 model.ckpt-10000 averaged
  tfsaver average run/ averaged --last 5                   the five newest checkpoints of a directory
  tfsaver average a b averaged --weights 0.9,0.1 --with-meta
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument(
        "checkpoints", metavar="CHECKPOINT", type=checkpoint_path, nargs="+", help="prefixes, or with --last a directory"
    )
    parser.add_argument("--weights", metavar="W,W,...", type=_weights, help="the weight of each checkpoint (equal)")
    parser.add_argument("--last", metavar="N", type=positive, help="the N newest checkpoints of a directory")
    add_patterns(parser)
    parser.add_argument("--with-meta", action="store_true", help="copy the .meta file of the last one, which still fits")
    editing.add_result(parser, _EPILOG)


def run(arguments: argparse.Namespace) -> Outcome:
    """Averages and reports."""
    checkpoints = arguments.checkpoints
    if arguments.last is not None:
        if len(checkpoints) != 1:
            raise UsageError(f"--last takes one directory, not {len(checkpoints)} paths")
        checkpoints = last_checkpoints(checkpoints[0], arguments.last)
    if arguments.weights is not None and len(arguments.weights) != len(checkpoints):
        raise UsageError(f"--weights has {len(arguments.weights)} numbers for {len(checkpoints)} checkpoints")
    with output.open_progress(escape(arguments.out)) as progress:
        report = average(
            checkpoints,
            arguments.out,
            weights=arguments.weights,
            with_meta=arguments.with_meta,
            select=selection_of(arguments),
            **editing.write_options(arguments, progress),
        )
    return editing.reported(report, arguments)


def _weights(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers, such as 0.9,0.1") from None
