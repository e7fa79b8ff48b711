"""Numbers and names as a person reads them, on one line whatever is in them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence

from tfsaver.errors import SaverError
from tfsaver.lib.printable import printable, visible

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def human_size(size: int) -> str:
    """Bytes in decimal units: ``999 B``, ``12.3 MB``."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in _UNITS:
        # 999.96 would be written as 1000.0.
        if value < 999.95 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.1f} {unit}"


def count(number: int, noun: str, nouns: str = "") -> str:
    """``1 tensor``, ``5,001 tensors``; `nouns` is the plural where an s does not make it."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def shape_text(shape: Sequence[int]) -> str:
    """A shape without blanks, so that a line of a table still splits into its fields: ``[784,10]``."""
    return f"[{','.join(map(str, shape))}]"


def width(text: str) -> int:
    """The columns that a text takes in a terminal: two for East Asian wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def cut(text: str, room: int) -> str:
    """A text without its middle if it is wider than there is room: scopes begin a name, and what it is ends it."""
    if width(text) <= room:
        return text
    start = ""
    for character in text:
        if width(start + character) > (room - 1) // 3:
            break
        start += character
    start = start.rstrip()
    end = text[-room:]
    while width(end) > room - 1 - width(start):
        end = end[1:]
    return f"{start}…{end}"


def escape(name: str) -> str:
    r"""A name with everything that is no printable character spelled out, in a form that stands for one name only.

    A byte that is not UTF-8 is ``\xff``, as are control characters, other invisible ones are ``\u200b``, and a backslash
    is two.
    """
    if name.isprintable() and "\\" not in name:
        return name
    return "".join("\\\\" if character == "\\" else visible(character) for character in name)


def unescape(text: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is spelled so by `escape`."""
    return next((name for name in names if escape(name) == text), None)


def escape_message(text: str) -> str:
    """A sentence on one line; its own backslashes are left as they are, since it quotes names by itself."""
    return printable(text)


def error_text(error: Exception) -> str:
    """An error for a terminal: its lines, where it is made of several, and nothing else that moves the cursor.

    A line break in a name is spelled out like any other control character: no name writes a line of its own.
    """
    if not (isinstance(error, SaverError) and error.lines):
        return escape_message(describe(error))
    first = ": ".join([*error.context, error.lines[0]])
    return "\n  ".join(map(escape_message, [first, *error.lines[1:]]))


def describe(error: Exception) -> str:
    """An error as a sentence; the operating system's without its numbers."""
    if isinstance(error, OSError) and not isinstance(error, SaverError) and error.filename and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)
