"""What the tests of the neighbours' formats share: tensors of every type, and sources that fail."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tensor_bundle.tensors import FIXED, random_array
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import DataLossError
from tfsaver.framework import dtypes
from tfsaver.framework.region import Region

SHAPES: list[tuple[int, ...]] = [(), (0,), (2, 0, 3), (7,), (3, 4), (2, 3, 4)]
NUMBERS = {dtype.name: dtype for dtype in FIXED}


def every_tensor(names: list[str], shapes: list[tuple[int, ...]] = SHAPES) -> dict[str, Any]:
    """Random bits in each type and shape."""
    return {
        f"{name}/{number}": random_array(NUMBERS[name], shape)
        for name in names
        if name in NUMBERS
        for number, shape in enumerate(shapes)
    }


def strings(*values: bytes) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def assert_nothing_is_left(directory: Path) -> None:
    assert os.listdir(directory) == []


class FailingSource(ArraySource):
    """Arrays of which one turns out to be damaged when it is read."""

    def __init__(self, arrays: dict[str, Any], damaged: str) -> None:
        super().__init__(arrays)
        self._damaged = damaged

    def read(self, name: str, region: Region | None = None) -> Any:
        if name == self._damaged:
            raise DataLossError(f"{name} is damaged")
        return super().read(name, region)


def types_but(*names: str) -> list[str]:
    return [dtype.name for dtype in dtypes.ALL if dtype.name in NUMBERS and dtype.name not in names]


def lines_of(error: pytest.ExceptionInfo[BaseException]) -> list[str]:
    return [line.strip() for line in str(error.value).splitlines()]
