"""Text from files as a person may see it: nothing in it moves a cursor or turns the direction of writing around."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""A text with every character that is not printable spelled out, as ``\x1b`` or ``\u202e``."""
    return text if text.isprintable() else "".join(map(visible, text))


def visible(character: str) -> str:
    """A character, spelled out if it is not printable; a byte that is not UTF-8 as that byte."""
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        # How Python carries a byte that is not UTF-8.
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
