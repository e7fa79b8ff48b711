"""What our Saver takes beyond TensorFlow's arguments, and what it does where TensorFlow's cannot."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from tfsaver import load_checkpoint
from tfsaver.checkpoint.retention import Retention
from tfsaver.checkpoint.selection import Selection
from tfsaver.compat.v1.train import Saver
from tfsaver.errors import InvalidArgumentError


@pytest.fixture
def model(tf: Any, session: Any) -> Any:
    """A dense layer with Adam, initialized."""
    v1 = tf.compat.v1
    kernel = v1.get_variable("dense/kernel", initializer=np.ones((3, 2), np.float32))
    bias = v1.get_variable("dense/bias", initializer=np.zeros(2, np.float32))
    loss = tf.reduce_sum(tf.square(kernel)) + tf.reduce_sum(tf.square(bias - 1.0))
    v1.train.AdamOptimizer(0.1).minimize(loss, global_step=v1.train.get_or_create_global_step())
    session.run(v1.global_variables_initializer())
    return v1.global_variables()


def test_what_fits_is_restored_and_reported(tf: Any, session: Any, model: Any, tmp_path: pathlib.Path) -> None:
    path = Saver(model).save(session, str(tmp_path / "model"))
    v1 = tf.compat.v1
    head = v1.get_variable("head/kernel", initializer=[7.0])
    other = v1.get_variable("other", initializer=[9.0])
    session.run([head.initializer, other.initializer, *(variable.assign(variable * 0) for variable in model[:2])])
    saver = Saver({"dense/kernel": model[0], "dense/bias": other, "dense/kernle": head})
    report = saver.restore(session, path, strict=False)
    assert report is not None
    assert [item.wanted.name for item in report.matched] == ["dense/kernel"]
    assert [item.name for item in report.missing] == ["dense/kernle"]
    assert session.run(model[0]).tolist() == [[1.0, 1.0]] * 3
    assert session.run([head, other]) == [[7.0], [9.0]]
    assert "dense/kernle" in str(report) and "dense/bias" in str(report)
    with pytest.raises(tf.errors.NotFoundError):
        saver.restore(session, path)
    assert Saver(model).restore(session, path) is None


def test_own_nodes_restore_all_or_nothing_to_speak_of(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="table")
    saver = Saver(saver_def=v1.train.Saver({"t": table}).as_saver_def())
    path = saver.save(session, str(tmp_path / "model"))
    with pytest.raises(tf.errors.UnimplementedError, match="strict=False"):
        saver.restore(session, path, strict=False)
    assert saver.restore(session, path) is None


def test_selection_leaves_the_optimizer_out_of_files_and_nodes(session: Any, model: Any, tmp_path: pathlib.Path) -> None:
    saver = Saver(select=Selection(without_optimizer=True), max_to_keep=None)
    report = saver.selection_report
    assert report is not None and report.num_bytes_kept == 4 * 8 + 8
    assert 0.6 < report.share_left_out < 0.7
    path = saver.save(session, str(tmp_path / "model"))
    names = ["dense/bias", "dense/kernel", "global_step"]
    with load_checkpoint(path) as reader:
        assert reader.names == names
    nodes = session.graph.get_operation_by_name("save/SaveV2")
    assert [tensor.op.name.split("/Read")[0] for tensor in nodes.inputs[3:]] == names
    session.run(model[0].assign(model[0] * 0.0))
    saver.restore(session, path)
    assert session.run(model[0]).tolist() == [[1.0, 1.0]] * 3
    assert Saver(select=Selection(include="^dense/")).saver_def.save_tensor_name.startswith("save_1/")
    assert len(saver._var_list) == len(model)


def test_selection_of_nothing_is_an_error(session: Any, model: Any) -> None:
    with pytest.raises(ValueError, match="'nowhere', to be included"):
        Saver(select=Selection(include="nowhere"))


def test_selection_cannot_change_what_nodes_save(session: Any, model: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="select="):
        Saver(saver_def=Saver().as_saver_def(), select=Selection(trainable_only=True))


def test_policy_keeps_the_best_and_the_pinned_over_a_restart(session: Any, model: Any, tmp_path: pathlib.Path) -> None:
    policy = Retention(last=1, best=1)
    saver = Saver(model, retention=policy, durable=False)
    for step, loss in enumerate((5.0, 1.0, 3.0, 4.0)):
        saver.save(session, str(tmp_path / "model"), step, metric=loss, write_meta_graph=False)
        if step == 2:
            saver.pin(tmp_path / "model-2")
    assert saver.last_checkpoints == [str(tmp_path / f"model-{step}") for step in (1, 2, 3)]
    again = Saver(model, retention=policy, durable=False)
    again.unpin(tmp_path / "model-2")
    path = again.save(session, str(tmp_path / "model"), 4, metric=np.float32(2.0))
    assert again.last_checkpoints == [str(tmp_path / "model-1"), path]
    assert sorted(item.name for item in tmp_path.glob("*.index")) == ["model-1.index", "model-4.index"]


def test_policy_removes_all_shards(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    for index, device in enumerate(("", "/cpu:0")):
        with v1.device(device):
            session.run(v1.get_variable(f"v{index}", initializer=[1.0]).initializer)
    for version in (1, 2):
        directory = tmp_path / str(version)
        directory.mkdir()
        saver = Saver(sharded=True, write_version=version, retention=Retention(last=1), durable=False)
        for step in range(3):
            path = saver.save(session, str(directory / "model"), step)
        assert saver.last_checkpoints == [path]
        assert {item.name.split(".")[0].split("-00")[0] for item in directory.glob("model*")} == {"model-2"}
        saver.restore(session, path)


@pytest.mark.parametrize("call", ["metric", "pin", "unpin"])
def test_only_a_policy_knows_metrics_and_pins(session: Any, model: Any, tmp_path: pathlib.Path, call: str) -> None:
    saver = Saver(model)
    path = str(tmp_path / "model")
    with pytest.raises(InvalidArgumentError, match=r"Saver\(retention="):
        if call == "metric":
            saver.save(session, path, metric=1.0)
        else:
            getattr(saver, call)(path)
    assert list(tmp_path.iterdir()) == []


def test_metric_must_be_a_number_before_anything_is_written(session: Any, model: Any, tmp_path: pathlib.Path) -> None:
    saver = Saver(model, retention=Retention(best=1))
    with pytest.raises(InvalidArgumentError, match="metric"):
        saver.save(session, str(tmp_path / "model"), metric="good")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_pin_of_what_is_not_there(tf: Any, session: Any, model: Any, tmp_path: pathlib.Path) -> None:
    with pytest.raises(tf.errors.NotFoundError):
        Saver(model, retention=Retention(last=1)).pin(tmp_path / "model")


@pytest.mark.parametrize("version", [1, 2], ids=["V1", "V2"])
def test_eager_variables_are_saved_in_shards(tf: Any, tmp_path: pathlib.Path, version: int, two_devices: None) -> None:
    with tf.device("/cpu:0"):
        a = tf.Variable([1.0, 2.0], name="a")
    with tf.device("/cpu:1"):
        b = tf.Variable(5, name="b")
    saver = Saver([a, b], sharded=True, write_version=version)
    assert saver.saver_def is None
    path = saver.save(None, str(tmp_path / "model"))
    assert len(list(tmp_path.glob("*-of-00002"))) == 2
    a.assign([0.0, 0.0])
    b.assign(0)
    saver.restore(None, path)
    assert (a.numpy().tolist(), int(b)) == ([1.0, 2.0], 5)


def test_eager_saver_def_says_where_the_last_save_and_restore_were(tf: Any, tmp_path: pathlib.Path) -> None:
    variable = tf.Variable([1.0], name="v")
    recorded = []
    for saver_class in (tf.compat.v1.train.Saver, Saver):
        saver = saver_class([variable], max_to_keep=3, keep_checkpoint_every_n_hours=2.0)
        path = saver.save(None, str(tmp_path / "model"), 1)
        saved = str(saver.saver_def)
        saver.restore(None, path)
        recorded.append((saved, str(saver.saver_def)))
    assert recorded[0] == recorded[1]
