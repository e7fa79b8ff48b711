"""``tfsaver saved-model export``: a SavedModel for serving out of a graph and its variables."""

from __future__ import annotations

import argparse
import json
from typing import Any

from tfsaver.cli import output
from tfsaver.cli.arguments import add_common, checkpoint_path, patterns_of, regex
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.parser import UsageError
from tfsaver.cli.saved_model_source import add_graph_changes, tags_argument
from tfsaver.cli.text import escape
from tfsaver.compat.export import export_saved_model

NAME = "export"
HELP = "Make a SavedModel of a checkpoint and its .meta file, a frozen graph, or another SavedModel."

_EPILOG = """\
SOURCE is a checkpoint's prefix with its .meta file next to it, a file with a graph, or a SavedModel. Without --output, the
signatures of SOURCE are exported; if it has none, the error lists the likely outputs, as does `tfsaver saved-model show`.

examples:
  tfsaver saved-model export model.ckpt-1000 export --output scores=softmax_2
  tfsaver saved-model export model.ckpt-1000 models/mine --versioned --output softmax --fix is_training=false
  tfsaver saved-model export frozen.pb export --output softmax --repair references --repair batch
  tfsaver saved-model export frozen.pb export --input x=images:0 --output softmax --dry-run

The report in the JSON document:
  source, target  what was exported, and where the SavedModel is; target is null after a dry run
  dry_run         whether nothing was written
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("source", metavar="SOURCE", type=checkpoint_path, help="a prefix, a graph's file, or a SavedModel")
    parser.add_argument("out", metavar="TARGET", type=checkpoint_path, help="the directory to write, or of the versions")
    parser.add_argument(
        "--output", metavar="[KEY=]TENSOR", action="append", default=[], help="an output of serving_default; may be repeated"
    )
    parser.add_argument(
        "--input",
        metavar="[KEY=]TENSOR",
        action="append",
        default=[],
        help="an input; by default the placeholders that the outputs need",
    )
    parser.add_argument(
        "--fix", metavar="NAME=VALUE", action="append", default=[], help="a placeholder that becomes a constant"
    )
    add_graph_changes(parser)
    parser.add_argument(
        "--freeze", metavar="REGEX", type=regex, action="append", default=[], help="variables that become constants"
    )
    parser.add_argument("--variables", metavar="CHECKPOINT", type=checkpoint_path, help="take the values from here")
    parser.add_argument("--tags", metavar="TAG,TAG", type=tags_argument, default=("serve",), help="its tags (serve)")
    parser.add_argument("--versioned", action="store_true", help="make a new version in TARGET, above all others")
    parser.add_argument("--text", action="store_true", help="write saved_model.pbtxt")
    parser.add_argument("--dry-run", action="store_true", help="check everything and write nothing")
    add_common(parser, epilog=_EPILOG, verbose="print nothing more than without it")


def run(arguments: argparse.Namespace) -> Outcome:
    """Exports, and prints where the SavedModel is."""
    target = export_saved_model(
        arguments.source,
        arguments.out,
        inputs=_tensors(arguments.input),
        outputs=_tensors(arguments.output),
        fixed_inputs=dict(_fixed(text) for text in arguments.fix),
        variables=arguments.variables,
        tags=arguments.tags,
        empty_tables=arguments.empty_tables,
        repair=arguments.repair,
        freeze=patterns_of(arguments.freeze) or None,
        as_text=arguments.text,
        versioned=arguments.versioned,
        dry_run=arguments.dry_run,
        trusted=False if arguments.untrusted else None,
    )
    if not (arguments.quiet or arguments.json):
        done = f"{target} (dry run: nothing is written)" if arguments.dry_run else target
        output.open_screen().line(f"{escape(arguments.source)} -> {escape(done)}")
    written = None if arguments.dry_run else target
    return Outcome(report={"source": arguments.source, "target": written, "dry_run": arguments.dry_run})


def _tensors(texts: list[str]) -> dict[str, str] | list[str] | None:
    """Tensors by key if each has one, else as a list.

    Raises:
        UsageError: Some have keys and others do not.
    """
    pairs = [text.partition("=") for text in texts]
    if not texts:
        return None
    if not any(separator for _, separator, _ in pairs):
        return texts
    if not all(separator and key and name for key, separator, name in pairs):
        raise UsageError(f"either all or none of {', '.join(texts)} can have a key: KEY=TENSOR")
    return {key: name for key, _, name in pairs}


def _fixed(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise UsageError(f"--fix {text!r}: write NAME=VALUE, as in is_training=false")
    try:
        return name, json.loads(value.lower() if value in ("True", "False") else value)
    except ValueError:
        return name, value
