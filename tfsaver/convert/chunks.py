"""A tensor's elements as a file keeps them, little-endian in C order, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator

from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.framework import array_chunks
from tfsaver.framework.tensor_info import TensorInfo


def chunks(source: TensorSource, info: TensorInfo) -> Iterator[memoryview]:
    """The bytes of a tensor of a fixed-size type.

    Raises:
        DataLossError: The source is damaged, which may be known only after the last piece.
    """
    for piece in source.pieces(info.name):
        yield from array_chunks.iterate_chunks(piece, info.dtype)
