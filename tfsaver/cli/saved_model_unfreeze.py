"""``tfsaver saved-model unfreeze``: a checkpoint with its .meta file, or a SavedModel, out of a frozen graph."""

from __future__ import annotations

import argparse

from tfsaver.cli import output
from tfsaver.cli.arguments import add_common, checkpoint_path
from tfsaver.cli.editing import add_writing
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.parser import UsageError
from tfsaver.cli.text import count, escape, human_size, shape_text
from tfsaver.compat.export import export_saved_model
from tfsaver.saved_model.unfrozen_files import unfreeze_graph, write_unfrozen

NAME = "unfreeze"
HELP = "Turn the weights of a frozen graph into variables: a checkpoint with its .meta file, or a SavedModel."

_EPILOG = """\
Every constant that is a weight becomes a variable of its name, whatever its size; shapes, axes and other small integers
stay constants. TensorFlow restores the checkpoint with tf.compat.v1.train.import_meta_graph(TARGET.meta).

examples:
  tfsaver saved-model unfreeze frozen.pb model.ckpt
  tfsaver saved-model unfreeze frozen.pb export --saved-model --output softmax

The report in the JSON document:
  source, target  the graph, and the prefix or directory; target is null after a dry run
  variables       name, dtype, shape, num_bytes
  dry_run         whether nothing was written
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("source", metavar="GRAPH", type=checkpoint_path, help="a file with a frozen graph")
    parser.add_argument("out", metavar="TARGET", type=checkpoint_path, help="the checkpoint, or the directory")
    parser.add_argument("--saved-model", action="store_true", help="write a SavedModel; needs --output")
    parser.add_argument(
        "--output", metavar="TENSOR", action="append", default=[], help="an output of the SavedModel; may be repeated"
    )
    parser.add_argument(
        "--kind", choices=("resource", "reference"), default="resource", help="what the variables are (resource)"
    )
    add_writing(parser)
    add_common(parser, epilog=_EPILOG, verbose="list the variables")


def run(arguments: argparse.Namespace) -> Outcome:
    """Unfreezes, and prints what became a variable."""
    if arguments.output and not arguments.saved_model:
        raise UsageError("--output is for --saved-model: a checkpoint's .meta keeps the whole graph")
    if arguments.saved_model and arguments.overwrite:
        raise UsageError("--overwrite is for a checkpoint: a SavedModel is only written where nothing is")
    unfrozen = unfreeze_graph(arguments.source, kind=arguments.kind)
    if arguments.saved_model:
        export_saved_model(
            unfrozen.meta_graph,
            arguments.out,
            outputs=arguments.output or None,
            variables=unfrozen.values,
            dry_run=arguments.dry_run,
        )
    elif not arguments.dry_run:
        write_unfrozen(unfrozen, arguments.out, overwrite=arguments.overwrite)
    sizes = {name: value.nbytes for name, value in unfrozen.values.items()}
    if not (arguments.quiet or arguments.json):
        out = output.open_screen()
        if arguments.verbose:
            for name, value in unfrozen.values.items():
                out.line(f"{escape(name)}  {value.dtype}  {shape_text(value.shape)}")
        done = f"{count(len(sizes), 'variable')}, {human_size(sum(sizes.values()))}"
        done += " (dry run: nothing is written)" if arguments.dry_run else ""
        out.line(f"{escape(arguments.source)} -> {escape(arguments.out)}: {done}")
    variables = [
        {"name": name, "dtype": str(value.dtype), "shape": list(value.shape), "num_bytes": sizes[name]}
        for name, value in unfrozen.values.items()
    ]
    written = None if arguments.dry_run else arguments.out
    report = {"source": arguments.source, "target": written, "variables": variables, "dry_run": arguments.dry_run}
    return Outcome(report=report)
