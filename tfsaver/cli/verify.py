"""``tfsaver verify``: every byte of checkpoints, against its checksum."""

from __future__ import annotations

import argparse
from typing import Any

from tfsaver.checkpoint.verify import VerifyReport
from tfsaver.cli import output, screen
from tfsaver.cli.arguments import add_common, checkpoint_path, positive
from tfsaver.cli.outcome import FAILED, FOUND, OK, Outcome, error_record, exit_code_of
from tfsaver.cli.parser import UsageError
from tfsaver.cli.text import count, describe, escape, escape_message, human_size
from tfsaver.errors import SaverError
from tfsaver.verbs.verify import verify

NAME = "verify"
HELP = "Check every byte of checkpoints, index and data, and report all damage."

_EPILOG = """\
Each problem is a line on standard output: the checkpoint, the tensor or the file, and what is wrong. A path without a
checkpoint is an error on standard error; the other paths are still verified, and the exit code is 3.

Files of other formats are verified as far as these allow: npz, .keras and files of torch have checksums. safetensors, HDF5
and Orbax do not: they are read, "not verified" is said of them, and the exit code is 3.

With --quick or --part, 0 says that nothing is wrong in what was read; the line says what was not.

examples:
  tfsaver verify model.ckpt-1000
  tfsaver verify model.ckpt-*.index && deploy
  tfsaver verify s3://bucket/model.ckpt-1000 --quick
  tfsaver verify model.ckpt-1000 --part 3/8

The report in the JSON document:
  ok              whether all checkpoints are sound
  checkpoints     path, checkpoint (the prefix; null without one), ok, num_tensors, num_bytes,
                  is_complete, num_unread, num_unread_bytes (what --quick and --part left), problems (where, error),
                  unverified (null, or why the values cannot be verified), error (null, or why it could not be
                  verified: class, message, facts)
"""
_PROBLEMS_IN_TEXT = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument(
        "paths", metavar="PATH", type=checkpoint_path, nargs="+", help="a prefix, a directory, or a checkpoint's file"
    )
    parser.add_argument("--quick", action="store_true", help="read the index, sizes of files, and a sample of the values")
    parser.add_argument("--sample", metavar="N", type=positive, help="with --quick: the number of tensors (32, or 256 MiB)")
    parser.add_argument("--part", dest="share", metavar="K/N", type=_part, help="read the K-th of N parts, for N processes")
    add_common(
        parser,
        epilog=_EPILOG,
        verbose=f"list every problem, not the first {_PROBLEMS_IN_TEXT} of each checkpoint",
        quiet="print only problems",
    )


def _part(text: str) -> tuple[int, int]:
    number, separator, num_parts = text.partition("/")
    if not separator or not (number.isdecimal() and num_parts.isdecimal()) or not 1 <= int(number) <= int(num_parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N, as 1/4: the parts of N are 1 to N")
    return int(number), int(num_parts)


def run(arguments: argparse.Namespace) -> Outcome:
    """Prints what is wrong; `FOUND` when there is damage."""
    if arguments.quick and arguments.share is not None:
        raise UsageError("--quick reads a sample and --part a share of all: give one of them")
    if arguments.sample is not None and not arguments.quick:
        raise UsageError("--sample is for --quick")
    quick = arguments.sample or arguments.quick
    out = output.open_screen()
    results = []
    for path in arguments.paths:
        result = _Result(path)
        try:
            with output.open_progress(escape(path)) as progress:
                result.report = verify(
                    path, quick=quick, part=arguments.share, trusted=not arguments.untrusted, progress=progress
                )
        except BrokenPipeError:
            raise
        except (SaverError, OSError) as error:
            result.error = error
            output.print_error(error)
        results.append(result)
        if result.report is not None and not arguments.json:
            _print(out, result.report, arguments)
    report = None
    if arguments.json:
        report = {"ok": all(result.code == OK for result in results), "checkpoints": [each.to_json() for each in results]}
    errors = [result.error for result in results if result.error is not None]
    return Outcome(max(result.code for result in results), report, errors[0] if errors else None)


class _Result:
    """What came of one path: a report, or the error for which there is none."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.report: VerifyReport | None = None
        self.error: Exception | None = None

    @property
    def code(self) -> int:
        if self.error is not None:
            return exit_code_of(self.error)
        if self.report is not None and self.report.unverified is not None and not self.report.problems:
            return FAILED
        return OK if self.report is not None and self.report.ok else FOUND

    def to_json(self) -> dict[str, Any]:
        if self.report is not None:
            return {"path": self.path, **self.report.to_json(), "error": None}
        facts = {**VerifyReport("").to_json(), "checkpoint": None, "ok": False}
        return {"path": self.path, **facts, "error": self.error and error_record(self.error)}


def _print(out: screen.Screen, report: VerifyReport, arguments: argparse.Namespace) -> None:
    prefix = escape(report.prefix)
    shown = report.problems if arguments.verbose else report.problems[:_PROBLEMS_IN_TEXT]
    for problem in shown:
        # Many errors name the place themselves.
        sentence = describe(problem.error)
        where = "" if problem.where == report.prefix or sentence.startswith(problem.where) else f"{escape(problem.where)}: "
        out.line(f"{prefix}: {where}{escape_message(sentence)}", "red")
    if len(shown) < len(report.problems):
        out.line(f"{prefix}: and {len(report.problems) - len(shown):,} more problems; -v lists them", "red")
    tensors, size = count(report.num_tensors, "tensor"), human_size(report.num_bytes)
    if report.problems:
        problems = count(len(report.problems), "problem")
        out.line(f"{prefix}: DAMAGED, {problems}; {tensors} read, {size} of them sound", "bold red")
    elif report.unverified is not None:
        out.line(f"{prefix}: not verified: {escape_message(report.unverified)}", "yellow")
    elif arguments.quiet:
        return
    elif not report.is_complete:
        unread = f"{count(report.num_unread, 'tensor')}, {human_size(report.num_unread_bytes)}"
        out.line(f"{prefix}: OK in part, {tensors}, {size}; not read: {unread}", "green")
    else:
        out.line(f"{prefix}: OK, {tensors}, {size}", "green")
