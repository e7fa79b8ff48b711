"""``tfsaver rename``: a checkpoint's tensors under other names."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.text import escape
from tfsaver.verbs.rename import rename

NAME = "rename"
HELP = "Write a checkpoint's tensors under other names, and turned where a rule says so."

_EPILOG = f"""\
{editing.MAPPING_EPILOG}\
Names of which nothing speaks stay. Names that collide, or that name nothing, are one error that says all of them.
{editing.META_NOT_COPIED}
examples:
  tfsaver rename model.ckpt-1000 renamed --map rnn-cells
  tfsaver rename model.ckpt-1000 renamed --rule ^old_scope/ new_scope/ --map beta1_power=
  tfsaver rename model.ckpt-1000 renamed --map names.toml --dry-run -v

{editing.RESULT_EPILOG}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    editing.add_source(parser)
    editing.add_mapping(parser)
    editing.add_result(parser)


def run(arguments: argparse.Namespace) -> int:
    """Renames and says what was."""
    mapping = editing.mapping_of(arguments.mapping)
    with output.open_progress(escape(arguments.out)) as progress:
        report = rename(arguments.checkpoint, arguments.out, mapping, **editing.write_options(arguments, progress))
    return editing.print_report(report, arguments)
