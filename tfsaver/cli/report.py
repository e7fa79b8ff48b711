"""``tfsaver report``: a page of HTML about a checkpoint, a run of checkpoints or a SavedModel."""

from __future__ import annotations

import argparse

from tfsaver.cli import editing, output
from tfsaver.cli.arguments import add_common, add_patterns, checkpoint_path, selection_of
from tfsaver.cli.outcome import FOUND, OK, Outcome
from tfsaver.cli.text import escape, escape_message
from tfsaver.verbs.report import report

NAME = "report"
HELP = "Write one HTML page about a checkpoint, a run of checkpoints or a SavedModel."

_EPILOG = """\
The page needs no network: open it in a browser, mail it, attach it to a run. It shows where the bytes are, every tensor
with its range, norm and histogram, the data files with damage in red, the objects of a TensorFlow 2 checkpoint, and the
signatures of a SavedModel. Of several checkpoints, oldest first, it shows the last one and how far each layer moved
between one and the next.

Values are read once, a piece at a time. A page is written of a damaged checkpoint too; the exit code is 1.

examples:
  tfsaver report model.ckpt-1000 -o report.html
  tfsaver report model.ckpt-1000 model.ckpt-2000 model.ckpt-3000 -o run.html
  tfsaver report export/ -o export.html

The report in the JSON document:
  ok, sources, target (null after a dry run), num_tensors, num_bytes, size (bytes of the page)
  damaged         source, name, error of each tensor that could not be read
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument(
        "checkpoints", metavar="CHECKPOINT", type=checkpoint_path, nargs="+", help="prefixes or directories, oldest first"
    )
    parser.add_argument("-o", "--out", metavar="FILE", type=checkpoint_path, required=True, help="the page to write")
    add_patterns(parser, "show only tensors whose name matches; may be repeated", "show no tensors whose name matches")
    editing.add_writing(parser)
    add_common(parser, epilog=_EPILOG, verbose="name every damaged tensor, not the first ones")


def run(arguments: argparse.Namespace) -> Outcome:
    """Writes the page; `FOUND` when a tensor is damaged."""
    with output.open_progress(escape(arguments.out)) as progress:
        found = report(
            arguments.checkpoints,
            arguments.out,
            select=selection_of(arguments),
            overwrite=arguments.overwrite,
            dry_run=arguments.dry_run,
            trusted=not arguments.untrusted,
            progress=progress,
        )
    if not (arguments.json or arguments.quiet):
        out = output.open_screen()
        for line in found.lines(all_names=arguments.verbose):
            out.line(escape_message(line))
    return Outcome(OK if found.ok else FOUND, found.to_json() if arguments.json else None)
