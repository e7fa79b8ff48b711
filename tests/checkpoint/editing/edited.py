"""What was written, read back and compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfsaver import load_checkpoint


def read(prefix: str | None) -> dict[str, np.ndarray[Any, Any]]:
    """All tensors of a checkpoint."""
    assert prefix is not None
    with load_checkpoint(prefix) as reader:
        return dict(reader)


def assert_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """The same names, types, shapes and bytes."""
    assert sorted(one) == sorted(other)
    for name, value in one.items():
        expected = np.asarray(other[name])
        assert (value.dtype, value.shape) == (expected.dtype, expected.shape), name
        assert value.tolist() == expected.tolist() if value.dtype == object else value.tobytes() == expected.tobytes(), name
