"""Slices as text, proto and key, and their arithmetic against sets of indices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError
from tfsaver.framework import tensor_slice
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice

Shape = tuple[int, ...]


@st.composite
def shapes_and_slices(draw: st.DrawFn, num_slices: int = 1, min_rank: int = 1) -> tuple[Shape, list[TensorSlice]]:
    """A shape and slices of it, some of whose extents are everything."""
    shape = tuple(draw(st.lists(st.integers(0, 6), min_size=min_rank, max_size=4)))

    def extent(size: int) -> tuple[int, int]:
        if draw(st.booleans()):
            return EVERYTHING
        start = draw(st.integers(0, size))
        return start, draw(st.integers(0, size - start))

    return shape, [TensorSlice(tuple(map(extent, shape))) for _ in range(num_slices)]


def indices_of(resolved: TensorSlice) -> set[tuple[int, ...]]:
    return set(itertools.product(*(range(start, start + length) for start, length in resolved.extents)))


@given(shapes_and_slices())
def test_slice_survives_its_text(case: tuple[Shape, list[TensorSlice]]) -> None:
    shape, (each,) = case
    text = tensor_slice.format_shape_and_slice(shape, each)
    assert tensor_slice.parse_shape_and_slice(text) == (shape, each)


@given(shapes_and_slices(min_rank=0))
def test_slice_survives_its_proto(case: tuple[Shape, list[TensorSlice]]) -> None:
    _, (each,) = case
    data = tensor_slice.to_proto(each).SerializeToString()
    assert tensor_slice.from_proto(schemas.TensorSliceProto.FromString(data)) == each


@given(st.binary(max_size=8), shapes_and_slices(min_rank=0))
def test_slice_and_name_survive_their_key(name: bytes, case: tuple[Shape, list[TensorSlice]]) -> None:
    _, (each,) = case
    assert tensor_slice.decode_key(tensor_slice.encode_key(name, each)) == (name, each)


@pytest.mark.parametrize(
    ("text", "shape", "extents"),
    [
        ("10 6 0,4:-", (10, 6), ((0, 4), EVERYTHING)),
        ("5 -", (5,), (EVERYTHING,)),
        ("5 0,5", (5,), ((0, 5),)),
        ("2 3 4 1,1:-:0,4", (2, 3, 4), ((1, 1), EVERYTHING, (0, 4))),
    ],
)
def test_text_vectors(text: str, shape: Shape, extents: tuple[tuple[int, int], ...]) -> None:
    assert tensor_slice.parse_shape_and_slice(text) == (shape, TensorSlice(extents))


@pytest.mark.parametrize(
    "text",
    ["", "10", "-", "10 6", "10 6 0,4", "10  6 -:-", "10 6 0,4:", "10 6 0:4", "x -", "-1 -", "10 0,-1", "10 -1,3", "10 1_0,0",
     "10 +1,2", "10 1, 2", " 10 -", "10 - ", "10 8,3", "10 0,11", "١٠ -", "10\n-", "10 1e1,0", "9" * 5000 + " -"],
)  # fmt: skip
def test_text_of_another_form_is_an_invalid_argument(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        tensor_slice.parse_shape_and_slice(text)


@pytest.mark.parametrize(
    ("name", "extents", "key"),
    [(b"p", ((0, 4), EVERYTHING), "00 70 00 01 01 02 80 84 80 7f"), (b"a\0\xff", (), "00 61 00 ff ff 00 00 01 00")],
)
def test_key_vectors(name: bytes, extents: tuple[tuple[int, int], ...], key: str) -> None:
    assert tensor_slice.encode_key(name, TensorSlice(extents)) == bytes.fromhex(key)


@given(st.binary(max_size=20).map(lambda data: b"\0" + data))
def test_any_bytes_are_the_one_key_of_a_slice_or_data_loss(key: bytes) -> None:
    try:
        name, found = tensor_slice.decode_key(key)
    except DataLossError:
        return
    assert tensor_slice.encode_key(name, found) == key


@pytest.mark.parametrize(
    "key", ["", "01 01 70 00 01 00", "00 70 00 01", "00 70 00 01 01 02 80 84", "00 70 00 01 00 80", "00 70 00 01 04 ff ff ff ff"]
)
def test_key_of_another_form_is_data_loss(key: str) -> None:
    with pytest.raises(DataLossError):
        tensor_slice.decode_key(bytes.fromhex(key))


@pytest.mark.parametrize(
    "extent", [{"start": 1}, {"start": -1, "length": 2}, {"length": -1}, {"start": (1 << 63) - 1, "length": 1}]
)
def test_extent_that_no_tensor_can_have_is_data_loss(extent: dict[str, int]) -> None:
    proto = schemas.TensorSliceProto()
    proto.extent.add(**extent)
    with pytest.raises(DataLossError, match="here: "):
        tensor_slice.from_proto(proto, "here")


def test_everything_and_the_whole_length_are_different_extents() -> None:
    everything = tensor_slice.to_proto(TensorSlice.full(1))
    whole = tensor_slice.to_proto(TensorSlice(((0, 5),)))
    # An extent with no field set; and one with its length, its start of 0 left out.
    assert everything.SerializeToString() == bytes.fromhex("0a 00")
    assert whole.SerializeToString() == bytes.fromhex("0a 02 10 05")
    assert TensorSlice.full(1).is_full and not TensorSlice(((0, 5),)).is_full
    assert TensorSlice.full(1).resolve((5,)) == TensorSlice(((0, 5),))


@given(shapes_and_slices(num_slices=2, min_rank=0))
def test_intersection_is_that_of_the_indices(case: tuple[Shape, list[TensorSlice]]) -> None:
    shape, slices = case
    a, b = (each.resolve(shape) for each in slices)
    common = a.intersect(b)
    assert (indices_of(common) if common else set()) == indices_of(a) & indices_of(b)


@given(shapes_and_slices(num_slices=2, min_rank=0))
def test_part_of_a_slice_is_the_same_part_of_the_tensor(case: tuple[Shape, list[TensorSlice]]) -> None:
    shape, slices = case
    a, b = (each.resolve(shape) for each in slices)
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    if (common := a.intersect(b)) is not None:
        assert array[a.indices][common.relative_to(a).indices].tolist() == array[common.indices].tolist()
        assert array[common.indices].shape == common.shape


@pytest.mark.parametrize("extents", [((0, 4),), ((0, 11), EVERYTHING), ((-1, 2), EVERYTHING), ((9, 2), EVERYTHING)])
def test_slice_that_leaves_the_shape_is_an_invalid_argument(extents: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'w': slice .*\[10, 6\]"):
        TensorSlice(extents).resolve((10, 6), "'w'")
