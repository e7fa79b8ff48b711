"""Shapes in and out of protos, and shapes that no tensor has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsaver import schemas
from tfsaver.errors import DataLossError, UnimplementedError
from tfsaver.framework import tensor_shape


@given(st.lists(st.integers(0, 100), max_size=8).map(tuple))
def test_shape_survives_its_proto(shape: tuple[int, ...]) -> None:
    assert tensor_shape.from_proto(tensor_shape.to_proto(shape)) == shape


def test_elements_of_a_scalar_and_of_nothing() -> None:
    assert tensor_shape.num_elements(()) == 1
    assert tensor_shape.num_elements((3, 0, 5)) == 0
    assert tensor_shape.num_elements((3, 4)) == 12


@pytest.mark.parametrize("shape", [(-1,), (2, -1), (-(1 << 63),)])
def test_negative_or_unknown_dimension_is_data_loss(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataLossError, match="here: negative or unknown dimension"):
        tensor_shape.from_proto(tensor_shape.to_proto(shape), "here")


def test_unknown_rank_is_data_loss() -> None:
    with pytest.raises(DataLossError, match="unknown rank"):
        tensor_shape.from_proto(schemas.TensorShapeProto(unknown_rank=True))


@pytest.mark.parametrize("shape", [((1 << 63) - 1,), (1 << 32, 1 << 32), (0, 1 << 62), (1 << 59,), (1 << 20,) * 10])
def test_shape_that_no_memory_holds_is_data_loss(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataLossError, match="more elements than any memory"):
        tensor_shape.from_proto(tensor_shape.to_proto(shape))


def test_more_dimensions_than_the_format_allows_are_data_loss() -> None:
    with pytest.raises(DataLossError, match="rank 255, at most 254"):
        tensor_shape.from_proto(tensor_shape.to_proto((1,) * 255))


def test_more_dimensions_than_numpy_has_are_unimplemented() -> None:
    with pytest.raises(UnimplementedError, match="rank 100, numpy's arrays have at most"):
        tensor_shape.from_proto(tensor_shape.to_proto((1,) * 100))
