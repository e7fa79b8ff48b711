"""Values of Python's own in JSON, so that they come back exactly: a float by its bits, an int of any size.

    {"value": 3}                      None, bool, str, int of 64 bits, float that is finite: as JSON has them
    {"int": "-0xff..."}               a larger int
    {"float": "7ff8000000000000"}     infinity and what is not a number: the 8 bytes, most significant first
    {"complex": "3ff0...bff0..."}     the bits of both parts
    {"bytes": "aGk="}                 Base64
    {"str": "7bOE"}                   Base64 of a text with halves of surrogate pairs, which JSON would join
"""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

# A longer str or bytes is a tensor of its own.
MAX_TEXT = 1 << 16

_TYPES = (type(None), bool, int, float, complex, str, bytes)


def is_value(value: Any) -> bool:
    """Whether it is of one of the types in the table; a subclass is not, since it would not come back as what it is."""
    return type(value) in _TYPES


def is_unicode(text: str) -> bool:
    """Whether a text has a UTF-8 form: whether no halves of surrogate pairs are in it."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def to_record(value: Any) -> dict[str, Any]:
    """The value as a JSON object."""
    if type(value) is int and not -(1 << 63) <= value < 1 << 63:
        return {"int": hex(value)}
    if type(value) is float and not math.isfinite(value):
        return {"float": struct.pack(">d", value).hex()}
    if type(value) is complex:
        return {"complex": struct.pack(">dd", value.real, value.imag).hex()}
    if type(value) is bytes:
        return {"bytes": base64.b64encode(value).decode()}
    if type(value) is str and not is_unicode(value):
        return {"str": base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()}
    return {"value": value}


def from_record(record: dict[str, Any]) -> Any:
    """The value of a JSON object.

    Raises:
        ValueError, TypeError, KeyError: It is none of those in the table.
    """
    ((kind, value),) = record.items()
    if kind == "value":
        if not is_value(value) or (type(value) is float and not math.isfinite(value)):
            raise ValueError(f"{type(value).__name__} is no type of a value")
        return value
    if type(value) is not str:
        raise TypeError(f"{kind} is to be written as text")
    if kind == "int":
        return int(value, 16)
    if kind == "float":
        return _floats(value, 1)[0]
    if kind == "complex":
        return complex(*_floats(value, 2))
    if kind not in ("bytes", "str"):
        raise KeyError(kind)
    data = base64.b64decode(value, validate=True)
    return data if kind == "bytes" else data.decode("utf-8", "surrogatepass")


def _floats(text: str, count: int) -> tuple[float, ...]:
    data = bytes.fromhex(text)
    if len(data) != 8 * count:
        raise ValueError(f"{len(data)} bytes for {count} floats")
    return struct.unpack(f">{count}d", data)
