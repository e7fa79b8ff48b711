"""What only nodes of the graph can save, and graphs whose nodes decide what is saved, in TensorFlow and in ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compat.scenario import Recorded, Scenario
from tfsaver.compat import patch_tensorflow
from tfsaver.compat.v1.train import Saver
from tfsaver.errors import UnimplementedError

Compare = Callable[..., Recorded]


def _iterator(run: Scenario) -> tuple[Any, Any, Any]:
    """An iterator over 0 to 9, its next element, and the object that saves it."""
    iterator = run.v1.data.make_initializable_iterator(run.tf.data.Dataset.range(10))
    saveable = run.tf.data.experimental.make_saveable_from_iterator(iterator)
    run.session.run(iterator.initializer)
    return iterator, iterator.get_next(), saveable


def iterator_and_variables(run: Scenario, sharded: bool) -> None:
    _, following, saveable = _iterator(run)
    run.v1.add_to_collection(run.v1.GraphKeys.SAVEABLE_OBJECTS, saveable)
    a, b = run.two_variables()
    saver = run.saver(sharded=sharded)
    for _ in range(2):
        # The second save overwrites the first.
        run.values(following, following)
        path = run.call(saver.save, run.session, "model")
    # How many elements an iterator's state has differs from run to run.
    run.note([name for name, _ in run.tf.train.list_variables(path)])
    run.values(following)
    run.session.run(a.assign([0, 0]))
    run.call(saver.restore, run.session, path)
    run.values(following, a, b)


def iterator_alone_and_imported(run: Scenario) -> None:
    iterator, following, saveable = _iterator(run)
    run.values(following)
    path = run.call(run.saver({"it": saveable}).save, run.session, "model")
    with run.tf.Graph().as_default(), run.v1.Session() as session:
        saver = run.train.import_meta_graph(f"{path}.meta")
        session.run(iterator.initializer.name)
        run.call(saver.restore, session, path)
        run.note(int(session.run(following.name)))


def iterator_that_the_checkpoint_lacks(run: Scenario) -> None:
    a, b = run.two_variables()
    path = run.call(run.saver([a, b]).save, run.session, "model")
    _, following, saveable = _iterator(run)
    run.session.run(a.assign([3, 4]))
    saver = run.saver([a, b, saveable])
    run.call(saver.restore, run.session, path, fragment="not found in checkpoint")
    run.values(following, a, b)


def session_of_a_rewired_copy(run: Scenario, resource: bool, rounded: bool) -> None:
    """As quantization-aware training does it: the nodes that save have their names, and save something else."""
    run.variable("a", np.float32([1.25, 2.75]), resource=resource)
    run.variable("b", np.float32([3.25, 4.75]), resource=resource)
    saver = run.saver()
    copied = run.v1.get_default_graph().as_graph_def()
    save = next(node for node in copied.node if node.op == "SaveV2")
    if rounded:
        node = copied.node.add(name="rounded", op="Round", input=[save.input[3]])
        node.attr["T"].type = run.tf.float32.as_datatype_enum
        save.input[3] = "rounded"
    else:
        first, second = save.input[3:5]
        save.input[3], save.input[4] = second, first
    with run.tf.Graph().as_default(), run.v1.Session() as session:
        run.tf.import_graph_def(copied, name="")
        session.run(["a/Assign", "b/Assign"])
        path = run.call(saver.save, session, "model", write_meta_graph=False)
        reader = run.tf.train.load_checkpoint(path)
        run.note([reader.get_tensor(name).tolist() for name in ("a", "b")])
        session.run(["a/Assign", "b/Assign"])
        run.call(saver.restore, session, path)
        names = ["a/Read/ReadVariableOp:0", "b/Read/ReadVariableOp:0"] if resource else ["a:0", "b:0"]
        run.note([value.tolist() for value in session.run(names)])


def session_of_a_graph_with_fewer_variables(run: Scenario) -> None:
    a, b = run.two_variables()
    saver = run.saver([a, b])
    with run.tf.Graph().as_default(), run.v1.Session() as session:
        other = run.v1.get_variable("v0", initializer=np.float32([5, 6]), use_resource=True)
        run.saver([other])
        session.run(other.initializer)
        path = run.call(saver.save, session, "model", write_meta_graph=False)
        run.note(run.tf.train.list_variables(path))


def _global_saveable(run: Scenario, variable: Any) -> Any:
    from tensorflow.python.training.saving import saveable_object

    class Saveable(saveable_object.SaveableObject):  # type: ignore[misc]
        """Its tensor has a name that no key and no object decides."""

        def __init__(self, name: str = "") -> None:
            super().__init__(variable, [saveable_object.SaveSpec(variable, "", "global/name", variable.dtype)], "global/name")

        def restore(self, restored_tensors: Any, restored_shapes: Any) -> Any:
            return variable.assign(restored_tensors[0])

    return Saveable


def trackable_with_a_global_name(run: Scenario, resource: bool, made: bool, as_dict: bool) -> None:
    variable = run.variable("v", np.float32([3, 4]), resource=resource)
    saveable = _global_saveable(run, variable)

    class Owner(run.tf.__internal__.tracking.Trackable):  # type: ignore[name-defined, misc]
        name = "owner"

        def _gather_saveables_for_checkpoint(self) -> dict[str, Any]:
            return {"state": saveable() if made else saveable}

    saver = run.saver({"owner": Owner()} if as_dict else [Owner()])
    path = run.call(saver.save, run.session, "model")
    run.note(run.tf.train.list_variables(path))
    run.session.run(variable.assign([0, 0]))
    run.call(saver.restore, run.session, path)
    run.values(variable)


def files_that_a_restore_leaves_open(run: Scenario, num: int, sharded: bool, v1: bool) -> None:
    variables = [run.v1.get_variable(f"v{k}", initializer=np.float32([k])) for k in range(num)]
    run.session.run(run.v1.global_variables_initializer())
    saver = run.saver(sharded=sharded, write_version=1 if v1 else 2)
    path = run.call(saver.save, run.session, "model")
    for _ in range(2):
        run.call(saver.restore, run.session, path)
    run.values(variables[-1])
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    opened = [os.readlink(link) for link in links if os.path.islink(link)]
    run.note([name for name in opened if name.startswith(str(run.directory))])


def trained_around_a_loaded_model(run: Scenario) -> None:
    """The variables of a TF1 SavedModel that tf.saved_model.load brings to a graph have tensors for handles."""
    with run.tf.Graph().as_default(), run.v1.Session() as session:
        x = run.v1.placeholder(run.tf.float32, [2])
        loaded = run.v1.get_variable("loaded", initializer=np.float32([1, 2]), use_resource=True)
        session.run(loaded.initializer)
        run.v1.saved_model.simple_save(session, "model", {"x": x}, {"y": x + loaded})
    found = []
    with patch_tensorflow() if run.implementation == "tfsaver" else run.tf.name_scope(""):
        for _ in range(2):
            with run.tf.Graph().as_default():
                model = run.tf.saved_model.load("model")
                y = model.signatures["serving_default"](run.tf.constant([1.0, 1.0]))["y"]
                step = run.v1.train.get_or_create_global_step()
                train = run.v1.assign_add(step, 1)
                options = {"save_checkpoint_steps": 1, "save_summaries_steps": None, "log_step_count_steps": None}
                with run.v1.train.MonitoredTrainingSession(
                    checkpoint_dir="train", save_summaries_secs=None, **options
                ) as session:
                    found.append([session.run(y).tolist(), int(session.run(train))])
    run.note(found, run.tf.train.list_variables(run.tf.train.latest_checkpoint("train")))
    for events in (run.directory / "train").glob("events*"):
        events.unlink()


SCENARIOS = [
    *((iterator_and_variables, sharded) for sharded in (False, True)),
    (iterator_alone_and_imported,),
    (iterator_that_the_checkpoint_lacks,),
    *((session_of_a_rewired_copy, resource, rounded) for resource in (False, True) for rounded in (False, True)),
    (session_of_a_graph_with_fewer_variables,),
    *((trackable_with_a_global_name, resource, made, not made) for resource in (False, True) for made in (False, True)),
    *((files_that_a_restore_leaves_open, *case) for case in [(3, False, False), (3, True, True), (130, False, False)]),
    (trained_around_a_loaded_model,),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: "-".join(map(_label, scenario)))
def test_both_savers_do_the_same(compare: Compare, scenario: tuple[Any, ...]) -> None:
    program, *arguments = scenario
    compare(program, *arguments)


def _label(part: Any) -> str:
    return part.__name__ if callable(part) else str(part)


def test_iterator_on_a_finalized_graph_without_nodes_names_the_way(tf: Any, graph: Any, session: Any, tmp_path: Any) -> None:
    iterator = tf.compat.v1.data.make_initializable_iterator(tf.data.Dataset.range(10))
    saveable = tf.data.experimental.make_saveable_from_iterator(iterator)
    graph.finalize()
    with pytest.raises(UnimplementedError, match="make the Saver before that"):
        Saver([saveable], durable=False).save(session, str(tmp_path / "model"))


def test_iterator_takes_no_options_that_need_values_in_this_process(
    tf: Any, graph: Any, session: Any, tmp_path: Any
) -> None:
    iterator = tf.compat.v1.data.make_initializable_iterator(tf.data.Dataset.range(10))
    saver = Saver([tf.data.experimental.make_saveable_from_iterator(iterator)], durable=False)
    session.run(iterator.initializer)
    path = saver.save(session, str(tmp_path / "model"))
    with pytest.raises(tf.errors.UnimplementedError, match="only the nodes"):
        saver.restore(session, path, strict=False)


def test_failed_save_of_an_iterator_keeps_the_old_checkpoint(
    tf: Any, graph: Any, session: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    iterator = tf.compat.v1.data.make_initializable_iterator(tf.data.Dataset.range(10))
    v = tf.compat.v1.get_variable("v", initializer=[1.0])
    saver = Saver([v, tf.data.experimental.make_saveable_from_iterator(iterator)], durable=False)
    session.run([iterator.initializer, v.initializer])
    path = saver.save(session, str(tmp_path / "model"))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with tf.compat.v1.Session() as fresh, pytest.raises(tf.errors.FailedPreconditionError):
        saver.save(fresh, str(path))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
