"""What our Saver does that TensorFlow's does not: nothing by halves, nothing left behind, no node, on any graph."""

from __future__ import annotations

import errno
import inspect
import os
import pathlib
import pickle
import threading
from typing import Any

import numpy as np
import pytest

from tfsaver import errors, schemas
from tfsaver.compat import _restore, _save
from tfsaver.compat.v1 import train
from tfsaver.compat.v1.train import Saver

METHODS = [
    "__init__",
    "build",
    "save",
    "restore",
    "export_meta_graph",
    "as_saver_def",
    "to_proto",
    "from_proto",
    "set_last_checkpoints",
    "set_last_checkpoints_with_time",
    "recover_last_checkpoints",
]


def listing(directory: pathlib.Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def make_variables(tf: Any, session: Any, *, resource: bool = True) -> list[Any]:
    """Three initialized variables: [1, 2], 7 and b"text"."""
    v1 = tf.compat.v1
    initial = (("a", [1.0, 2.0]), ("b", np.int64(7)), ("c", b"text"))
    variables = [v1.get_variable(name, initializer=value, use_resource=resource) for name, value in initial]
    session.run([variable.initializer for variable in variables])
    return variables


def values(session: Any, variables: list[Any]) -> list[Any]:
    return [value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value for value in session.run(variables)]


@pytest.mark.parametrize("method", METHODS)
def test_signatures_are_tensorflows_and_what_is_ours_is_keyword_only(tf: Any, method: str) -> None:
    theirs = inspect.signature(getattr(tf.compat.v1.train.Saver, method))
    ours = inspect.signature(getattr(Saver, method))
    ours_alone = [each for each in ours.parameters.values() if each.name not in theirs.parameters]
    shared = [each for each in ours.parameters.values() if each.name in theirs.parameters]
    assert [(each.name, each.default, each.kind) for each in shared] == [
        (each.name, each.default, each.kind) for each in theirs.parameters.values()
    ]
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in ours_alone)


def test_every_public_attribute_of_tensorflows_saver_is_there(tf: Any, session: Any) -> None:
    make_variables(tf, session)
    theirs, ours = tf.compat.v1.train.Saver(), Saver()
    missing = {name for name in dir(theirs) if not name.startswith("_") and not hasattr(ours, name)}
    assert missing == set()
    assert not hasattr(ours, "name")
    assert bool(Saver([], allow_empty=True))


def test_finalized_graph_gets_a_saver_that_saves_and_restores(
    tf: Any, graph: Any, session: Any, tmp_path: pathlib.Path
) -> None:
    variables = make_variables(tf, session)
    graph.finalize()
    before = graph.as_graph_def().SerializeToString(deterministic=True)
    path = Saver().save(session, str(tmp_path / "model"))
    for variable in variables:
        session.run(variable.initializer, {variable.initializer.inputs[1].name: np.zeros_like(session.run(variable))})
    Saver(max_to_keep=1).restore(session, path)
    assert values(session, variables) == [[1.0, 2.0], 7, b"text"]
    assert graph.as_graph_def().SerializeToString(deterministic=True) == before


def test_graph_does_not_grow_with_savers(tf: Any, graph: Any, session: Any, tmp_path: pathlib.Path) -> None:
    make_variables(tf, session)
    Saver()
    before = len(graph.get_operations())
    for step in range(3):
        saver = Saver(max_to_keep=step)
        saver.restore(session, saver.save(session, str(tmp_path / "model"), step))
    assert len(graph.get_operations()) == before


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
def test_wrong_shape_is_an_error_and_changes_nothing(tf: Any, session: Any, tmp_path: pathlib.Path, resource: bool) -> None:
    v1 = tf.compat.v1
    variables = make_variables(tf, session, resource=resource)
    path = Saver({"a": variables[0], "z": variables[1]}).save(session, str(tmp_path / "model"))
    changed = v1.get_variable("other", initializer=[5.0, 6.0, 7.0], use_resource=resource)
    kept = v1.get_variable("kept", initializer=np.int64(1), use_resource=resource)
    session.run([changed.initializer, kept.initializer])
    saver = Saver({"z": kept, "a": changed})
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"tensor_name = a; .* lhs shape= \[3\] rhs shape= \[2\]"
    ) as caught:
        saver.restore(session, path)
    assert values(session, [changed, kept]) == [[5.0, 6.0, 7.0], 1]
    assert isinstance(caught.value.__cause__, errors.InvalidArgumentError)


def test_unknown_dimensions_take_what_fits_the_known_ones(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    saved = v1.get_variable("saved", initializer=np.ones((3, 2), np.float32))
    session.run(saved.initializer)
    path = Saver({"v": saved}).save(session, str(tmp_path / "model"))
    shapes: list[tuple[Any, bool]] = [
        ((None, 2), True),
        ((3, None), True),
        ((None, 3), False),
        ((None,), False),
        (None, True),
    ]
    for index, (shape, fits) in enumerate(shapes):
        initial = v1.placeholder(tf.float32, shape)
        variable = v1.Variable(initial, validate_shape=False, name=f"v{index}", use_resource=True)
        saver = Saver({"v": variable})
        if not fits:
            with pytest.raises(tf.errors.InvalidArgumentError, match="lhs shape"):
                saver.restore(session, path)
            continue
        saver.restore(session, path)
        assert session.run(variable).tolist() == [[1.0, 1.0]] * 3


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
def test_variable_of_unknown_shape_takes_any_and_the_graph_grows_once(
    tf: Any, graph: Any, session: Any, tmp_path: pathlib.Path, resource: bool
) -> None:
    v1 = tf.compat.v1
    saved = v1.get_variable("saved", initializer=[1.0, 2.0, 3.0])
    free = v1.Variable([0.0], validate_shape=False, name="free", use_resource=resource, shape=tf.TensorShape(None))
    session.run([saved.initializer, free.initializer])
    path = Saver({"v": saved}).save(session, str(tmp_path / "model"))
    sizes = []
    for _ in range(3):
        Saver({"v": free}).restore(session, path)
        sizes.append(len(graph.get_operations()))
    assert session.run(free.value()).tolist() == [1.0, 2.0, 3.0]
    assert sizes[0] == sizes[1] and sizes[2] - sizes[1] == 0


def test_variable_without_usable_assignment_is_named_on_a_finalized_graph(
    tf: Any, graph: Any, session: Any, tmp_path: pathlib.Path
) -> None:
    v1 = tf.compat.v1
    saved = v1.get_variable("saved", initializer=[1.0, 2.0, 3.0])
    fixed = v1.get_variable("fixed", initializer=[9.0], use_resource=True)
    free = v1.Variable([0.0], validate_shape=False, name="free", use_resource=True, shape=tf.TensorShape(None))
    session.run([saved.initializer, fixed.initializer, free.initializer])
    path = Saver({"v": saved, "a": fixed}).save(session, str(tmp_path / "model"))
    session.run(fixed.assign([4.0]))
    graph.finalize()
    with pytest.raises(tf.errors.UnimplementedError, match="free"):
        Saver({"v": free, "a": fixed}).restore(session, path)
    assert session.run(fixed).tolist() == [4.0]


def test_variables_that_share_their_initial_value_are_told_apart(
    tf: Any, graph: Any, session: Any, tmp_path: pathlib.Path
) -> None:
    v1 = tf.compat.v1
    shared = tf.constant([0.0, 0.0])
    variables = [v1.Variable(shared, name=f"v{i}", use_resource=i % 2 == 0) for i in range(4)]
    session.run(v1.global_variables_initializer())
    session.run([variable.assign([float(i), float(i)]) for i, variable in enumerate(variables)])
    graph.finalize()
    path = Saver().save(session, str(tmp_path / "model"))
    session.run([variable.initializer for variable in variables])
    Saver().restore(session, path)
    assert values(session, variables) == [[float(i)] * 2 for i in range(4)]


def test_initial_value_that_must_not_be_fed_gives_way_to_another_assignment(
    tf: Any, graph: Any, session: Any, tmp_path: pathlib.Path
) -> None:
    v1 = tf.compat.v1
    initial = tf.constant([1.0, 2.0])
    variable = v1.get_variable("v", initializer=initial)
    update = variable.assign(tf.zeros([2]))
    session.run(variable.initializer)
    graph.prevent_feeding(variable.initializer.inputs[1])
    graph.finalize()
    saver = Saver()
    path = saver.save(session, str(tmp_path / "model"))
    session.run(update.op if hasattr(update, "op") else update)
    saver.restore(session, path)
    assert session.run(variable).tolist() == [1.0, 2.0]


def test_restore_names_all_that_is_missing_and_all_that_does_not_fit(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    a, b, c = make_variables(tf, session)
    path = Saver({"net/dense/kernel": a, "net/step": b}).save(session, str(tmp_path / "model"))
    wide = v1.get_variable("wide", initializer=np.zeros(2, np.float64))
    session.run(wide.initializer)
    saver = Saver({"dense/kernel": a, "net/stepp": b, "unheard_of": c, "net/dense/kernel": wide})
    with pytest.raises(tf.errors.NotFoundError) as caught:
        saver.restore(session, path)
    said = str(caught.value)
    assert "3 of 4 tensors are missing" in said
    assert f"Key dense/kernel not found in checkpoint {path}; did you mean 'net/dense/kernel'?" in said
    assert "Key net/stepp not found in checkpoint" in said and "did you mean 'net/step'?" in said
    assert "Key unheard_of not found in checkpoint" in said
    assert "tensor_name = net/dense/kernel; expected dtype double does not equal original dtype float" in said
    assert isinstance(caught.value.__cause__, errors.NotFoundError)


@pytest.mark.parametrize("held_size", [_restore.HELD_SIZE, 0], ids=["held", "read_twice"])
@pytest.mark.parametrize("version", [schemas.SaverDef.V1, schemas.SaverDef.V2], ids=["V1", "V2"])
def test_damage_in_the_last_tensor_changes_no_variable(
    tf: Any, session: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, held_size: int, version: int
) -> None:
    monkeypatch.setattr(_restore, "HELD_SIZE", held_size)
    variables = make_variables(tf, session)
    saver = Saver(write_version=version)
    path = saver.save(session, str(tmp_path / "model"))
    data = tmp_path / ("model.data-00000-of-00001" if version == schemas.SaverDef.V2 else "model")
    intact = data.read_bytes()
    data.write_bytes(intact.replace(b"text", b"texx"))
    session.run([variables[0].assign([8.0, 8.0]), variables[1].assign(8)])
    with pytest.raises(tf.errors.DataLossError):
        saver.restore(session, path)
    assert values(session, variables) == [[8.0, 8.0], 8, b"text"]
    data.write_bytes(intact)
    saver.restore(session, path)
    assert values(session, variables) == [[1.0, 2.0], 7, b"text"]


def test_shortened_data_is_data_loss(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    make_variables(tf, session)
    path = Saver().save(session, str(tmp_path / "model"))
    data = tmp_path / "model.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(tf.errors.DataLossError) as caught:
        Saver().restore(session, path)
    assert isinstance(caught.value.__cause__, errors.DataLossError)


@pytest.mark.parametrize("version", [schemas.SaverDef.V1, schemas.SaverDef.V2], ids=["V1", "V2"])
@pytest.mark.parametrize("where", ["model", "new/model"])
def test_full_disk_leaves_nothing_behind(
    tf: Any, session: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, version: int, where: str
) -> None:
    if version == schemas.SaverDef.V1 and "/" in where:
        (tmp_path / "new").mkdir()
    make_variables(tf, session)
    saver = Saver(write_version=version, max_to_keep=1)
    saver.save(session, str(tmp_path / "before"))
    before = listing(tmp_path)
    state = (tmp_path / "checkpoint").read_text()

    def no_space(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = _save.BundleWriter if version == schemas.SaverDef.V2 else _save.TensorSliceWriter
    added = writer.add

    def add_two(self: Any, name: str, value: Any, **options: Any) -> None:
        added(self, name, value, **options)
        if name == "b":
            no_space()

    monkeypatch.setattr(writer, "add", add_two)
    with pytest.raises(tf.errors.ResourceExhaustedError) as caught:
        saver.save(session, str(tmp_path / where))
    assert isinstance(caught.value.__cause__, OSError)
    assert listing(tmp_path) == before
    assert (tmp_path / "checkpoint").read_text() == state
    assert saver.last_checkpoints == [str(tmp_path / "before")]


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
def test_uninitialized_variable_leaves_no_directory_behind(
    tf: Any, session: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, resource: bool
) -> None:
    v1 = tf.compat.v1
    v1.get_variable("v", initializer=1.0, use_resource=resource)
    monkeypatch.chdir(tmp_path)
    saver = Saver()
    for path in (str(tmp_path / "new" / "model"), "model"):
        # For a bare name TensorFlow blames a missing parent directory, wrongly.
        with pytest.raises(tf.errors.FailedPreconditionError, match="v"):
            saver.save(session, path)
    assert listing(tmp_path) == []
    assert saver.last_checkpoints == []


def test_state_file_that_cannot_be_written_is_not_recorded(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    make_variables(tf, session)
    saver = Saver(max_to_keep=1)
    saver.save(session, str(tmp_path / "first"))
    (tmp_path / "state").mkdir()
    with pytest.raises(tf.errors.OpError):
        saver.save(session, str(tmp_path / "second"), latest_filename="state")
    assert saver.last_checkpoints == [str(tmp_path / "first")]
    assert (tmp_path / "first.index").exists()
    Saver().restore(session, str(tmp_path / "second"))


def test_checkpoint_that_cannot_be_removed_does_not_fail_the_save(
    tf: Any, session: Any, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_variables(tf, session)
    saver = Saver(max_to_keep=1)
    saver.save(session, str(tmp_path / "first"), write_meta_graph=False)
    (tmp_path / "first.meta").mkdir()
    saver.save(session, str(tmp_path / "second"))
    assert saver.last_checkpoints == [str(tmp_path / "second")]
    assert "Ignoring" in caplog.text


def test_saves_from_several_threads_keep_the_newest(tf: Any, graph: Any, session: Any, tmp_path: pathlib.Path) -> None:
    make_variables(tf, session)
    saver = Saver(max_to_keep=3, durable=False)
    failures: list[BaseException] = []

    def save(thread: int) -> None:
        try:
            for step in range(4):
                saver.save(session, str(tmp_path / f"t{thread}"), global_step=step, write_meta_graph=False)
                saver.save(session, str(tmp_path / "shared"), write_meta_graph=False)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=save, args=[thread]) for thread in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(saver.last_checkpoints) == 3
    state = train.get_checkpoint_state(str(tmp_path))
    assert list(state.all_model_checkpoint_paths) == saver.last_checkpoints
    names = sorted(os.path.basename(path) for path in saver.last_checkpoints)
    assert listing(tmp_path) == sorted(
        ["checkpoint", *(f"{n}.{end}" for n in names for end in ("data-00000-of-00001", "index"))]
    )
    for path in saver.last_checkpoints:
        saver.restore(session, path)


def test_session_wrapper_is_a_session(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    make_variables(tf, session)
    (interface,) = [base for base in type(session).__mro__ if base.__name__ == "SessionInterface"]

    class Wrapper(interface):  # type: ignore[misc, valid-type]
        @property
        def graph(self) -> Any:
            return session.graph

        def run(self, fetches: Any, feed_dict: Any = None, options: Any = None, run_metadata: Any = None) -> Any:
            return session.run(fetches, feed_dict, options, run_metadata)

    saver = Saver()
    saver.restore(Wrapper(), saver.save(Wrapper(), str(tmp_path / "model")))
    assert (tmp_path / "model.meta").exists()


def test_saver_works_outside_of_its_graphs_scope(tf: Any, tmp_path: pathlib.Path) -> None:
    with tf.Graph().as_default() as graph:
        variable = tf.Variable([1.0, 2.0])
        saver = Saver()
    assert tf.executing_eagerly()
    with tf.compat.v1.Session(graph=graph) as session:
        session.run(variable.initializer)
    session = tf.compat.v1.Session(graph=graph)
    session.run(variable.initializer)
    path = saver.save(session, str(tmp_path / "model"))
    saver.restore(session, path)
    assert session.run(variable).tolist() == [1.0, 2.0]
    meta = tf.compat.v1.MetaGraphDef.FromString((tmp_path / "model.meta").read_bytes())
    assert {node.name for node in meta.graph_def.node} == {op.name for op in graph.get_operations()}
    session.close()


def test_paths_may_be_path_objects(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    variables = make_variables(tf, session)
    saver = Saver(variables)
    assert saver.save(session, tmp_path / "model") == str(tmp_path / "model")
    saver.restore(session, tmp_path / "model")


def test_unknown_format_is_refused_when_the_saver_is_made(tf: Any, session: Any) -> None:
    make_variables(tf, session)
    for version in (0, 3, None, "V2"):
        with pytest.raises(TypeError, match="SaverDef"):
            Saver(write_version=version)


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
def test_reshape_into_an_unknown_shape_takes_the_shape_that_the_variable_has_now(
    tf: Any, graph: Any, session: Any, tmp_path: pathlib.Path, resource: bool
) -> None:
    v1 = tf.compat.v1
    saved = v1.get_variable("saved", initializer=np.arange(6, dtype=np.float32))
    initial = v1.placeholder(tf.float32, [None, 2])
    target = v1.Variable(initial, validate_shape=False, name="target", use_resource=resource)
    session.run([saved.initializer, target.initializer], {initial: np.zeros((3, 2), np.float32)})
    path = Saver({"v": saved}).save(session, str(tmp_path / "model"))
    for saver in (Saver({"v": target}, reshape=True), v1.train.Saver({"v": target}, reshape=True)):
        session.run(target.initializer, {initial: np.zeros((3, 2), np.float32)})
        saver.restore(session, path)
        assert session.run(target.value()).tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
        session.run(target.initializer, {initial: np.zeros((2, 2), np.float32)})
        with pytest.raises(tf.errors.InvalidArgumentError, match="Input to reshape is a tensor with 6 values"):
            saver.restore(session, path)


def test_errors_from_a_restore_can_be_pickled_by_their_cause(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    variables = make_variables(tf, session)
    path = Saver(variables).save(session, str(tmp_path / "model"))
    with pytest.raises(tf.errors.NotFoundError) as caught:
        Saver({"other": variables[0]}).restore(session, path)
    copy = pickle.loads(pickle.dumps(caught.value.__cause__))
    assert str(copy) == str(caught.value.__cause__)


def test_monitored_session_saves_and_restores_through_the_saver(tf: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    directory = str(tmp_path)
    for run in (1, 2):
        with tf.Graph().as_default():
            step = v1.train.get_or_create_global_step()
            weight = v1.get_variable("weight", initializer=0.0)
            train_op = tf.group(step.assign_add(1), weight.assign_add(10.0))
            scaffold = v1.train.Scaffold(saver=Saver(max_to_keep=2))
            hooks = [v1.train.StopAtStepHook(num_steps=2)]
            with v1.train.MonitoredTrainingSession(
                checkpoint_dir=directory, scaffold=scaffold, hooks=hooks, save_checkpoint_steps=1, save_summaries_secs=None,
                save_summaries_steps=None, log_step_count_steps=None
            ) as session:  # fmt: skip
                while not session.should_stop():
                    session.run(train_op)
        assert train.latest_checkpoint(directory) == str(tmp_path / f"model.ckpt-{2 * run}")
    assert v1.train.load_variable(directory, "weight") == 40.0
    assert len(list(tmp_path.glob("*.index"))) == 2
