"""``tfsaver cast``: a checkpoint's tensors in another type."""

from __future__ import annotations

import argparse

from tfsaver.checkpoint.editing.cast import as_dtype
from tfsaver.cli import editing, output
from tfsaver.cli.text import escape
from tfsaver.errors import SaverError
from tfsaver.verbs.cast import cast

NAME = "cast"
HELP = "Write a checkpoint with its numbers in another type, and say what that costs each tensor."

_EPILOG = f"""\
To a float type go the floats, to an integer type the integers, and these only if none changes; with --select whatever
the patterns name, as far as it are numbers. Types: float32, float64, float16, bfloat16, float8_e4m3fn, int32, ...
A number that the type does not reach is an error that says of all tensors how many there are, and nothing is written,
unless --allow-overflow takes infinity for it. Tensors are listed with the worst first. A .meta is not copied, since its
variables have the old types.

examples:
  tfsaver cast model.ckpt-1000 half --to bfloat16 --exclude LayerNorm
  tfsaver cast model.ckpt-1000 half --to float16 --dry-run        what it would cost

{editing.RESULT_EPILOG}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    editing.add_source(parser)
    parser.add_argument("--to", dest="dtype", metavar="TYPE", type=_dtype, required=True, help="the type, as in bfloat16")
    editing.add_patterns(parser, "cast tensors whose name has it, and no others", "do not cast tensors whose name has it")
    parser.add_argument("--allow-overflow", action="store_true", help="let numbers out of the type's range become infinite")
    editing.add_result(parser)


def run(arguments: argparse.Namespace) -> int:
    """Casts and says what was lost."""
    with output.open_progress(escape(arguments.out)) as progress:
        report = cast(
            arguments.checkpoint,
            arguments.out,
            arguments.dtype,
            select=editing.selection_of(arguments),
            allow_overflow=arguments.allow_overflow,
            **editing.write_options(arguments, progress),
        )
    return editing.print_report(report, arguments)


def _dtype(text: str) -> str:
    try:
        as_dtype(text)
    except SaverError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
