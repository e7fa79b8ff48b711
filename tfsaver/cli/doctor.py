"""``tfsaver doctor``: what is in a directory of checkpoints, what is wrong with it, and what can be done."""

from __future__ import annotations

import argparse

from tfsaver.checkpoint.doctor.doctor import diagnose
from tfsaver.checkpoint.doctor.leftovers import MIN_AGE, clean_leftovers
from tfsaver.checkpoint.doctor.salvage import salvage_checkpoint
from tfsaver.checkpoint.doctor.state_repair import repair_state_file
from tfsaver.checkpoint.untrusted import refuse_directory
from tfsaver.cli import doctor_report, output
from tfsaver.cli.arguments import add_untrusted, checkpoint_path, followed
from tfsaver.cli.text import escape
from tfsaver.errors import SaverError

NAME = "doctor"
HELP = "Say what is in a directory of checkpoints and what is wrong with it; mend the state file, clean up, salvage."

_EPILOG = """\
Without options nothing is changed. Checkpoints are read from the newest to the oldest, every byte, until one is sound.
Damaged checkpoints are never removed.

  --fix      writes the state file `checkpoint` anew, with relative names: what it listed, or the retention ledger, as
             far as it is there and sound, and the newest sound checkpoint. The old file becomes checkpoint.old.
  --clean    removes what killed saves left (x.tempstate123, x_temp/part-*, x.tmp0123456789 and the like), if nothing
             wrote to it for --min-age seconds and no process has it open. Without --clean it is only listed.
  --salvage  writes the tensors that are still what was written, of one checkpoint, as a new one, and lists the others.

--json prints one object:
  tfsaver, ok, directory, state_file, newest (as the state file names it), newest_sound
  checkpoints  oldest first: prefix, format, step, time, num_bytes, meta_graph, state (sound, damaged, unreadable, or
               not read), num_tensors, damage (message, file, offset, size, tensors)
  findings     kind, where, message, is_problem
  leftovers    path, num_bytes, time, removed, reason (why it stays)
  fix          path, newest, listed, dropped, unlisted, kept_as, changed; null without --fix
with --salvage: tfsaver, ok, checkpoint, out, num_bytes, saved, partial, lost, damage, notes, and the fields of an edit

exit codes: 0 nothing is wrong, or after --fix the state file is right; 1 problems, or something is lost; 2 the arguments
make no sense
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    parser.add_argument("directory", metavar="DIR", type=checkpoint_path, nargs="?", help="a directory of checkpoints")
    parser.add_argument("--all", action="store_true", help="read all checkpoints, also those older than a sound one")
    parser.add_argument("--fix", action="store_true", help="write the state file anew")
    parser.add_argument(
        "--list-all", action="store_true", help="with --fix: list checkpoints that no list knows; a Saver may remove them"
    )
    parser.add_argument("--clean", action="store_true", help="remove what killed saves left")
    parser.add_argument(
        "--min-age", metavar="SECONDS", type=float, default=MIN_AGE, help="with --clean: how long nothing wrote to it (3600)"
    )
    parser.add_argument("--state-file", metavar="NAME", help="the state file's name, if it is not `checkpoint`")
    parser.add_argument("--salvage", metavar="PREFIX", type=checkpoint_path, help="save what is left of this checkpoint")
    parser.add_argument("--out", metavar="OUT", type=checkpoint_path, help="with --salvage: the new checkpoint's prefix")
    parser.add_argument("--partial", action="store_true", help="with --salvage: keep partitioned tensors with slices lost")
    add_untrusted(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object instead, described below")
    parser.set_defaults(parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints what is found and done; 1 when anything is wrong."""
    _check(arguments)
    return _salvage(arguments) if arguments.salvage is not None else _treat(arguments)


def _check(arguments: argparse.Namespace) -> None:
    error: str | None = None
    if (arguments.directory is None) == (arguments.salvage is None):
        error = "either a directory or --salvage PREFIX is needed"
    elif (arguments.salvage is None) != (arguments.out is None):
        error = "--salvage PREFIX and --out OUT go together"
    elif arguments.salvage is not None and (arguments.fix or arguments.clean or arguments.all):
        error = "--salvage goes without --all, --fix and --clean"
    elif arguments.salvage is None and arguments.partial:
        error = "--partial is for --salvage"
    elif arguments.list_all and not arguments.fix:
        error = "--list-all is for --fix"
    elif arguments.min_age < 0:
        error = "--min-age must not be negative"
    if error is not None:
        arguments.parser.error(error)


def _treat(arguments: argparse.Namespace) -> int:
    if arguments.untrusted:
        refuse_directory(arguments.directory, arguments.state_file)
    with output.open_progress(escape(arguments.directory)) as progress:
        diagnosis = diagnose(
            arguments.directory,
            arguments.state_file,
            verify_all=arguments.all,
            progress=progress and (lambda prefix, done, total: progress(done, total)),
        )
    repair, error = None, None
    if arguments.fix:
        try:
            repair = repair_state_file(diagnosis, list_all=arguments.list_all)
        except (SaverError, OSError) as found:
            error = found
    leftovers = diagnosis.survey.leftovers
    cleaning = clean_leftovers(leftovers, min_age=arguments.min_age, dry_run=not arguments.clean)
    if arguments.json:
        doctor_report.print_json(diagnosis, repair, cleaning, arguments.clean)
    else:
        out = output.open_screen()
        doctor_report.print_diagnosis(out, diagnosis)
        doctor_report.print_cleaning(out, cleaning, arguments.clean)
        if repair is not None:
            doctor_report.print_repair(out, repair)
        elif not diagnosis.ok and not arguments.fix and diagnosis.newest_sound is not None:
            out.line("--fix writes the state file anew; --salvage PREFIX --out OUT saves what is left of a checkpoint")
    if error is not None:
        output.print_error(error)
        return 1
    return 0 if diagnosis.ok or repair is not None else 1


def _salvage(arguments: argparse.Namespace) -> int:
    with output.open_progress(escape(arguments.salvage)) as progress:
        report = salvage_checkpoint(
            followed(arguments.salvage, arguments), arguments.out, keep_partial=arguments.partial, progress=progress
        )
    if arguments.json:
        doctor_report.print_salvage_json(report)
    else:
        doctor_report.print_salvage(output.open_screen(), report)
    return 0 if report.ok else 1
