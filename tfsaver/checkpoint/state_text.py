"""The text of a state file as editors and other systems leave it.

    ef bb bf                     UTF-8 with a byte order mark, as Windows' editors write it
    ff fe   fe ff   "m" 00       UTF-16, with or without a mark, as PowerShell's `>` writes it
    model_checkpoint_path: “m”   quotes that a word processor or a chat has changed
    "C:\\run\\model.ckpt-5"        a Windows path in single backslashes, which escapes would make another name of

What protobuf's text form allows is left as it is. Neither numpy nor protobuf is needed here.
"""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FIELD = re.compile(r"(?:\A|[\r\n])[ \t]*(?:all_)?model_checkpoint_paths?[ \t]*[:\[]")
_TYPOGRAPHIC = "“”„‟«»″"
_TYPOGRAPHIC_SINGLE = "‘’‚‛′"
# A value in quotes that are not ASCII's, or in one of them and one of ASCII's.
_TYPOGRAPHIC_VALUE = re.compile(
    rf"(?m)^(\s*\w+\s*:\s*)([\"{_TYPOGRAPHIC}])(.*?)([\"{_TYPOGRAPHIC}])(\s*(?:#.*)?)$"
    rf"|^(\s*\w+\s*:\s*)(['{_TYPOGRAPHIC_SINGLE}])(.*?)(['{_TYPOGRAPHIC_SINGLE}])(\s*(?:#.*)?)$"
)
_VALUE = re.compile(r"(?m)^(\s*\w+\s*:\s*)(\"(?:[^\"\n])*\"|'(?:[^'\n])*')(\s*(?:#.*)?)$")
# C:\x with one backslash, \\server\share with two or one; and escapes that protobuf does not know.
_WINDOWS_PATH = re.compile(r"[A-Za-z]:\\(?!\\)")
_UNKNOWN_ESCAPE = re.compile(r"\\(?:\\|[abfnrtv\"'?]|[0-7]{1,3}|[xX][0-9a-fA-F]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|(\\)")


def decode_state_text(data: bytes) -> str:
    """Decodes a state file by its byte order mark, or by the zeros of UTF-16; as UTF-8 without either.

    Raises:
        UnicodeDecodeError: The bytes are not of that encoding.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding)
    if data[1:4:2] == b"\0\0" and 0 not in data[0:4:2]:
        return data.decode("utf-16-le")
    if data[0:3:2] == b"\0\0" and 0 not in data[1:4:2]:
        return data.decode("utf-16-be")
    return data.decode("utf-8")


def is_as_written(data: bytes) -> bool:
    """Whether a state file is as TensorFlow's own reader takes it: UTF-8 without a mark, in ASCII's quotes, escaped."""
    try:
        text = decode_state_text(data)
    except UnicodeDecodeError:
        return False
    return text.encode("utf-8", "surrogatepass") == data and mended_state_text(text) == text


def looks_like_state(text: str) -> bool:
    """Whether a text has a line of a state file."""
    return _FIELD.search(text) is not None


def mended_state_text(text: str) -> str:
    """Replaces typographic quotes by ASCII's, and doubles the backslashes of paths that were written without escapes."""
    return _VALUE.sub(_escaped, _TYPOGRAPHIC_VALUE.sub(_quoted, text))


def _quoted(match: re.Match[str]) -> str:
    is_single = match[6] is not None
    start, opening, value, closing, end = match.groups()[5:] if is_single else match.groups()[:5]
    quote = "'" if is_single else '"'
    # A quote of the other kind inside a value stays what it is.
    return match[0] if opening == closing == quote else f"{start}{quote}{value}{quote}{end}"


def _escaped(match: re.Match[str]) -> str:
    value = match[2][1:-1]
    is_literal = _WINDOWS_PATH.match(value) or any(found[1] for found in _UNKNOWN_ESCAPE.finditer(value))
    if not is_literal:
        return match[0]
    quote = match[2][0]
    return f"{match[1]}{quote}" + value.replace("\\", "\\\\") + f"{quote}{match[3]}"
