"""SavedModels small enough to be looked at, written by hand; and the TensorFlows that run others."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tfsaver
from tests.saved_model.serving import ServingProcess
from tfsaver import schemas
from tfsaver.saved_model import signature_def

_ROOT = Path(__file__).parents[2]


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


def _python_of_tensorflow_1() -> str:
    named = os.environ.get("TFSAVER_TF115_PYTHON")
    python = Path(named) if named else _ROOT / ".venv-tf115" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"needs tensorflow-1.15: nothing at {python}; where there is a Python 3.7, `make interop-env` makes it")
    return str(python)


@pytest.fixture(scope="session")
def tensorflow_1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    """TensorFlow 1.15.5 under Python 3.7."""
    process = ServingProcess(_python_of_tensorflow_1(), tmp_path_factory.mktemp("guest") / "stderr.txt")
    yield process
    process.close()


@pytest.fixture(scope="session")
def tensorflow_2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    """The TensorFlow of this interpreter, in a process of its own."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs tensorflow: pip install tensorflow")
    process = ServingProcess(sys.executable, tmp_path_factory.mktemp("guest") / "stderr.txt")
    yield process
    process.close()


@pytest.fixture(scope="session", params=["tensorflow_1", "tensorflow_2"])
def guest(request: pytest.FixtureRequest) -> ServingProcess:
    """Each of the two in turn."""
    return request.getfixturevalue(request.param)
