"""Sources of tensors: arrays in memory and open checkpoints have one face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.checkpoint.tensor_source import ArraySource, TensorSource
from tfsaver.errors import InvalidArgumentError, TensorNotFoundError


@pytest.fixture(params=["arrays", "checkpoint"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> TensorSource:
    arrays = {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "labels": [b"cat", b"dog"], "step": np.int64(7)}
    if request.param == "arrays":
        return ArraySource(arrays)
    save_checkpoint(arrays, tmp_path / "model")
    return load_checkpoint(tmp_path / "model")


def test_a_source_is_a_mapping(source: TensorSource) -> None:
    assert list(source) == source.names == ["labels", "step", "w"]
    assert len(source) == 3
    assert "w" in source
    assert "v" not in source
    assert source["labels"].tolist() == [b"cat", b"dog"]
    assert dict(source)["step"] == 7


def test_a_source_says_what_a_tensor_is(source: TensorSource) -> None:
    info = source.info("w")
    assert (info.dtype.name, info.shape, info.num_bytes) == ("float32", (3, 4), 48)
    assert source.info("labels").dtype.name == "string"


def test_a_source_reads_parts(source: TensorSource) -> None:
    with source:
        np.testing.assert_array_equal(source.read("w", np.s_[1:, 2]), [6, 10])
        with pytest.raises(InvalidArgumentError):
            source.read("w", np.s_[7])


def test_a_missing_tensor_names_the_nearest(source: TensorSource) -> None:
    with pytest.raises(TensorNotFoundError, match="did you mean 'labels'"):
        source.read("label")


def test_text_of_no_dimensions_is_read_as_an_array() -> None:
    read = ArraySource({"text": np.array(b"words", object)}).read("text", ())
    assert (type(read), read.shape, read.item()) == (np.ndarray, (), b"words")


class OneBuffer(Mapping[str, Any]):
    """Makes every tensor in one and the same memory, which other mappings may use too."""

    def __init__(self, buffer: Any, first: int) -> None:
        self._buffer = buffer
        self._first = first

    def __getitem__(self, name: str) -> Any:
        self._buffer[:] = self._first + "abc".index(name)
        return self._buffer

    def __iter__(self) -> Iterator[str]:
        return iter("abc")

    def __len__(self) -> int:
        return 3


def test_two_mappings_may_use_one_buffer(tmp_path: Path) -> None:
    buffer = np.zeros(4, np.float32)
    low, high = OneBuffer(buffer, 0), OneBuffer(buffer, 10)
    tfsaver.average([low, high], tmp_path / "mean")
    with load_checkpoint(tmp_path / "mean") as reader:
        assert {name: reader[name].tolist() for name in reader} == {name: [5.0 + n] * 4 for n, name in enumerate("abc")}
    assert len(tfsaver.diff(low, high).different) == 3
    with pytest.raises(InvalidArgumentError, match="the checkpoints conflict"):
        tfsaver.merge([low, high], tmp_path / "merged")


def test_what_a_mapping_made_stays_as_it_was() -> None:
    buffer = np.zeros(4, np.float32)
    source = ArraySource(OneBuffer(buffer, 0))
    first = source["b"]
    buffer[:] = -1
    assert first.tolist() == source["b"].tolist() == [1] * 4
    assert np.concatenate(list(source.pieces("b"))).tolist() == [1] * 4
