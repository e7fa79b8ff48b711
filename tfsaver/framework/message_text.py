"""Messages in protobuf's text form: the state file, .pbtxt.

protobuf's reader in Python checks less than what it hands on to: numbers, escapes and depth end in errors of the
interpreter, and an escape that Python does not know in a warning, which a program may have made an error.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError, EncodeError

from tfsaver import schemas
from tfsaver.errors import DataLossError


def merge_text(data: bytes, message: Any, *, repeats: bool = False) -> None:
    """Puts what a text says into a message.

    Args:
        data: The text in UTF-8.
        message: The message.
        repeats: Whether a field that has one value may be written twice: then the last one counts.

    Raises:
        DataLossError: It is no text of such a message, or nested deeper than what can be written, copied and compared.
    """
    try:
        with _without_warnings() if b"\\" in data else contextlib.nullcontext():
            read = text_format.Merge if repeats else text_format.Parse
            read(data.decode("utf-8"), message, descriptor_pool=schemas.DESCRIPTOR_POOL)
        # A text may be deeper than what any program can read once it is written.
        type(message).FromString(message.SerializePartialToString())
    except (text_format.ParseError, DecodeError, EncodeError, RecursionError, ValueError, OverflowError, TypeError) as error:
        raise DataLossError(f"no {message.DESCRIPTOR.name} in text form: {error}") from error


@contextlib.contextmanager
def _without_warnings() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
