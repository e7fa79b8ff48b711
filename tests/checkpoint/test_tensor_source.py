"""Sources of tensors: arrays in memory and open checkpoints have one face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
