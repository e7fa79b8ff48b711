"""Exports whose graphs are written by hand: what they hold, and what is refused."""

from __future__ import annotations

import base64
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

import tfsaver
from tests.saved_model.graphs import BIAS, FLOAT, KERNEL, VALUES, dense, node, of_shape
from tfsaver import schemas
from tfsaver.compat.export import export_saved_model
from tfsaver.errors import (
    AlreadyExistsError,
    CheckpointNotFoundError,
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    ShapeMismatchError,
)
from tfsaver.saved_model.loader import load_saved_model
from tfsaver.saved_model.signature_def import dense_tensor_info, sparse_tensor_info
from tfsaver.saved_model.sources import ExportSource

# Two PredictionLogs, each with a predict_log, as tf.io.TFRecordWriter wrote them.
WARMUP = base64.b64decode("CQAAAAAAAAA3+XE5MgcKBQoDCgFtbSZsvgkAAAAAAAAAN/lxOTIHCgUKAwoBbW0mbL4=")


def export(directory: Path, graph: Any = None, **options: Any) -> str:
    options.setdefault("variables", VALUES)
    options.setdefault("outputs", ["layer/y"])
    return export_saved_model(dense() if graph is None else graph, directory, durable=False, **options)


def test_an_export_has_what_its_output_needs(tmp_path: Path) -> None:
    path = export(tmp_path / "export")
    assert path == str(tmp_path / "export")
    assert os.listdir(tmp_path) == ["export"]
    with load_saved_model(path) as model:
        (graph,) = model.meta_graphs
        assert graph.tags == ("serve",)
        signature = graph.signatures["serving_default"]
        assert signature.method_name == "tensorflow/serving/predict"
        assert signature.inputs == {"x": ("dense", ("x:0",), "float32", (None, 3))}
        assert signature.outputs == {"layer_y": ("dense", ("layer/y:0",), "float32", None)}
        names = {each.name for each in graph.graph_def.node}
        assert {"x", "kernel", "bias", "layer/y", "save/restore_all"} <= names and not {"unused", "rate", "init"} & names
        assert list(model.variables) == ["bias", "kernel"]
        assert (model.variables["kernel"] == KERNEL).all() and (model.variables["bias"] == BIAS).all()
        assert graph.proto.saver_def.restore_op_name == "save/restore_all"
        assert graph.init_op is None and not graph.assets


@pytest.mark.parametrize(
    ("outputs", "inputs", "keys"),
    [
        ("layer/y", None, (["x"], ["layer_y"])),
        (["layer/y:0", "product"], ["x:0"], (["x"], ["layer_y", "product"])),
        ({"b": "layer/y", "a": "layer/y"}, {"in": "x"}, (["in"], ["a", "b"])),
        ("scaled", None, (["rate", "x"], ["scaled"])),
        ("scaled", {"y": "layer/y", "rate": "rate"}, (["rate", "y"], ["scaled"])),
    ],
)
def test_keys_come_from_names_or_from_the_caller(tmp_path: Path, outputs: Any, inputs: Any, keys: Any) -> None:
    path = export(tmp_path / "export", inputs=inputs, outputs=outputs)
    with load_saved_model(path) as model:
        signature = model.signatures["serving_default"]
        assert (list(signature.inputs), list(signature.outputs)) == keys


def test_a_computed_input_becomes_a_placeholder_and_takes_its_makers_away(tmp_path: Path) -> None:
    path = export(tmp_path / "export", inputs={"y": dense_tensor_info("layer/y", schemas.DT_FLOAT, [None, 2])}, outputs="scaled", fixed_inputs={"rate": 2})
    with load_saved_model(path) as model:
        nodes = {each.name: each for each in model.meta_graphs[0].graph_def.node}
        assert list(nodes) == ["rate", "scaled", "layer/y_input"]
        assert nodes["scaled"].input == ["layer/y_input", "rate"] and nodes["rate"].op == "Const"
        assert not model.variables and not model.meta_graphs[0].proto.HasField("saver_def")
        assert model.signatures["serving_default"].inputs["y"].names == ("layer/y_input:0",)


def test_an_input_that_another_signature_computes_stays(tmp_path: Path) -> None:
    path = export(
        tmp_path / "export",
        outputs=None,
        signatures={
            "embed": {"outputs": {"y": "layer/y"}},
            "scale": {"inputs": {"y": "layer/y", "rate": "rate"}, "outputs": {"z": "scaled"}},
        },
    )
    with load_saved_model(path) as model:
        assert model.signatures["scale"].inputs["y"].names == model.signatures["embed"].outputs["y"].names == ("layer/y:0",)


def test_tensorflows_objects_and_protos_are_taken(tmp_path: Path) -> None:
    class Tensor:
        name = "layer/y:0"

    sparse = sparse_tensor_info("product", "ids", "sizes", schemas.DT_FLOAT, [None, 3])
    graph = dense()
    long = schemas.AttrValue(type=schemas.DT_INT64)
    graph.node.extend([node("Placeholder", "ids", dtype=long), node("Placeholder", "sizes", dtype=long)])
    path = export(tmp_path / "export", schemas.MetaGraphDef(graph_def=graph), outputs={"y": Tensor(), "s": sparse})
    with load_saved_model(path) as model:
        assert model.signatures["serving_default"].outputs["s"].names == ("product:0", "ids:0", "sizes:0")
        assert list(model.signatures["serving_default"].inputs) == ["ids", "sizes", "x"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"outputs": ["layer/z"]}, NotFoundError, "did you mean 'layer/y'"),
        ({"outputs": ["layer/y:1"]}, NotFoundError, "no tensor of the AddV2 'layer/y', which has 1 outputs"),
        ({"outputs": [3]}, InvalidArgumentError, "not 3"),
        ({"outputs": ["x", "x:0"]}, InvalidArgumentError, "one key"),
        ({"outputs": {}}, InvalidArgumentError, "has no outputs: Likely outputs are scaled"),
        ({"outputs": None}, InvalidArgumentError, "say which tensors are outputs. Likely outputs are scaled .*, layer/y .*; inputs of the first: x .*, rate .*outputs=.'scaled'"),
        ({"outputs": ["kernel"]}, InvalidArgumentError, "is a resource"),
        ({"outputs": ["scaled"], "inputs": ["x"]}, InvalidArgumentError, "need rate:0, which none of its inputs feeds"),
        ({"outputs": {"y": dense_tensor_info("layer/y", schemas.DT_INT32, None)}}, InvalidArgumentError, "float32 in the graph, int32 in"),
        ({"inputs": {"x": dense_tensor_info("x", 1, [None, 4])}}, ShapeMismatchError, r"\[-1, 3\], expected \[None, 4\]"),
        ({"variables": {"kernel": KERNEL}}, NotFoundError, "no value for 1 .* 'bias'"),
        ({"variables": {}}, NotFoundError, "no value for 2 .* 'kernel', 'bias'; there are 0"),
        ({"variables": {**VALUES, "bias": BIAS.astype(np.float64)}}, InvalidArgumentError, "is float32, its value 'bias' is float64"),
        ({"variables": {**VALUES, "bias": KERNEL}}, ShapeMismatchError, "'bias'"),
        ({"fixed_inputs": {"product": 1.0}}, InvalidArgumentError, "is a MatMul, only a placeholder"),
        ({"fixed_inputs": {"rate": [1.0]}}, InvalidArgumentError, "is float64, the placeholder is float32"),
        ({"fixed_inputs": {"rate": np.ones(2, np.float32)}}, ShapeMismatchError, "rate"),
        ({"fixed_inputs": {"nothing": 1.0}}, NotFoundError, "no node 'nothing'"),
        ({"init_op": "nothing"}, NotFoundError, "no node 'nothing'"),
        ({"signatures": {"serving_default": {"outputs": ["x"]}}}, InvalidArgumentError, "which signatures has too"),
        ({"signatures": {"__saved_model_init_op": {"outputs": ["x"]}}}, InvalidArgumentError, "reserved"),
        ({"signatures": {"s": {"output": ["x"]}}}, InvalidArgumentError, "a mapping of inputs, outputs"),
        ({"method_name": "tensorflow/serving/regress"}, InvalidArgumentError, "its input must be inputs"),
        ({"assets": ["x"]}, InvalidArgumentError, "asset 'x:0' is no string"),
        ({"assets": {"nothing": "x"}}, NotFoundError, "no node 'nothing'"),
        ({"extra_assets": {"../x": "y"}}, InvalidArgumentError, "extra asset"),
        ({"tags": [1]}, InvalidArgumentError, "tags must be str"),
        ({"graph": schemas.GraphDef()}, InvalidArgumentError, "has no nodes"),
        ({"graph": schemas.SaverDef()}, InvalidArgumentError, "not a tensorflow.SaverDef"),
        ({"graph": 7}, InvalidArgumentError, "not a int"),
        ({"graph": "/nothing/model.ckpt"}, CheckpointNotFoundError, "nothing"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        export(tmp_path / "export", **options)
    assert os.listdir(tmp_path) == []
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_an_empty_graph_is_never_exported(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="nothing to export"):
        export(tmp_path / "export", outputs=None, signatures={})
    path = export(tmp_path / "export", outputs=None, signatures={}, init_op="init", variables={})
    with load_saved_model(path) as model:
        assert model.meta_graphs[0].init_op == "init" and len(model.meta_graphs[0].graph_def.node) == 1


def test_a_prefix_a_meta_file_and_a_graph_file_are_the_same(tmp_path: Path) -> None:
    prefix = str(tmp_path / "model.ckpt-7")
    values = {**VALUES, "unused": np.zeros(9, np.float32)}
    tfsaver.save_checkpoint(values, prefix)
    meta_graph = schemas.MetaGraphDef(graph_def=dense())
    meta_graph.meta_info_def.tensorflow_version = "1.15.5"
    (tmp_path / "model.ckpt-7.meta").write_bytes(meta_graph.SerializeToString())
    (tmp_path / "graph.pb").write_bytes(dense().SerializeToString())
    (tmp_path / "graph.pbtxt").write_text(text_format.MessageToString(dense()))
    tfsaver.save_checkpoint(values, tmp_path / "v1.ckpt", format="V1")
    (tmp_path / "v1.ckpt.meta").write_bytes(meta_graph.SerializeToString())
    for number, (source, variables) in enumerate(
        [(prefix, None), (prefix + ".meta", None), (tmp_path / "v1.ckpt", None), (tmp_path / "graph.pb", prefix), (tmp_path / "graph.pbtxt", values)]
    ):
        path = export(tmp_path / str(number), source, variables=variables)
        with load_saved_model(path) as model:
            assert {name: value.tolist() for name, value in model.variables.items()} == {name: value.tolist() for name, value in VALUES.items()}
            graphs = model.meta_graphs[0].graph_def.SerializeToString(deterministic=True)
            first = load_saved_model(tmp_path / "0").meta_graphs[0].graph_def.SerializeToString(deterministic=True)
            assert graphs == first


def test_a_checkpoint_without_meta_says_what_to_pass(tmp_path: Path) -> None:
    tfsaver.save_checkpoint(VALUES, tmp_path / "model")
    with pytest.raises(CheckpointNotFoundError, match="pass the graph as source, and the checkpoint as variables"):
        export(tmp_path / "export", tmp_path / "model", variables=None)
    (tmp_path / "model.meta").write_bytes(b"\xff\xff")
    with pytest.raises(DataLossError, match=r"model\.meta holds no graph"):
        export(tmp_path / "export", tmp_path / "model", variables=None)


def test_values_are_found_by_the_name_of_the_node_too(tmp_path: Path) -> None:
    values = {"kernel:0": KERNEL, "bias": BIAS}
    with load_saved_model(export(tmp_path / "export", variables=values)) as model:
        assert (model.variables["kernel"] == KERNEL).all()


def test_a_source_of_ones_own_needs_no_file(tmp_path: Path) -> None:
    closed = []
    source = ExportSource(schemas.MetaGraphDef(graph_def=dense()), VALUES, what="a session", close=lambda: closed.append(1))
    export_saved_model(source, tmp_path / "export", outputs=["layer/y"])
    assert closed == [1] and source.meta_graph.graph_def == dense()


def test_text_tags_and_extra_files(tmp_path: Path) -> None:
    (tmp_path / "requests").write_bytes(WARMUP)
    path = export(tmp_path / "export", as_text=True, tags="gpu", extra_assets={"tf_serving_warmup_requests": tmp_path / "requests"})
    assert sorted(os.listdir(path)) == ["assets.extra", "saved_model.pbtxt", "variables"]
    assert (tmp_path / "export" / "assets.extra" / "tf_serving_warmup_requests").read_bytes() == WARMUP
    with load_saved_model(path) as model:
        assert model.meta_graphs[0].tags == ("gpu",)


def test_versions_appear_side_by_side(tmp_path: Path) -> None:
    paths = [export(tmp_path / "base", versioned=True) for _ in range(3)]
    assert sorted(map(int, os.listdir(tmp_path / "base"))) == sorted(int(Path(path).name) for path in paths)
    with load_saved_model(tmp_path / "base") as model:
        assert model.directory == paths[2]
    with pytest.raises(AlreadyExistsError, match="versioned=True"):
        export(tmp_path / "base")


def test_variables_that_share_a_value_are_two(tmp_path: Path) -> None:
    graph = dense()
    for name in ("a", "b"):
        graph.node.append(node("VariableV2", name, dtype=FLOAT, shape=of_shape(2)))
    graph.node.append(node("AddV2", "sum", ["a", "b"], T=FLOAT))
    with load_saved_model(export(tmp_path / "export", graph, outputs=["sum"], variables={"a": BIAS, "b": BIAS})) as model:
        assert list(model.variables) == ["a", "b"]


def test_the_same_export_has_the_same_bytes(tmp_path: Path) -> None:
    paths = [Path(export(tmp_path / str(number))) for number in range(2)]
    files = [{each.relative_to(path): each.read_bytes() for each in path.rglob("*") if each.is_file()} for path in paths]
    assert files[0] == files[1] and len(files[0]) == 3
