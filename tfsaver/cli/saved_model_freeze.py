"""``tfsaver saved-model freeze``: one GraphDef with constants for variables."""

from __future__ import annotations

import argparse

from google.protobuf import text_format

from tfsaver import schemas
from tfsaver.cli import output
from tfsaver.cli.arguments import add_common, checkpoint_path
from tfsaver.cli.editing import add_writing
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.saved_model_source import add_graph_changes, tags_argument
from tfsaver.cli.text import count, escape
from tfsaver.errors import AlreadyExistsError
from tfsaver.lib import file_io
from tfsaver.saved_model import sources
from tfsaver.saved_model.freezing import freeze_saved_model, freeze_source
from tfsaver.saved_model.loader import find_graph_file
from tfsaver.saved_model.saved_model_file import form_of_file

NAME = "freeze"
HELP = "Write one GraphDef in which constants stand for the variables."

_EPILOG = """\
SOURCE is a SavedModel, or a checkpoint's prefix with its .meta file next to it. OUT is a file: text if it ends in .pbtxt.

examples:
  tfsaver saved-model freeze export/ frozen.pb
  tfsaver saved-model freeze model.ckpt-1000 frozen.pb --output softmax

The report in the JSON document:
  source, target  what was frozen, and the file; target is null after a dry run
  num_nodes       nodes of the frozen graph
  num_bytes       its size as a binary message
  dry_run         whether nothing was written
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("source", metavar="SOURCE", type=checkpoint_path, help="a SavedModel, or a checkpoint")
    parser.add_argument("out", metavar="OUT", type=checkpoint_path, help="the file to write")
    parser.add_argument(
        "--output",
        metavar="NAME",
        action="append",
        default=[],
        help="a tensor or operation to keep; by default the outputs of all signatures; may be repeated",
    )
    parser.add_argument("--tags", metavar="TAG,TAG", type=tags_argument, help="which graph of a SavedModel")
    add_graph_changes(parser)
    add_writing(parser)
    add_common(parser, epilog=_EPILOG, verbose="print nothing more than without it")


def run(arguments: argparse.Namespace) -> Outcome:
    """Freezes, and prints what was written."""
    if file_io.exists(arguments.out) and not arguments.overwrite:
        raise AlreadyExistsError(f"{arguments.out} exists already; --overwrite replaces it")
    frozen = _frozen(arguments)
    data = frozen.SerializeToString(deterministic=True)
    if not arguments.dry_run:
        is_text = arguments.out.endswith(".pbtxt")
        text = text_format.MessageToString(frozen, descriptor_pool=schemas.DESCRIPTOR_POOL).encode() if is_text else data
        if parent := file_io.split(arguments.out)[0]:
            file_io.make_directory(parent)
        file_io.write_file(arguments.out, text)
    if not (arguments.quiet or arguments.json):
        done = f"{arguments.out}: {count(len(frozen.node), 'node')}"
        done += " (dry run: nothing is written)" if arguments.dry_run else ""
        output.open_screen().line(f"{escape(arguments.source)} -> {escape(done)}")
    return Outcome(
        report={
            "source": arguments.source,
            "target": None if arguments.dry_run else arguments.out,
            "num_nodes": len(frozen.node),
            "num_bytes": len(data),
            "dry_run": arguments.dry_run,
        }
    )


def _frozen(arguments: argparse.Namespace) -> schemas.GraphDef:
    trusted = not arguments.untrusted
    file = find_graph_file(arguments.source)
    form = None if file is None else form_of_file(file)
    if form is not None and form.kind == "SavedModel":
        return freeze_saved_model(
            arguments.source,
            arguments.output,
            tags=arguments.tags,
            empty_tables=arguments.empty_tables,
            repair=arguments.repair,
            trusted=trusted,
        )
    source = sources.open_source(arguments.source, trusted=False if arguments.untrusted else None)
    try:
        return freeze_source(source, arguments.output, empty_tables=arguments.empty_tables, repair=arguments.repair)
    finally:
        source.close()
