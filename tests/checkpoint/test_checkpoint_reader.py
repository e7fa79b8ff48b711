"""One reader for both formats: a Mapping, TensorFlow's names, and regions as numpy writes them."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.errors import InvalidArgumentError, SaverError, ShapeMismatchError, TensorNotFoundError
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice
from tfsaver.verbs.load_checkpoint import list_variables, load_variable

TENSORS: dict[str, Any] = {
    "dense/bias": np.arange(3, dtype=np.float32),
    "dense/kernel": np.arange(20, dtype=np.int64).reshape(4, 5),
    "cube": np.arange(24, dtype=np.float64).reshape(2, 3, 4),
    "step": np.int64(7),
    "vocabulary": np.array([b"a", b"", b"ccc"], object),
    "word": np.array("hello", object),
    "flag": np.bool_(True),
    "none": np.zeros((0, 2), np.float16),
}


@pytest.fixture(params=["V1", "V2"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CheckpointReader]:
    save_checkpoint(TENSORS, tmp_path / "model", format=request.param)
    with load_checkpoint(tmp_path / "model") as opened:
        assert opened.version == request.param.upper()
        yield opened


def test_reader_is_a_mapping(reader: CheckpointReader) -> None:
    assert isinstance(reader, Mapping)
    assert list(reader) == reader.names == sorted(TENSORS) and len(reader) == len(TENSORS)
    assert {name: array.tolist() for name, array in reader.items()}["dense/bias"] == [0, 1, 2]
    assert "step" in reader and "dense" not in reader and 3 not in reader
    assert reader.get("nothing") is None
    with pytest.raises(KeyError):
        reader["nothing"]
    assert repr(reader).startswith("<CheckpointReader of ") and reader.version in repr(reader)


def test_what_is_said_of_a_tensor_is_what_it_is(reader: CheckpointReader) -> None:
    for name, array in reader.items():
        expected = np.array(TENSORS[name]) if array.dtype != object else TENSORS["vocabulary"]
        assert reader.dtype(name) == array.dtype == expected.dtype
        assert reader.shape(name) == array.shape
        info = reader.info(name)
        assert (info.name, info.dtype.numpy, info.shape, info.slices) == (name, array.dtype, array.shape, ())
        if info.dtype.has_fixed_size:
            assert info.num_bytes == array.nbytes
    assert [info.name for info in reader.infos()] == reader.names


def test_names_of_tensorflow(reader: CheckpointReader) -> None:
    assert reader.has_tensor("step") and not reader.has_tensor("steps")
    step = reader.get_tensor("step")
    assert isinstance(step, np.int64) and step == 7
    assert reader.get_tensor("word") == b"hello"
    assert reader.get_tensor("vocabulary").tolist() == [b"a", b"", b"ccc"]
    shapes = reader.get_variable_to_shape_map()
    assert shapes["cube"] == [2, 3, 4] and shapes["step"] == [] and sorted(shapes) == reader.names
    assert reader.get_variable_to_dtype_map()["flag"] == np.bool_
    lines = reader.debug_string().decode().splitlines()
    assert "dense/kernel (DT_INT64) [4,5]" in lines and "step (DT_INT64) []" in lines and len(lines) == len(TENSORS)


def test_functions_of_tensorflow(reader: CheckpointReader) -> None:
    prefix = reader.prefix
    assert list_variables(prefix)[0] == ("cube", [2, 3, 4])
    assert load_variable(prefix, "step") == 7
    assert load_variable(prefix, "dense/bias:0").tolist() == [0, 1, 2]
    with pytest.raises(TensorNotFoundError, match="'dense/bia' not found in checkpoint .*; did you mean 'dense/bias'"):
        load_variable(prefix, "dense/bia")


indices = st.one_of(
    st.integers(-2, 1), st.builds(slice, st.one_of(st.none(), st.integers(-5, 6)), st.one_of(st.none(), st.integers(-5, 6)))
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(region=st.lists(indices, max_size=3), dots=st.one_of(st.none(), st.integers(0, 3)), verify=st.booleans())
def test_region_is_what_numpy_takes(reader: CheckpointReader, region: list[Any], dots: int | None, verify: bool) -> None:
    if dots is not None:
        region.insert(min(dots, len(region)), ...)
    expected = TENSORS["cube"][tuple(region)]
    found = reader.read("cube", tuple(region), verify=verify)
    assert found.shape == expected.shape and found.tolist() == expected.tolist()
    out = np.zeros(expected.shape)
    reader.read("cube", tuple(region), out=out)
    assert out.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "region",
    [np.s_[1], np.s_[:2], np.s_[...], np.s_[1:3, 2:], TensorSlice(((1, 2), EVERYTHING)), "1,2:-", "4 5 -:0,2", np.int8(2),
     np.s_[:0], np.s_[9:], [slice(1, 2), 3], ""],
    ids=str,
)  # fmt: skip
def test_every_spelling_of_a_region(reader: CheckpointReader, region: Any) -> None:
    kernel = TENSORS["dense/kernel"]
    expected = {"1,2:-": kernel[1:3], "4 5 -:0,2": kernel[:, :2], "": kernel}.get(region) if isinstance(region, str) else None
    if isinstance(region, TensorSlice):
        expected = kernel[1:3]
    elif expected is None:
        expected = kernel[tuple(region) if isinstance(region, list) else region]
    found = reader.read("dense/kernel", region)
    assert found.shape == expected.shape and found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "region",
    [np.s_[::2], np.s_[::-1], np.s_[4], np.s_[-5], np.s_[0, 0, 0], np.s_[..., ...], "0,9:-", "nonsense", "-", "9 9 -:-",
     (None,), (1.5,), "a", TensorSlice(((0, 1),)), TensorSlice(((3, 2), EVERYTHING)), ([0, 1],), np.array([0, 1]),
     slice("a"), slice(None, None, 0), np.array([True] * 4), True, (True, False)],
    ids=repr,
)  # fmt: skip
def test_region_of_another_form_is_an_invalid_argument(reader: CheckpointReader, region: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"dense/kernel|nonsense|no shape and slice"):
        reader.read("dense/kernel", region)


def test_region_of_a_scalar(reader: CheckpointReader) -> None:
    for region in ((), ..., TensorSlice(()), ""):
        assert reader.read("step", region).shape == () and reader.read("step", region) == 7
    with pytest.raises(InvalidArgumentError):
        reader.read("step", 0)


def test_region_of_strings(reader: CheckpointReader) -> None:
    assert reader.read("vocabulary", np.s_[1:]).tolist() == [b"", b"ccc"]
    assert reader.read("vocabulary", 2)[()] == b"ccc"


@pytest.mark.parametrize("shape", [(), (4,), (5, 4), (1, 5), (4, 5, 1)])
def test_out_of_another_shape_than_the_region_says_both(reader: CheckpointReader, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeMismatchError, match=r"expected \[5\]") as caught:
        reader.read("dense/kernel", 2, out=np.zeros(shape, np.int64))
    assert caught.value.expected == (5,) and caught.value.actual == shape


@pytest.mark.parametrize("out", [[0] * 5, "text", 3.0])
def test_out_that_is_no_array_is_an_invalid_argument(reader: CheckpointReader, out: Any) -> None:
    for region in (None, 2):
        with pytest.raises(InvalidArgumentError, match="out for 'dense/kernel' is a"):
            reader.read("dense/kernel", region, out=out)


def test_closed_reader_reads_nothing(tmp_path: Path) -> None:
    save_checkpoint(TENSORS, tmp_path / "model")
    reader = load_checkpoint(tmp_path / "model")
    reader.close()
    reader.close()
    with pytest.raises((SaverError, ValueError)):
        reader["step"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not say what is open")
@pytest.mark.parametrize("format", ["V1", "V2"])
def test_a_reader_that_nobody_has_any_more_leaves_no_file_open(format: str, tmp_path: Path) -> None:
    prefix = save_checkpoint(TENSORS, tmp_path / "model", format=format)

    def num_open() -> int:
        return sum(os.path.realpath(f"/proc/self/fd/{number}").startswith(prefix) for number in os.listdir("/proc/self/fd"))

    gc.disable()
    try:
        reader = load_checkpoint(prefix)
        assert reader["step"] == 7 and num_open()
        del reader
        assert not num_open()
    finally:
        gc.enable()


def test_index_without_data_still_lists(tmp_path: Path) -> None:
    save_checkpoint(TENSORS, tmp_path / "model")
    (tmp_path / "model.data-00000-of-00001").unlink()
    with load_checkpoint(tmp_path / "model") as reader:
        assert reader.shape("cube") == (2, 3, 4) and len(reader) == len(TENSORS)
        with pytest.raises(FileNotFoundError, match=r"the index is there, its data shard 0 is not"):
            reader["cube"]
