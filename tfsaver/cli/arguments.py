"""What the verbs' arguments have in common: text that must mean something before any file is touched."""

from __future__ import annotations

import argparse
import re

from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io


def checkpoint_path(text: str) -> str:
    """A path, as argparse's `type`."""
    try:
        return file_io.as_path(text)
    except InvalidArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def regex(text: str) -> re.Pattern[str]:
    """A regular expression, as argparse's `type`."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None
