"""What the verbs' arguments have in common: text that must mean something before any file is touched."""

from __future__ import annotations

import argparse
import re

from tfsaver.checkpoint.untrusted import confined_checkpoint
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io


def checkpoint_path(text: str) -> str:
    """A path, as argparse's `type`."""
    try:
        return file_io.as_path(text)
    except InvalidArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_untrusted(parser: argparse._ActionsContainer) -> None:
    """The option --untrusted."""
    parser.add_argument(
        "--untrusted",
        action="store_true",
        help="refuse what leads out of the directory: entries of a state file, symbolic links",
    )


def followed(path: str, arguments: argparse.Namespace) -> str:
    """A path that means a checkpoint; with --untrusted the checkpoint that it means, once it is in its directory.

    Raises:
        SaverError: It leads out of it; or as `confined_checkpoint` has it.
    """
    return confined_checkpoint(path) if arguments.untrusted else path


def regex(text: str) -> re.Pattern[str]:
    """A regular expression, as argparse's `type`."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None
