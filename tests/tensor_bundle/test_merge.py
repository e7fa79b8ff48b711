"""Several bundles become one: which shard gets which number, what contradicts what, and the very bytes of TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tensor_bundle.tensors import assert_equal, listing
from tfsaver.errors import (
    CheckpointNotFoundError,
    DataLossError,
    DuplicateKeyError,
    InvalidArgumentError,
    ShapeMismatchError,
)
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice
from tfsaver.tensor_bundle.merge import merge_bundles
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.writer import BundleWriter

TOP, BOTTOM = TensorSlice(((0, 2), EVERYTHING)), TensorSlice(((2, 3), EVERYTHING))
MATRIX = np.arange(10, dtype=np.float32).reshape(5, 2)


def write(prefix: Path, tensors: dict[str, Any], slices: dict[TensorSlice, Any] | None = None, **options: Any) -> str:
    with BundleWriter(prefix, **options) as writer:
        for name, value in tensors.items():
            writer.add(name, value)
        for stored, value in (slices or {}).items():
            writer.add_slice("p", (5, 2), stored, value)
    return str(prefix)


def read_all(prefix: Path) -> dict[str, Any]:
    with BundleReader(prefix) as reader:
        return {name: reader.read(name) for name in reader.names}


def test_shards_are_numbered_as_entries_first_mention_them(tmp_path: Path) -> None:
    a = write(tmp_path / "in" / "a", {"z": np.float32(1), "s": ["x", "yy"]})
    b = write(tmp_path / "in" / "b", {"a": np.int64(2)})
    assert merge_bundles([a, b], tmp_path / "model") == str(tmp_path / "model")
    assert listing(tmp_path / "in") == []
    assert listing(tmp_path) == ["in", "model.data-00000-of-00002", "model.data-00001-of-00002", "model.index"]
    with BundleReader(tmp_path / "model") as reader:
        assert reader.header.num_shards == 2
        assert [(name, reader.entry(name).shard_id) for name in reader.names] == [("a", 1), ("s", 0), ("z", 0)]
        assert reader.read("z") == 1 and reader.read("a") == 2 and reader.read("s").tolist() == [b"x", b"yy"]


def test_slices_of_several_inputs_are_one_tensor(tmp_path: Path) -> None:
    inputs = [
        write(tmp_path / "b", {"y": 1.0}, {BOTTOM: MATRIX[2:]}),
        write(tmp_path / "a", {"x": 2.0}, {TOP: MATRIX[:2]}),
    ]
    merge_bundles(inputs, tmp_path / "model")
    with BundleReader(tmp_path / "model") as reader:
        assert reader.names == ["p", "x", "y"]
        assert reader.entry("p").slices == (BOTTOM, TOP)
        assert_equal(reader.read("p"), MATRIX)
        assert_equal(reader.read("p", TensorSlice(((1, 3), (1, 1)))), MATRIX[1:4, 1:2])


def test_inputs_of_several_shards_keep_them_all(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with BundleWriter(tmp_path / name, num_shards=2) as writer:
            writer.add(f"{name}0", np.int8(0), shard_id=0)
            writer.add(f"{name}1", np.int8(1), shard_id=1)
    merge_bundles([tmp_path / "b", tmp_path / "a"], tmp_path / "model")
    with BundleReader(tmp_path / "model") as reader:
        assert [reader.entry(name).shard_id for name in ("b0", "b1", "a0", "a1")] == [0, 1, 2, 3]
        assert {name: int(reader.read(name)) for name in reader.names} == {"a0": 0, "a1": 1, "b0": 0, "b1": 1}


def test_one_input_is_renamed(tmp_path: Path) -> None:
    write(tmp_path / "a", {"w": MATRIX})
    merge_bundles([tmp_path / "a"], tmp_path / "model")
    assert listing(tmp_path) == ["model.data-00000-of-00001", "model.index"]
    assert_equal(read_all(tmp_path / "model")["w"], MATRIX)


def test_input_without_tensors_makes_no_shard(tmp_path: Path) -> None:
    inputs = [write(tmp_path / "a", {}), write(tmp_path / "b", {"w": MATRIX})]
    merge_bundles(inputs, tmp_path / "model")
    assert listing(tmp_path) == ["model.data-00000-of-00001", "model.index"]
    assert_equal(read_all(tmp_path / "model")["w"], MATRIX)
    merge_bundles([write(tmp_path / "a", {}), write(tmp_path / "b", {})], tmp_path / "none")
    assert read_all(tmp_path / "none") == {}


def test_big_endian_inputs_make_a_big_endian_bundle(tmp_path: Path) -> None:
    inputs = [write(tmp_path / name, {name: MATRIX}, byte_order="big") for name in "ab"]
    merge_bundles(inputs, tmp_path / "model")
    with BundleReader(tmp_path / "model") as reader:
        assert reader.header.byte_order == "big"
        assert_equal(reader.read("b"), MATRIX)


def test_old_checkpoint_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "model", {"old": 1.0})
    merge_bundles([write(tmp_path / "a", {"new": 2.0})], tmp_path / "model")
    assert list(read_all(tmp_path / "model")) == ["new"]


# What does not fit together leaves the inputs as they were.


def assert_refused(tmp_path: Path, inputs: list[Any], error: type[Exception], sentence: str, target: str = "model") -> None:
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    with pytest.raises(error, match=sentence):
        merge_bundles(inputs, tmp_path / target)
    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before


def test_tensor_in_two_inputs_is_refused(tmp_path: Path) -> None:
    inputs = [write(tmp_path / name, {"w": 1.0, name: 2.0}) for name in "ab"]
    assert_refused(tmp_path, inputs, DuplicateKeyError, "'w' was already added to '.*model'")


def test_input_given_twice_is_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a", {"w": 1.0})
    assert_refused(tmp_path, [a, a], DuplicateKeyError, "'w' was already added")


def test_slice_in_two_inputs_is_refused(tmp_path: Path) -> None:
    inputs = [write(tmp_path / name, {}, {TOP: MATRIX[:2]}) for name in "ab"]
    assert_refused(tmp_path, inputs, DuplicateKeyError, "'p 0,2:-' was already added")


def test_whole_tensor_beside_slices_is_refused(tmp_path: Path) -> None:
    inputs = [write(tmp_path / "a", {}, {TOP: MATRIX[:2]}), write(tmp_path / "b", {"p": MATRIX})]
    assert_refused(tmp_path, inputs, DuplicateKeyError, "'p' was already added")
    assert_refused(tmp_path, inputs[::-1], DuplicateKeyError, "'p' was already added")


def test_slices_of_other_shapes_and_types_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "a", {}, {TOP: MATRIX[:2]})
    with BundleWriter(tmp_path / "b") as writer:
        writer.add_slice("p", (6, 2), BOTTOM, MATRIX[2:])
    other_type = write(tmp_path / "c", {}, {BOTTOM: MATRIX[2:].astype(np.int32)})
    assert_refused(tmp_path, [first, tmp_path / "b"], ShapeMismatchError, r"'p' has shape \[6, 2\], expected \[5, 2\]")
    assert_refused(tmp_path, [first, other_type], InvalidArgumentError, "'p': slices of int32 beside slices of float32")


def test_inputs_of_both_byte_orders_are_refused(tmp_path: Path) -> None:
    inputs = [write(tmp_path / "a", {"a": 1.0}), write(tmp_path / "b", {"b": 1.0}, byte_order="big")]
    assert_refused(tmp_path, inputs, InvalidArgumentError, r"b\.index is big-endian, those before it little-endian")


def test_missing_input_is_refused_unless_it_may_be(tmp_path: Path) -> None:
    a = write(tmp_path / "a", {"a": 1.0})
    inputs = [a, str(tmp_path / "nothing")]
    assert_refused(tmp_path, inputs, CheckpointNotFoundError, r"no checkpoint at '.*nothing': looked for .*nothing\.index")
    merge_bundles(inputs, tmp_path / "model", allow_missing_files=True)
    assert list(read_all(tmp_path / "model")) == ["a"]
    with pytest.raises(CheckpointNotFoundError):
        merge_bundles(inputs, tmp_path / "again", allow_missing_files=True)


def test_no_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises((CheckpointNotFoundError, InvalidArgumentError)):
        merge_bundles([], tmp_path / "model")


@pytest.mark.parametrize("spelling", ["a", "./a", "sub/../a"])
def test_destination_among_the_inputs_is_refused(spelling: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    inputs = [write(tmp_path / "a", {"a": 1.0}), write(tmp_path / "b", {"b": 1.0})]
    target = os.path.join(str(tmp_path), spelling)
    assert_refused(tmp_path, inputs, InvalidArgumentError, "which is one of the inputs, would lose its index", target)


def test_input_without_its_data_is_refused(tmp_path: Path) -> None:
    inputs = [write(tmp_path / "a", {"a": 1.0}), write(tmp_path / "b", {"b": 1.0})]
    (tmp_path / "b.data-00000-of-00001").unlink()
    assert_refused(tmp_path, inputs, CheckpointNotFoundError, r"looked for .*b\.data-00000-of-00001; an input's index is there")


def test_damaged_input_is_refused(tmp_path: Path) -> None:
    inputs = [write(tmp_path / "a", {"a": 1.0}), write(tmp_path / "b", {"b": 1.0})]
    index = tmp_path / "b.index"
    index.write_bytes(index.read_bytes()[:20] + b"?" + index.read_bytes()[21:])
    assert_refused(tmp_path, inputs, DataLossError, r"b\.index")


# TensorFlow's own op on the same inputs.

TENSORFLOW = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
for folder in sys.argv[1:]:
    inputs = sorted(name[:-6] for name in os.listdir(os.path.join(folder, "in")) if name.endswith(".index"))
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[os.path.join(folder, "in", name) for name in inputs],
        destination_prefix=os.path.join(folder, "model"), delete_old_dirs=False)
"""

SCENES: dict[str, list[tuple[dict[str, Any], dict[TensorSlice, Any]]]] = {
    "whole tensors": [({"z": MATRIX, "s": ["a", ""]}, {}), ({"b": np.int64(7), "empty": np.zeros((0, 3))}, {}), ({"c": 2j}, {})],
    "slices": [({"w": 1.0}, {BOTTOM: MATRIX[2:]}), ({}, {TOP: MATRIX[:2]})],
    "one": [({"w": MATRIX, "x": MATRIX}, {TOP: MATRIX[:2], BOTTOM: MATRIX[2:]})],
    "many": [({f"scope_{number % 3}/w{number}": np.full(number, number)}, {}) for number in range(12)],
}


def make_inputs(folder: Path, scene: list[tuple[dict[str, Any], dict[TensorSlice, Any]]]) -> list[Path]:
    inputs = [folder / "in" / f"part-{number:05d}" for number in range(len(scene))]
    folder.mkdir(parents=True)
    for prefix, (tensors, slices) in zip(inputs, scene, strict=True):
        write(prefix, tensors, slices)
    return inputs


def test_merged_files_are_those_of_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    for name, scene in SCENES.items():
        make_inputs(tmp_path / "theirs" / name, scene)
        merge_bundles(make_inputs(tmp_path / "ours" / name, scene), tmp_path / "ours" / name / "model")
    done = subprocess.run(
        [sys.executable, "-c", TENSORFLOW, *(str(tmp_path / "theirs" / name) for name in SCENES)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    ours, theirs = (
        {path.relative_to(tmp_path / side): path.read_bytes() for path in (tmp_path / side).rglob("*") if path.is_file()}
        for side in ("ours", "theirs")
    )
    assert ours == theirs
    assert {str(path.parent) for path in ours} == set(SCENES)
