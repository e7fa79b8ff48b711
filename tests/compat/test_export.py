"""A session exported for serving: pruned, checked, and served by TensorFlow."""

from __future__ import annotations

import concurrent.futures
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tfsaver.compat.export import export_saved_model
from tfsaver.errors import InvalidArgumentError, NotFoundError
from tfsaver.saved_model.loader import load_saved_model


def serve(tf: Any, path: str, fetch: str, feeds: dict[str, Any]) -> Any:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.saved_model.load(session, ["serve"], path)
        return session.run(fetch, feeds)


@pytest.mark.parametrize("resource", [False, True])
def test_trained_model_is_exported_without_its_optimizer(
    tf: Any, session: Any, tmp_path: pathlib.Path, resource: bool
) -> None:
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, [None, 3], name="x")
    kernel = v1.get_variable("kernel", [3, 2], use_resource=resource)
    y = tf.matmul(x, kernel, name="y")
    v1.train.AdamOptimizer().minimize(tf.reduce_sum(y), global_step=v1.train.get_or_create_global_step())
    session.run(v1.global_variables_initializer())
    num_nodes = len(session.graph.get_operations())
    path = export_saved_model(session, tmp_path / "model", inputs={"x": x}, outputs={"y": y}, durable=False)
    assert len(session.graph.get_operations()) == num_nodes
    with load_saved_model(path) as model:
        assert list(model.variables) == ["kernel"]
    values = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(serve(tf, path, "y:0", {"x:0": values}), session.run(y, {x: values}))

    def served_eagerly() -> Any:
        return tf.saved_model.load(path).signatures["serving_default"](x=tf.constant(values))["y"].numpy()

    # Graph mode is a thread's own.
    with concurrent.futures.ThreadPoolExecutor() as executor:
        served = executor.submit(served_eagerly).result()
    np.testing.assert_array_equal(served, session.run(y, {x: values}))


@pytest.mark.parametrize("resource", [False, True])
def test_parts_are_one_tensor(tf: Any, session: Any, tmp_path: pathlib.Path, resource: bool) -> None:
    v1 = tf.compat.v1
    parts = v1.get_variable("p", [5, 4], partitioner=v1.fixed_size_partitioner(3, axis=0), use_resource=resource)
    y = tf.identity(parts.as_tensor(), name="y")
    session.run(v1.global_variables_initializer())
    path = export_saved_model(session, tmp_path / "model", inputs=[], outputs=[y], durable=False)
    expected = session.run(y)
    with load_saved_model(path) as model:
        assert list(model.variables) == ["p"]
        np.testing.assert_array_equal(model.variables["p"], expected)
    np.testing.assert_array_equal(serve(tf, path, "y:0", {}), expected)


def test_one_of_two_parts_goes_under_its_own_name(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    parts = list(v1.get_variable("p", [4], partitioner=v1.fixed_size_partitioner(2), use_resource=True))
    y = tf.identity(parts[1], name="y")
    session.run(v1.global_variables_initializer())
    path = export_saved_model(session, tmp_path / "model", inputs=[], outputs=[y], durable=False)
    np.testing.assert_array_equal(serve(tf, path, "y:0", {}), session.run(y))


def test_table_comes_with_its_file_and_local_variables_with_their_initializer(
    tf: Any, session: Any, tmp_path: pathlib.Path
) -> None:
    v1 = tf.compat.v1
    (tmp_path / "words.txt").write_text("zero\none\n")
    initializer = tf.lookup.TextFileInitializer(
        str(tmp_path / "words.txt"),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    table = tf.lookup.StaticHashTable(initializer, -1)
    words = v1.placeholder(tf.string, [None], name="words")
    local = v1.get_local_variable("local", initializer=np.int64(10), use_resource=True)
    ids = tf.add(table.lookup(words), local, name="ids")
    session.run([v1.local_variables_initializer(), local.assign(99)])
    path = export_saved_model(session, tmp_path / "model", outputs={"ids": ids}, durable=False)
    (tmp_path / "words.txt").unlink()
    assert serve(tf, path, "ids:0", {"words:0": ["one", "two"]}).tolist() == [11, 9]


def test_sparse_ragged_and_variables_are_named_by_what_they_are(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    sparse = v1.sparse_placeholder(tf.float32, [2, 2], name="sparse")
    ragged = v1.ragged.placeholder(tf.int64, 1, [], name="ragged")
    variable = v1.get_variable("v", initializer=[1.0, 2.0], use_resource=True)
    session.run(variable.initializer)
    path = export_saved_model(
        session,
        tmp_path / "model",
        signatures={
            "both": {
                "inputs": {"sparse": sparse, "ragged": ragged},
                "outputs": {"sum": v1.sparse.reduce_sum(sparse), "more": ragged + 1, "v": variable},
            },
            "made": v1.saved_model.predict_signature_def({"sparse": sparse}, {"same": sparse * 2.0}),
        },
        durable=False,
    )
    with load_saved_model(path) as model:
        both = model.signatures["both"]
        assert [tensor.kind for tensor in both.inputs.values()] == ["RaggedTensorSpec", "sparse"]
        (name,) = both.outputs["v"].names
        assert set(model.signatures) == {"both", "made"}
    assert serve(tf, path, name, {}).tolist() == [1.0, 2.0]


def test_finalized_graph_and_monitored_session_are_exported(tf: Any, graph: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    x = v1.placeholder(tf.float32, [None], name="x")
    y = tf.multiply(x, v1.get_variable("a", initializer=3.0, use_resource=True), name="y")
    seen = []

    class Hook(v1.train.SessionRunHook):  # type: ignore[misc, name-defined]
        def before_run(self, run_context: Any) -> None:
            seen.append(run_context.original_args)

    with v1.train.MonitoredSession(hooks=[Hook()]) as monitored:
        path = export_saved_model(monitored, tmp_path / "model", inputs=x, outputs=y, durable=False)
    assert serve(tf, path, "y:0", {"x:0": [2.0]}).tolist() == [6.0]
    assert seen == []


def test_value_is_read_without_anything_else_being_run(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="v", name="v")
    session.run(tf.raw_ops.AssignVariableOp(resource=handle, value=1.0))
    add = tf.raw_ops.AssignAddVariableOp(resource=handle, value=1.0)
    with v1.control_dependencies([add]):
        tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32, name="after")
    y = tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32, name="y")
    path = export_saved_model(session, tmp_path / "model", inputs=[], outputs=[y], durable=False)
    assert serve(tf, path, "y:0", {}) == session.run(y) == 1


def test_variable_without_a_value_is_an_error_only_where_it_is_needed(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    a, b = (v1.get_variable(name, initializer=1.0, use_resource=True) for name in "ab")
    session.run(a.initializer)
    export_saved_model(session, tmp_path / "a", inputs=[], outputs=[tf.identity(a)], durable=False)
    with pytest.raises(tf.errors.FailedPreconditionError):
        export_saved_model(session, tmp_path / "b", inputs=[], outputs=[tf.identity(b)], durable=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_other_values_may_be_given(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    y = tf.identity(tf.compat.v1.get_variable("a", initializer=1.0, use_resource=True), name="y")
    path = export_saved_model(
        session, tmp_path / "model", inputs=[], outputs=[y], variables={"a": np.float32(7)}, durable=False
    )
    assert serve(tf, path, "y:0", {}) == 7


def test_errors_are_those_of_other_sources(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidArgumentError, match="the session's graph has no nodes"):
        export_saved_model(session, tmp_path / "model")
    tf.constant(1.0, name="one")
    with pytest.raises(NotFoundError, match="the graph has no node 'two'"):
        export_saved_model(session, tmp_path / "model", outputs=["two"])
    with pytest.raises(InvalidArgumentError, match="not a object"):
        export_saved_model(object(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_mutable_table_comes_with_what_it_holds(
    tf: Any, session: Any, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = tf.compat.v1.placeholder(tf.string, [None], name="words")
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="table")
    found = tf.identity(table.lookup(words), name="found")
    session.run(table.insert(words, [7, 8]), {words: ["a", "b"]})
    path = export_saved_model(session, tmp_path / "model", outputs=[found], durable=False)
    assert serve(tf, path, "found:0", {"words:0": ["b", "c"]}).tolist() == [8, -1]
    assert not caplog.text


def test_a_table_whose_content_cannot_be_read_is_refused(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    words = tf.compat.v1.placeholder(tf.string, [None], name="words")
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="table", checkpoint=False)
    session.run(table.insert(words, [7]), {words: ["a"]})
    with pytest.raises(InvalidArgumentError, match="table 'table' .* has no content when a program starts"):
        export_saved_model(session, tmp_path / "model", outputs=[table.lookup(words)], durable=False)


def test_tensorflow_is_not_imported_for_other_sources(tmp_path: pathlib.Path) -> None:
    program = (
        "import sys, tfsaver.compat.v1.saved_model, tfsaver.compat.export as export\n"
        "from tfsaver.errors import SaverError\n"
        "try: export.export_saved_model('nowhere', 'model')\n"
        "except SaverError as error: print(type(error).__name__, 'tensorflow' in sys.modules)\n"
    )
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.stdout.split() == ["CheckpointNotFoundError", "False"]
