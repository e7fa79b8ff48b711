"""``tfsaver select``: some of a checkpoint's tensors."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.arguments import add_patterns, selection_of
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.text import escape
from tfsaver.verbs.select import select

NAME = "select"
HELP = "Write some of a checkpoint's tensors as a checkpoint, and report what is left out."

_EPILOG = f"""\
Patterns are regular expressions that may match anywhere in a name: ^bert/ is a scope, /kernel$ an ending. A tensor is kept
if it matches a --select pattern, or no such pattern is given, and matches no --exclude pattern.

In an object-based checkpoint, objects that lose all their values are removed too; the save counter stays, because
tf.train.Checkpoint requires it. {editing.META_NOT_COPIED}
examples:
  tfsaver select model.ckpt-1000 bert --select ^bert/ --without-optimizer
  tfsaver select model.ckpt-1000 body --exclude ^logits/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    editing.add_source(parser)
    add_patterns(parser, "keep tensors whose name matches; may be repeated", "leave out tensors whose name matches")
    parser.add_argument("--without-optimizer", action="store_true", help="leave out optimizer state, known by its names")
    editing.add_result(parser, _EPILOG)


def run(arguments: argparse.Namespace) -> Outcome:
    """Selects and reports what is left out."""
    selection = selection_of(arguments, without_optimizer=arguments.without_optimizer)
    with output.open_progress(escape(arguments.out)) as progress:
        report = select(arguments.checkpoint, arguments.out, selection, **editing.write_options(arguments, progress))
    return editing.reported(report, arguments)
