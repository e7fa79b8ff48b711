"""Where a verb's output goes: plain aligned text, or rich's colours when a person is watching.

Colours are for a terminal, and for any stream if FORCE_COLOR is set, unless NO_COLOR is; progress is for a terminal alone.
Rich is there only with the extra `cli`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from tfsaver.cli.screen import PlainScreen, Progress, Screen
from tfsaver.cli.text import error_text


def is_watched(stream: TextIO) -> bool:
    """Whether the stream is read in colour."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def open_screen() -> Screen:
    """The screen that fits standard output."""
    rich_screen = _rich_screen(sys.stdout)
    if rich_screen is None:
        return PlainScreen(shutil.get_terminal_size().columns if sys.stdout.isatty() else None)
    screen: Screen = rich_screen.RichScreen()
    return screen


@contextlib.contextmanager
def open_progress(description: str) -> Iterator[Progress | None]:
    """A progress bar on standard error; None when nobody is watching."""
    rich_screen = _rich_screen(sys.stderr) if sys.stderr.isatty() else None
    if rich_screen is None:
        yield None
        return
    with rich_screen.progress_bar(description) as progress:
        yield progress


def print_json(document: Mapping[str, Any]) -> None:
    """Prints a JSON object: a line for each of its fields and for each record in them, in ASCII."""
    # Imported here because plain output, which scripts call in loops, does without it.
    import json  # noqa: PLC0415

    def format_object(fields: Mapping[str, Any], indentation: str) -> str:
        deeper = f"{indentation} "
        lines = [f"{deeper}{json.dumps(key)}: {format_value(value, deeper)}" for key, value in fields.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indentation}}}"

    def format_value(value: Any, indentation: str) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            records = ",\n".join(f"{indentation} {json.dumps(record)}" for record in value)
            return f"[\n{records}\n{indentation}]"
        if isinstance(value, dict) and any(isinstance(item, (list, dict)) for item in value.values()):
            return format_object(value, indentation)
        return json.dumps(value)

    print(format_object(document, ""))


def print_error(error: Exception) -> None:
    """Says on standard error what went wrong, in the error's own words."""
    # What came before on standard output is to be read before.
    sys.stdout.flush()
    print(f"tfsaver: error: {error_text(error)}", file=sys.stderr)


def _rich_screen(stream: TextIO) -> Any:
    """The module that draws with rich; None when nobody is watching or rich is not installed."""
    if not is_watched(stream):
        return None
    try:
        return importlib.import_module("tfsaver.cli.rich_screen")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        return None
