"""Overlap and coverage of stored slices, against counting every element."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsaver.errors import DataLossError, MissingSlicesError
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet

Shape = tuple[int, ...]


@st.composite
def slices_of(draw: st.DrawFn, shape: Shape) -> TensorSlice:
    extents = []
    for size in shape:
        if draw(st.integers(0, 3)) == 0:
            extents.append(EVERYTHING)
        else:
            start = draw(st.integers(0, size))
            extents.append((start, draw(st.integers(0, size - start))))
    return TensorSlice(tuple(extents))


@st.composite
def sets(draw: st.DrawFn) -> tuple[Shape, list[TensorSlice], TensorSlice]:
    """A shape, stored slices, and a region."""
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=3)))
    return shape, draw(st.lists(slices_of(shape), max_size=4)), draw(slices_of(shape))


@given(sets())
def test_set_does_what_counting_elements_says(case: tuple[Shape, list[TensorSlice], TensorSlice]) -> None:
    shape, stored, region = case
    resolved = [each.resolve(shape) for each in stored]
    region = region.resolve(shape)
    counts = np.zeros(shape, int)
    for each in resolved:
        counts[each.indices] += 1
    if counts.size and counts.max() > 1:
        with pytest.raises(DataLossError, match="overlap"):
            TensorSliceSet("w", shape, stored)
        return
    array = np.arange(1, counts.size + 1).reshape(shape)
    slices = TensorSliceSet("w", shape, stored)
    out = np.zeros(region.shape, int)

    if (counts[region.indices] == 0).any():
        with pytest.raises(MissingSlicesError, match=r"'w' of shape .* does not have sufficient slices"):
            slices.parts(region)
    else:
        for number, part, target in slices.parts(region):
            out[target.indices] = array[resolved[number].indices][part.indices]
        assert out.tolist() == array[region.indices].tolist()


def test_slice_that_leaves_the_shape_is_data_loss() -> None:
    with pytest.raises(DataLossError, match=r"'w': slice 8,4 leaves the shape \[10\]"):
        TensorSliceSet("w", (10,), [TensorSlice(((8, 4),))])


def test_message_of_a_gap_counts_what_is_there() -> None:
    slices = TensorSliceSet("w", (10, 2), [TensorSlice(((0, 4), EVERYTHING)), TensorSlice(((6, 4), EVERYTHING))])
    with pytest.raises(MissingSlicesError, match=r"16 of 20 elements are stored, in 0,4:0,2, 6,4:0,2"):
        slices.check_coverage()


def test_scalar_stored_twice_overlaps() -> None:
    with pytest.raises(DataLossError, match="overlap"):
        TensorSliceSet("w", (), [TensorSlice(()), TensorSlice(())])
