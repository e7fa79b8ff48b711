"""Partitioned tensors: any partition, stored in any order and shard, read back whole and by any region."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tensor_bundle.tensors import STORABLE, assert_equal, random_array
from tfsaver.errors import DataLossError, DuplicateKeyError, InvalidArgumentError, ShapeMismatchError
from tfsaver.framework import dtypes, tensor_slice
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice
from tfsaver.lib import crc32c
from tfsaver.tensor_bundle import bundle_index, region_pieces
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.header import BundleHeader
from tfsaver.tensor_bundle.placement import write_index
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.writer import BundleWriter

FLOAT = dtypes.from_name("float32")


@st.composite
def partitions(draw: st.DrawFn) -> tuple[tuple[int, ...], list[TensorSlice], TensorSlice]:
    """A shape, slices that cut it into boxes of any size, in any order, and a region."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    boxes = [tuple((0, size) for size in shape)]
    for _ in range(draw(st.integers(0, 5))):
        box = boxes.pop(draw(st.integers(0, len(boxes) - 1)))
        axis = draw(st.integers(0, len(shape) - 1))
        start, length = box[axis]
        cut = draw(st.integers(0, length))
        for piece in ((start, cut), (start + cut, length - cut)):
            if piece[1] or not cut:
                boxes.append((*box[:axis], piece, *box[axis + 1 :]))
    boxes = [box for box in dict.fromkeys(boxes) if all(length for _, length in box)]
    slices = []
    for box in draw(st.permutations(boxes)):
        spelled = (
            EVERYTHING if extent == (0, size) and draw(st.booleans()) else extent
            for extent, size in zip(box, shape, strict=True)
        )
        slices.append(TensorSlice(tuple(spelled)))
    region = []
    for size in shape:
        start = draw(st.integers(0, size))
        region.append((start, draw(st.integers(0, size - start))))
    return shape, slices, TensorSlice(tuple(region))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=partitions(), dtype=st.sampled_from(STORABLE), num_shards=st.integers(1, 3), most=st.sampled_from([16, 64, 1 << 20]))
def test_any_region_of_any_partition(
    case: tuple[tuple[int, ...], list[TensorSlice], TensorSlice], dtype: DType, num_shards: int, most: int, tmp_path: Path
) -> None:
    shape, slices, region = case
    array = random_array(dtype, shape)
    with BundleWriter(tmp_path / "model", num_shards=num_shards, durable=False) as writer:
        for number, stored in enumerate(slices):
            writer.add_slice("w", shape, stored, array[stored.resolve(shape).indices], shard_id=number % num_shards)
        writer.add("z", array)
    with BundleReader(tmp_path / "model") as reader, pytest.MonkeyPatch.context() as patch:
        patch.setattr(region_pieces, "MAX_PIECE_SIZE", most)
        assert reader.names == ["w", "z"]
        if len(slices) > 1:
            assert reader.entry("w").slices == tuple(slices)
        for verify in (True, False):
            assert_equal(reader.read("w", verify=verify), array)
            assert_equal(reader.read("w", region, verify=verify), array[region.indices])
            assert_equal(reader.read("z", region, verify=verify), array[region.indices])


def test_slice_that_is_everything_is_stored_as_a_whole_tensor(tmp_path: Path) -> None:
    array = random_array(FLOAT, (3, 2))
    with BundleWriter(tmp_path / "model") as writer:
        writer.add_slice("everything", (3, 2), TensorSlice.full(2), array)
        writer.add_slice("spelled out", (3, 2), TensorSlice(((0, 3), EVERYTHING)), array)
        writer.add_slice("scalar", (), TensorSlice(()), 2.5)
        writer.add_slice("empty", (0, 2), TensorSlice.full(2), array[:0])
    with BundleReader(tmp_path / "model") as reader:
        assert not any(reader.entry(name).is_sliced for name in reader.names)
        assert_equal(reader.read("everything"), array)
        assert reader.read("scalar") == 2.5 and reader.read("empty").shape == (0, 2)


def test_slices_may_leave_gaps_that_nobody_reads(tmp_path: Path) -> None:
    array = random_array(FLOAT, (10, 2))
    with BundleWriter(tmp_path / "model") as writer:
        writer.add_slice("w", (10, 2), np.s_[0:4, :], array[0:4])
        writer.add_slice("w", (10, 2), np.s_[6:10, :], array[6:10])
    with BundleReader(tmp_path / "model") as reader:
        assert_equal(reader.read("w", TensorSlice(((7, 2), EVERYTHING))), array[7:9])
        with pytest.raises(InvalidArgumentError, match="'w' of shape .* does not have sufficient slices for 0,10:0,2"):
            reader.read("w")


def test_slices_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    array = random_array(FLOAT, (4, 2))
    first = TensorSlice(((0, 2), EVERYTHING))
    writer = BundleWriter(tmp_path / "model")
    writer.add_slice("w", (4, 2), first, array[:2])
    writer.add("whole", array)
    with pytest.raises(ShapeMismatchError, match=r"'w 2,2:-' has shape \[1, 2\], expected \[2, 2\]"):
        writer.add_slice("w", (4, 2), TensorSlice(((2, 2), EVERYTHING)), array[:1])
    with pytest.raises(InvalidArgumentError, match="leaves the shape"):
        writer.add_slice("w", (4, 2), TensorSlice(((3, 2), EVERYTHING)), array[:2])
    with pytest.raises(InvalidArgumentError, match="rank"):
        writer.add_slice("w", (4, 2), TensorSlice(((0, 2),)), array[:2])
    with pytest.raises(DuplicateKeyError, match="w 0,2:-"):
        writer.add_slice("w", (4, 2), first, array[:2])
    with pytest.raises(ShapeMismatchError, match=r"'w' has shape \[5, 2\], expected \[4, 2\]"):
        writer.add_slice("w", (5, 2), TensorSlice(((2, 2), EVERYTHING)), array[:2])
    with pytest.raises(InvalidArgumentError, match="'w': a slice of float64 beside slices of float32"):
        writer.add_slice("w", (4, 2), TensorSlice(((2, 2), EVERYTHING)), array[:2].astype(float))
    with pytest.raises(DuplicateKeyError, match="'whole' was already added"):
        writer.add_slice("whole", (4, 2), first, array[:2])
    with pytest.raises(DuplicateKeyError, match="'w' was already added"):
        writer.add("w", array)
    with pytest.raises(DuplicateKeyError):
        writer.add_slice("w", (4, 2), TensorSlice.full(2), array)
    writer.add_slice("w", (4, 2), TensorSlice(((2, 2), EVERYTHING)), array[2:])
    writer.finish()
    with BundleReader(tmp_path / "model") as reader:
        assert_equal(reader.read("w"), array)


def test_name_that_spells_a_slices_key_is_a_name(tmp_path: Path) -> None:
    array = random_array(FLOAT, (4,))
    stored = TensorSlice(((0, 2),))
    other = tensor_slice.encode_key(b"other", stored)
    with BundleWriter(tmp_path / "model") as writer:
        writer.add_slice("w", (4,), stored, array[:2])
        writer.add_slice("w", (4,), TensorSlice(((2, 2),)), array[2:])
        writer.add(other, array)
        with pytest.raises(DuplicateKeyError):
            writer.add(tensor_slice.encode_key(b"w", stored), array)
    with BundleReader(tmp_path / "model") as reader:
        assert reader.names == [other.decode("utf-8", "surrogateescape"), "w"]
        assert other.decode("utf-8", "surrogateescape") in reader
        assert tensor_slice.encode_key(b"w", stored).decode("utf-8", "surrogateescape") not in reader


# An index whose slices contradict each other, as no writer makes it.


def broken(tmp_path: Path, full: BundleEntry, parts: dict[TensorSlice, BundleEntry]) -> BundleReader:
    (tmp_path / "model.data-00000-of-00001").write_bytes(bytes(1000))
    entries = {tensor_slice.encode_key(b"w", stored): entry for stored, entry in parts.items()}
    encoded = sorted((key, entry.encode()) for key, entry in {b"w": full, **entries}.items())
    write_index(str(tmp_path / "model"), BundleHeader(), [tuple(zip(*encoded, strict=True))])
    return BundleReader(tmp_path / "model")


HALVES = TensorSlice(((0, 2),)), TensorSlice(((2, 2),))
ZEROS = BundleEntry(FLOAT, (2,), size=8, crc32c=crc32c.mask(crc32c.value(bytes(8))))


@pytest.mark.parametrize(
    ("full_shape", "slices", "parts", "sentence"),
    [
        ((4,), HALVES, {HALVES[0]: ZEROS}, "listed as a slice, but missing"),
        ((4,), HALVES, {each: BundleEntry(FLOAT, (3,), size=12) for each in HALVES}, "is not that slice"),
        ((4,), HALVES, {each: BundleEntry(dtypes.from_name("int32"), (2,), size=8) for each in HALVES}, "is not that slice"),
        ((4,), HALVES, {each: BundleEntry(FLOAT, (2,), slices=(HALVES[0],)) for each in HALVES}, "is not that slice"),
        ((3,), HALVES, dict.fromkeys(HALVES, ZEROS), "leaves the shape"),
        ((4,), (HALVES[0], TensorSlice(((1, 2),))), {HALVES[0]: ZEROS, TensorSlice(((1, 2),)): ZEROS}, "overlap"),
        ((4,), (HALVES[0], HALVES[0]), {HALVES[0]: ZEROS}, "overlap"),
    ],
    ids=["missing", "of another shape", "of another type", "sliced itself", "outside", "overlapping", "twice"],
)
def test_slices_that_contradict_the_index_are_data_loss(
    full_shape: tuple[int, ...],
    slices: tuple[TensorSlice, ...],
    parts: dict[TensorSlice, BundleEntry],
    sentence: str,
    tmp_path: Path,
) -> None:
    with broken(tmp_path, BundleEntry(FLOAT, full_shape, slices=slices), parts) as reader:
        with pytest.raises(DataLossError, match=sentence):
            reader.read("w")
        with pytest.raises(DataLossError, match=sentence):
            reader.read_many({"w": None}, verify_only=True)


def test_shape_that_the_slices_do_not_fill_takes_no_memory(tmp_path: Path) -> None:
    full = BundleEntry(FLOAT, (1 << 50,), slices=HALVES)
    with broken(tmp_path, full, dict.fromkeys(HALVES, ZEROS)) as reader:
        assert reader.entry("w").shape == (1 << 50,)
        with pytest.raises(InvalidArgumentError, match="4 of 1125899906842624 elements are stored"):
            reader.read("w")
        found: Any = reader.read("w", TensorSlice(((1, 2),)), verify=False)
        assert found.tolist() == [0, 0]


def test_every_region_of_one_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_pieces, "MAX_PIECE_SIZE", 16)
    array = random_array(FLOAT, (3, 4, 2))
    with BundleWriter(tmp_path / "model") as writer:
        for rows, columns in itertools.product([(0, 1), (1, 2)], [(0, 3), (3, 1)]):
            stored = TensorSlice((rows, columns, EVERYTHING))
            writer.add_slice("w", array.shape, stored, array[stored.resolve(array.shape).indices])
    extents = [[(start, length) for start in range(size) for length in range(size - start + 1)] for size in array.shape]
    with BundleReader(tmp_path / "model") as reader:
        for region in map(TensorSlice, itertools.product(*extents)):
            assert_equal(reader.read("w", region), array[region.indices])


def test_entry_of_many_slices_is_parsed_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 300
    array = random_array(FLOAT, (count, 2))
    with BundleWriter(tmp_path / "model", durable=False) as writer:
        for row in range(count):
            writer.add_slice("w", array.shape, TensorSlice(((row, 1), EVERYTHING)), array[row : row + 1])
    num_slices = 0
    decode = bundle_index.decode_entry

    def counting(value: bytes, what: str) -> BundleEntry:
        nonlocal num_slices
        entry = decode(value, what)
        num_slices += len(entry.slices)
        return entry

    monkeypatch.setattr(bundle_index, "decode_entry", counting)
    with BundleReader(tmp_path / "model") as reader:
        assert reader.names == ["w"]
        assert_equal(reader.read("w"), array)
    assert num_slices <= 4 * count
