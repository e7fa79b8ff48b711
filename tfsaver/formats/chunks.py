"""A tensor's elements as a file keeps them, little-endian in C order, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfsaver.checkpoint.execution import Data
from tfsaver.framework import array_chunks
from tfsaver.framework.dtypes import DType


def chunks(data: Data, dtype: DType) -> Iterator[memoryview]:
    """The bytes of a tensor of a fixed-size type.

    Raises:
        DataLossError: The source is damaged, which may be known only after the last piece.
    """
    for piece in [data] if isinstance(data, np.ndarray) else data:
        yield from array_chunks.iterate_chunks(piece, dtype)
