"""TensorFlow's training programs with our Saver: what they write, and where they go on after a restart."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

import tfsaver
from tests.compat.programs.surroundings import Surroundings, ThreeWays, training_graph, values
from tests.plugins.tensorflow_programs import TensorFlowPrograms
from tfsaver.checkpoint.retention import Retention
from tfsaver.checkpoint.selection import Selection

# What these programs give their own Savers.
SCAFFOLD = {"sharded": True, "allow_empty": True}


def monitored(given: Surroundings) -> Any:
    facts: list[Any] = []
    for until in (5, 12, 12):
        with given.tf.Graph().as_default():
            variables, train = training_graph(given)
            scaffold = given.v1.train.Scaffold(saver=given.saver(**SCAFFOLD))
            with given.v1.train.MonitoredTrainingSession(
                checkpoint_dir=given.path,
                scaffold=scaffold,
                save_checkpoint_steps=1,
                save_summaries_steps=None,
                save_summaries_secs=None,
                log_step_count_steps=None,
                hooks=[given.v1.train.StopAtStepHook(last_step=until)],
            ) as session:
                # The hooks know nothing of a run of the session below.
                facts.append(values(session._tf_sess(), variables))
                while not session.should_stop():
                    session.run(train)
            given.check(scaffold.saver)
            facts += [given.files(), given.state()]
    return facts


def test_monitored_training_session_goes_on_after_a_restart(three_ways: ThreeWays) -> None:
    facts = three_ways(monitored)
    assert [facts[0], facts[3], facts[6]] == [[[0, 0], 10, 0], [[5, 10], 15, 5], [[12, 24], 22, 12]]
    assert "model.ckpt-12.index" in facts[4] and "model.ckpt-5.index" not in facts[4]


def hooked(given: Surroundings) -> Any:
    """A CheckpointSaverHook with a listener, on a session of one's own."""
    v1 = given.v1
    saved: list[int] = []

    class Listener(v1.train.CheckpointSaverListener):  # type: ignore[name-defined, misc]
        def after_save(self, session: Any, global_step_value: int) -> None:
            saved.append(int(global_step_value))

    with given.tf.Graph().as_default():
        variables, train = training_graph(given)
        saver = given.any_saver(variables, max_to_keep=2)
        hook = v1.train.CheckpointSaverHook(
            given.path, save_steps=3, saver=saver, checkpoint_basename="run", listeners=[Listener()]
        )
        with v1.train.SingularMonitoredSession(hooks=[hook]) as session:
            for _ in range(7):
                session.run(train)
        given.check(saver)
        return saved, given.files(), given.state(), [path.replace(given.path, "") for path in saver.last_checkpoints]


def test_checkpoint_saver_hook_saves_with_a_finalized_graph(three_ways: ThreeWays) -> None:
    saved, files, _, last = three_ways(hooked)
    assert saved[0] == 0 and saved[-1] == 7
    assert last == ["/run-6", "/run-7"] and "run-3.index" not in files


def managed(given: Surroundings) -> Any:
    """A SessionManager: initializes, restores a directory's latest, waits for nothing, restores a file."""
    v1 = given.v1
    facts: list[Any] = []
    for _ in range(2):
        with given.tf.Graph().as_default():
            variables, train = training_graph(given)
            saver = given.any_saver()
            manager = v1.train.SessionManager()
            initializer = v1.global_variables_initializer()
            with manager.prepare_session("", init_op=initializer, saver=saver, checkpoint_dir=given.path) as session:
                facts.append(values(session, variables))
                session.run(train)
                saver.save(session, f"{given.path}/model", variables[2])
                facts.append([path.replace(given.path, "") for path in saver.last_checkpoints])
    with given.tf.Graph().as_default():
        variables, _ = training_graph(given)
        saver = given.any_saver()
        manager = v1.train.SessionManager(ready_op=v1.report_uninitialized_variables())
        session, is_recovered = manager.recover_session("", saver, checkpoint_filename_with_path=f"{given.path}/model-1")
        with session:
            facts.append([is_recovered, values(session, variables)])
        session, is_recovered = manager.recover_session("", saver, checkpoint_dir=f"{given.path}/none")
        with session:
            facts.append(is_recovered)
        session, is_recovered = manager.recover_session("", saver, checkpoint_dir=given.path)
        with session:
            facts.append([is_recovered, [path.replace(given.path, "") for path in saver.last_checkpoints]])
    return facts


def test_session_manager_prepares_and_recovers(three_ways: ThreeWays) -> None:
    facts = three_ways(managed)
    assert facts == [
        [[0, 0], 10, 0],
        ["/model-1"],
        [[1, 2], 11, 1],
        ["/model-1", "/model-2"],
        [True, [[1, 2], 11, 1]],
        False,
        [True, ["/model-1", "/model-2"]],
    ]


@pytest.mark.parametrize("way", ["tensorflow", "ours", "patched"])
def test_supervisor_saves_from_its_thread(
    tf: Any, tensorflow_programs: Callable[[str], TensorFlowPrograms], tmp_path: pathlib.Path, way: str
) -> None:
    # In a process of its own: the thread finds the graph only where eager execution is off, as in the programs of its time.
    root = str(pathlib.Path(tfsaver.__file__).parents[1])
    program = "tests.compat.programs.supervised"
    done = tensorflow_programs(sys.executable).run(program, [str(tmp_path), way], cwd=root, paths=[root])
    assert done.status == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[[[0, 0], 10, 0], 20, [[20, 40], 30, 20], 40, [[40, 80], 50, 40]]"


def test_policy_holds_over_restarts_of_a_monitored_session(tf: Any, tmp_path: pathlib.Path) -> None:
    given = Surroundings(tf, tmp_path, "ours")
    for until in (4, 8):
        with tf.Graph().as_default():
            _, train = training_graph(given)
            saver = given.saver(retention=Retention(last=2), select=Selection(exclude="^bias$"))
            if until == 8:
                saver.pin(f"{tmp_path}/model.ckpt-3")
            # What is not saved has its initial value after a restart.
            initializer = given.v1.variables_initializer([given.v1.global_variables()[2]])
            scaffold = given.v1.train.Scaffold(
                saver=saver, ready_for_local_init_op=given.tf.constant([], given.tf.string), local_init_op=initializer
            )
            with given.v1.train.MonitoredTrainingSession(
                checkpoint_dir=str(tmp_path),
                scaffold=scaffold,
                save_checkpoint_steps=1,
                save_summaries_steps=None,
                save_summaries_secs=None,
                log_step_count_steps=None,
                hooks=[given.v1.train.StopAtStepHook(last_step=until)],
            ) as session:
                while not session.should_stop():
                    session.run(train)
    assert given.files("*.index") == [f"model.ckpt-{step}.index" for step in (3, 7, 8)]
    assert [name for name, _ in given.v1.train.list_variables(str(tmp_path))] == ["global_step", "weight"]
