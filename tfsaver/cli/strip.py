"""``tfsaver strip``: a checkpoint without what only training needs."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.arguments import checkpoint_path, regex
from tfsaver.cli.text import escape
from tfsaver.verbs.strip import strip

NAME = "strip"
HELP = "Write a checkpoint without optimizer slots and other training state, and say what went and what that saves."

_EPILOG = f"""\
What only training needs is told from the .meta beside the checkpoint, where there is one, and from the names that
optimizers give: w/Adam, w/adam_m, beta1_power, w/.OPTIMIZER_SLOT/... What the .meta says is trained stays.
Moving averages stay: they are weights. So does the global step, which says what step the weights are of, unless it is
not wanted. {editing.META_NOT_COPIED}
examples:
  tfsaver strip model.ckpt-1000 stripped
  tfsaver strip model.ckpt-1000 stripped --dry-run -v             what would go, every name
  tfsaver strip model.ckpt-1000 stripped --exclude ExponentialMovingAverage

{editing.RESULT_EPILOG}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    editing.add_source(parser)
    parser.add_argument("--meta", metavar="FILE", type=checkpoint_path, help="the .meta to ask, if not the one beside it")
    parser.add_argument("--no-meta", action="store_true", help="go by names alone")
    parser.add_argument(
        "--exclude", metavar="REGEX", type=regex, action="append", default=[], help="tensors that go besides"
    )
    parser.add_argument("--keep", metavar="REGEX", type=regex, action="append", default=[], help="tensors that stay")
    parser.add_argument("--without-global-step", action="store_true", help="the global step goes too")
    editing.add_result(parser)


def run(arguments: argparse.Namespace) -> int:
    """Strips and says what went."""
    with output.open_progress(escape(arguments.out)) as progress:
        report = strip(
            arguments.checkpoint,
            arguments.out,
            meta=arguments.meta or not arguments.no_meta,
            select=editing.selection_of(arguments),
            keep=editing.patterns_of(arguments.keep),
            without_global_step=arguments.without_global_step,
            **editing.write_options(arguments, progress),
        )
    return editing.print_report(report, arguments)
