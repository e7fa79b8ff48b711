"""Readers and the iterator beside TensorFlow's own."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.compat.scenario import Recorded, Scenario
from tfsaver.checkpoint.checkpoint_management import update_checkpoint_state
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.compat.v1 import checkpoint_utils, train

Compare = Callable[..., Recorded]


def plain(value: Any) -> Any:
    """A value and its type, so that bytes, numpy scalars and arrays are told apart."""
    if isinstance(value, np.ndarray):
        return ["array", str(value.dtype), value.tolist()]
    return [type(value).__name__, repr(value)]


def read_with_a_reader(run: Scenario) -> None:
    save_checkpoint(
        {
            "scalar": np.float32(2.5),
            "matrix": np.arange(6, dtype=np.int64).reshape(2, 3),
            "text": np.array(b"a\0", object),
            "texts": np.array([b"x", b"yz"], object),
            "flag": np.array(True),
            "empty": np.zeros((0, 3), np.float64),
            "ünï": np.array([1 + 2j], np.complex64),
        },
        "model",
        durable=False,
    )
    reader = run.train.NewCheckpointReader("model")
    for name in ("scalar", "matrix", "text", "texts", "flag", "empty", "ünï"):
        run.note(name, reader.has_tensor(name), plain(reader.get_tensor(name)))
    run.note(reader.has_tensor("matri"), reader.has_tensor("matrix:0"))
    run.note(sorted((name, list(shape)) for name, shape in reader.get_variable_to_shape_map().items()))
    types = reader.get_variable_to_dtype_map()
    run.note(sorted((name, type(dtype).__name__, dtype.name) for name, dtype in types.items()))
    run.note(reader.debug_string().decode("utf-8"))
    run.call(reader.get_tensor, "nothing", fragment="nothing not found in checkpoint")
    run.call(
        run.train.NewCheckpointReader,
        b"model".decode() + "s",
        fragment=("Unsuccessful TensorSliceReader constructor: Failed to find any matching files for models"),
    )
    run.note(plain(run.train.load_checkpoint(os.getcwd() + "/model").get_tensor("scalar")))
    run.note(plain(run.train.load_variable(b"model", "scalar:0")), run.train.list_variables(pathlib.Path("model")))
    pathlib.Path("nonsense").write_bytes(b"no checkpoint at all" * 30)
    run.call(run.train.NewCheckpointReader, "nonsense", fragment="")


def read_a_directory(run: Scenario) -> None:
    run.call(run.train.load_checkpoint, ".", fragment="Couldn't find 'checkpoint' file or checkpoints in given directory")
    for step in range(2):
        save_checkpoint({"step": np.int64(step)}, f"m-{step}", durable=False)
    update_checkpoint_state(".", "m-0", durable=False)
    run.note(plain(run.train.load_checkpoint(".").get_tensor("step")))
    pathlib.Path("checkpoint").write_text("")
    run.call(run.train.load_checkpoint, ".", fragment="Invalid checkpoint state loaded from")


def read_v1_files(run: Scenario) -> None:
    save_checkpoint({"a": np.ones((2, 2), np.float32)}, "model", format="V1", durable=False)
    reader = run.train.NewCheckpointReader("model")
    run.note(plain(reader.get_tensor("a")), reader.get_variable_to_shape_map(), reader.debug_string().decode())
    run.call(reader.get_tensor, "b", fragment="b")


@pytest.mark.parametrize("program", [read_with_a_reader, read_a_directory, read_v1_files])
def test_readers_do_as_tensorflows_do(compare: Compare, program: Callable[[Scenario], None]) -> None:
    assert compare(program)


def test_reader_is_a_mapping_too(tf: Any, tmp_path: pathlib.Path) -> None:
    save_checkpoint({"a": np.ones(3)}, tmp_path / "model", durable=False)
    with train.NewCheckpointReader(tmp_path / "model") as reader:
        assert list(reader) == ["a"] and reader["a"].tolist() == [1, 1, 1]
        assert reader.get_tensor(b"a").tolist() == [1, 1, 1] and reader.has_tensor(b"a")


def test_missing_tensor_is_tensorflows_error_with_the_nearest_names(tf: Any, tmp_path: pathlib.Path) -> None:
    save_checkpoint({"dense/kernel": np.ones(3)}, tmp_path / "model", durable=False)
    with pytest.raises(tf.errors.NotFoundError, match=r"did you mean 'dense/kernel'\?"):
        train.NewCheckpointReader(tmp_path / "model").get_tensor("dens/kernel")


def test_damaged_tensor_is_a_data_loss(tf: Any, tmp_path: pathlib.Path) -> None:
    save_checkpoint({"a": np.ones(3)}, tmp_path / "model", durable=False)
    data = tmp_path / "model.data-00000-of-00001"
    data.write_bytes(b"\xff" + data.read_bytes()[1:])
    with pytest.raises(tf.errors.DataLossError):
        train.NewCheckpointReader(tmp_path / "model").get_tensor("a")


# Waiting for checkpoints.


class Trainer:
    """The time module, in which a trainer saves while the iterator sleeps."""

    def __init__(self, implementation: str, directory: pathlib.Path, saves_at: dict[int, str]) -> None:
        self.implementation = implementation
        self.now = 0.0
        self.slept: list[float] = []
        self._directory = directory
        self._saves_at = saves_at
        self._save_until_now()

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds
        self._save_until_now()

    def _save_until_now(self) -> None:
        for moment in sorted(moment for moment in self._saves_at if moment <= self.now):
            name = self._saves_at.pop(moment)
            (self._directory / f"{name}.index").touch()
            update_checkpoint_state(self._directory, name, durable=False)


@pytest.fixture(params=["tfsaver", "tensorflow"])
def iterate(request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Starts an iterator, ours or TensorFlow's, beside a trainer."""
    if request.param == "tensorflow":
        request.getfixturevalue("tf")
        from tensorflow.python.training import checkpoint_utils as module
    else:
        module = checkpoint_utils  # type: ignore[assignment]

    def start(saves_at: dict[int, str], **options: Any) -> tuple[Trainer, Iterator[str]]:
        trainer = Trainer(request.param, tmp_path, saves_at)
        monkeypatch.setattr(module, "time", trainer)
        return trainer, (os.path.basename(path) for path in module.checkpoints_iterator(str(tmp_path), **options))

    return start


def test_each_new_checkpoint_comes_once_and_a_timeout_ends_it(iterate: Any) -> None:
    trainer, checkpoints = iterate({0: "a", 3: "b", 6: "c"}, timeout=5)
    assert list(checkpoints) == ["a", "b", "c"]
    assert trainer.now == 11


def test_first_checkpoint_comes_without_sleep(iterate: Any) -> None:
    trainer, checkpoints = iterate({0: "a"}, timeout=0)
    assert next(checkpoints) == "a" and trainer.slept == []
    assert list(checkpoints) == [] and trainer.slept == []


def test_checkpoints_come_no_faster_than_asked(iterate: Any) -> None:
    trainer, checkpoints = iterate({0: "a", 1: "b", 2: "c"}, timeout=3, min_interval_secs=10)
    assert [next(checkpoints), next(checkpoints)] == ["a", "c"]
    assert trainer.now == 10


def test_time_the_caller_takes_counts(iterate: Any) -> None:
    trainer, checkpoints = iterate({0: "a", 20: "b"}, min_interval_secs=10, timeout=30)
    assert next(checkpoints) == "a"
    trainer.now += 15
    assert next(checkpoints) == "b" and trainer.slept == [1] * 5


def test_timeout_function_is_asked_after_timeouts_and_after_checkpoints(iterate: Any) -> None:
    asked: list[float] = []

    def is_over() -> bool:
        asked.append(trainer.now)
        return len(asked) == 4

    trainer, checkpoints = iterate({0: "a", 12: "b"}, timeout=5, timeout_fn=is_over)
    assert list(checkpoints) == ["a", "b"]
    # TensorFlow 2.15 asks after timeouts alone.
    assert asked == [0, 5, 10, 12] or (trainer.implementation == "tensorflow" and asked == [5, 10, 17, 22])


def test_directory_may_come_later(iterate: Any) -> None:
    trainer, checkpoints = iterate({4: "a"})
    assert next(checkpoints) == "a" and trainer.now == 4
