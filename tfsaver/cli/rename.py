"""``tfsaver rename``: a checkpoint's tensors under other names."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.arguments import add_patterns, selection_of
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.text import escape
from tfsaver.verbs.rename import rename

NAME = "rename"
HELP = "Write a checkpoint's tensors under other names, transposed where a rule says so."

_EPILOG = f"""\
{editing.MAPPING_EPILOG}\
Other names stay as they are. Names that collide, and rules for names that are not there, are one error that lists them.
{editing.META_NOT_COPIED}
examples:
  tfsaver rename model.ckpt-1000 renamed --map rnn-cells
  tfsaver rename model.ckpt-1000 renamed --rule ^old_scope/ new_scope/ --map beta1_power=
  tfsaver rename model.ckpt-1000 renamed --map names.toml --dry-run -v
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    editing.add_source(parser)
    editing.add_mapping(parser)
    add_patterns(parser, "only tensors whose old name matches; may be repeated", "no tensors whose old name matches")
    editing.add_result(parser, _EPILOG)


def run(arguments: argparse.Namespace) -> Outcome:
    """Renames and reports."""
    mapping = editing.mapping_of(arguments.mapping)
    with output.open_progress(escape(arguments.out)) as progress:
        report = rename(
            arguments.checkpoint,
            arguments.out,
            mapping,
            select=selection_of(arguments),
            allow_unmatched=arguments.allow_unmatched,
            **editing.write_options(arguments, progress),
        )
    return editing.reported(report, arguments)
