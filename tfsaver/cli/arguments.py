"""What the verbs' arguments have in common: the options that every verb has, and text that must mean something."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfsaver.cli.outcome import ENVELOPE, EXIT_CODES
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io

if TYPE_CHECKING:
    from tfsaver.checkpoint.selection import Selection


def checkpoint_path(text: str) -> str:
    """A path, as argparse's `type`."""
    try:
        return file_io.as_path(text)
    except InvalidArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_common(
    parser: argparse.ArgumentParser,
    *,
    epilog: str,
    verbose: str,
    quiet: str = "print nothing but errors",
) -> None:
    """The options of every verb that looks at files, and the end of its help.

    Args:
        parser: The verb's.
        epilog: What the help says after the options.
        verbose: What the verb prints with ``-v``.
        quiet: What it prints with ``-q``.
    """
    parser.epilog = f"{epilog}\n{ENVELOPE}\n{EXIT_CODES}"
    common = parser.add_argument_group("options of every verb")
    common.add_argument(
        "--untrusted",
        action="store_true",
        help="refuse names in files and symbolic links that lead out of the directory",
    )
    common.add_argument("-v", "--verbose", action="store_true", help=verbose)
    common.add_argument("-q", "--quiet", action="store_true", help=quiet)
    common.add_argument("--json", action="store_true", help="print one JSON object, described below")


def add_patterns(
    parser: argparse._ActionsContainer,
    select: str = "only tensors whose name matches; may be repeated",
    exclude: str = "no tensors whose name matches; may be repeated",
) -> None:
    """The options --select and --exclude."""
    options: dict[str, Any] = {"metavar": "REGEX", "type": regex, "default": []}
    parser.add_argument("--select", action="append", help=select, **options)
    parser.add_argument("--include", dest="select", action=_Renamed, help=argparse.SUPPRESS, **options)
    parser.add_argument("--exclude", action="append", help=exclude, **options)
    parser.add_argument("--allow-unmatched", action="store_true", help="patterns, rules and names may match nothing")


def selection_of(arguments: argparse.Namespace, *, without_optimizer: bool = False) -> Selection | None:
    """The selection behind `add_patterns`; None where no rule was given."""
    select, exclude = (tuple(each.pattern for each in given) for given in (arguments.select, arguments.exclude))
    if not (select or exclude or without_optimizer):
        return None
    # Imported here because verbs that read no tensors do without numpy.
    from tfsaver.checkpoint.selection import Selection  # noqa: PLC0415

    return Selection(
        include=select, exclude=exclude, without_optimizer=without_optimizer, allow_unmatched=arguments.allow_unmatched
    )


class _Renamed(argparse.Action):
    """An earlier name of an option that may be repeated: works, and warns."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        print(f"{parser.prog}: warning: {option_string} is now --{self.dest}", file=sys.stderr)
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), values])


def regex(text: str) -> re.Pattern[str]:
    """A regular expression, as argparse's `type`."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from None


def positive(text: str) -> int:
    """A number from 1 on, as argparse's `type`."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return number


def patterns_of(given: Sequence[re.Pattern[str]]) -> tuple[str, ...]:
    """The patterns behind an option."""
    return tuple(pattern.pattern for pattern in given)
