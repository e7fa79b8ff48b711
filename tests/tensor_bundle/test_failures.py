"""A write that fails leaves no trace, and what was there before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tensor_bundle.tensors import listing
from tfsaver.errors import DuplicateKeyError, InvalidArgumentError, SaverError, UnimplementedError, WriteError
from tfsaver.framework.variant import Variant
from tfsaver.lib import file_io
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.writer import BundleWriter

OLD = {"w": np.arange(5, dtype=np.float32), "s": np.array([b"old"], object)}


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Path]:
    """A prefix where a checkpoint is already; afterwards it must be there still, and nothing else."""
    prefix = tmp_path / "model"
    with BundleWriter(prefix) as writer:
        for name, value in OLD.items():
            writer.add(name, value)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    yield prefix
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


FAILING: dict[str, Any] = {
    "object that is no string": (np.array([b"a", 3], object), InvalidArgumentError),
    "ragged": ([[1, 2], [3]], InvalidArgumentError),
    "dtype of nobody": (np.zeros(2, "datetime64[s]"), UnimplementedError),
    "variants and strings": ([Variant(b""), b""], InvalidArgumentError),
}


@pytest.mark.parametrize("num_shards", [1, 3])
@pytest.mark.parametrize("kind", FAILING)
def test_failing_value_leaves_the_old_checkpoint(kind: str, num_shards: int, old: Path) -> None:
    value, error = FAILING[kind]
    with pytest.raises(error), BundleWriter(old, num_shards=num_shards) as writer:
        writer.add("w", np.zeros(1000))
        writer.add("bad", value)


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_any_exception_in_the_block_leaves_the_old_checkpoint(error: type[BaseException], old: Path) -> None:
    with pytest.raises(error), BundleWriter(old, num_shards=2) as writer:
        writer.add("w", np.zeros(1000), shard_id=1)
        raise error


def test_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), BundleWriter(tmp_path / "model") as writer:
        writer.add("w", np.zeros(1000))
        assert listing(tmp_path) != []
        raise RuntimeError
    assert listing(tmp_path) == []


@pytest.mark.parametrize("where", ["open_for_writing", "temporary_name", "replace"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_file_system_that_fails_leaves_nothing(where: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call in turn fails: for two shards and the index there are three of each."""
    original = getattr(file_io, where)
    calls = iter(range(100))

    def failing(*arguments: Any) -> Any:
        if next(calls) == number:
            raise OSError(28, "No space left on device")
        return original(*arguments)

    monkeypatch.setattr(file_io, where, failing)
    with pytest.raises(OSError, match="No space left"), BundleWriter(tmp_path / "model", num_shards=2) as writer:
        writer.add("w", np.zeros(10))
    assert listing(tmp_path) == []


@pytest.mark.parametrize("where", ["open_for_writing", "temporary_name"])
def test_file_system_that_fails_while_the_index_is_written_leaves_the_old_checkpoint(
    where: str, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(file_io, where)

    def failing(path: str, *target: str) -> Any:
        if ".index" in path:
            raise OSError(28, "No space left on device")
        return original(path, *target)

    monkeypatch.setattr(file_io, where, failing)
    with pytest.raises(OSError, match="No space left"), BundleWriter(old) as writer:
        writer.add("w", np.zeros(10))


def test_failing_sync_leaves_the_old_checkpoint(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: object) -> None:
        raise OSError(5, "Input/output error")

    with BundleWriter(old, num_shards=2) as sound:
        monkeypatch.setattr(type(sound._shards[0].file), "sync", failing)
        with pytest.raises(OSError, match="Input/output"):
            sound.finish()
        sound._finished = True


def test_value_that_fails_can_be_left_out(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "model") as writer:
        writer.add("a", 1.0)
        for name, value in (("a", 2.0), ("", 1.0), ("b", np.zeros(1, "datetime64[s]")), ("\ud800", 1.0)):
            with pytest.raises(SaverError):
                writer.add(name, value)
        with pytest.raises(InvalidArgumentError, match="shard 1 of"):
            writer.add("c", 1.0, shard_id=1)
        writer.add("b", 3.0)
    with BundleReader(tmp_path / "model") as reader:
        assert {name: float(reader.read(name)) for name in reader.names} == {"a": 1.0, "b": 3.0}


def test_name_twice_says_which(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "model") as writer:
        writer.add("scope/w", 1.0)
        with pytest.raises(DuplicateKeyError, match=r"'scope/w' was already added to '.*model'") as caught:
            writer.add("scope/w", 1.0)
        assert caught.value.name == "scope/w" and caught.value.prefix == str(tmp_path / "model")


def test_empty_name_says_why_not(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "model") as writer, pytest.raises(InvalidArgumentError, match="the empty name, which is the header's"):
        writer.add("", 1.0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [({"num_shards": 0}, "num_shards is 0"), ({"num_shards": -1}, "at least 1"), ({"byte_order": "middle"}, "'little' or 'big'")],
)
def test_arguments_out_of_range_say_so(arguments: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=sentence):
        BundleWriter(tmp_path / "model", **arguments)
    assert listing(tmp_path) == []


def test_variant_in_a_big_endian_bundle_is_unimplemented(tmp_path: Path) -> None:
    with pytest.raises(UnimplementedError, match="variants"), BundleWriter(tmp_path / "model", byte_order="big") as writer:
        writer.add("v", [Variant(b"")])
    assert listing(tmp_path) == []


def test_finished_bundle_cannot_be_finished_again(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "model") as writer:
        assert writer.finish() == str(tmp_path / "model")
        with pytest.raises(InvalidArgumentError, match="is finished already"):
            writer.finish()
    with pytest.raises(InvalidArgumentError, match="is finished already"):
        writer.add("w", 1.0)


def test_last_directory_is_made_and_its_parents_are_not(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "new" / "model") as writer:
        writer.add("w", 1.0)
    assert (tmp_path / "new" / "model.index").exists()
    with pytest.raises(WriteError, match="there is no directory"):
        BundleWriter(tmp_path / "a" / "b" / "model")
    assert listing(tmp_path) == ["new"]


def test_other_number_of_shards_beside_the_old_ones_is_the_new_checkpoint(tmp_path: Path) -> None:
    for num_shards in (2, 1, 3):
        with BundleWriter(tmp_path / "model", num_shards=num_shards) as writer:
            writer.add("w", np.full(3, num_shards))
        with BundleReader(tmp_path / "model") as reader:
            assert reader.read("w").tolist() == [num_shards] * 3
