"""``tfsaver reshard``: the same tensors in more or fewer files, or in another format."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.text import escape
from tfsaver.verbs.reshard import reshard

NAME = "reshard"
HELP = "Write a checkpoint's tensors, unchanged, in another number of files or in the other format."

_EPILOG = f"""\
Partitioned tensors stay in their slices, which may then lie in different files, or become whole with --merge-slices:
programs that know a tensor in parts restore it from a whole one too.

examples:
  tfsaver reshard model.ckpt-1000 one_file --with-meta
  tfsaver reshard model.ckpt-1000 eight_files --shards 8
  tfsaver reshard model.ckpt-1000 old --format v1

{editing.RESULT_EPILOG}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    editing.add_source(parser)
    parser.add_argument("--merge-slices", action="store_true", help="write partitioned tensors whole")
    parser.add_argument("--with-meta", action="store_true", help="copy the .meta too, which still fits")
    editing.add_result(parser, can_be_dry=False)


def run(arguments: argparse.Namespace) -> int:
    """Writes and says what."""
    with output.open_progress(escape(arguments.out)) as progress:
        report = reshard(
            arguments.checkpoint,
            arguments.out,
            merge_slices=arguments.merge_slices,
            with_meta=arguments.with_meta,
            **editing.write_options(arguments, progress),
        )
    return editing.print_report(report, arguments)
