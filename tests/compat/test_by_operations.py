"""Many small variables: TensorFlow's operations move them, and all promises of the Saver hold."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.compat import _transports

# The fewest that operations move.
NUM = _transports._MIN_NUM


class Program:
    """A graph of many small variables, a session, and one Saver of each kind."""

    def __init__(self, tf: Any, *, use_resource: bool) -> None:
        v1 = tf.compat.v1
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.variables = [
                v1.get_variable(f"layer_{index:03d}/w", initializer=np.full(3, index, np.float32), use_resource=use_resource)
                for index in range(NUM)
            ]
            self.doubled = v1.group(*(v1.assign(variable, variable * 2) for variable in self.variables))
            self.initialize = v1.global_variables_initializer()
            self.saver = tfsaver.Saver(self.variables)
            self.theirs = v1.train.Saver(self.variables)
        self.session = v1.Session(graph=self.graph)
        self.session.run(self.initialize)

    def values(self) -> np.ndarray[Any, Any]:
        return np.stack(self.session.run(self.variables))

    def reset(self) -> None:
        """Gives the variables their first values, and the Savers an empty list of checkpoints."""
        self.session.run(self.initialize)
        for saver in (self.saver, self.theirs):
            saver.set_last_checkpoints_with_time([])


@pytest.fixture(scope="module", params=[True, False], ids=["resource", "ref"])
def shared_program(request: pytest.FixtureRequest, tf: Any) -> Iterator[Program]:
    made = Program(tf, use_resource=request.param)
    yield made
    made.session.close()


@pytest.fixture
def program(shared_program: Program) -> Program:
    """A program whose variables have their first values; its graph, which takes a second to build, is shared."""
    shared_program.reset()
    return shared_program


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What TensorFlow's operations were asked to do."""
    calls: list[str] = []
    for name in ("save", "restore"):
        done = getattr(_transports, f"run_{name}")
        monkeypatch.setattr(
            _transports, f"run_{name}", lambda *arguments, name=name, done=done: (calls.append(name), done(*arguments))[1]
        )
    return calls


def test_files_and_values_are_those_of_tensorflows_saver(program: Program, tmp_path: pathlib.Path, runs: list[str]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    ours = program.saver.save(program.session, str(tmp_path / "a" / "model"), global_step=7)
    with program.graph.as_default():
        program.theirs.save(program.session, str(tmp_path / "b" / "model"), global_step=7)
    for path in sorted((tmp_path / "b").iterdir()):
        if path.name.startswith("model") and path.suffix != ".meta":
            assert (tmp_path / "a" / path.name).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(path.name for path in (tmp_path / "b").iterdir())
    before = program.values()
    program.session.run(program.doubled)
    assert not np.array_equal(program.values(), before)
    for _ in range(2):
        program.saver.restore(program.session, ours)
        np.testing.assert_array_equal(program.values(), before)
    assert runs == ["save", "restore", "restore"]


def test_few_variables_are_moved_by_us(tf: Any, tmp_path: pathlib.Path, runs: list[str]) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        v1.get_variable("w", initializer=np.zeros(3, np.float32))
        saver = tfsaver.Saver()
        with v1.Session(graph=graph) as session:
            session.run(v1.global_variables_initializer())
            saver.restore(session, saver.save(session, str(tmp_path / "model")))
    assert runs == []


def test_damaged_data_changes_no_variable_and_says_where(
    program: Program, tf: Any, tmp_path: pathlib.Path, runs: list[str]
) -> None:
    prefix = program.saver.save(program.session, str(tmp_path / "model"))
    data = tmp_path / "model.data-00000-of-00001"
    flipped = bytearray(data.read_bytes())
    flipped[12 * 100 + 5] ^= 1
    data.write_bytes(flipped)
    program.session.run(program.doubled)
    before = program.values()
    with pytest.raises(tf.errors.DataLossError, match="layer_100/w.*stored CRC32C"):
        program.saver.restore(program.session, prefix)
    np.testing.assert_array_equal(program.values(), before)
    assert runs == ["save", "restore"]


def test_what_does_not_fit_is_reported_whole_and_changes_nothing(
    program: Program, tf: Any, tmp_path: pathlib.Path, runs: list[str]
) -> None:
    arrays = {f"layer_{index:03d}/w": np.zeros(3, np.float32) for index in range(NUM)}
    arrays["layer_007/w"] = np.zeros(4, np.float32)
    arrays["layer_120/w"] = np.zeros(3, np.int32)
    tfsaver.save_checkpoint(arrays, tmp_path / "model")
    before = program.values()
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        program.saver.restore(program.session, str(tmp_path / "model"))
    assert "layer_007/w" in str(caught.value) and "layer_120/w" in str(caught.value)
    np.testing.assert_array_equal(program.values(), before)
    assert runs == []


def test_another_checkpoint_under_the_same_name_is_compared_again(
    program: Program, tf: Any, tmp_path: pathlib.Path, runs: list[str]
) -> None:
    prefix = program.saver.save(program.session, str(tmp_path / "model"))
    program.saver.restore(program.session, prefix)
    arrays = {f"layer_{index:03d}/w": np.zeros(3, np.float32) for index in range(1, NUM)}
    tfsaver.save_checkpoint(arrays, prefix)
    before = program.values()
    with pytest.raises(tf.errors.NotFoundError, match="layer_000/w"):
        program.saver.restore(program.session, prefix)
    np.testing.assert_array_equal(program.values(), before)


def test_checkpoint_of_one_more_variable_is_read_with_a_report(program: Program, tmp_path: pathlib.Path) -> None:
    arrays = {f"layer_{index:03d}/w": np.full(3, 9, np.float32) for index in range(1, NUM)}
    tfsaver.save_checkpoint(arrays, tmp_path / "model")
    report = program.saver.restore(program.session, str(tmp_path / "model"), strict=False)
    assert report is not None and [item.name for item in report.missing] == ["layer_000/w"]
    assert program.values()[:, 0].tolist() == [0, *[9] * (NUM - 1)]


def test_save_that_fails_leaves_nothing_behind(
    program: Program, tf: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = str(tmp_path / "model")
    program.saver.save(program.session, prefix, write_meta_graph=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    program.session.run(program.doubled)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_transports, "rename_bundle", fail)
    with pytest.raises(tf.errors.ResourceExhaustedError, match="No space left"):
        program.saver.save(program.session, prefix, write_meta_graph=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_uninitialized_variable_is_tensorflows_error_and_no_file(
    program: Program, tf: Any, tmp_path: pathlib.Path
) -> None:
    with tf.compat.v1.Session(graph=program.graph) as session, pytest.raises(tf.errors.FailedPreconditionError):
        program.saver.save(session, str(tmp_path / "model"))
    assert list(tmp_path.iterdir()) == []


def test_finalized_graph_without_nodes_is_saved_by_us(tf: Any, tmp_path: pathlib.Path, runs: list[str]) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        for index in range(NUM):
            v1.get_variable(f"v{index:03d}", initializer=np.full(3, index, np.float32))
        variables, initialize = v1.global_variables(), v1.global_variables_initializer()
        graph.finalize()
        saver = tfsaver.Saver(variables)
        with v1.Session(graph=graph) as session:
            session.run(initialize)
            saver.restore(session, saver.save(session, str(tmp_path / "model"), write_meta_graph=False))
    assert runs == []
