"""``tfsaver split``: one checkpoint as several."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.arguments import checkpoint_path, path_in_store, regex
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.parser import UsageError
from tfsaver.cli.text import escape
from tfsaver.verbs.split import split

NAME = "split"
HELP = "Write a checkpoint's tensors as several checkpoints, by patterns of their names."

_EPILOG = f"""\
--part may be repeated, also with one prefix and several patterns. A tensor goes to the first part with a pattern that its
name matches. Without --rest, tensors that belong to no part are an error. {editing.META_NOT_COPIED}
example:
  tfsaver split model.ckpt-1000 --part bert ^bert/ --part head ^cls/ --rest training
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    editing.add_source(parser)
    parser.add_argument(
        "--part", metavar=("OUT", "REGEX"), nargs=2, action="append", required=True, help="a prefix, and what goes there"
    )
    parser.add_argument("--rest", metavar="OUT", type=checkpoint_path, help="the prefix for tensors of no part")
    editing.add_result(parser, _EPILOG, has_prefix=False)


def run(arguments: argparse.Namespace) -> Outcome:
    """Splits and reports what went where."""
    parts: dict[str, list[str]] = {}
    for prefix, pattern in arguments.part:
        try:
            parts.setdefault(path_in_store(prefix, arguments), []).append(regex(pattern).pattern)
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"argument --part: {error}") from None
    with output.open_progress(escape(arguments.checkpoint)) as progress:
        report = split(arguments.checkpoint, parts, rest=arguments.rest, **editing.write_options(arguments, progress))
    return editing.reported(report, arguments)
