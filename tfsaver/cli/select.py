"""``tfsaver select``: some of a checkpoint's tensors."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.text import escape
from tfsaver.verbs.select import select

NAME = "select"
HELP = "Write some of a checkpoint's tensors as a checkpoint, and say what is left out."

_EPILOG = f"""\
Patterns are regular expressions, searched for anywhere in a name: ^bert/ is a scope, /kernel$ an ending. A tensor is kept
if one of those to include is in its name, or there are none, and none of those to exclude is.
In a checkpoint that was written from objects, the objects whose values all went are gone too; its count of saves stays,
which tf.train.Checkpoint misses otherwise. {editing.META_NOT_COPIED}
examples:
  tfsaver select model.ckpt-1000 bert --select ^bert/ --without-optimizer
  tfsaver select model.ckpt-1000 body --exclude ^logits/

{editing.RESULT_EPILOG}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    editing.add_source(parser)
    editing.add_patterns(parser, "keep tensors whose name has it", "leave out tensors whose name has it")
    parser.add_argument("--without-optimizer", action="store_true", help="leave out what names tell to be optimizers' state")
    editing.add_result(parser)


def run(arguments: argparse.Namespace) -> int:
    """Selects and says what is left out."""
    selection = editing.selection_of(arguments, without_optimizer=arguments.without_optimizer)
    with output.open_progress(escape(arguments.out)) as progress:
        report = select(arguments.checkpoint, arguments.out, selection, **editing.write_options(arguments, progress))
    return editing.print_report(report, arguments)
