"""``tfsaver strip``: a checkpoint without what only training needs."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.arguments import add_patterns, checkpoint_path, patterns_of, regex, selection_of
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.text import escape
from tfsaver.verbs.strip import strip

NAME = "strip"
HELP = "Write a checkpoint without optimizer slots and other training state, and report what that saves."

_EPILOG = f"""\
Training state is identified from the .meta file next to the checkpoint, if there is one, and from the names that
optimizers give: w/Adam, w/adam_m, beta1_power, w/.OPTIMIZER_SLOT/... Variables that the .meta file calls trainable stay.
Moving averages stay, since they are weights, and so does the global step. {editing.META_NOT_COPIED}
examples:
  tfsaver strip model.ckpt-1000 stripped
  tfsaver strip model.ckpt-1000 stripped --dry-run -v             list every name that would go
  tfsaver strip model.ckpt-1000 stripped --exclude ExponentialMovingAverage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    editing.add_source(parser)
    parser.add_argument("--meta", metavar="FILE", type=checkpoint_path, help="the .meta file, if not the one next to it")
    parser.add_argument("--no-meta", action="store_true", help="go by names alone")
    add_patterns(parser, "only tensors whose name matches; may be repeated", "remove tensors whose name matches, too")
    parser.add_argument(
        "--keep", metavar="REGEX", type=regex, action="append", default=[], help="keep tensors whose name matches"
    )
    parser.add_argument("--without-global-step", action="store_true", help="remove the global step, too")
    editing.add_result(parser, _EPILOG)


def run(arguments: argparse.Namespace) -> Outcome:
    """Strips and reports what went."""
    with output.open_progress(escape(arguments.out)) as progress:
        report = strip(
            arguments.checkpoint,
            arguments.out,
            meta=arguments.meta or not arguments.no_meta,
            select=selection_of(arguments),
            keep=patterns_of(arguments.keep),
            without_global_step=arguments.without_global_step,
            **editing.write_options(arguments, progress),
        )
    return editing.reported(report, arguments)
