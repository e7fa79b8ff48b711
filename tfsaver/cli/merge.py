"""``tfsaver merge``: several checkpoints as one."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.arguments import add_patterns, checkpoint_path, selection_of
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.text import escape
from tfsaver.verbs.merge import merge

NAME = "merge"
HELP = "Write the tensors of several checkpoints as one checkpoint."

_EPILOG = """\
A name that several checkpoints have is a conflict, unless its tensors are equal bit for bit. All conflicts are one error,
unless --on-conflict says which tensor to take. Object graphs are merged at the root; the save counter is that of the last
checkpoint. A .meta file is not copied, since none fits the result.

examples:
  tfsaver merge trunk head model
  tfsaver merge pretrained finetuned model --on-conflict last
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("checkpoints", metavar="CHECKPOINT", type=checkpoint_path, nargs="+", help="what to merge")
    parser.add_argument(
        "--on-conflict",
        choices=("error", "first", "last"),
        default="error",
        help="which checkpoint's tensor to take if several have a name (error)",
    )
    add_patterns(parser)
    editing.add_result(parser, _EPILOG)


def run(arguments: argparse.Namespace) -> Outcome:
    """Merges and reports."""
    with output.open_progress(escape(arguments.out)) as progress:
        report = merge(
            arguments.checkpoints,
            arguments.out,
            on_conflict=arguments.on_conflict,
            select=selection_of(arguments),
            **editing.write_options(arguments, progress),
        )
    return editing.reported(report, arguments)
