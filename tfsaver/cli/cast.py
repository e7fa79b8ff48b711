"""``tfsaver cast``: a checkpoint's tensors in another type."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.arguments import add_patterns, selection_of
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.text import escape
from tfsaver.verbs.cast import cast

NAME = "cast"
HELP = "Write a checkpoint with its numbers in another type, and report what each tensor loses."

_EPILOG = """\
Types: float32 (float, fp32), float64 (double, fp64), float16 (half, fp16), bfloat16 (bf16), float8_e4m3fn, int32, ...

Float types convert float tensors, integer types convert integer tensors; with --select, every matching numeric tensor.
Integers must not change. A number outside of the type's range is an error that counts such numbers of every tensor, and
nothing is written, unless --allow-overflow makes them infinite. Tensors are listed with the worst first. A .meta file is
not copied, since its variables have the old types.

examples:
  tfsaver cast model.ckpt-1000 half --to bf16 --exclude LayerNorm
  tfsaver cast model.ckpt-1000 half --to fp16 --dry-run        report what it would lose
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    editing.add_source(parser)
    parser.add_argument(
        "--to", dest="dtype", metavar="TYPE", type=editing.dtype, required=True, help="the type, such as bfloat16"
    )
    add_patterns(parser, "cast only tensors whose name matches; may be repeated", "do not cast tensors whose name matches")
    parser.add_argument("--allow-overflow", action="store_true", help="make numbers outside of the type's range infinite")
    editing.add_result(parser, _EPILOG)


def run(arguments: argparse.Namespace) -> Outcome:
    """Casts and reports what was lost."""
    with output.open_progress(escape(arguments.out)) as progress:
        report = cast(
            arguments.checkpoint,
            arguments.out,
            arguments.dtype,
            select=selection_of(arguments),
            allow_overflow=arguments.allow_overflow,
            **editing.write_options(arguments, progress),
        )
    return editing.reported(report, arguments)
