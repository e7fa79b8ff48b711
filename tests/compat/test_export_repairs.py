"""Repairs that a caller asks for make a graph loadable, and are refused where they could make a wrong number; TensorFlow runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.saved_model.graphs import FLOAT, node, of_shape
from tfsaver import schemas
from tfsaver.compat.export import export_saved_model
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.graph.lint import lint
from tfsaver.graph.node_builder import array_const, int32s_const, of_bool, of_int, of_type
from tfsaver.saved_model.loader import load_saved_model

INT32, BOOL = of_type(schemas.DT_INT32), of_type(schemas.DT_BOOL)
WEIGHTS = np.arange(12, dtype=np.float32).reshape(6, 2)


def floats(name: str, value: Any) -> schemas.NodeDef:
    return array_const(name, np.asarray(value, np.float32), dtypes.from_data_type(schemas.DT_FLOAT))


def graph_of(*nodes: schemas.NodeDef) -> schemas.GraphDef:
    return schemas.GraphDef(versions=schemas.VersionDef(producer=134), node=nodes)


def export(tmp_path: Path, graph: Any, **options: Any) -> dict[str, schemas.NodeDef]:
    path = export_saved_model(graph, tmp_path / "export", outputs=["y"], durable=False, **{"variables": {}, **options})
    with load_saved_model(path) as model:
        return {each.name: each for each in model.meta_graphs[0].graph_def.node}


def run(tf: Any, path: Path, feeds: dict[str, Any]) -> Any:
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        tf.compat.v1.saved_model.load(session, ["serve"], str(path))
        return session.run("y:0", feeds)


def frozen_switch() -> schemas.GraphDef:
    return graph_of(
        node("Placeholder", "x", dtype=FLOAT),
        node("Placeholder", "is_training", dtype=BOOL),
        floats("mean", 1),
        node("RefSwitch", "switch", ["mean", "is_training"], T=FLOAT),
        node("AssignSub", "moved", ["mean", "mean"], T=FLOAT, use_locking=of_bool(False)),
        node("Identity", "on", ["switch:1", "^moved"], T=FLOAT),
        node("RefIdentity", "off", ["switch"], T=FLOAT),
        node("Merge", "merge", ["off", "on"], T=FLOAT, N=of_int(2)),
        node("Sub", "y", ["x", "merge"], T=FLOAT),
    )


def test_references_to_what_was_frozen_become_values(tf: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="takes a reference to a variable.*repair='references'"):
        export(tmp_path, frozen_switch())
    nodes = export(tmp_path, frozen_switch(), repair=["references", "training"])
    assert {name: nodes[name].op for name in ("switch", "moved", "off", "is_training")} == {
        "switch": "Switch", "moved": "Sub", "off": "Identity", "is_training": "Const",
    }
    assert run(tf, tmp_path / "export", {"x:0": [3.0]}).tolist() == [2.0]


def one_example(*last: schemas.NodeDef, sizes: tuple[int, ...] = (1, 6)) -> schemas.GraphDef:
    return graph_of(
        node("Placeholder", "x", dtype=FLOAT, shape=of_shape(1, 2, 3)),
        int32s_const("sizes", sizes),
        node("Reshape", "flat", ["x", "sizes"], T=FLOAT, Tshape=INT32),
        floats("w", WEIGHTS),
        node("MatMul", "product", ["flat", "w"], T=FLOAT),
        *last,
    )


def test_a_batch_of_one_takes_any_number(tf: Any, tmp_path: Path) -> None:
    nodes = export(tmp_path, one_example(floats("b", [1, 2]), node("Add", "z", ["product", "b"], T=FLOAT), node("Softmax", "y", ["z"], T=FLOAT)), repair="batch")
    assert [dim.size for dim in nodes["x"].attr["shape"].shape.dim] == [-1, 2, 3]
    examples = np.linspace(-0.1, 0.1, 18, dtype=np.float32).reshape(3, 2, 3)
    together = run(tf, tmp_path / "export", {"x:0": examples})
    export(tmp_path / "one", one_example(floats("b", [1, 2]), node("Add", "z", ["product", "b"], T=FLOAT), node("Softmax", "y", ["z"], T=FLOAT)))
    single = [run(tf, tmp_path / "one" / "export", {"x:0": each[None]})[0] for each in examples]
    np.testing.assert_allclose(together, single, rtol=1e-6)


@pytest.mark.parametrize(
    ("last", "sizes", "refused"),
    [
        ([int32s_const("axis", [0]), node("Mean", "y", ["product", "axis"], T=FLOAT)], (1, 6), "Mean 'y'"),
        ([node("Squeeze", "y", ["product"], T=FLOAT)], (1, 6), "Squeeze 'y'"),
        ([node("Identity", "y", ["product"], T=FLOAT)], (1, -1), "Reshape 'flat'"),
        ([node("Identity", "y", ["product"], T=FLOAT)], (2, 3), "Reshape 'flat'"),
        ([floats("three", np.ones((3, 2))), node("Add", "y", ["product", "three"], T=FLOAT)], (1, 6), "Add 'y'"),
        ([node("MatMul", "y", ["product", "product"], T=FLOAT, transpose_b=of_bool(True))], (1, 6), "MatMul 'y'"),
    ],
)
def test_a_batch_that_could_mix_examples_is_refused(tmp_path: Path, last: Any, sizes: Any, refused: str) -> None:
    with pytest.raises(UnimplementedError, match=f"repair='batch': {refused} may not treat"):
        export(tmp_path, one_example(*last, sizes=sizes), repair="batch")


@pytest.mark.parametrize(
    ("name", "data_type", "value"),
    [("is_training", BOOL, [0]), ("net/train_1", BOOL, [0]), ("keep_prob", FLOAT, [1.0]), ("dropout_rate", FLOAT, [0.0]), ("rate", FLOAT, None)],
)
def test_what_tells_training_from_serving_is_fixed(tmp_path: Path, name: str, data_type: Any, value: Any) -> None:
    graph = graph_of(node("Placeholder", name, dtype=data_type, shape=of_shape()), node("Identity", "y", [name], T=data_type))
    nodes = export(tmp_path, graph, repair="training") if value is None else None
    if nodes is not None:
        assert nodes[name].op == "Placeholder"
        return
    fixed = export(tmp_path, graph, repair="training", inputs=[])[name]
    stored = np.frombuffer(fixed.attr["value"].tensor.tensor_content, "<f4" if data_type is FLOAT else bool)
    assert fixed.op == "Const" and stored.tolist() == value
    assert export(tmp_path / "asked", graph, repair="training", inputs=[name])[name].op == "Placeholder"


def test_an_unknown_repair_is_refused_and_lint_names_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="repair 'all'; known are 'references', 'batch', 'training'"):
        export(tmp_path, frozen_switch(), repair="all")
    assert any("repair='references'" in each.sentence for each in lint(frozen_switch()))
