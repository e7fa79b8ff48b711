"""A SavedModel with something of everything, written by hand: two graphs, functions, an asset, variables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tfsaver
from tfsaver import schemas
from tfsaver.saved_model import assets, constants, initialization, saved_model_file, signature_def


def model_proto() -> schemas.SavedModel:
    """One graph for serving, and one without tags that is empty but for a node."""
    model = schemas.SavedModel(saved_model_schema_version=1)
    graph = model.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    graph.meta_info_def.tensorflow_version = "1.15.5"
    x = graph.graph_def.node.add(name="x", op="Placeholder")
    x.attr["dtype"].type = schemas.DT_FLOAT
    path = graph.graph_def.node.add(name="vocabulary", op="Const")
    path.attr["dtype"].type = schemas.DT_STRING
    path.attr["value"].tensor.CopyFrom(
        schemas.TensorProto(dtype=schemas.DT_STRING, tensor_shape=schemas.TensorShapeProto(), string_val=[b"vocab.txt"])
    )
    y = graph.graph_def.node.add(name="y", op="Identity", input=["x"])
    y.attr["T"].type = schemas.DT_FLOAT
    graph.graph_def.node.add(name="init", op="NoOp")
    function = graph.graph_def.library.function.add()
    function.signature.name = "twice"
    function.node_def.add(name="sum", op="AddV2", input=["x", "x"]).attr["T"].type = schemas.DT_FLOAT
    signature = graph.signature_def["serving_default"]
    signature.method_name = constants.PREDICT
    signature.inputs["x"].CopyFrom(signature_def.dense_tensor_info("x:0", schemas.DT_FLOAT, [None, 3]))
    signature.outputs["y"].CopyFrom(signature_def.dense_tensor_info("y:0", schemas.DT_FLOAT, None))
    sparse = signature_def.sparse_tensor_info("v:0", "i:0", "s:0", schemas.DT_STRING, [2])
    other = graph.signature_def["sparse"]
    other.inputs["ids"].CopyFrom(sparse)
    other.defaults["ids"].dtype = schemas.DT_STRING
    initialization.set_init_op(graph, "init")
    assets.write_assets(graph, [assets.Asset("vocabulary:0", "vocab.txt")])
    model.meta_graphs.add().graph_def.node.add(name="lone", op="NoOp")
    return model


def write_model(directory: Path, model: schemas.SavedModel | None = None) -> Path:
    """Writes a model with two variables and an asset."""
    (directory / "assets").mkdir(parents=True)
    (directory / "assets" / "vocab.txt").write_text("the\nfox\n")
    data = saved_model_file.format_saved_model(model or model_proto(), as_text=False)
    (directory / "saved_model.pb").write_bytes(data)
    values = {"dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "dense/bias": np.zeros(3, np.float32)}
    tfsaver.save_checkpoint(values, directory / "variables" / "variables", durable=False)
    return directory


def write_meta_graph(prefix: Path, graph: schemas.MetaGraphDef) -> Path:
    """Writes a graph as the .meta file of a checkpoint that is not there."""
    path = prefix.with_name(prefix.name + ".meta")
    path.write_bytes(graph.SerializeToString())
    return path
