"""Small checkpoints to damage, and what reading a damaged one may do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter
from tfsaver.errors import DataLossError
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice
from tfsaver.framework.variant import Variant
from tfsaver.tensor_bundle.writer import BundleWriter

MATRIX = np.array([[1.5, -2], [3, 4]], np.float32)
HALVES = [TensorSlice(((row, 1), EVERYTHING)) for row in (0, 1)]

V1_TENSORS: dict[str, Any] = {
    "bool": np.array([True, False, True]),
    "float": np.float32(1.5),
    "int": np.array([-1, 300], np.int64),
    "text": np.array([b"hi", b"", b"\0"], object),
    "half": np.array([1, 2], np.float16),
    "complex": np.complex64(1 + 2j),
    "none": np.zeros((0, 2), np.float32),
}
V2_TENSORS: dict[str, Any] = {
    **V1_TENSORS,
    "int4": np.array([-8, 7], np.int8).astype(ml_dtypes.int4),
    "bfloat16": np.array([1, 2], ml_dtypes.bfloat16),
    "variant": np.array([Variant(b"\x0a\x01x")], object),
}


def write_v2(prefix: Path) -> dict[str, Any]:
    """A V2 checkpoint of two data files; returns its tensors."""
    with BundleWriter(prefix, num_shards=2, durable=False) as writer:
        for number, (name, value) in enumerate(V2_TENSORS.items()):
            writer.add(name, value, shard_id=number % 2)
        for number, stored in enumerate(HALVES):
            writer.add_slice("parts", (2, 2), stored, MATRIX[number : number + 1], shard_id=number)
    return {**V2_TENSORS, "parts": MATRIX}


def write_v1(path: Path) -> dict[str, Any]:
    """A V1 checkpoint in one file; returns its tensors."""
    with TensorSliceWriter(path, durable=False) as writer:
        for name, value in V1_TENSORS.items():
            writer.add(name, value)
        for number, stored in enumerate(HALVES):
            writer.add_slice("parts", (2, 2), stored, MATRIX[number : number + 1])
    return {**V1_TENSORS, "parts": MATRIX}


def is_same(found: Any, expected: Any) -> bool:
    expected = np.asarray(expected)
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    # Not by bytes: an int4 leaves the upper bits of its byte open. There is no NaN among the values.
    return bool(np.array_equal(found, expected))


def num_errors(path: Path, expected: dict[str, Any], allowed: type[Exception] = DataLossError) -> int:
    """Opens, lists and reads everything; every value is right or an error that may be.

    Returns:
        How many of the steps ended in such an error.
    """

    def attempt(step: Callable[[], Any]) -> Any:
        try:
            return step()
        except allowed:
            return None

    reader = attempt(lambda: load_checkpoint(path))
    if reader is None:
        return 1
    with reader:
        names = attempt(lambda: reader.names)
        assert names is None or names == sorted(expected)
        failed = int(names is None)
        for name, value in expected.items():
            assert attempt(lambda name=name: name in reader) is not False
            found = attempt(lambda name=name: reader.read(name))
            failed += found is None
            assert found is None or is_same(found, value), f"{name}: another value"
    return failed
