"""Rules that do not fit in the table: each is a function that asserts one of them, in a directory of its own."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import tfsaver
from tests.conformance import sources
from tests.conformance.guests import guest
from tests.conformance.sources import NAME, NEW, OLD, SOURCES, Content, Kind, Values
from tfsaver.errors import CheckpointNotFoundError, DataLossError, InvalidArgumentError

Rule = Callable[[Path], None]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    RULES[function.__name__.replace("_", "-")] = function
    return function


def _assert_equal(found: Values, wanted: Values) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, strict=True)


# Each length that a file can be cut to.


def _cut_everywhere(path: Path, prefix: Path, can_be_missing: bool) -> None:
    whole = path.read_bytes()
    allowed: tuple[type[Exception], ...] = (DataLossError, *((CheckpointNotFoundError,) if can_be_missing else ()))
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        try:
            with tfsaver.load_checkpoint(prefix) as reader:
                dict(reader)
        except allowed:
            pass
        else:
            raise AssertionError(f"cut to {size} of {len(whole)} bytes, it can be read")
        assert not tfsaver.verify(prefix).ok, f"cut to {size} of {len(whole)} bytes, it verifies"


@rule
def each_length_of_a_v1_file_is_damage(directory: Path) -> None:
    sources.v1(directory, Content(OLD), sliced=True)
    _cut_everywhere(directory / NAME, directory / NAME, can_be_missing=False)


@rule
def each_length_of_a_data_file_is_damage(directory: Path) -> None:
    sources.v2_sliced(directory, Content(OLD))
    _cut_everywhere(directory / f"{NAME}.data-00000-of-00001", directory / NAME, can_be_missing=False)


@rule
def each_length_of_an_index_is_damage(directory: Path) -> None:
    sources.v2_sliced(directory, Content(OLD))
    _cut_everywhere(directory / f"{NAME}.index", directory / NAME, can_be_missing=False)


# What reading costs.


class CountedReads:
    """Counts the bytes that the system gives to any reader in this process."""

    def __init__(self) -> None:
        self.num_bytes = 0

    def __enter__(self) -> CountedReads:
        self._stack = ExitStack()
        for name in ("pread", "preadv", "readv"):
            self._stack.enter_context(mock.patch.object(os, name, self._counting(getattr(os, name))))
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _counting(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any) -> Any:
            result = read(*arguments)
            self.num_bytes += result if isinstance(result, int) else len(result)
            return result

        return counting


def _regions(directory: Path, *, sliced: bool) -> None:
    value = np.random.default_rng(3).integers(0, 255, (1024, 4096), np.uint8)
    with tfsaver.BundleWriter(directory / "large", durable=False) as writer:
        if sliced:
            for start in range(0, 1024, 256):
                writer.add_slice("w", value.shape, np.s_[start : start + 256], value[start : start + 256])
        else:
            writer.add("w", value)
    # As if it had been written long ago.
    for path in directory.glob("large*"):
        os.utime(path, (1e9, 1e9))
    with tfsaver.load_checkpoint(directory / "large") as reader, CountedReads() as counted:
        for start in range(0, 1024, 16):
            np.testing.assert_array_equal(reader.read("w", np.s_[start : start + 16]), value[start : start + 16])
    share = counted.num_bytes / value.nbytes
    assert share <= 1.1, f"64 regions cost {share:.1f} times the tensor's bytes"


@rule
def regions_of_one_tensor_cost_its_bytes_once(directory: Path) -> None:
    _regions(directory, sliced=False)


@rule
def regions_of_a_partitioned_tensor_cost_its_bytes_once(directory: Path) -> None:
    _regions(directory, sliced=True)


@rule
def four_hundred_shards_need_few_descriptors(directory: Path) -> None:
    values = {f"w{number:03}": np.full(2, number) for number in range(400)}
    with tfsaver.BundleWriter(directory / "many", num_shards=400, durable=False) as writer:
        for number, (name, value) in enumerate(values.items()):
            writer.add(name, value, shard_id=number)
    done = subprocess.run(
        [sys.executable, "-c", _FEW_DESCRIPTORS, str(directory / "many")],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr[-600:]
    assert json.loads(done.stdout) == dict.fromkeys(("each", "bulk", "verify", "rename", "again"), True)


_FEW_DESCRIPTORS = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
import tfsaver
path = sys.argv[1]

def is_right(tensors):
    return [int(value[0]) for _, value in sorted(tensors.items())] == list(range(400))

done = {}
with tfsaver.load_checkpoint(path) as reader:
    done["each"] = is_right(dict(reader))
    done["bulk"] = is_right(reader.read_tensors())
    done["again"] = is_right(dict(reader))
done["verify"] = tfsaver.verify(path).ok
tfsaver.rename(path, path + "-renamed", [("^w", "v")], durable=False)
with tfsaver.load_checkpoint(path + "-renamed") as reader:
    done["rename"] = is_right(dict(reader))
print(json.dumps(done))
"""


# What a reader is.


@rule
def reader_closed_while_another_thread_reads_never_gives_another_file(directory: Path) -> None:
    """The system gives the number of a descriptor that was closed to the next file that is opened."""
    sources.v2_shards(directory, Content(OLD))
    others: list[int] = []
    with tfsaver.load_checkpoint(directory / NAME) as reader, ExitStack() as stack:
        reader.read(sources.BIAS)

        def close_first(read: Callable[..., Any]) -> Callable[..., Any]:
            def reading(*arguments: Any) -> Any:
                if not others:
                    closing = threading.Thread(target=reader.close)
                    closing.start()
                    # A reader may let the one that closes it wait until all reads are over.
                    closing.join(0.2)
                    others.extend(os.open(__file__, os.O_RDONLY) for _ in range(8))
                return read(*arguments)

            return reading

        for name in ("pread", "preadv", "readv"):
            stack.enter_context(mock.patch.object(os, name, close_first(getattr(os, name))))
        try:
            found = reader.read(sources.BIAS)
        except InvalidArgumentError:
            return
        finally:
            for descriptor in others:
                os.close(descriptor)
        assert others, "nothing was read from the file"
        np.testing.assert_array_equal(found, OLD[sources.BIAS])


@rule
def closed_reader_says_so(directory: Path) -> None:
    for source in (SOURCES["v1"], SOURCES["v2"], SOURCES["v2-sliced"]):
        (directory / source.name).mkdir()
        source.write(directory / source.name, Content(OLD))
        reader = tfsaver.load_checkpoint(directory / source.name / NAME)
        reader.close()
        try:
            reader.read(sources.KERNEL)
        except InvalidArgumentError:
            continue
        raise AssertionError(f"{source.name}: a closed reader reads")


@rule
def reader_pickles(directory: Path) -> None:
    sources.v2(directory, Content(OLD))
    with tfsaver.load_checkpoint(directory / NAME) as reader:
        reader.read(sources.KERNEL)
        with pickle.loads(pickle.dumps(reader)) as other:
            _assert_equal(dict(other), OLD)


@rule
def readers_compare(directory: Path) -> None:
    sources.v2(directory, Content(OLD))
    with tfsaver.load_checkpoint(directory / NAME) as one, tfsaver.load_checkpoint(directory / NAME) as other:
        # Mapping compares values, and arrays have no truth value.
        assert (one == one) is True
        assert isinstance(one == other, bool)
        assert (one == 3) is False


@rule
def readers_hash(directory: Path) -> None:
    sources.v2(directory, Content(OLD))
    with tfsaver.load_checkpoint(directory / NAME) as reader:
        assert {reader: 1}[reader] == 1


# Verbs that take two mappings, which make their arrays in the same memory.


@rule
def two_mappings_that_share_a_buffer_keep_their_values(directory: Path) -> None:
    buffer = np.zeros(3, np.float32)

    class Shared(Mapping[str, Any]):
        def __init__(self, name: str, value: float) -> None:
            self._name, self._value = name, value

        def __getitem__(self, name: str) -> Any:
            buffer[:] = self._value
            return buffer

        def __iter__(self) -> Iterator[str]:
            return iter([self._name])

        def __len__(self) -> int:
            return 1

    quiet: dict[str, Any] = {"durable": False, "overwrite": True}
    assert tfsaver.diff(Shared("w", 1), Shared("w", 3)).different
    tfsaver.average([Shared("w", 1), Shared("w", 3)], directory / NAME, **quiet)
    _assert_equal(dict(tfsaver.load_checkpoint(directory / NAME)), {"w": np.full(3, 2, np.float32)})
    tfsaver.merge([Shared("v", 1), Shared("w", 3)], directory / NAME, **quiet)
    wanted = {"v": np.full(3, 1, np.float32), "w": np.full(3, 3, np.float32)}
    _assert_equal(dict(tfsaver.load_checkpoint(directory / NAME)), wanted)


# What others say of the same files.


@rule
def tensorflow_reads_the_same(directory: Path) -> None:
    tf = guest("tensorflow")
    for source in SOURCES.values():
        # Snappy is not in every build of TensorFlow, and objects have other names.
        if source.kind not in (Kind.V1, Kind.V2) or "snappy" in source.name:
            continue
        made = directory / source.name
        made.mkdir()
        source.write(made, Content(NEW))
        wanted = {name: np.asarray(value) for name, value in NEW.items()}
        read = tf.raw_ops.RestoreV2(
            prefix=str(made / (source.prefix or source.location)),
            tensor_names=[source.key(name) for name in wanted],
            shape_and_slices=[""] * len(wanted),
            dtypes=[value.dtype for value in wanted.values()],
        )
        _assert_equal({name: value.numpy() for name, value in zip(wanted, read, strict=True)}, wanted)
