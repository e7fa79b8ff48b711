"""Models of both Builders, loaded by everything that loads models: both loaders, tf.saved_model.load, the C interface, 1.15."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compat.v1.saved_model.models import ModelScenario, half_plus, table_model
from tests.saved_model.serving import ServingProcess, serve_everywhere
from tfsaver.compat.v1 import saved_model
from tfsaver.saved_model.loader import load_saved_model

Value = list[Any]


class Served:
    """What a signature is asked, and what it must answer."""

    def __init__(self, inputs: dict[str, Value], expected: list[Value]) -> None:
        self.inputs = inputs
        self.expected = expected


def half_plus_two(run: ModelScenario, builder: Any, resource: bool) -> Served:
    signatures = half_plus(run, resource=resource)
    builder.add_meta_graph_and_variables(run.session, ["serve"], signatures, clear_devices=True, strip_default_attrs=True)
    return Served({"x": ["float32", [2], [10.0, 4.0]]}, [["float32", [2], [7.0, 4.0]]])


def references(run: ModelScenario, builder: Any) -> Served:
    return half_plus_two(run, builder, resource=False)


def resources(run: ModelScenario, builder: Any) -> Served:
    return half_plus_two(run, builder, resource=True)


def partitioned(run: ModelScenario, builder: Any) -> Served:
    v1 = run.v1
    x = v1.placeholder(run.tf.float32, [None, 5], name="x")
    total = 0.0
    for resource in (False, True):
        kernel = v1.get_variable(
            f"kernel{resource}",
            [5, 2],
            partitioner=v1.fixed_size_partitioner(3),
            use_resource=resource,
        )
        rows = iter(np.arange(10, dtype=np.float32).reshape(5, 2))
        for part in kernel:
            run.session.run(v1.assign(part, np.stack([next(rows) for _ in range(part.shape[0])])))
        total += run.tf.matmul(x, kernel.as_tensor())
    signature = run.saved_model.predict_signature_def({"x": x}, {"y": total})
    builder.add_meta_graph_and_variables(run.session, ["serve"], {"serving_default": signature})
    return Served({"x": ["float32", [1, 5], [1.0] * 5]}, [["float32", [1, 2], [40.0, 50.0]]])


def tables(run: ModelScenario, builder: Any) -> Served:
    signatures, init = table_model(run)
    collected = run.v1.get_collection(run.v1.GraphKeys.ASSET_FILEPATHS)
    builder.add_meta_graph_and_variables(run.session, ["serve"], signatures, collected, main_op=init)
    return Served({"words": ["string", [2], ["two", "none"]]}, [["int64", [2], [20, -10]]])


def control_flow(run: ModelScenario, builder: Any, second: bool) -> Served:
    tf = run.tf
    (run.v1.enable_control_flow_v2 if second else run.v1.disable_control_flow_v2)()
    try:
        x = run.v1.placeholder(tf.float32, [], name="x")
        a = run.variable("a", 2.0)
        y = tf.while_loop(lambda value: value < 100.0, lambda value: value * a, [x])[0]
        y = tf.cond(y > 128.0, lambda: y - a, lambda: y + a)
        signature = run.saved_model.predict_signature_def({"x": x}, {"y": y})
    finally:
        run.v1.disable_control_flow_v2()
    builder.add_meta_graph_and_variables(run.session, ["serve"], {"serving_default": signature})
    return Served({"x": ["float32", [], [3.0]]}, [["float32", [], [194.0 - 4.0]]])


def control_flow_v1(run: ModelScenario, builder: Any) -> Served:
    return control_flow(run, builder, second=False)


def control_flow_v2(run: ModelScenario, builder: Any) -> Served:
    return control_flow(run, builder, second=True)


def finalized(run: ModelScenario, builder: Any) -> Served:
    signatures = half_plus(run, resource=True)
    run.session.graph.finalize()
    builder.add_meta_graph_and_variables(run.session, ["serve"], signatures)
    return Served({"x": ["float32", [1], [10.0]]}, [["float32", [1], [7.0]]])


MODELS = [references, resources, partitioned, tables, control_flow_v1, control_flow_v2, finalized]


@pytest.mark.parametrize(
    ("model", "as_text"),
    [*((model, False) for model in MODELS), (resources, True)],
    ids=lambda value: getattr(value, "__name__", "text" if value else "binary"),
)
def test_model_of_our_builder_is_served_everywhere(
    run: ModelScenario, tensorflow_2: ServingProcess, model: Callable[[ModelScenario, Any], Served], as_text: bool
) -> None:
    builder = run.builder("ours")
    served = model(run, builder)
    builder.save(as_text)
    for path in pathlib.Path().glob("words/*"):
        path.unlink()
    # Elsewhere than it was written.
    moved = str(pathlib.Path("ours").rename("moved").resolve())
    serve_everywhere(tensorflow_2, moved, served.inputs, served.expected)
    assert_our_loader_agrees(run, moved, served)


def test_model_of_our_builder_is_served_by_tensorflow_1(run: ModelScenario, tensorflow_1: ServingProcess) -> None:
    builder = run.builder("ours")
    served = references(run, builder)
    builder.save()
    serve_everywhere(tensorflow_1, str(pathlib.Path("ours").resolve()), served.inputs, served.expected)


@pytest.mark.parametrize("model", MODELS[:-1], ids=lambda model: model.__name__)
def test_model_of_tensorflows_builder_is_loaded(run: ModelScenario, model: Callable[[ModelScenario, Any], Served]) -> None:
    builder = run.v1.saved_model.Builder("theirs")
    served = model(run, builder)
    builder.save()
    assert_our_loader_agrees(run, "theirs", served)


def assert_our_loader_agrees(run: ModelScenario, path: str, served: Served) -> None:
    def load(session: Any) -> None:
        loaded = saved_model.load(session, ["serve"], path)
        signature = loaded.signature_def["serving_default"]
        feeds = {signature.inputs[key].name: np.reshape(value[2], value[1]) for key, value in served.inputs.items()}
        for (_, info), expected in zip(sorted(signature.outputs.items()), served.expected, strict=True):
            found = session.run(info.name, feeds)
            assert [found.dtype.name, list(found.shape), found.ravel().tolist()] == expected

    run.in_new_graph(load)


def test_model_of_our_builder_is_read_without_tensorflow(run: ModelScenario) -> None:
    builder = run.builder()
    builder.add_meta_graph_and_variables(run.session, ["serve"], half_plus(run))
    builder.save()
    with load_saved_model("model") as model:
        assert {key: float(value) for key, value in model.variables.items()} == {"a": 0.5, "b": 2.0}
        assert model.signatures["serving_default"].method_name == "tensorflow/serving/predict"
        assert model.meta_graphs[0].tensorflow_version == run.tf.__version__
