"""Savers that come without variables: from a SaverDef alone, whose nodes lead to them, or to what only they can do."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from tfsaver import load_checkpoint, schemas
from tfsaver.compat import _transports
from tfsaver.compat._saver_graph import find_variables
from tfsaver.compat.v1.train import Saver

V1, V2 = schemas.SaverDef.V1, schemas.SaverDef.V2


@pytest.fixture
def runtime_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was left to TensorFlow's runtime."""
    calls: list[str] = []
    for name in ("save", "restore"):
        done = getattr(_transports, f"run_{name}")
        monkeypatch.setattr(
            _transports, f"run_{name}", lambda *arguments, name=name, done=done: (calls.append(name), done(*arguments))[1]
        )
    return calls


def make_graph(tf: Any, saver_class: Any, **options: Any) -> tuple[bytes, Any]:
    """A graph without collections, and the SaverDef of a Saver of all its variables."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        with v1.device("/cpu:0"):
            v1.get_variable("a", initializer=[1.0, 2.0], use_resource=True)
        v1.get_variable("b", initializer=np.int64(3), use_resource=False)
        v1.get_variable("s", initializer=[b"x", b"\0"], use_resource=True)
        for resource, name in ((True, "p"), (False, "q")):
            v1.get_variable(
                name,
                [4, 2],
                initializer=v1.ones_initializer(),
                partitioner=v1.fixed_size_partitioner(2),
                use_resource=resource,
            )
        v1.Variable(v1.placeholder_with_default([[5.0]], [None, 1]), validate_shape=False, name="u", use_resource=False)
        v1.group(*(variable.initializer for variable in v1.global_variables()), name="initialize")
        saver_def = saver_class(**options).as_saver_def()
    return graph.as_graph_def().SerializeToString(), saver_def


@pytest.mark.parametrize("saver", ["tensorflow", "tfsaver"])
@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
@pytest.mark.parametrize("version", [V1, V2], ids=["V1", "V2"])
@pytest.mark.parametrize("scope", ["", "deep/er"], ids=["root", "scoped"])
def test_saver_def_leads_to_the_variables(
    tf: Any, tmp_path: pathlib.Path, runtime_calls: list[str], saver: str, sharded: bool, version: int, scope: str
) -> None:
    v1 = tf.compat.v1
    saver_class = Saver if saver == "tfsaver" else v1.train.Saver
    graph_def, saver_def = make_graph(tf, saver_class, sharded=sharded, write_version=version)
    with tf.Graph().as_default() as graph, v1.Session() as session:
        tf.import_graph_def(v1.GraphDef.FromString(graph_def), name=scope)
        graph.finalize()
        session.run(f"{scope}/initialize".lstrip("/"))
        ours = Saver(saver_def=saver_def, name=scope)
        assert ours.saver_def is saver_def
        path = ours.save(session, str(tmp_path / "ours"), 7)
        assert (
            v1.train.Saver(saver_def=saver_def).save(session, str(tmp_path / "theirs"), 7).replace("theirs", "ours") == path
        )
        names = ["a", "b", "p", "q", "s", "u"]
        assert v1.train.list_variables(path) == v1.train.list_variables(path.replace("ours", "theirs"))
        with load_checkpoint(path) as reader:
            assert reader.names == names
    for name in ("ours", "theirs"):
        with v1.Session(graph=graph) as session:
            Saver(saver_def=saver_def).restore(session, path.replace("ours", name))
            prefix = f"{scope}/" if scope else ""
            reads = ["a/Read/ReadVariableOp", "b", "p/part_1/Read/ReadVariableOp", "q/part_0", "s/Read/ReadVariableOp", "u"]
            values = [np.asarray(value).tolist() for value in session.run([f"{prefix}{read}:0" for read in reads])]
            assert values == [[1.0, 2.0], 3, [[1.0, 1.0]] * 2, [[1.0, 1.0]] * 2, [b"x", b"\0"], [[5.0]]]
    assert runtime_calls == []
    files = {item.name.replace("theirs", "ours") for item in tmp_path.iterdir() if "theirs" in item.name}
    assert files == {item.name for item in tmp_path.iterdir() if "ours" in item.name}
    for item in tmp_path.glob("ours*data*"):
        assert item.read_bytes() == item.with_name(item.name.replace("ours", "theirs")).read_bytes()


def test_reshape_is_found_in_the_nodes(tf: Any, tmp_path: pathlib.Path, runtime_calls: list[str]) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        row = v1.get_variable("v", initializer=np.arange(6, dtype=np.float32))
        session.run(row.initializer)
        path = Saver().save(session, str(tmp_path / "model"))
    with tf.Graph().as_default(), v1.Session() as session:
        square = v1.get_variable("v", [2, 3])
        saver_def = v1.train.Saver(reshape=True).as_saver_def()
        Saver(saver_def=saver_def).restore(session, path)
        assert session.run(square).tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
        with pytest.raises(tf.errors.InvalidArgumentError, match="Assign requires shapes"):
            Saver(saver_def=v1.train.Saver().as_saver_def()).restore(session, path)
    assert runtime_calls == []


def test_settings_are_the_saver_defs(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    session.run(v1.get_variable("v", initializer=1.0).initializer)
    saver_def = Saver(max_to_keep=1, write_version=V1, keep_checkpoint_every_n_hours=0.5).as_saver_def()
    saver = Saver(saver_def=saver_def, max_to_keep=7, write_version=V2)
    for step in range(3):
        saver.save(session, str(tmp_path / "model"), step, write_meta_graph=False)
    assert saver.last_checkpoints == [str(tmp_path / "model-2")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "model-2"]


def test_saver_def_without_its_graph_waits_for_the_session(tf: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        variable = v1.get_variable("v", initializer=[1.0])
        saver_def = Saver().as_saver_def()
    with tf.Graph().as_default():
        saver = Saver(saver_def=saver_def)
    with v1.Session(graph=graph) as session:
        session.run(variable.initializer)
        saver.restore(session, saver.save(session, str(tmp_path / "model")))
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("w", initializer=[1.0])
        with pytest.raises(TypeError, match="save/Const"):
            saver.restore(session, str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("field", "message"),
    [("save_tensor_name", "must specify the save_tensor_name"), ("restore_op_name", "must specify the restore_op_name")],
)
def test_saver_def_must_name_its_nodes(tf: Any, session: Any, field: str, message: str) -> None:
    tf.compat.v1.get_variable("v", initializer=[1.0])
    for saver_class in (tf.compat.v1.train.Saver, Saver):
        saver_def = Saver().as_saver_def()
        saver_def.ClearField(field)
        with pytest.raises(ValueError, match=message):
            saver_class(saver_def=saver_def)
        with pytest.raises(ValueError, match="saver_def must be a saver_pb2.SaverDef"):
            saver_class(saver_def="text")


def test_what_is_no_variable_is_left_to_its_nodes(tf: Any, tmp_path: pathlib.Path, runtime_calls: list[str]) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="table")
        variable = v1.get_variable("v", initializer=[1.0])
        saver_def = v1.train.Saver({"t": table, "v": variable}).as_saver_def()
        looked_up = table.lookup(tf.constant([b"b", b"c"]))
        session.run([table.insert(tf.constant([b"a", b"b"]), tf.constant([1, 2], tf.int64)), variable.initializer])
        saver = Saver(saver_def=saver_def)
        path = saver.save(session, str(tmp_path / "model"), 1)
        with v1.Session() as other:
            saver.restore(other, path)
            assert other.run(looked_up).tolist() == [2, -1]
        with pytest.raises(tf.errors.NotFoundError, match="^Restoring from checkpoint failed.*\n\n.*"):
            v1.get_variable("w", initializer=[1.0])
            Saver(saver_def=v1.train.Saver({"t": table, "w": variable}).as_saver_def()).restore(session, path)
        with pytest.raises(ValueError, match="Parent directory of .* doesn't exist, can't save"):
            saver.save(session, str(tmp_path / "no" / "where" / "model"))
    assert runtime_calls == ["save", "restore", "restore", "save"]
    assert [path.name for path in tmp_path.glob("*.index")] == ["model-1.index"]


def own_builder(tf: Any) -> Any:
    from tensorflow.python.training.saver import BulkSaverBuilder

    class Doubling(BulkSaverBuilder):  # type: ignore[misc]
        """Restores twice what was saved."""

        def bulk_restore(self, *arguments: Any, **options: Any) -> Any:
            return [tensor * 2 for tensor in super().bulk_restore(*arguments, **options)]

    return Doubling()


def test_builder_of_the_program_has_the_last_word(
    tf: Any, session: Any, tmp_path: pathlib.Path, runtime_calls: list[str]
) -> None:
    variable = tf.compat.v1.get_variable("v", initializer=[1.0, 2.0])
    session.run(variable.initializer)
    saver = Saver(builder=own_builder(tf), sharded=True)
    path = saver.save(session, str(tmp_path / "model"))
    saver.restore(session, path)
    assert session.run(variable).tolist() == [2.0, 4.0]
    # Nor is its SaverDef mistaken for one of TensorFlow's own nodes.
    Saver(saver_def=saver.as_saver_def()).restore(session, path)
    assert session.run(variable).tolist() == [2.0, 4.0]
    assert runtime_calls == ["save", "restore", "restore"]
    with tf.Graph().as_default() as graph:
        tf.compat.v1.get_variable("v", initializer=[1.0, 2.0])
        graph.finalize()
        with pytest.raises(RuntimeError, match="Graph is finalized and cannot be modified"):
            Saver(builder=own_builder(tf))


@pytest.mark.parametrize("damage", ["rename", "other-path", "other-op"])
def test_nodes_that_were_tampered_with_are_left_alone(tf: Any, damage: str) -> None:
    graph_def, saver_def = make_graph(tf, Saver)
    changed = tf.compat.v1.GraphDef.FromString(graph_def)
    nodes = {node.name: node for node in changed.node}
    if damage == "rename":
        nodes["save/RestoreV2/tensor_names"].attr["value"].tensor.string_val[0] = b"z"
    elif damage == "other-path":
        nodes["save/RestoreV2"].input[0] = "save/filename"
    else:
        nodes["save/restore_all"].input[0] = "^initialize"
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(changed, name="")
        assert find_variables(graph, saver_def) is None
        saver_def.restore_op_name = "nowhere"
        assert find_variables(graph, saver_def) is None
