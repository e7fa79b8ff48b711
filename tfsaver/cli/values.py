"""Arrays as text and as JSON, and the few numbers that tell whether one is sound."""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np

from tfsaver.framework.dtypes import DType

Array = np.ndarray[Any, Any]

# Elements past which numpy's text leaves out the middle, and characters past which a string's end is left out.
THRESHOLD = 1000
MAX_STRING_LENGTH = 200
# Elements that are looked at together, as float64.
_CHUNK = 1 << 20


class Statistics(NamedTuple):
    """Of a tensor's finite elements: None where there are none."""

    min: float | None
    max: float | None
    mean: float | None
    num_nan: int
    num_infinite: int


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


def statistics(array: Array, dtype: DType) -> Statistics | None:
    """What a tensor's elements are like; None for strings and complex numbers."""
    if not dtype.has_fixed_size or dtype.name.startswith("complex"):
        return None
    flat = _plain(array).reshape(-1)
    low, high, total = math.inf, -math.inf, 0.0
    num_finite = num_nan = 0
    for start in range(0, len(flat), _CHUNK):
        chunk = flat[start : start + _CHUNK].astype(np.float64)
        num_nan += int(np.isnan(chunk).sum())
        finite = chunk[np.isfinite(chunk)]
        if len(finite):
            num_finite += len(finite)
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
            # Divided first: a sum of large float64 may be past what float64 holds.
            total += float((finite / len(flat)).sum())
    if not num_finite:
        return Statistics(None, None, None, num_nan, len(flat) - num_nan)
    mean = total * (len(flat) / num_finite)
    return Statistics(low, high, mean, num_nan, len(flat) - num_finite - num_nan)


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
