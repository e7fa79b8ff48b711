"""``tfsaver verify``: every byte of checkpoints, against its checksum."""

from __future__ import annotations

import argparse
from typing import Any

from tfsaver._version import __version__
from tfsaver.checkpoint.verify import VerifyReport, verify_checkpoint
from tfsaver.cli import output, screen
from tfsaver.cli.arguments import add_untrusted, checkpoint_path, followed
from tfsaver.cli.text import count, describe, escape, escape_message, human_size
from tfsaver.errors import SaverError

NAME = "verify"
HELP = "Read every byte of checkpoints, index and data, and report everything that is wrong."

_EPILOG = """\
Each problem is a line of its own on standard output: the checkpoint, the tensor or the file, what is wrong. A path at
which there is no checkpoint is an error on standard error, and the other paths are still verified.

--json prints one object:
  tfsaver      the version of this program
  ok           whether all checkpoints are sound
  checkpoints  path, checkpoint (the prefix that it means; null when none was found), ok, num_tensors, num_bytes,
               problems (where, error), error (null, or why it could not be verified)

exit codes: 0 all sound, 1 a problem was found or a checkpoint was not, 2 the arguments make no sense
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "paths",
        metavar="PATH",
        type=checkpoint_path,
        nargs="+",
        help="a prefix, a directory, or one of a checkpoint's files",
    )
    add_untrusted(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print problems only, nothing of sound checkpoints")
    parser.add_argument("--json", action="store_true", help="one JSON object instead, described below")


def run(arguments: argparse.Namespace) -> int:
    """Prints what is wrong; 1 when anything is."""
    out = output.open_screen()
    records = []
    for path in arguments.paths:
        record = _Result(path)
        try:
            with output.open_progress(escape(path)) as progress:
                record.report = verify_checkpoint(followed(path, arguments), progress=progress)
        except BrokenPipeError:
            raise
        except (SaverError, OSError) as error:
            record.error = error
        records.append(record)
        if record.error is not None:
            output.print_error(record.error)
        if record.report is not None and not arguments.json:
            _print(out, record.report, arguments.quiet)
    is_sound = all(record.is_sound for record in records)
    if arguments.json:
        document = {"tfsaver": __version__, "ok": is_sound, "checkpoints": [record.document() for record in records]}
        output.print_json(document)
    return 0 if is_sound else 1


class _Result:
    """What came of one path: a report, or the error for which there is none."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.report: VerifyReport | None = None
        self.error: Exception | None = None

    @property
    def is_sound(self) -> bool:
        return self.report is not None and self.report.ok

    def document(self) -> dict[str, Any]:
        if self.report is not None:
            return {"path": self.path, **self.report.to_json(), "error": None}
        facts = {**VerifyReport("").to_json(), "checkpoint": None, "ok": False}
        return {"path": self.path, **facts, "error": self.error and describe(self.error)}


def _print(out: screen.Screen, report: VerifyReport, is_quiet: bool) -> None:
    prefix = escape(report.prefix)
    for problem in report.problems:
        # The place is said once, where the error says it too.
        sentence = describe(problem.error)
        where = "" if problem.where == report.prefix or sentence.startswith(problem.where) else f"{escape(problem.where)}: "
        out.line(f"{prefix}: {where}{escape_message(sentence)}", "red")
    tensors, size = count(report.num_tensors, "tensor"), human_size(report.num_bytes)
    if report.problems:
        problems = count(len(report.problems), "problem")
        out.line(f"{prefix}: DAMAGED, {problems}; {tensors} read, {size} of them sound", "bold red")
    elif not is_quiet:
        out.line(f"{prefix}: OK, {tensors}, {size}", "green")
