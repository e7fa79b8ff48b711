"""``tfsaver reshard``: the same tensors in more or fewer files, or in another format."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.arguments import add_patterns, selection_of
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.text import escape
from tfsaver.verbs.reshard import reshard

NAME = "reshard"
HELP = "Write a checkpoint's tensors, unchanged, in another number of files or as V1."

_EPILOG = """\
Partitioned tensors keep their slices, which may then be in different files. With --merge-slices they become whole tensors,
which programs with partitioned variables restore as well.

examples:
  tfsaver reshard model.ckpt-1000 one_file --with-meta
  tfsaver reshard model.ckpt-1000 eight_files --shards 8
  tfsaver reshard model.ckpt-1000 old --format v1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    editing.add_source(parser)
    parser.add_argument("--merge-slices", action="store_true", help="write partitioned tensors whole")
    add_patterns(parser)
    parser.add_argument("--with-meta", action="store_true", help="copy the .meta file too, which still fits")
    editing.add_result(parser, _EPILOG)


def run(arguments: argparse.Namespace) -> Outcome:
    """Writes and reports."""
    with output.open_progress(escape(arguments.out)) as progress:
        report = reshard(
            arguments.checkpoint,
            arguments.out,
            merge_slices=arguments.merge_slices,
            with_meta=arguments.with_meta,
            select=selection_of(arguments),
            **editing.write_options(arguments, progress),
        )
    return editing.reported(report, arguments)
