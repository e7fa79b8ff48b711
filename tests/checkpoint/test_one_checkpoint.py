"""All that a reader gives is of one checkpoint, whichever of its threads gives it."""

from __future__ import annotations

import pathlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tfsaver import load_checkpoint, save_checkpoint
from tfsaver.checkpoint.checkpoint_location import CheckpointLocation
from tfsaver.checkpoint.one_checkpoint import MAX_ATTEMPTS, FormatReader, Given, OneCheckpoint, open_location
from tfsaver.errors import CheckpointNotFoundError, CheckpointReplacedError, DataLossError
from tfsaver.tensor_bundle.reader import BundleReader


def save(prefix: pathlib.Path, value: int, shape: tuple[int, ...] = (3,)) -> None:
    save_checkpoint({"a": np.full(shape, value), "b": np.full(2, value)}, prefix, num_shards=2, durable=False)


@pytest.fixture
def one(tmp_path: pathlib.Path) -> OneCheckpoint:
    save(tmp_path / "model", 1)
    return OneCheckpoint(open_location(CheckpointLocation(str(tmp_path / "model"), "V2")))


class Failing:
    """Reads a tensor; the first reader that it is given is found to be replaced."""

    def __init__(self, name: str = "a") -> None:
        self.name = name
        self.first: FormatReader | None = None

    def __call__(self, reader: FormatReader) -> Any:
        if self.first is None or self.first is reader:
            self.first = reader
            raise CheckpointReplacedError(reader.prefix, what="test")
        return reader.read(self.name).tolist()


def test_nothing_given_lets_anything_take_its_place(one: OneCheckpoint, tmp_path: pathlib.Path) -> None:
    save(tmp_path / "model", 2, (7, 7))
    assert one.give(Given.VALUES, Failing("b")) == [2, 2]


def test_names_given_let_one_of_the_same_names_and_shapes_take_its_place(one: OneCheckpoint, tmp_path: pathlib.Path) -> None:
    assert one.give(Given.FORM, lambda reader: reader.names) == ["a", "b"]
    save(tmp_path / "model", 2)
    assert one.give(Given.VALUES, Failing()) == [2, 2, 2]
    with pytest.raises(CheckpointReplacedError):
        save(tmp_path / "model", 3)
        one.give(Given.VALUES, Failing())


def test_names_given_let_no_other_shape_take_its_place(one: OneCheckpoint, tmp_path: pathlib.Path) -> None:
    one.give(Given.FORM, lambda reader: reader.names)
    save(tmp_path / "model", 2, (4,))
    with pytest.raises(CheckpointReplacedError):
        one.give(Given.VALUES, Failing())


def test_values_given_let_the_same_values_take_its_place(one: OneCheckpoint, tmp_path: pathlib.Path) -> None:
    one.give(Given.VALUES, lambda reader: reader.read("b"))
    save(tmp_path / "model", 1)
    before = one.reader
    assert one.give(Given.VALUES, Failing()) == [1, 1, 1] and one.reader is not before


def test_reader_given_lets_nothing_take_its_place(one: OneCheckpoint) -> None:
    assert isinstance(one.give(Given.READER, lambda reader: reader), BundleReader)
    with pytest.raises(CheckpointReplacedError):
        one.give(Given.VALUES, Failing())


def test_one_that_is_gone_or_damaged_takes_no_place(one: OneCheckpoint, tmp_path: pathlib.Path) -> None:
    one.give(Given.FORM, lambda reader: reader.names)
    index = tmp_path / "model.index"
    data = index.read_bytes()
    index.unlink()
    with pytest.raises(CheckpointNotFoundError, match="it was replaced, and then removed"):
        one.give(Given.VALUES, Failing())
    index.write_bytes(data[:-60] + bytes(60))
    with pytest.raises(DataLossError):
        one.give(Given.VALUES, Failing())


def test_one_that_is_replaced_without_end_is_an_error(one: OneCheckpoint) -> None:
    count = 0

    def fail(reader: FormatReader) -> None:
        nonlocal count
        count += 1
        raise CheckpointReplacedError(reader.prefix, what="test")

    with pytest.raises(CheckpointReplacedError, match=f"{MAX_ATTEMPTS} times"):
        one.give(Given.VALUES, fail)
    assert count == MAX_ATTEMPTS


def test_thread_that_has_read_from_the_old_one_meanwhile_reads_again(one: OneCheckpoint, tmp_path: pathlib.Path) -> None:
    has_read, may_go_on = threading.Event(), threading.Event()

    def read_slowly(reader: FormatReader) -> list[int]:
        found: list[int] = reader.read("a").tolist()
        has_read.set()
        assert may_go_on.wait(60)
        return found

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(one.give, Given.VALUES, read_slowly)
        assert has_read.wait(60)
        save(tmp_path / "model", 2)
        assert one.give(Given.VALUES, Failing()) == [2, 2, 2]
        may_go_on.set()
        assert slow.result() == [2, 2, 2]


def test_threads_of_one_reader_give_values_of_one_checkpoint(tmp_path: pathlib.Path) -> None:
    names = [f"w{number}" for number in range(8)]

    def write(value: int) -> None:
        tensors = {name: np.full(50, value) for name in names}
        save_checkpoint(tensors, tmp_path / "model", num_shards=4, durable=False)

    def read(reader: Any, name: str) -> int | None:
        try:
            (value,) = np.unique(reader.read(name, verify=name > "w4"))
        except CheckpointReplacedError:
            return None
        return int(value)

    for round_number in range(10):
        write(2 * round_number)
        with ThreadPoolExecutor(4) as pool, load_checkpoint(tmp_path / "model") as reader:
            assert reader.names == names
            found = [pool.submit(read, reader, name) for name in names]
            write(2 * round_number + 1)
            values = {each.result() for each in found} - {None}
            assert len(values) == 1, values
