"""How to walk through a tensor's bytes in bounded memory while picking a region out of them.

The tensor is cut along one axis, the first whose rows are small enough: a piece is then some rows of that axis, inside
one index of the axes before it, and all of the axes behind it. Pieces follow each other in the order of the bytes and
together are all of them, so that a checksum can run along; without a checksum the pieces that nobody wants are left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice

MAX_PIECE_SIZE = 1 << 20
# Bytes between wanted ones that are sooner read than skipped.
_MAX_GAP = 64 << 10


class Piece(NamedTuple):
    """A run of a tensor's bytes.

    `shape` is what the run is as an array, `source` the part of that which is wanted, `target` where it goes in the
    region. A piece that the region does not meet has neither.
    """

    offset: int
    size: int
    is_wanted: bool
    shape: Shape = ()
    source: tuple[slice, ...] = ()
    target: tuple[slice | int, ...] = ()


def iterate_pieces(shape: Shape, dtype: DType, region: TensorSlice, *, only_wanted: bool = False) -> Iterator[Piece]:
    """The pieces of a tensor of a fixed-size type, and what a resolved region wants of each.

    With `only_wanted` they hold the region's own bytes, and what lies between these where that is little.
    """
    item_size = dtype.size
    if not num_elements(shape) or (only_wanted and not num_elements(region.shape)):
        return
    if not shape:
        yield Piece(0, item_size, True, (), (), ())
        return
    max_row_size = min(_MAX_GAP, MAX_PIECE_SIZE) if only_wanted else MAX_PIECE_SIZE
    axis = next(
        (axis for axis in range(len(shape)) if num_elements(shape[axis + 1 :]) * item_size <= max_row_size),
        len(shape) - 1,
    )
    row_size = num_elements(shape[axis + 1 :]) * item_size
    rows_per_piece = max(1, MAX_PIECE_SIZE // row_size)
    if only_wanted:
        spans = [range(start, start + length) for start, length in region.extents]
    else:
        spans = [range(size) for size in shape]
    for outer in itertools.product(*spans[:axis]):
        outer_extents = region.extents[:axis]
        is_wanted = all(start <= index < start + length for index, (start, length) in zip(outer, outer_extents, strict=True))
        target_outer = tuple(index - start for index, (start, _) in zip(outer, outer_extents, strict=True))
        first_row = 0
        for index, size in zip(outer, shape[:axis], strict=True):
            first_row = first_row * size + index
        first_row *= shape[axis]
        for row in spans[axis][::rows_per_piece]:
            num_rows = min(rows_per_piece, spans[axis].stop - row)
            offset = (first_row + row) * row_size
            yield _piece(offset, num_rows * row_size, shape, axis, row, num_rows, region, target_outer, is_wanted)


def _piece(
    offset: int,
    size: int,
    shape: Shape,
    axis: int,
    row: int,
    num_rows: int,
    region: TensorSlice,
    target_outer: tuple[int, ...],
    is_wanted: bool,
) -> Piece:
    start, length = region.extents[axis]
    first, last = max(row, start), min(row + num_rows, start + length)
    if not is_wanted or first >= last:
        return Piece(offset, size, False)
    return Piece(
        offset,
        size,
        True,
        (num_rows, *shape[axis + 1 :]),
        (slice(first - row, last - row), *region.indices[axis + 1 :]),
        (*target_outer, slice(first - start, last - start)),
    )
