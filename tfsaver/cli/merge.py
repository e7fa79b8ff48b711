"""``tfsaver merge``: several checkpoints as one."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.arguments import checkpoint_path
from tfsaver.cli.text import escape
from tfsaver.verbs.merge import merge

NAME = "merge"
HELP = "Write the tensors of several checkpoints as one checkpoint."

_EPILOG = f"""\
A name that several have is a conflict, unless its tensors are the same bit for bit. All conflicts are one error, unless
--on-conflict says whose tensor is taken. Of checkpoints that were written from objects the objects are merged too, root
with root; of their counts of saves the last one's is taken. A .meta is not copied, since none fits the result.

examples:
  tfsaver merge trunk head model
  tfsaver merge pretrained finetuned model --on-conflict last

{editing.RESULT_EPILOG}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    parser.add_argument("checkpoints", metavar="CHECKPOINT", type=checkpoint_path, nargs="+", help="what to merge")
    parser.add_argument(
        "--on-conflict", choices=("error", "first", "last"), default="error", help="whose tensor a name gets (error)"
    )
    editing.add_result(parser)


def run(arguments: argparse.Namespace) -> int:
    """Merges and says what was."""
    with output.open_progress(escape(arguments.out)) as progress:
        report = merge(
            arguments.checkpoints,
            arguments.out,
            on_conflict=arguments.on_conflict,
            **editing.write_options(arguments, progress),
        )
    return editing.print_report(report, arguments)
