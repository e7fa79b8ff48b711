"""What a verb comes to: its exit code, and the JSON document that says the same.

    0   success
    1   the verb found what it was asked about: damage, a difference, a risk, or nothing that matches
    2   usage error
    3   the verb could not look, or could not do it: a missing file, no permission, a refusal

`exit_code_of` is the only place that turns an error into a code, `envelope` the only one that writes a document. Fields
of the envelope are added without a new `SCHEMA_VERSION`; one that is removed or changes its meaning gets a new one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from tfsaver._version import __version__
from tfsaver.cli.text import describe
from tfsaver.errors import DataLossError, NotACheckpointError, NotFoundError, OptionError, SaverError

OK, FOUND, USAGE, FAILED = range(4)
SCHEMA_VERSION = 1

EXIT_CODES = """\
exit codes:
  0  success
  1  found what it was asked about: damage, a difference, a risk, or nothing that matches
  2  usage error
  3  could not look, or could not do it: a missing file, no permission, a refusal
"""
ENVELOPE = """\
--json prints one object, also when the verb fails:
  schema_version  1
  tfsaver         the version of this program
  verb            such as "inspect" or "saved-model lint"
  exit_code       0 to 3
  error           null, or class, message and facts (the fields of the error)
  report          null, or what the verb found
"""


class Outcome(NamedTuple):
    """What a verb comes to.

    Attributes:
        code: The exit code.
        report: The facts, in types that JSON has; None if the verb has none, or --json was not given.
        error: Why the verb could not look or could not do it.
    """

    code: int = OK
    report: Mapping[str, Any] | None = None
    error: Exception | None = None


def exit_code_of(error: Exception) -> int:
    """The exit code of a verb that ends with an error.

    Damage is a finding, and so is a name that a file does not have. A file that is not there is neither, nor is one of
    another kind: nobody has looked at its bytes.
    """
    if isinstance(error, OptionError):
        return USAGE
    if isinstance(error, NotACheckpointError):
        return FAILED
    if isinstance(error, DataLossError) or (isinstance(error, NotFoundError) and not isinstance(error, OSError)):
        return FOUND
    return FAILED


def envelope(verb: str | None, outcome: Outcome) -> dict[str, Any]:
    """The document that --json prints."""
    return {
        "schema_version": SCHEMA_VERSION,
        "tfsaver": __version__,
        "verb": verb,
        "exit_code": outcome.code,
        "error": None if outcome.error is None else error_record(outcome.error),
        "report": outcome.report,
    }


def error_record(error: Exception) -> dict[str, Any]:
    """An error in types that JSON has: its class, what it says, and its fields."""
    if isinstance(error, SaverError):
        facts = {name: value for name, value in vars(error).items() if name not in ("message", "lines")}
    elif isinstance(error, OSError):
        path = None if error.filename is None else os.fsdecode(error.filename)
        facts = {"code": error.errno, "path": path, "reason": error.strerror}
    else:
        facts = {}
    known = {name: _fact(value) for name, value in facts.items() if not name.startswith("_")}
    return {"class": type(error).__name__, "message": describe(error), "facts": known}


def _fact(value: Any) -> Any:
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(key): _fact(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fact(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
