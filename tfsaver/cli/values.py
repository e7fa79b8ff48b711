"""Arrays as text and as JSON."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from tfsaver.framework.dtypes import DType

Array = np.ndarray[Any, Any]

# Elements past which numpy's text leaves out the middle, and characters past which a string's end is left out.
THRESHOLD = 1000
MAX_STRING_LENGTH = 200


def format_array(array: Array, dtype: DType, *, is_whole: bool = False) -> str:
    """A tensor as numpy writes it; strings as text where they are text. The middle of a large one is left out."""
    threshold = sys.maxsize if is_whole else THRESHOLD
    return np.array2string(
        _plain(array), threshold=threshold, max_line_width=120, separator=" ", formatter=_formatter(dtype)
    )


def to_json(array: Array) -> Any:
    """A tensor as nested lists: complex numbers as pairs, what JSON has no numbers for as ``"nan"`` and ``"inf"``.

    Bytes of strings that are not UTF-8 are lone surrogates, as Python's surrogateescape has them.
    """
    return _jsonable(_plain(array).tolist())


def _plain(array: Array) -> Array:
    """Quantised numbers, which are structures of one field, as the integers that they are."""
    return array if array.dtype.names is None else array.view(array.dtype[0])


def _formatter(dtype: DType) -> Any:
    return {"object": _format_element} if not dtype.has_fixed_size else None


def _format_element(element: Any) -> str:
    if not isinstance(element, bytes):
        return repr(element)
    try:
        text = repr(element.decode("utf-8"))
    except UnicodeDecodeError:
        text = repr(element)
    if len(text) <= MAX_STRING_LENGTH:
        return text
    return f"{text[:MAX_STRING_LENGTH]}… ({len(element)} bytes)"


def _jsonable(value: Any) -> Any:
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, complex):
        return [_jsonable(value.real), _jsonable(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
