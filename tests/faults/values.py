"""The tensors that are saved, a generation for each save, and which generation it is that was read.

Every tensor of a generation differs from the same tensor of any other, so that a mixture of two is neither.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
Make: TypeAlias = "Callable[[int], dict[str, Array]]"

STEP = "global_step"
# As many as any scenario saves.
_MAX_GENERATIONS = 6


@functools.cache
def few(generation: int) -> dict[str, Array]:
    """A handful of tensors, one of them large enough for writes of its own."""
    draw = np.random.default_rng(generation)
    return {
        "bias": (np.arange(7) + generation).astype(ml_dtypes.bfloat16),
        STEP: np.array(generation, np.int64),
        "kernel": draw.standard_normal((300, 64)).astype(np.float32),
        "labels": np.array([f"generation {generation}".encode(), b"", b"\xff" * (generation + 1)], object),
        "mask": np.array([bool(generation >> bit & 1) for bit in range(8)]),
        "scale": draw.standard_normal((64,)),
    }


@functools.cache
def many(generation: int) -> dict[str, Array]:
    """So many small tensors that TensorFlow's operations move them."""
    return {STEP: np.array(generation, np.int64)} | {
        f"layer_{number}/bias": np.full((3,), generation * 1000 + number, np.float32) for number in range(150)
    }


@functools.cache
def plain(generation: int) -> dict[str, Array]:
    """Tensors of types that every format has."""
    return {name: array for name, array in few(generation).items() if name not in ("bias", "labels")}


@functools.cache
def for_v1(generation: int) -> dict[str, Array]:
    """Tensors of types that V1 has."""
    return {name: array for name, array in few(generation).items() if name != "bias"}


@functools.cache
def exported(generation: int) -> dict[str, Array]:
    """The variables of a graph that is exported."""
    return {
        "kernel": np.arange(6, dtype=np.float32).reshape(3, 2) + 10 * generation,
        "bias": np.array([1 + generation, 2], np.float32),
    }


def nested(generation: int) -> dict[str, Any]:
    """The same as `few`, in a tree of containers."""
    tensors = few(generation)
    return {"step": tensors[STEP], "model": [tensors[name] for name in sorted(tensors) if name != STEP]}


def generation_of(arrays: Mapping[str, Any], make: Make = few) -> int:
    """Which generation these are, all of them, to the bit.

    Raises:
        ValueError: They are none, or a mixture.
    """
    found = {name: np.asarray(array) for name, array in arrays.items()}
    for generation in range(_MAX_GENERATIONS):
        if found.keys() == make(generation).keys() and all(
            _is_same(found[name], array) for name, array in make(generation).items()
        ):
            return generation
    each = {
        name: [generation for generation in range(_MAX_GENERATIONS) if _is_same(array, make(generation).get(name))]
        for name, array in found.items()
    }
    raise ValueError(f"no generation has all of these tensors; they are of {each}")


def _is_same(found: Array, wanted: Array | None) -> bool:
    if wanted is None or found.dtype != wanted.dtype or found.shape != wanted.shape:
        return False
    return found.tolist() == wanted.tolist() if wanted.dtype == object else found.tobytes() == wanted.tobytes()
