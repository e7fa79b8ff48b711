"""A sample of what takes long in every run, all of it where it is asked for.

    TFSAVER_EXHAUSTIVE=1    tests of the mark `exhaustive` run, and `sample` takes nothing away; CI has a leg for that

A test of hundreds of points tries some of them each time, spread over all, so that nobody has to wait to see it fail where
it would fail everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")

_REASON = "takes long: TFSAVER_EXHAUSTIVE=1 runs it"


def is_exhaustive() -> bool:
    """Whether this run is to try everything."""
    return os.environ.get("TFSAVER_EXHAUSTIVE", "") not in ("", "0")


def sample_size(size: int) -> int | None:
    """How many of the points are tried: so many in every run, all (None) in an exhaustive one."""
    return None if is_exhaustive() else size


def sample(points: Sequence[T], size: int) -> list[T]:
    """So many of the points, the first and the last among them; all in an exhaustive run."""
    if is_exhaustive() or len(points) <= size:
        return list(points)
    return [points[round(index * (len(points) - 1) / max(1, size - 1))] for index in range(size)]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "exhaustive: takes long, and runs only with TFSAVER_EXHAUSTIVE=1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not is_exhaustive():
        for item in items:
            if item.get_closest_marker("exhaustive"):
                item.add_marker(pytest.mark.skip(reason=_REASON))
