"""V1 checkpoints as others may have written them: several files, Snappy, unpacked fields, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.table.stores import build, open_table, with_snappy
from tests.tensor_bundle.tensors import assert_equal, random_array
from tests.tensor_bundle.test_slices import partitions
from tfsaver import schemas
from tfsaver.checkpoint.tensor_slice_reader import TensorSliceReader
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter
from tfsaver.errors import (
    CheckpointNotFoundError,
    DataLossError,
    InvalidArgumentError,
    ShapeMismatchError,
    TensorNotFoundError,
    UnimplementedError,
)
from tfsaver.framework import dtypes, tensor_shape, tensor_slice
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice

FLOAT = dtypes.from_name("float32")
VECTOR = np.array([1.5, 2], np.float32)


def meta(tensors: Iterable[tuple[str, tuple[int, ...], str, list[TensorSlice]]], **version: Any) -> bytes:
    """The meta record that lists tensors as (name, shape, type, slices)."""
    message = schemas.SavedTensorSliceMeta(versions=schemas.VersionDef(**version))
    for name, shape, dtype, slices in tensors:
        message.tensor.add(
            name=name,
            shape=tensor_shape.to_proto(shape),
            type=dtypes.from_name(dtype).data_type,
            slice=map(tensor_slice.to_proto, slices),
        )
    return bytes(schemas.SavedTensorSlices(meta=message).SerializeToString())


def record(name: str, stored: TensorSlice, **values: Any) -> tuple[bytes, bytes]:
    """A record's key and value."""
    saved = schemas.SavedSlice(name=name, slice=tensor_slice.to_proto(stored), data=schemas.TensorProto(**values))
    return tensor_slice.encode_key(name.encode(), stored), schemas.SavedTensorSlices(data=saved).SerializeToString()


def write_file(path: Path, entries: list[tuple[bytes, bytes]]) -> TensorSliceReader:
    path.write_bytes(build(sorted(entries)))
    return TensorSliceReader(str(path), [str(path)])


def one_tensor(tmp_path: Path, **values: Any) -> TensorSliceReader:
    """A file with the float vector w of 2 elements, and these values."""
    full = TensorSlice.full(1)
    return write_file(tmp_path / "model", [(b"", meta([("w", (2,), "float32", [full])])), record("w", full, **values)])


def test_file_made_by_hand_is_read(tmp_path: Path) -> None:
    with one_tensor(tmp_path, float_val=[1.5, 2]) as reader:
        assert reader.names == ["w"] and "w" in reader and "v" not in reader
        assert_equal(reader.read("w"), VECTOR)
        assert_equal(reader.read("w", TensorSlice(((1, 1),))), VECTOR[1:])
        reader.verify_index()
        reader.read_many({"w": None}, verify_only=True)


def test_values_that_are_not_packed_are_read(tmp_path: Path) -> None:
    # float_val, field 5, wire type 5 (four bytes) twice instead of one field of eight.
    data = b"\x2d" + VECTOR[:1].tobytes() + b"\x2d" + VECTOR[1:].tobytes()
    head = b"\x0a\x01w\x12\x02\x0a\x00\x1a" + bytes((len(data),)) + data
    full = TensorSlice.full(1)
    value = b"\x12" + bytes((len(head),)) + head
    entries = [(b"", meta([("w", (2,), "float32", [full])])), (tensor_slice.encode_key(b"w", full), value)]
    with write_file(tmp_path / "model", entries) as reader:
        assert_equal(reader.read("w"), VECTOR)


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 3, [1.0] * 100])
def test_record_with_another_number_of_values_is_data_loss(values: list[float], tmp_path: Path) -> None:
    with one_tensor(tmp_path, float_val=values) as reader:
        with pytest.raises(DataLossError, match=rf"record of 'w' - in .*: {len(values)} values stored, 2 needed for shape \[2\]"):
            reader.read("w")
        with pytest.raises(DataLossError):
            reader.read_many({"w": None}, verify_only=True)


def test_record_with_values_of_another_type_is_data_loss(tmp_path: Path) -> None:
    with one_tensor(tmp_path, int_val=[1, 2]) as reader, pytest.raises(DataLossError, match="0 values stored, 2 needed"):
        reader.read("w")


def test_record_of_another_name_or_slice_is_data_loss(tmp_path: Path) -> None:
    full = TensorSlice.full(1)
    listed = (b"", meta([("w", (2,), "float32", [full])]))
    key, _ = record("w", full)
    for other, sentence in (
        (record("v", full, float_val=[1, 2]), r"record of 'w' - in .*: holds the tensor b'v'"),
        (record("w", TensorSlice(((0, 2),)), float_val=[1, 2]), "holds the slice 0,2"),
        (("", b"\x12\x03\x0a\x01w"), "has no slice"),
        (("", b""), "has no data"),
        (("", b"\x12\x05\x0a\x01w"), "field 2 at byte 0"),
    ):
        with write_file(tmp_path / "model", [listed, (key, other[1])]) as reader, pytest.raises(DataLossError, match=sentence):
            reader.read("w")


def test_record_that_is_listed_but_missing_is_data_loss(tmp_path: Path) -> None:
    entries = [(b"", meta([("w", (2,), "float32", [TensorSlice.full(1)])]))]
    with write_file(tmp_path / "model", entries) as reader:
        assert reader.names == ["w"]
        with pytest.raises(DataLossError, match="listed in the meta record, but missing"):
            reader.read("w")


def test_record_that_no_tensor_lists_is_found_by_verification(tmp_path: Path) -> None:
    full = TensorSlice.full(1)
    entries = [(b"", meta([("w", (2,), "float32", [full])])), record("w", full, float_val=[1.5, 2]), record("v", full)]
    with write_file(tmp_path / "model", entries) as reader:
        assert_equal(reader.read("w"), VECTOR)
        with pytest.raises(DataLossError, match="belongs to no tensor"):
            reader.verify_index()


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([(b"a", b"")], "has no meta record: it is a table, but no V1 checkpoint"),
        ([(b"", b"\xff\xff")], "meta record of .*model: "),
        ([(b"", meta([("w", (2,), "float32", [TensorSlice.full(1)] * 2)]))], "'w': stored slices .* overlap"),
        ([(b"", meta([("w", (2,), "float32", [TensorSlice(((1, 2),))])]))], "leaves the shape"),
        ([(b"", meta([("w", (2,), "float32", []), ("w", (3,), "float32", [])]))], r"'w': float32 of shape \[3\] in one file"),
        ([(b"", meta([("w", (2,), "float32", []), ("w", (2,), "int32", [])]))], "'w': int32 of shape"),
        ([(b"", meta([("w", (-1,), "float32", [])]))], "'w': negative or unknown dimension"),
    ],
    ids=["no meta", "no message", "a slice twice", "outside", "other shapes", "other types", "negative shape"],
)
def test_file_that_contradicts_itself_is_data_loss(entries: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataLossError, match=sentence):
        write_file(tmp_path / "model", entries)


@pytest.mark.parametrize("version", [{"min_consumer": 2}, {"bad_consumers": [1]}])
def test_file_for_newer_readers_is_unimplemented(version: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UnimplementedError, match="model was written by version 0 for readers"):
        write_file(tmp_path / "model", [(b"", meta([], **version))])


@pytest.mark.parametrize("version", [{}, {"producer": 99}, {"min_consumer": 1}, {"bad_consumers": [2]}])
def test_file_of_another_version_is_read(version: dict[str, Any], tmp_path: Path) -> None:
    assert write_file(tmp_path / "model", [(b"", meta([], **version))]).names == []


def test_unknown_type_names_the_tensor(tmp_path: Path) -> None:
    message = schemas.SavedTensorSliceMeta()
    message.tensor.add(name="w", type=101)
    with pytest.raises(UnimplementedError, match=r"meta record of .*model: 'w': data type 101"):
        write_file(tmp_path / "model", [(b"", schemas.SavedTensorSlices(meta=message).SerializeToString())])


def test_shape_that_the_records_do_not_fill_takes_no_memory(tmp_path: Path) -> None:
    full = TensorSlice.full(1)
    entries = [(b"", meta([("w", (1 << 50,), "float32", [full])])), record("w", full, float_val=[1, 2])]
    with write_file(tmp_path / "model", entries) as reader, pytest.raises(DataLossError, match="2 values stored"):
        reader.read("w")


# Several files.


def write_shards(tmp_path: Path) -> list[str]:
    matrix = np.arange(10, dtype=np.float32).reshape(5, 2)
    paths = [str(tmp_path / f"model-0000{number}-of-00002") for number in (0, 1)]
    with TensorSliceWriter(paths[0]) as writer:
        writer.add("a", VECTOR)
        writer.add_slice("p", (5, 2), TensorSlice(((3, 2), EVERYTHING)), matrix[3:])
    with TensorSliceWriter(paths[1]) as writer:
        writer.add_slice("p", (5, 2), TensorSlice(((0, 3), EVERYTHING)), matrix[:3])
        writer.add("b", ["x", ""])
    return paths


def test_files_are_read_as_one(tmp_path: Path) -> None:
    paths = write_shards(tmp_path)
    with TensorSliceReader("model-?????-of-00002", paths) as reader:
        assert reader.names == ["a", "b", "p"]
        assert_equal(reader.read("p"), np.arange(10, dtype=np.float32).reshape(5, 2))
        assert_equal(reader.read("p", TensorSlice(((2, 2), (1, 1)))), np.array([[5], [7]], np.float32))
        assert [piece.shard_id for piece in reader.info("p").pieces] == [0, 1]
        assert [piece.path for piece in reader.info("b").pieces] == [paths[1]]
        reader.verify_index()


def test_one_file_of_several_has_its_own_slices_alone(tmp_path: Path) -> None:
    paths = write_shards(tmp_path)
    with TensorSliceReader("model", paths[:1]) as reader:
        assert reader.names == ["a", "p"]
        assert reader.read("p", TensorSlice(((4, 1), EVERYTHING))).tolist() == [[8, 9]]
        with pytest.raises(InvalidArgumentError, match="does not have sufficient slices"):
            reader.read("p")


def test_files_that_contradict_each_other_are_data_loss(tmp_path: Path) -> None:
    for number, value in enumerate((VECTOR, VECTOR[:1])):
        with TensorSliceWriter(tmp_path / f"m{number}") as writer:
            writer.add("w", value)
    with pytest.raises(DataLossError, match=r"'w': float32 of shape \[1\] in one file, float32 of shape \[2\] in another"):
        TensorSliceReader("m", [str(tmp_path / "m0"), str(tmp_path / "m1")])
    with pytest.raises(DataLossError, match="overlap"):
        TensorSliceReader("m", [str(tmp_path / "m0"), str(tmp_path / "m0")])


def test_missing_files_are_a_missing_checkpoint(tmp_path: Path) -> None:
    paths = write_shards(tmp_path)
    Path(paths[1]).unlink()
    with pytest.raises(CheckpointNotFoundError, match="looked for .*model-00001-of-00002"):
        TensorSliceReader("model", paths)
    with pytest.raises(CheckpointNotFoundError):
        TensorSliceReader("model", [])


# Both directions.


V1_TYPES = [dtype for dtype in dtypes.ALL if dtype.in_v1]
SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (2, 0, 3), (3, 4), (300,)]


@pytest.mark.parametrize("store", ["plain", "snappy"])
@pytest.mark.parametrize("dtype", V1_TYPES, ids=str)
def test_every_type_and_shape(dtype: dtypes.DType, store: str, tmp_path: Path) -> None:
    arrays = {f"w{number}": random_array(dtype, shape) for number, shape in enumerate(SHAPES)}
    path = tmp_path / "model"
    with TensorSliceWriter(path) as writer:
        for name, array in arrays.items():
            writer.add(name, array)
        writer.add_slice("explicit", (3, 4), TensorSlice(((0, 3), (0, 4))), arrays["w4"])
    if store == "snappy":
        path.write_bytes(with_snappy(path.read_bytes()))
    with TensorSliceReader(str(path), [str(path)]) as reader:
        assert reader.names == ["explicit", *arrays]
        for name, array in arrays.items():
            assert_equal(reader.read(name), array)
            assert reader.dtype_and_shape(name) == (dtype, array.shape)
        assert_equal(reader.read("explicit"), arrays["w4"])
        assert_equal(reader.read("explicit", TensorSlice(((1, 2), EVERYTHING))), arrays["w4"][1:])
        assert reader.info("explicit").slices == (TensorSlice(((0, 3), (0, 4))),)
        reader.verify_index()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(case=partitions(), dtype=st.sampled_from(V1_TYPES))
def test_any_region_of_any_partition(
    case: tuple[tuple[int, ...], list[TensorSlice], TensorSlice], dtype: dtypes.DType, tmp_path: Path
) -> None:
    shape, slices, region = case
    array = random_array(dtype, shape)
    path = str(tmp_path / "model")
    with TensorSliceWriter(path, durable=False) as writer:
        for stored in slices:
            writer.add_slice("w", shape, stored, array[stored.resolve(shape).indices])
    with TensorSliceReader(path, [path]) as reader:
        assert_equal(reader.read("w"), array)
        assert_equal(reader.read("w", region), array[region.indices])


def test_out_is_filled_and_checked(tmp_path: Path) -> None:
    with one_tensor(tmp_path, float_val=[1.5, 2]) as reader:
        out = np.zeros(4, np.float32)
        reader.read("w", out=out[::2])
        assert out.tolist() == [1.5, 0, 2, 0]
        with pytest.raises(ShapeMismatchError, match=r"has shape \[3\], expected \[2\]"):
            reader.read("w", out=np.zeros(3, np.float32))
        with pytest.raises(InvalidArgumentError, match="has dtype float64, the tensor float32"):
            reader.read("w", out=np.zeros(2))
        read_only = np.zeros(2, np.float32)
        read_only.flags.writeable = False
        with pytest.raises(InvalidArgumentError, match="out for 'w' is read-only"):
            reader.read("w", out=read_only)


def test_missing_name_says_which_are_near(tmp_path: Path) -> None:
    with TensorSliceWriter(tmp_path / "model") as writer:
        writer.add("dense/kernel", VECTOR)
    sentence = "'dense/kernels' not found in checkpoint 'model'; did you mean 'dense/kernel'"
    with TensorSliceReader("model", [str(tmp_path / "model")]) as reader, pytest.raises(TensorNotFoundError, match=sentence):
        reader.read("dense/kernels")


def test_tensor_larger_than_a_block_gets_one_of_its_own(tmp_path: Path) -> None:
    large = random_array(FLOAT, (400, 500))
    with TensorSliceWriter(tmp_path / "model") as writer:
        writer.add("b", large)
        writer.add("a", VECTOR)
        writer.add("c", np.asfortranarray(large))
    assert open_table((tmp_path / "model").read_bytes()).num_blocks == 3
    with TensorSliceReader("model", [str(tmp_path / "model")]) as reader:
        assert_equal(reader.read("b"), large)
        assert_equal(reader.read("c"), large)
        assert_equal(reader.read("a"), VECTOR)
