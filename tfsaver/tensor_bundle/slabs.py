"""Memory for arrays that are filled from a file: where TensorFlow wants it, and in few pieces.

    slab     [a ][b  ][c][d    ][e ]...      small arrays, each at a multiple of 64 bytes
    alone    [       large        ]

What begins at such a multiple TensorFlow takes over as a variable's value, and copies anything else. One large piece of
memory is had much faster than thousands of small ones.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, TypeAlias

import numpy as np

from tfsaver.lib.recycled_memory import RecycledMemory

Array: TypeAlias = "np.ndarray[Any, Any]"

ALIGNMENT = 64

# numpy asks for huge pages from 4 MiB; of a slab this large, few are cut off at its ends.
_SLAB_SIZE = 32 << 20
# What is smaller is had fast enough.
_MIN_RECYCLED_SIZE = 2 << 20
_NOTHING = np.empty(0, np.uint8)


class Slabs:
    """Gives arrays, small ones cut from slabs, of which no more is had than is needed.

    Args:
        total_size: The bytes of all arrays that will be asked for.
        memory: Where large pieces come from; new memory when None.
    """

    def __init__(self, total_size: int, memory: RecycledMemory | None = None) -> None:
        self._memory = memory
        self._slab = _NOTHING
        self._slab_size = min(_SLAB_SIZE, total_size)

    def empty_bytes(self, size: int) -> Array:
        """The memory of an array, as bytes with anything in them."""
        if size >= self._slab_size // 4:
            return _aligned_bytes(size, self._memory)
        if len(self._slab) < size:
            self._slab = _aligned_bytes(self._slab_size, self._memory)
        raw, self._slab = self._slab[:size], self._slab[-(-size // ALIGNMENT) * ALIGNMENT :]
        return raw


def aligned_empty(shape: Collection[int], dtype: np.dtype[Any], memory: RecycledMemory | None = None) -> Array:
    """An array with anything in it that begins where TensorFlow wants it; objects lie as numpy has them."""
    if dtype.hasobject:
        return np.empty(tuple(shape), dtype)
    return _as_array(_aligned_bytes(math.prod(shape) * dtype.itemsize, memory), tuple(shape), dtype)


def _as_array(raw: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return raw.view(dtype).reshape(shape)


def _aligned_bytes(size: int, memory: RecycledMemory | None) -> Array:
    if memory is not None and size >= _MIN_RECYCLED_SIZE:
        return np.frombuffer(memory.take(size), np.uint8)
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[start : start + size]
