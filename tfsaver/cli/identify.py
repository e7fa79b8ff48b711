"""``tfsaver identify``: what files are, and what to type next."""

from __future__ import annotations

import argparse

from tfsaver.checkpoint.identify import identify
from tfsaver.cli import output
from tfsaver.cli.arguments import add_common, checkpoint_path
from tfsaver.cli.outcome import OK, Outcome, error_record, exit_code_of
from tfsaver.cli.text import escape_message
from tfsaver.errors import SaverError

NAME = "identify"
HELP = "Say what files and directories are, by their content and whatever their names, and what to type next."

_EPILOG = """\
A few kilobytes are read; nothing is unpickled, run or unpacked.

examples:
  tfsaver identify model.ckpt
  tfsaver identify downloads/*

The report in the JSON document:
  files  path, kind (a word, see `tfsaver.Identity`), description, command, format (what `tfsaver convert --from` calls it;
         null if no verb opens it), error (null, or why the path could not be looked at: class, message, facts)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("paths", metavar="PATH", type=checkpoint_path, nargs="+", help="a file, a directory or a prefix")
    add_common(parser, epilog=_EPILOG, verbose="print the kind, too, as a word", quiet="print only errors")


def run(arguments: argparse.Namespace) -> Outcome:
    """Prints a line for each path."""
    records = []
    errors: list[Exception] = []
    for path in arguments.paths:
        facts: dict[str, object] = dict.fromkeys(("kind", "description", "command", "format"))
        failure: Exception | None = None
        try:
            found = identify(path, trusted=not arguments.untrusted)
        except (SaverError, OSError) as error:
            failure = error
            errors.append(error)
            output.print_error(error)
        else:
            facts = {fact: getattr(found, fact) for fact in facts}
            if not (arguments.json or arguments.quiet):
                print(escape_message(f"[{found.kind}] {found}" if arguments.verbose else str(found)))
        records.append({"path": path, **facts, "error": None if failure is None else error_record(failure)})
    code = max(map(exit_code_of, errors), default=OK)
    return Outcome(code, {"files": records} if arguments.json else None, errors[0] if errors else None)
