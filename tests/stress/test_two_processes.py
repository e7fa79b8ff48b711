"""Several processes write and read one checkpoint, or one directory: what is read is whole, and what is left verifies."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from tests.plugins.exhaustive import is_exhaustive
from tests.stress.programs import SIZES, number_of, write_directory, write_prefix
from tfsaver import latest_checkpoint, load_checkpoint
from tfsaver.checkpoint.checkpoint_management import get_checkpoint_state
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.tensor_bundle.reader import BundleReader

_ROOT = pathlib.Path(__file__).parents[2]
# What a process that hangs may cost before it is killed.
_MOST_SECONDS = 200
COUNT = 100 if is_exhaustive() else 15
# Of each of two writers.
FIRST = (1000, 500_000)

needs_tensorflow = pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs tensorflow")


class Program:
    """One of `programs`, in a process of its own."""

    def __init__(self, verb: str, **arguments: Any) -> None:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.stress.programs", verb, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env=environment,
        )

    def wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self.answer()

    def say(self) -> None:
        """Start; and for a reader, the second time, stop."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            # Why, its answer will say.
            pass

    def answer(self) -> Any:
        try:
            output, errors = self._process.communicate(timeout=_MOST_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
        assert self._process.returncode == 0, errors[-3000:]
        return json.loads(output)


def run(writers: list[Program], readers: Iterable[Program] = ()) -> tuple[set[int], list[dict[str, Any]]]:
    """Lets programs run at once; returns what was written, and what each reader did."""
    readers = list(readers)
    everyone = [*writers, *readers]
    try:
        for program in everyone:
            program.wait_until_ready()
        for program in everyone:
            program.say()
        written = {number for program in writers for number in program.answer()}
        for program in readers:
            program.say()
        return written, [program.answer() for program in readers]
    finally:
        for program in everyone:
            program._process.kill()
            program._process.wait()
            for stream in (program._process.stdin, program._process.stdout, program._process.stderr):
                assert stream is not None
                stream.close()


def number_in(path: str | pathlib.Path) -> int:
    """The save that a checkpoint is of, all of it, every byte looked at."""
    report = verify_checkpoint(path)
    assert report.ok and report.num_tensors == len(SIZES), str(report)
    with load_checkpoint(path) as reader:
        return number_of(reader.read_tensors())


def assert_only_of_one_checkpoint(directory: pathlib.Path) -> None:
    with BundleReader(directory / "model") as reader:
        paths = reader.paths
    assert sorted(path.name for path in directory.iterdir()) == sorted(map(os.path.basename, paths))


def assert_read(found: dict[str, Any], written: set[int], never_fails: Iterable[str] = ()) -> None:
    for name, each in found.items():
        print(
            f"  {name}: { {key: value for key, value in each.items() if key != 'numbers'} }, of {len(each['numbers'])} saves"
        )
        assert set(each["numbers"]) <= written | {1}
        assert each["read"] > 0
    for name in never_fails:
        assert set(found[name]) == {"read", "numbers"}, found[name]


_ONE = pytest.param([1], id="one file", marks=pytest.mark.exhaustive)
_TWO = pytest.param([2], id="two files", marks=pytest.mark.exhaustive)
# In turns.
_SOME = pytest.param([1, 2, 3], id="some")


@pytest.mark.parametrize("num_shards", [_ONE, _TWO, _SOME])
def test_two_writers_of_one_prefix(tmp_path: pathlib.Path, num_shards: list[int]) -> None:
    prefix = str(tmp_path / "model")
    written, _ = run(
        [Program("write_prefix", prefix=prefix, first=first, count=COUNT, num_shards=num_shards) for first in FIRST]
    )
    assert number_in(prefix) in {first + COUNT - 1 for first in FIRST} and len(written) == 2 * COUNT
    assert_only_of_one_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "names",
    [("model", "model"), pytest.param(("model", "other"), marks=pytest.mark.exhaustive)],
    ids=["one series", "two series"],
)
def test_two_writers_with_retention_in_one_directory(tmp_path: pathlib.Path, names: tuple[str, str]) -> None:
    writers = [
        Program("write_directory", directory=str(tmp_path), name=name, first=first, count=COUNT, max_to_keep=3)
        for name, first in zip(names, FIRST, strict=True)
    ]
    written, _ = run(writers)
    assert_directory_is_whole(tmp_path, written, 6)


@pytest.mark.parametrize(
    ("names", "num_kept"),
    [(("model", "model"), 3), pytest.param(("model", "other"), 6, marks=pytest.mark.exhaustive)],
    ids=["one series", "two series"],
)
def test_two_writers_with_a_policy_in_one_directory(tmp_path: pathlib.Path, names: tuple[str, str], num_kept: int) -> None:
    arguments = {"directory": str(tmp_path), "count": COUNT, "max_to_keep": 3, "has_policy": True}
    writers = [
        Program("write_directory", name=name, first=first, **arguments) for name, first in zip(names, FIRST, strict=True)
    ]
    written, _ = run(writers)
    assert_directory_is_whole(tmp_path, written, num_kept)


def assert_directory_is_whole(directory: pathlib.Path, written: set[int], num_kept: int) -> None:
    indexes = sorted(directory.glob("*.index"))
    assert len(indexes) == num_kept, os.listdir(directory)
    for index in indexes:
        prefix = str(index.with_suffix(""))
        assert number_in(prefix) == int(prefix.rpartition("-")[2]) and number_in(prefix) in written
    state = get_checkpoint_state(directory)
    assert state is not None
    listed = list(state.all_model_checkpoint_paths)
    assert (
        listed[-1]
        == state.model_checkpoint_path
        == latest_checkpoint(directory)
        == latest_checkpoint(directory, verified=True)
    )
    assert {f"{path}.index" for path in listed} <= set(map(str, indexes))
    assert not [name for name in os.listdir(directory) if ".tmp" in name]


@pytest.mark.parametrize("num_shards", [_ONE, _SOME])
def test_writer_and_readers_of_one_prefix(tmp_path: pathlib.Path, num_shards: list[int]) -> None:
    prefix = str(tmp_path / "model")
    write_prefix(prefix, 1, 1, num_shards)
    written, [found] = run(
        [Program("write_prefix", prefix=prefix, first=1000, count=4 * COUNT, num_shards=num_shards)],
        [Program("read_prefix", prefix=prefix)],
    )
    assert_read(found, written, never_fails=["together"])
    assert number_in(prefix) == max(written)


@pytest.mark.exhaustive
def test_writer_and_reader_of_a_file_of_v1(tmp_path: pathlib.Path) -> None:
    prefix = str(tmp_path / "model")
    write_prefix(prefix, 1, 1, [1], "V1")
    written, [found] = run(
        [Program("write_prefix", prefix=prefix, first=1000, count=4 * COUNT, num_shards=[1], version="V1")],
        [Program("read_v1_file", prefix=prefix)],
    )
    assert_read(found, written, never_fails=["one by one", "verified"])


@pytest.mark.parametrize("max_to_keep", [pytest.param(1, marks=pytest.mark.exhaustive), 3])
def test_reader_that_follows_a_directory(tmp_path: pathlib.Path, max_to_keep: int) -> None:
    directory: dict[str, Any] = {"directory": str(tmp_path), "name": "model", "max_to_keep": max_to_keep}
    write_directory(first=1, count=1, **directory)
    written, [found] = run(
        [Program("write_directory", first=1000, count=4 * COUNT, **directory)],
        [Program("read_directory", directory=str(tmp_path))],
    )
    # A reader that sleeps while the next ones are saved finds its own removed, and is told so.
    assert_read(found, written)
    assert latest_checkpoint(tmp_path) == str(tmp_path / f"model-{max(written)}")


@pytest.mark.exhaustive
@needs_tensorflow
@pytest.mark.parametrize("num_shards", [[1], [1, 2, 3]], ids=["one file", "some"])
def test_tensorflow_reads_what_is_being_replaced(tmp_path: pathlib.Path, num_shards: list[int]) -> None:
    prefix = str(tmp_path / "model")
    write_prefix(prefix, 1, 1, num_shards)
    written, [found] = run(
        [Program("write_prefix", prefix=prefix, first=1000, count=4 * COUNT, num_shards=num_shards)],
        [Program("read_as_tensorflow", prefix=prefix)],
    )
    assert_read(found, written)


@pytest.mark.exhaustive
@needs_tensorflow
def test_tensorflow_replaces_what_is_being_read(tmp_path: pathlib.Path) -> None:
    prefix = str(tmp_path / "model")
    write_prefix(prefix, 1, 1, [1])
    written, [found] = run(
        [Program("write_as_tensorflow", prefix=prefix, first=1000, count=20 * COUNT)],
        [Program("read_prefix", prefix=prefix, by_tensorflow=True)],
    )
    assert_read(found, written)


@pytest.mark.exhaustive
@needs_tensorflow
def test_tensorflow_follows_a_directory(tmp_path: pathlib.Path) -> None:
    directory: dict[str, Any] = {"directory": str(tmp_path), "name": "model", "max_to_keep": 3}
    write_directory(first=1, count=1, **directory)
    written, [found] = run(
        [Program("write_directory", first=1000, count=4 * COUNT, **directory)],
        [Program("read_as_tensorflow", prefix=str(tmp_path))],
    )
    assert_read(found, written)


@pytest.mark.exhaustive
@needs_tensorflow
def test_two_savers_in_one_directory_and_a_reader(tmp_path: pathlib.Path) -> None:
    write_directory(str(tmp_path), "model", 1, 1, max_to_keep=9)
    writers = [
        Program("write_as_saver", directory=str(tmp_path), name="model", first=first, count=COUNT, max_to_keep=3)
        for first in FIRST
    ]
    written, [found] = run(writers, [Program("read_directory", directory=str(tmp_path))])
    assert_read(found, written)
    assert_directory_is_whole(tmp_path, written | {1}, 7)
