"""What makes two trees the same: containers, order, kinds, bits."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np


def same(first: Any, second: Any) -> bool:
    """Whether two trees are the same to the bit; a namedtuple's class need only have the same name and fields."""
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        named = type(first).__name__ == type(second).__name__ and first._fields == getattr(second, "_fields", None)
        return named and same(tuple(first), tuple(second))
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return list(first) == list(second) and same(list(first.values()), list(second.values()))
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, np.ndarray | np.generic):
        if first.dtype != second.dtype or first.shape != second.shape:
            return False
        return first.tolist() == second.tolist() if first.dtype.hasobject else first.tobytes() == second.tobytes()
    if isinstance(first, float):
        return struct.pack("d", first) == struct.pack("d", second)
    if isinstance(first, complex):
        return struct.pack("dd", first.real, first.imag) == struct.pack("dd", second.real, second.imag)
    return bool(first == second)
