"""SavedModels small enough to be looked at, written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tfsaver
from tfsaver import schemas
from tfsaver.saved_model import signature_def


@pytest.fixture
def half_plus_two() -> schemas.SavedModel:
    """A SavedModel message with one graph, which computes nothing, and two signatures."""
    model = schemas.SavedModel(saved_model_schema_version=1)
    graph = model.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    graph.graph_def.node.add(name="x", op="Placeholder").attr["dtype"].type = schemas.DT_FLOAT
    for number in (10, 2):
        graph.signature_def["serving_default"].outputs[f"y_{number}"].CopyFrom(
            signature_def.dense_tensor_info("y:0", schemas.DT_FLOAT, [None, 1])
        )
    graph.signature_def["serving_default"].inputs["x"].CopyFrom(signature_def.dense_tensor_info("x:0", schemas.DT_FLOAT, None))
    graph.signature_def["serving_default"].method_name = "tensorflow/serving/predict"
    graph.signature_def["__saved_model_init_op"].CopyFrom(
        signature_def.operation_signature("__saved_model_init_op", "init")
    )
    return model


@pytest.fixture
def written(tmp_path: Path, half_plus_two: schemas.SavedModel) -> Path:
    """The directory of that SavedModel, with two variables."""
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "saved_model.pb").write_bytes(half_plus_two.SerializeToString())
    values = {"dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "dense/bias": np.zeros(3, np.float32)}
    tfsaver.save_checkpoint(values, directory / "variables" / "variables", durable=False)
    return directory
