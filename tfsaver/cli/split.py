"""``tfsaver split``: one checkpoint as several."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.arguments import checkpoint_path
from tfsaver.cli.text import escape
from tfsaver.verbs.split import split

NAME = "split"
HELP = "Write a checkpoint's tensors as several checkpoints, by the patterns in their names."

_EPILOG = f"""\
--part may be given several times, also with one prefix and several patterns. A tensor goes to the first part of which a
pattern is in its name; one that belongs to none is an error, unless --rest has a prefix for these. {editing.META_NOT_COPIED}
example:
  tfsaver split model.ckpt-1000 --part bert ^bert/ --part head ^cls/ --rest training

{editing.RESULT_EPILOG}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    editing.add_source(parser)
    parser.add_argument(
        "--part", metavar=("OUT", "REGEX"), nargs=2, action="append", required=True, help="a prefix, and what goes there"
    )
    parser.add_argument("--rest", metavar="OUT", type=checkpoint_path, help="the prefix for what belongs to no part")
    editing.add_result(parser, has_prefix=False)


def run(arguments: argparse.Namespace) -> int:
    """Splits and says what went where."""
    parts: dict[str, list[str]] = {}
    for prefix, pattern in arguments.part:
        parts.setdefault(prefix, []).append(pattern)
    with output.open_progress(escape(arguments.checkpoint)) as progress:
        report = split(
            arguments.checkpoint, parts, rest=arguments.rest, **editing.write_options(arguments, progress)
        )
    return editing.print_report(report, arguments)
