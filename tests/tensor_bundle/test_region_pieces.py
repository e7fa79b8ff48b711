"""A region picked out of a tensor's bytes piece by piece, against numpy's slicing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfsaver.framework import dtypes
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.tensor_bundle import region_pieces

INT32 = dtypes.from_name("int32")


@st.composite
def shapes_and_regions(draw: st.DrawFn) -> tuple[tuple[int, ...], TensorSlice]:
    shape = tuple(draw(st.lists(st.integers(0, 7), max_size=4)))
    extents = []
    for size in shape:
        start = draw(st.integers(0, size))
        extents.append((start, draw(st.integers(0, size - start))))
    return shape, TensorSlice(tuple(extents))


sizes = st.sampled_from([4, 8, 20, 64, 1 << 20])


@given(shapes_and_regions(), sizes)
def test_pieces_are_all_bytes_in_order_and_give_the_region(case: tuple[tuple[int, ...], TensorSlice], most: int) -> None:
    shape, region = case
    array = np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape)
    data = array.tobytes()
    out = np.full(region.shape, -1, np.int32)
    position = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region_pieces, "MAX_PIECE_SIZE", most)
        for piece in region_pieces.iterate_pieces(shape, INT32, region):
            assert piece.offset == position and 0 < piece.size <= most
            position += piece.size
            if piece.is_wanted:
                raw = np.frombuffer(data, np.int32, piece.size // 4, piece.offset)
                out[piece.target] = raw.reshape(piece.shape)[piece.source]
    assert position == len(data)
    assert out.tolist() == array[region.indices].tolist()


@given(shapes_and_regions(), sizes, sizes)
@example(((1, 1), TensorSlice(((0, 1), (0, 0)))), 4, 4)
def test_wanted_pieces_alone_give_the_region(case: tuple[tuple[int, ...], TensorSlice], most: int, gap: int) -> None:
    shape, region = case
    array = np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape)
    data = array.tobytes()
    out = np.full(region.shape, -1, np.int32)
    position = num_bytes = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region_pieces, "MAX_PIECE_SIZE", most)
        patch.setattr(region_pieces, "_MAX_GAP", gap)
        for piece in region_pieces.iterate_pieces(shape, INT32, region, only_wanted=True):
            assert piece.is_wanted and piece.offset >= position and 0 < piece.size <= most
            position = piece.offset + piece.size
            num_bytes += piece.size
            raw = np.frombuffer(data, np.int32, piece.size // 4, piece.offset)
            out[piece.target] = raw.reshape(piece.shape)[piece.source]
    assert out.tolist() == array[region.indices].tolist()
    if gap == 4:
        assert num_bytes == out.nbytes
