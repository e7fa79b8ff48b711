"""``tfsaver projector``: a tensor for TensorBoard's embedding projector."""

from __future__ import annotations

import argparse

from tfsaver.cli import output
from tfsaver.cli.arguments import add_common, checkpoint_path
from tfsaver.cli.outcome import OK, Outcome
from tfsaver.cli.text import escape_message
from tfsaver.verbs.projector import write_projector

NAME = "projector"
HELP = "Write a matrix, such as an embedding, as the files of TensorBoard's projector."

_EPILOG = """\
Writes vectors.tsv, projector_config.pbtxt and, with labels, metadata.tsv. `tensorboard --logdir DIR` shows them;
projector.tensorflow.org takes the two tables.

examples:
  tfsaver projector model.ckpt-1000 embedding --labels words.txt -o logs
  tfsaver inspect model.ckpt-1000 --select embedding     which tensors there are

The report in the JSON document:
  ok, tensor, target (null after a dry run), num_points, num_dimensions, num_labels, files
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("path", metavar="CHECKPOINT", type=checkpoint_path, help="a prefix, a directory, or a file")
    parser.add_argument("tensor", metavar="TENSOR", help="the name of a tensor with two dimensions: a row for each point")
    parser.add_argument("-o", "--out", metavar="DIR", type=checkpoint_path, required=True, help="the directory to write in")
    parser.add_argument(
        "--labels",
        metavar="FILE",
        type=checkpoint_path,
        help="a label a line, in the order of the rows; with tabs, the first line has the titles of the columns",
    )
    parser.add_argument("--dry-run", action="store_true", help="write nothing, only report")
    parser.add_argument("--overwrite", action="store_true", help="replace files of an earlier call")
    add_common(parser, epilog=_EPILOG, verbose="nothing more: everything is printed")


def run(arguments: argparse.Namespace) -> Outcome:
    """Writes the files."""
    report = write_projector(
        arguments.path,
        arguments.tensor,
        arguments.out,
        labels=arguments.labels,
        overwrite=arguments.overwrite,
        dry_run=arguments.dry_run,
        trusted=not arguments.untrusted,
    )
    if not (arguments.json or arguments.quiet):
        out = output.open_screen()
        for line in report.lines():
            out.line(escape_message(line))
    return Outcome(OK, report.to_json() if arguments.json else None)
