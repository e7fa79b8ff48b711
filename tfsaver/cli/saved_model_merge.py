"""``tfsaver saved-model merge``: several SavedModels as one, under tags, side by side, or connected."""

from __future__ import annotations

import argparse

from tfsaver.cli import output
from tfsaver.cli.arguments import add_common, checkpoint_path
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.parser import UsageError
from tfsaver.cli.saved_model_source import tags_argument
from tfsaver.cli.text import escape
from tfsaver.saved_model.loader import format_tags
from tfsaver.saved_model.merging import merge_saved_models

NAME = "merge"
HELP = "Write several SavedModels as one: graphs under tags of their own, or one graph of all."

_EPILOG = """\
Each graph keeps its tags, or gets those of --tags, one option for each model. Variables of one name must be equal, unless
--prefix, one option for each model, gives every model names of its own. --connect makes one graph of all models, in which
an input takes an output of another model; --one-graph makes one graph and connects nothing.

examples:
  tfsaver saved-model merge cpu gpu both --tags serve --tags serve,gpu
  tfsaver saved-model merge first second both --prefix a --prefix b --one-graph
  tfsaver saved-model merge encoder head both --prefix encoder --prefix head --connect head:x=encoder:features

The report in the JSON document:
  sources, target  the SavedModels, and where the new one is; target is null after a dry run
  tags             those of --tags
  dry_run          whether nothing was written
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("sources", metavar="DIR", type=checkpoint_path, nargs="+", help="the SavedModels")
    parser.add_argument("out", metavar="TARGET", type=checkpoint_path, help="the directory to write, or of the versions")
    parser.add_argument(
        "--tags", metavar="TAG,TAG", type=tags_argument, action="append", help="tags of the next model; may be repeated"
    )
    parser.add_argument("--prefix", metavar="NAME", action="append", help="a prefix of the next model; may be repeated")
    parser.add_argument(
        "--connect",
        metavar="MODEL:INPUT=MODEL:OUTPUT",
        action="append",
        default=[],
        help="give an input the output of another model, each called by its prefix; may be repeated",
    )
    parser.add_argument("--one-graph", action="store_true", help="make one graph of all models")
    parser.add_argument("--versioned", action="store_true", help="make a new version in TARGET, above all others")
    parser.add_argument("--text", action="store_true", help="write saved_model.pbtxt")
    parser.add_argument("--dry-run", action="store_true", help="check everything and write nothing")
    add_common(parser, epilog=_EPILOG, verbose="print the tags too")


def run(arguments: argparse.Namespace) -> Outcome:
    """Merges, and prints where the new SavedModel is."""
    connect = dict(_connection(text) for text in arguments.connect)
    with output.open_progress(escape(arguments.out)) as progress:
        target = merge_saved_models(
            arguments.sources,
            arguments.out,
            tags=arguments.tags,
            prefixes=arguments.prefix,
            connect=connect if connect or arguments.one_graph else None,
            as_text=arguments.text,
            versioned=arguments.versioned,
            dry_run=arguments.dry_run,
            trusted=not arguments.untrusted,
            progress=progress,
        )
    if not (arguments.quiet or arguments.json):
        done = f"{target} (dry run: nothing is written)" if arguments.dry_run else target
        tags = f" {' '.join(map(format_tags, arguments.tags))}" if arguments.verbose and arguments.tags else ""
        output.open_screen().line(f"{escape(' + '.join(arguments.sources))} -> {escape(done + tags)}")
    return Outcome(
        report={
            "sources": arguments.sources,
            "target": None if arguments.dry_run else target,
            "tags": arguments.tags,
            "dry_run": arguments.dry_run,
        }
    )


def _connection(text: str) -> tuple[str, str]:
    target, separator, source = text.partition("=")
    if not separator or ":" not in target or ":" not in source:
        raise UsageError(f"--connect {text!r}: write MODEL:INPUT=MODEL:OUTPUT, each model called by its prefix")
    return target, source
