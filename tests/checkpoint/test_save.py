"""A mapping becomes a checkpoint: both formats, any number of shards, one value at a time."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.tensor_bundle.tensors import assert_equal, listing
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import InvalidArgumentError, SaverError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.array_pieces import PIECE_ELEMENTS
from tfsaver.framework.region import Region
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib.overlapped_file import MAX_PENDING

FORMATS = ["V1", "V2"]
TENSORS = {f"layer_{number}/kernel": np.full((number + 1, 3), number, np.float32) for number in range(7)}


@pytest.mark.parametrize("num_shards", [1, 2, 5])
@pytest.mark.parametrize("format", FORMATS)
def test_mapping_is_read_back(format: str, num_shards: int, tmp_path: Path) -> None:
    name = save_checkpoint(TENSORS, tmp_path / "model", format=format, num_shards=num_shards)
    expected = str(tmp_path / "model") if format == "V2" or num_shards == 1 else f"{tmp_path}/model-?????-of-0000{num_shards}"
    assert name == expected
    with load_checkpoint(name) as reader:
        assert reader.names == sorted(TENSORS)
        for key, array in TENSORS.items():
            assert_equal(reader[key], array)
        used = {shard_id for info in reader.infos() for shard_id in info.shard_ids}
        assert used == set(range(num_shards))
    assert verify_checkpoint(name).ok


@pytest.mark.parametrize("format", FORMATS)
def test_order_of_the_mapping_does_not_matter(format: str, tmp_path: Path) -> None:
    save_checkpoint(TENSORS, tmp_path / "a", format=format)
    save_checkpoint(dict(reversed(TENSORS.items())), tmp_path / "b", format=format)
    files = {path.name[1:]: path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("a")}
    assert files == {path.name[1:]: path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("b")}


@pytest.mark.parametrize("format", FORMATS)
def test_values_are_whatever_numpy_makes_arrays_of(format: str, tmp_path: Path) -> None:
    save_checkpoint({"scalar": 1.5, "list": [1, 2], "text": "a", "texts": ["a", b"b\0"], "flag": True}, tmp_path / "m", format=format)
    with load_checkpoint(tmp_path / "m") as reader:
        assert {name: array.tolist() for name, array in reader.items()} == {
            "scalar": 1.5, "list": [1, 2], "text": b"a", "texts": [b"a", b"b\0"], "flag": True,
        }  # fmt: skip


class OneAtATime(Mapping[str, Any]):
    """Makes its values on demand, and counts how many are alive at once."""

    def __init__(self) -> None:
        self.alive = self.most = 0

    def __iter__(self) -> Iterator[str]:
        return iter([f"w{number}" for number in range(40)])

    def __len__(self) -> int:
        return 40

    def __getitem__(self, name: str) -> Any:
        self.alive += 1
        self.most = max(self.most, self.alive)
        array = np.full(1 << 19, int(name[1:]))
        weakref.finalize(array, self._forget)
        return array

    def _forget(self) -> None:
        self.alive -= 1


def test_values_of_a_v2_checkpoint_are_let_go_of_when_they_are_written(tmp_path: Path) -> None:
    mapping = OneAtATime()
    save_checkpoint(mapping, tmp_path / "model")
    assert mapping.most * (4 << 20) <= MAX_PENDING + (8 << 20)
    with load_checkpoint(tmp_path / "model") as reader:
        assert np.array_equal(reader["w7"], np.full(1 << 19, 7))


@pytest.mark.parametrize("format", FORMATS)
def test_open_checkpoint_is_a_mapping_to_save(format: str, tmp_path: Path) -> None:
    save_checkpoint(TENSORS, tmp_path / "a", num_shards=3)
    with load_checkpoint(tmp_path / "a") as reader:
        name = save_checkpoint(reader, tmp_path / "b", format=format)
    with load_checkpoint(name) as reader:
        assert {key: array.tolist() for key, array in reader.items()} == {key: array.tolist() for key, array in TENSORS.items()}


@pytest.mark.parametrize("format", FORMATS)
def test_missing_directories_are_made(format: str, tmp_path: Path) -> None:
    save_checkpoint(TENSORS, tmp_path / "a" / "b" / "model", format=format)
    assert verify_checkpoint(tmp_path / "a" / "b" / "model").ok


@pytest.mark.parametrize(
    ("mapping", "options", "sentence"),
    [
        ({"w": 1.0}, {"format": "v3"}, "unknown checkpoint format 'v3'; known are 'V1' and 'V2'"),
        ({"w": 1.0}, {"num_shards": 0}, "num_shards is 0, at least 1 is needed"),
        ([("w", 1.0)], {}, "a mapping from names to arrays is needed, not list"),
        ({"": 1.0}, {}, "a tensor's name must be a str that is not empty, not ''"),
        ({3: 1.0}, {}, "must be a str that is not empty, not 3"),
        ({b"w": 1.0}, {}, "must be a str that is not empty, not b'w'"),
        ({"w": [[1], [1, 2]]}, {}, "'w' cannot be made an array"),
        ({"w": object()}, {}, "'w' holds a object"),
        ({"\ud800": 1.0}, {}, "UTF-8"),
    ],
    ids=["format", "no shards", "list", "empty name", "number", "bytes", "ragged", "object", "surrogate"],
)
@pytest.mark.parametrize("format", FORMATS)
def test_what_cannot_be_saved_says_why_and_leaves_nothing(
    format: str, mapping: Any, options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgumentError, match=sentence):
        save_checkpoint(mapping, tmp_path / "model", **{"format": format, **options})
    assert listing(tmp_path) == []


def test_type_that_v1_has_not_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnimplementedError, match="no type for uint32, which V2 checkpoints have: 'w'"):
        save_checkpoint({"a": 1.0, "w": np.uint32(1)}, tmp_path / "model", format="V1", num_shards=2)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("num_shards", [1, 2])
@pytest.mark.parametrize("format", FORMATS)
def test_failing_value_leaves_the_old_checkpoint(format: str, num_shards: int, tmp_path: Path) -> None:
    name = save_checkpoint(TENSORS, tmp_path / "model", format=format, num_shards=num_shards)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SaverError):
        save_checkpoint({"a": np.zeros(1000), "z": object()}, tmp_path / "model", format=format, num_shards=num_shards)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert verify_checkpoint(name).ok


class _Reused(TensorSource):
    """A tensor whose pieces come in one buffer, one after the other, beside one that lies in memory."""

    def __init__(self) -> None:
        self.kept = np.arange(3 * PIECE_ELEMENTS, dtype=np.float32)

    @property
    def names(self) -> list[str]:
        return ["in memory", "in pieces"]

    def is_stable(self, name: str) -> bool:
        return name == "in memory"

    def info(self, name: str) -> TensorInfo:
        return TensorInfo(name, dtypes.from_name("float32"), self.kept.shape, self.kept.nbytes, ())

    def read(self, name: str, region: Region | None = None) -> Array:
        assert region is None and name == "in memory"
        return self.kept

    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        assert name == "in pieces"
        buffer = np.empty(PIECE_ELEMENTS, np.float32)
        for number in range(3):
            buffer[:] = number
            yield buffer


@pytest.mark.parametrize("num_shards", [1, 2])
def test_buffer_that_is_used_again_is_written_before(num_shards: int, tmp_path: Path) -> None:
    source = _Reused()
    save_checkpoint(source, tmp_path / "model", num_shards=num_shards, durable=False)
    with load_checkpoint(tmp_path / "model") as reader:
        assert reader["in memory"].tobytes() == source.kept.tobytes()
        assert reader["in pieces"].tobytes() == np.repeat(np.arange(3, dtype=np.float32), PIECE_ELEMENTS).tobytes()


class _Staging(Mapping[str, Array]):
    """Makes its arrays on demand, in one buffer; counts how often it is asked."""

    def __init__(self, dtype: Any = np.float32) -> None:
        self.buffer = np.empty((32, 33), dtype)
        self.num_made = 0

    def __getitem__(self, name: str) -> Array:
        self.num_made += 1
        self.buffer[:] = float(name[1:])
        return self.buffer

    def __iter__(self) -> Iterator[str]:
        return (f"v{number}" for number in range(6))

    def __len__(self) -> int:
        return 6


@pytest.mark.parametrize("num_shards", [1, 2, 7])
@pytest.mark.parametrize("format", FORMATS)
def test_mapping_that_uses_one_buffer_again_is_saved_as_it_gave_its_values(
    format: str, num_shards: int, tmp_path: Path
) -> None:
    staging = _Staging()
    name = save_checkpoint(staging, tmp_path / "model", format=format, num_shards=num_shards, durable=False)
    assert staging.num_made == 6
    assert verify_checkpoint(name).ok
    with load_checkpoint(name) as reader:
        assert {key: set(reader[key].ravel().tolist()) for key in reader} == {f"v{n}": {float(n)} for n in range(6)}


VERBS: dict[str, Callable[[Any, Path], Any]] = {
    "rename": lambda source, out: tfsaver.rename(source, out, {"v1": "v9"}),
    "cast": lambda source, out: tfsaver.cast(source, out, "float64"),
    "select": lambda source, out: tfsaver.select(source, out, "v"),
    "average": lambda source, out: tfsaver.average([source, source], out),
    "merge": lambda source, out: tfsaver.merge([source, {"other": np.ones(3)}], out),
    "reshard": lambda source, out: tfsaver.reshard(source, out, num_shards=3),
    "to V1": lambda source, out: tfsaver.reshard(source, out, format="V1"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_edits_of_a_mapping_that_uses_one_buffer_again_have_its_values(
    verb: str, tmp_path: Path
) -> None:
    VERBS[verb](_Staging(), tmp_path / "out")
    with load_checkpoint(tmp_path / "out") as reader:
        values = {key: set(reader[key].ravel().tolist()) for key in reader if key.startswith("v")}
    assert sorted(map(tuple, values.values())) == [(float(number),) for number in range(6)]
