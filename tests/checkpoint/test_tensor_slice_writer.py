"""What a V1 checkpoint's writer refuses, and that a failing write leaves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.table.stores import open_table
from tests.tensor_bundle.tensors import listing, random_array
from tfsaver import schemas
from tfsaver.checkpoint import saved_tensor_slices
from tfsaver.checkpoint.tensor_slice_reader import TensorSliceReader
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter
from tfsaver.errors import DuplicateKeyError, InvalidArgumentError, ShapeMismatchError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice

TOP = TensorSlice(((0, 2), EVERYTHING))
NOT_IN_V1 = ["bfloat16", "qint16", "quint16", "uint32", "uint64", "float8_e5m2", "int4", "variant"]


@pytest.mark.parametrize("name", NOT_IN_V1)
def test_type_that_v1_has_not_is_unimplemented(name: str, tmp_path: Path) -> None:
    writer = TensorSliceWriter(tmp_path / "model")
    with pytest.raises(UnimplementedError, match=f"'w' is {name}, which a V1 checkpoint cannot hold; a V2 one can"):
        writer.add("w", random_array(dtypes.from_name(name), (2,)))


def test_records_are_in_the_order_of_their_keys_and_meta_in_that_of_adding(tmp_path: Path) -> None:
    with TensorSliceWriter(tmp_path / "model") as writer:
        for name in ("b", "a", "a/b", "ab"):
            writer.add(name, np.float32(1))
    (_, first), *records = open_table((tmp_path / "model").read_bytes()).items()
    assert [tensor.name for tensor in schemas.SavedTensorSlices.FromString(first).meta.tensor] == ["b", "a", "a/b", "ab"]
    names = [schemas.SavedTensorSlices.FromString(value).data.name for _, value in records]
    # A name's end, 00 01, sorts before any character behind it.
    assert names == ["a", "a/b", "ab", "b"]


def test_record_keeps_neither_type_nor_shape(tmp_path: Path) -> None:
    with TensorSliceWriter(tmp_path / "model") as writer:
        writer.add("w", np.array([7, -1], np.int32))
        writer.add("empty", np.zeros((0, 2)))
    records = {
        message.data.name: message.data
        for _, value in open_table((tmp_path / "model").read_bytes()).items()
        if (message := schemas.SavedTensorSlices.FromString(value)).HasField("data")
    }
    assert records["w"].data == schemas.TensorProto(int_val=[7, -1])
    assert records["empty"].HasField("data") and records["empty"].data.ByteSize() == 0


def test_slices_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    value = np.zeros((2, 2), np.float32)
    writer = TensorSliceWriter(tmp_path / "model")
    writer.add_slice("w", (4, 2), TOP, value)
    writer.add("whole", value)
    bottom = TensorSlice(((2, 2), EVERYTHING))
    with pytest.raises(DuplicateKeyError, match="'w 0,2:-' was already added"):
        writer.add_slice("w", (4, 2), TOP, value)
    with pytest.raises(DuplicateKeyError, match="'w' was already added"):
        writer.add("w", value)
    with pytest.raises(ShapeMismatchError, match=r"'w' has shape \[5, 2\], expected \[4, 2\]"):
        writer.add_slice("w", (5, 2), bottom, value)
    with pytest.raises(ShapeMismatchError, match=r"'w 2,2:-' has shape \[1, 2\], expected \[2, 2\]"):
        writer.add_slice("w", (4, 2), bottom, value[:1])
    with pytest.raises(InvalidArgumentError, match="'w': a slice of float64 beside slices of float32"):
        writer.add_slice("w", (4, 2), bottom, value.astype(float))
    with pytest.raises(InvalidArgumentError, match="leaves the shape"):
        writer.add_slice("w", (4, 2), TensorSlice(((3, 2), EVERYTHING)), value)
    writer.finish()


@pytest.mark.parametrize("overlapping", [TensorSlice(((1, 2), EVERYTHING)), TensorSlice.full(2)])
def test_overlapping_slices_are_refused(overlapping: TensorSlice, tmp_path: Path) -> None:
    array = np.zeros((4, 2), np.float32)
    with pytest.raises(InvalidArgumentError, match="overlap"), TensorSliceWriter(tmp_path / "model") as writer:
        writer.add_slice("w", (4, 2), TOP, array[:2])
        writer.add_slice("w", (4, 2), overlapping, array[overlapping.resolve((4, 2)).indices])
    assert listing(tmp_path) == []


@pytest.mark.parametrize(("name", "sentence"), [("", "the empty name"), ("\udcff", "names are UTF-8"), ("\ud800", "UTF-8")])
def test_name_that_no_record_can_have_is_refused(name: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=sentence):
        TensorSliceWriter(tmp_path / "model").add(name, 1.0)


def test_record_of_2_gib_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_tensor_slices, "MAX_RECORD_SIZE", 1000)
    writer = TensorSliceWriter(tmp_path / "model")
    writer.add("small", np.zeros(200, np.float32))
    said = "Tensor slice is too large to serialize: 'large': .* bytes, a record of a V1 checkpoint is below 2 GiB"
    with pytest.raises(InvalidArgumentError, match=said):
        writer.add("large", np.zeros(300, np.float32))


def test_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with TensorSliceWriter(path) as writer:
        writer.add("w", 1.0)
    before = path.read_bytes()
    with pytest.raises(KeyError), TensorSliceWriter(path) as writer:
        writer.add("w", 2.0)
        raise KeyError
    assert path.read_bytes() == before and listing(tmp_path) == ["model"]


def test_values_that_fail_while_they_are_written_leave_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")

    def failing(*_: Any) -> Any:
        raise MemoryError

    writer = TensorSliceWriter(path)
    writer.add("w", np.zeros(10))
    monkeypatch.setattr("tfsaver.framework.tensor_util.encode_values", failing)
    with pytest.raises(MemoryError):
        writer.finish()
    assert path.read_bytes() == b"old" and listing(tmp_path) == ["model"]


def test_finished_file_takes_nothing_more(tmp_path: Path) -> None:
    with TensorSliceWriter(tmp_path / "model") as writer:
        writer.add("w", 1.0)
    with pytest.raises(InvalidArgumentError, match="is finished already"):
        writer.finish()
    with pytest.raises(InvalidArgumentError, match="is finished already"):
        writer.add("v", 1.0)
    with TensorSliceReader("model", [str(tmp_path / "model")]) as reader:
        assert reader.names == ["w"]
