"""One execution for whatever is done with tensors: what it checks, in which order, and what a target is given."""

from __future__ import annotations

import collections
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.tensor_bundle.tensors import assert_equal
from tfsaver.checkpoint.checkpoint_target import CheckpointTarget
from tfsaver.checkpoint.editing.cast import casted
from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.execution import Data, Execution, Sink, Target
from tfsaver.checkpoint.tensor_source import ArraySource, TensorSource
from tfsaver.errors import (
    AlreadyExistsError,
    DataLossError,
    InvalidArgumentError,
    NoSpaceError,
    SaverError,
    UnimplementedError,
)
from tfsaver.formats.registry import FORMATS
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice

ARRAYS: dict[str, Any] = {
    "kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "step": np.int64(7),
    "words": np.array([b"a", b""], object),
}


class Kept(Target):
    """Keeps what it is given, and notes what happened."""

    def __init__(self, *, takes_pieces: bool = False, batch_size: int = 0) -> None:
        self.takes_pieces = takes_pieces
        self.batch_size = batch_size
        self.calls: list[str] = []
        self.found: dict[str, Any] = {}

    def check(self, source: TensorSource) -> None:
        self.calls.append("check")

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        self.calls.append("open")
        yield self._add
        self.calls.append("end")

    def _add(self, info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
        self.calls.append(info.name)
        self.found[info.name] = data if isinstance(data, np.ndarray) else [piece.copy() for piece in data]


def read_by(source: TensorSource, target: Kept) -> Kept:
    Execution(source, target).run()
    return target


def test_the_target_is_checked_before_it_begins_and_ends_after_the_last_tensor(tmp_path: Path) -> None:
    kept = read_by(ArraySource(ARRAYS), Kept())
    assert kept.calls == ["check", "open", "kernel", "step", "words", "end"]


def test_a_target_gets_pieces_arrays_or_many_arrays_at_once(tmp_path: Path) -> None:
    tfsaver.save_checkpoint(ARRAYS, tmp_path / "m")
    with tfsaver.load_checkpoint(tmp_path / "m") as reader:
        pieces = read_by(reader, Kept(takes_pieces=True)).found
        assert_equal(np.concatenate(pieces["kernel"]).reshape(3, 4), ARRAYS["kernel"])
        assert isinstance(pieces["words"], np.ndarray)
        for kept in (Kept(), Kept(batch_size=1), Kept(batch_size=1 << 20)):
            for name, array in read_by(renamed(reader, [("^", "x/")]).plan, kept).found.items():
                assert_equal(array, np.asarray(ARRAYS[name.removeprefix("x/")]))


def test_one_tensor_under_two_names_is_two_arrays_of_a_batch(tmp_path: Path) -> None:
    tfsaver.save_checkpoint(ARRAYS, tmp_path / "m")
    with tfsaver.load_checkpoint(tmp_path / "m") as reader:
        plan = renamed(reader, lambda name: ["one", "two"] if name == "kernel" else name).plan
        found = read_by(plan, Kept(batch_size=1 << 20)).found
    found["one"][:] = 0
    assert_equal(found["two"], ARRAYS["kernel"])


def test_an_error_in_a_tensor_leaves_the_target_before_its_end(tmp_path: Path) -> None:
    prefix = tfsaver.save_checkpoint(ARRAYS, tmp_path / "m")
    data = tmp_path / "m.data-00000-of-00001"
    data.write_bytes(bytes([data.read_bytes()[0] ^ 1]) + data.read_bytes()[1:])
    with tfsaver.load_checkpoint(prefix) as reader:
        kept = Kept()
        with pytest.raises(DataLossError):
            Execution(reader, kept).run()
        assert kept.calls == ["check", "open"]
        Execution(reader, Kept()).run(dry_run=True)
        with pytest.raises(DataLossError):
            Execution(reader, Kept()).run(dry_run="values")


def test_losses_are_of_one_run_and_refused_before_the_end() -> None:
    plan = casted(ArraySource({"w": np.array([1.0, 1e9])}), "float16", raises=False)
    kept = Kept()
    execution = Execution(plan, kept)
    for _ in range(2):
        with pytest.raises(InvalidArgumentError, match="'w': .*1 overflowed"):
            execution.run(dry_run=True)
    with pytest.raises(InvalidArgumentError, match="'w': .*1 overflowed"):
        execution.run()
    assert kept.calls[-2:] == ["open", "w"]
    kept.refuses_losses = False
    execution.run()
    assert [(name, losses.num_elements) for name, losses in plan.losses()] == [("w", 2)]


@pytest.mark.parametrize("damaged", ["a", "b"])
def test_a_dry_run_reads_only_what_a_cast_may_lose(damaged: str, tmp_path: Path) -> None:
    arrays = {"a": np.arange(4, dtype=np.float64), "b": np.arange(4, dtype=np.float32)}
    prefix = tfsaver.save_checkpoint(arrays, tmp_path / "m")
    data = tmp_path / "m.data-00000-of-00001"
    raw = bytearray(data.read_bytes())
    raw[0 if damaged == "a" else -1] ^= 1
    data.write_bytes(raw)
    # Nothing is lost in float64; in float32 a may lose, and b is one already.
    tfsaver.cast(prefix, tmp_path / "x", "float64", dry_run=True)
    if damaged == "a":
        with pytest.raises(DataLossError):
            tfsaver.cast(prefix, tmp_path / "x", "float32", dry_run=True)
    else:
        tfsaver.cast(prefix, tmp_path / "x", "float32", dry_run=True)
        with pytest.raises(DataLossError):
            tfsaver.cast(prefix, tmp_path / "x", "float32", dry_run="values")


REFUSED: dict[str, tuple[dict[str, Any], str, type[SaverError]]] = {
    "a format that there is not": ({"format": "v3"}, "out", InvalidArgumentError),
    "no data file": ({"num_shards": 0}, "out", InvalidArgumentError),
    "a prefix that is a directory's": ({}, "out/", InvalidArgumentError),
    "the checkpoint itself": ({"overwrite": True}, "m", InvalidArgumentError),
    "a checkpoint that is there": ({}, "old", AlreadyExistsError),
    "a dtype that V1 does not support": ({"format": "V1"}, "out", UnimplementedError),
}


@pytest.mark.parametrize("dry_run", [False, True, "values"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_dry_run_refuses_what_a_write_refuses(name: str, dry_run: Any, tmp_path: Path) -> None:
    options, target, error = REFUSED[name]
    prefix = tfsaver.save_checkpoint({**ARRAYS, "half": np.zeros(2, np.uint32)}, tmp_path / "m")
    tfsaver.save_checkpoint(ARRAYS, tmp_path / "old")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(error):
        tfsaver.reshard(prefix, f"{tmp_path}/{target}", dry_run=dry_run, **options)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("kind", ["V2", "V1", "npz", "safetensors", "torch", "keras"])
def test_a_dry_run_asks_for_room_on_the_disk(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip({"keras": "h5py", "V1": "numpy", "V2": "numpy", "npz": "numpy"}.get(kind, kind))
    monkeypatch.setattr("tfsaver.lib.free_space.free_space", lambda directory: 47)
    target = FORMATS[kind].target(tmp_path / ("x.weights.h5" if kind == "keras" else "x"))
    with pytest.raises(NoSpaceError) as caught:
        Execution(ArraySource({"w": np.zeros(12, np.float32)}), target).run(dry_run=True)
    assert (caught.value.needed, caught.value.available) == (48, 47)
    assert not os.listdir(tmp_path)


def test_progress_counts_slices_and_ends_at_all_bytes(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    source = ArraySource(ARRAYS)
    Execution(source, CheckpointTarget(tmp_path / "m"), progress=lambda *call: calls.append(call)).run()
    total = sum(source.info(name).num_bytes for name in source)
    assert calls == sorted(calls) and calls[-1] == (total, total)


def test_a_mapping_that_makes_arrays_has_no_total_before_they_are_made(tmp_path: Path) -> None:
    class Made(dict[str, Any]):
        pass

    calls: list[tuple[int, int]] = []
    Execution(ArraySource(Made(ARRAYS)), CheckpointTarget(tmp_path / "m"), progress=lambda *call: calls.append(call)).run()
    assert [done for done, _ in calls] == [total for _, total in calls] and len(calls) >= len(ARRAYS)


def test_no_function_is_given_what_it_has_returned(tmp_path: Path) -> None:
    # A value that comes back to where it was made has left its way from the mapping to the disk.
    prefix = tfsaver.save_checkpoint(ARRAYS, tmp_path / "m", durable=False)
    returned: dict[Any, dict[int, Any]] = collections.defaultdict(dict)
    again: list[tuple[str, str]] = []
    plain = (int, float, str, bytes, tuple, type, type(None))

    def look(frame: FrameType, event: str, value: Any) -> None:
        code = frame.f_code
        if f"{os.sep}tfsaver{os.sep}" not in code.co_filename:
            return
        if event == "return" and not isinstance(value, plain):
            # Kept, so that nothing else gets its identity.
            returned[code][id(value)] = value
        if event == "call":
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            given = [name for name in names if name != "self" and id(frame.f_locals.get(name)) in returned[code]]
            again.extend((code.co_qualname if hasattr(code, "co_qualname") else code.co_name, name) for name in given)

    sys.setprofile(look)
    try:
        tfsaver.rename(prefix, tmp_path / "out", [("^k", "x/k")], durable=False)
    finally:
        sys.setprofile(None)
    assert len(returned) > 100 and not again
