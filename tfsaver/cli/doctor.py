"""``tfsaver doctor``: what is in a directory of checkpoints, what is wrong with it, and what can be done."""

from __future__ import annotations

import argparse

from tfsaver.checkpoint.doctor.data_pairing import Pairing, re_pair
from tfsaver.checkpoint.doctor.doctor import diagnose
from tfsaver.checkpoint.doctor.leftovers import MIN_AGE, clean_leftovers
from tfsaver.checkpoint.doctor.salvage import salvage_checkpoint
from tfsaver.checkpoint.doctor.state_repair import repair_state_file
from tfsaver.cli import doctor_report, editing, output
from tfsaver.cli.arguments import add_common, checkpoint_path
from tfsaver.cli.outcome import FOUND, OK, Outcome, exit_code_of
from tfsaver.cli.parser import UsageError
from tfsaver.cli.text import escape
from tfsaver.errors import SaverError

NAME = "doctor"
HELP = "Diagnose a directory of checkpoints; repair its state file, remove leftovers, salvage a damaged checkpoint."

_EPILOG = f"""\
Without options nothing is changed. Checkpoints are read from the newest to the oldest, every byte, until one is sound.
Damaged checkpoints are never removed. With --dry-run, --fix, --re-pair, --clean and --salvage change nothing and report.

  --fix      rewrites the state file `checkpoint` with relative names: what it or the retention ledger lists, if it is
             there and sound, and the newest sound checkpoint. The old file becomes checkpoint.old.
  --re-pair  if all data of a checkpoint contradict its index, and the checksums in it fit other data files here, renames
             these. What had the name becomes x.old.
  --clean    removes what killed saves left (x.tempstate123, x_temp/part-*, x.tmp0123456789 and the like), if nothing
             wrote to it for --min-age seconds and no process has it open. Without --clean it is only listed. In a store
             these are uploads that were not finished, and data that no index uses.
  --salvage  writes the sound tensors of a damaged checkpoint as a new one, and lists the others.

The exit code is 0 when nothing is wrong, or the state file is right after --fix, and 1 when something is wrong or lost.

The report in the JSON document:
  ok, directory, state_file, newest (the entry of the state file), newest_sound
  checkpoints  oldest first: prefix, format, step, time, num_bytes, meta_graph, state (sound, damaged, unreadable, or
               not read), num_tensors, damage (message, file, offset, size, tensors)
  findings     kind, where, message, is_problem
  pending      prefix, save_id, world_size, ranks, missing: saves by several processes that are not committed. They are
               listed and never removed or picked: tfsaver.commit and tfsaver.abandon decide
  leftovers    path, num_bytes, time, removed, reason (why it stays)
  re_paired    path, source (its name before), kept_as (what had the name before)
  fix          null without --fix, or path, newest, listed, dropped, unlisted, kept_as, changed
With --salvage it is that of a written checkpoint. {editing.REPORT}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("directory", metavar="DIR", type=checkpoint_path, nargs="?", help="a directory of checkpoints")
    parser.add_argument("--all", action="store_true", help="read all checkpoints, also those older than a sound one")
    parser.add_argument("--fix", action="store_true", help="rewrite the state file")
    parser.add_argument(
        "--list-all", action="store_true", help="with --fix: add checkpoints of no list; a Saver may remove them"
    )
    parser.add_argument("--re-pair", action="store_true", help="rename data files to the checkpoints whose indexes they fit")
    parser.add_argument("--clean", action="store_true", help="remove what killed saves left")
    parser.add_argument(
        "--min-age", metavar="SECONDS", type=float, default=MIN_AGE, help="with --clean: time since the last write (3600)"
    )
    parser.add_argument("--state-file", metavar="NAME", help="the name of the state file, if it is not `checkpoint`")
    parser.add_argument("--salvage", metavar="PREFIX", type=checkpoint_path, help="salvage this checkpoint")
    parser.add_argument("--out", metavar="OUT", type=checkpoint_path, help="with --salvage: the new prefix")
    parser.add_argument("--partial", action="store_true", help="with --salvage: keep tensors that lost slices")
    parser.add_argument("--dry-run", action="store_true", help="change nothing, only report")
    add_common(
        parser, epilog=_EPILOG, verbose="list the files of each checkpoint, too", quiet="print only problems and losses"
    )


def run(arguments: argparse.Namespace) -> Outcome:
    """Prints what is found and done; `FOUND` when anything is wrong."""
    _check(arguments)
    return _salvage(arguments) if arguments.salvage is not None else _treat(arguments)


def _check(arguments: argparse.Namespace) -> None:
    error: str | None = None
    if (arguments.directory is None) == (arguments.salvage is None):
        error = "either a directory or --salvage PREFIX is required"
    elif (arguments.salvage is None) != (arguments.out is None):
        error = "--salvage PREFIX and --out OUT go together"
    elif arguments.salvage is not None and (
        arguments.fix or arguments.clean or arguments.all or arguments.re_pair
    ):
        error = "--salvage goes without --all, --fix, --re-pair and --clean"
    elif arguments.salvage is None and arguments.partial:
        error = "--partial is for --salvage"
    elif arguments.list_all and not arguments.fix:
        error = "--list-all is for --fix"
    elif arguments.min_age < 0:
        error = "--min-age must not be negative"
    if error is not None:
        raise UsageError(error)


def _treat(arguments: argparse.Namespace) -> Outcome:
    with output.open_progress(escape(arguments.directory)) as progress:
        diagnosis = diagnose(
            arguments.directory,
            arguments.state_file,
            verify_all=arguments.all,
            trusted=not arguments.untrusted,
            progress=progress and (lambda prefix, done, total: progress(done, total)),
        )
    repair, error = None, None
    pairings: list[Pairing] = []
    if arguments.re_pair and not arguments.dry_run:
        pairings = re_pair([each.mismatch for each in diagnosis.checkpoints if each.mismatch is not None])
        # As it is now.
        diagnosis = diagnose(
            arguments.directory, arguments.state_file, verify_all=arguments.all, trusted=not arguments.untrusted
        )
    if arguments.fix:
        try:
            repair = repair_state_file(diagnosis, list_all=arguments.list_all, dry_run=arguments.dry_run)
        except (SaverError, OSError) as found:
            error = found
    is_cleaned = arguments.clean and not arguments.dry_run
    cleaning = clean_leftovers(diagnosis.survey.leftovers, min_age=arguments.min_age, dry_run=not is_cleaned)
    if not arguments.json:
        out = output.open_screen()
        doctor_report.print_diagnosis(out, diagnosis, arguments)
        if not arguments.quiet:
            doctor_report.print_cleaning(out, cleaning, is_cleaned)
            doctor_report.print_pairings(out, pairings)
            if repair is not None:
                doctor_report.print_repair(out, repair, arguments.dry_run)
            elif not diagnosis.ok and not arguments.fix and diagnosis.newest_sound is not None:
                out.line("--fix rewrites the state file; --salvage PREFIX --out OUT saves the sound tensors of a checkpoint")
    if error is not None:
        output.print_error(error)
        code = exit_code_of(error)
    else:
        code = OK if diagnosis.ok or (repair is not None and not arguments.dry_run) else FOUND
    report = doctor_report.to_json(diagnosis, repair, cleaning, is_cleaned, code == OK, pairings) if arguments.json else None
    return Outcome(code, report, error)


def _salvage(arguments: argparse.Namespace) -> Outcome:
    with output.open_progress(escape(arguments.salvage)) as progress:
        report = salvage_checkpoint(
            arguments.salvage,
            arguments.out,
            keep_partial=arguments.partial,
            dry_run=arguments.dry_run,
            trusted=not arguments.untrusted,
            progress=progress,
        )
    if not arguments.json:
        doctor_report.print_salvage(output.open_screen(), report, arguments)
    return Outcome(OK if report.ok else FOUND, report.to_json() if arguments.json else None)
