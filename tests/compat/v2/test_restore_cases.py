"""Checkpoints that other programs wrote, from TensorFlow 0.x to 2.x, into variables of TensorFlow 2, bit for bit."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY
from tfsaver.checkpoint.optimizers.training_tensors import find_training_tensors
from tfsaver.errors import RestoreError

BERT = "v2_tiny_bert_keras_bert/bert_model.ckpt"
ESTIMATOR = "v2_tfx_estimator_ckpt/model.ckpt-1000"
T2T = "v2_t2t_transformer_two_shards/model.ckpt-1"

SAVED_MODELS = (
    "sm_tf_OptimizerSlotVariableModule",
    "sm_keras_python_func_model",
    "sm_keras_simple_model_from_auto_compile",
    "sm_rust_regression",
    "sm_guesslang_v_prev",
    "sm_serving_tf2_cpu",
    "sm_tfx_estimator_serving",
    "sm_trt_variablev2",
)


def tensors_of(path: pathlib.Path) -> dict[str, Any]:
    with tfsaver.load_checkpoint(path) as reader:
        return {name: reader[name] for name in reader if name != OBJECT_GRAPH_KEY}


def variables_for(tf: Any, tensors: dict[str, Any], rename: Callable[[str], str] = str) -> dict[str, Any]:
    """Variables with nothing in them, under new names."""
    return {
        rename(name): tf.Variable(np.full(value.shape, b"" if value.dtype == object else 0, value.dtype))
        for name, value in tensors.items()
    }


def assert_restored(variables: dict[str, Any], tensors: dict[str, Any], rename: Callable[[str], str] = str) -> None:
    for name, value in tensors.items():
        actual = np.asarray(variables[rename(name)].numpy())
        assert actual.shape == value.shape and actual.tobytes() == value.tobytes(), name


def test_v1_of_2015_and_a_shard_of_2016(tf: Any, cases: pathlib.Path) -> None:
    a, b = tf.Variable(0.0), tf.Variable(0.0)
    tfsaver.restore({"a": a, "b": b}, cases / "v1_session_bundle_half_plus_two" / "00000123" / "export-?????-of-00001")
    assert (a.numpy(), b.numpy()) == (0.5, 2.0)
    module = tf.Module()
    module.slope, module.offset = tf.Variable(0.0), tf.Variable(0.0)
    path = cases / "v1_bad_half_plus_two" / "00000123" / "export"
    with pytest.raises(RestoreError, match=r'"slope" not found(.|\n)*"offset" not found(.|\n)*Variable_1$'):
        tfsaver.restore(module, path)
    assert (module.slope.numpy(), module.offset.numpy()) == (0, 0)
    tfsaver.restore(module, path, mapping={"Variable": "slope", "Variable_1": "offset"})
    assert (module.slope.numpy(), module.offset.numpy()) == (0.5, 2.0)


@pytest.mark.parametrize("case", [BERT, ESTIMATOR, T2T, "gen_partitioned_v1_single/model.ckpt-1"])
def test_every_tensor_goes_where_rules_say(tf: Any, cases: pathlib.Path, case: str) -> None:
    path = cases / case
    tensors = tensors_of(path)

    def rename(name: str) -> str:
        return "new/" + name.replace("kernel", "w")

    variables = variables_for(tf, tensors, rename)
    mapping = [("kernel", "w"), ("^", "new/")]
    report = tfsaver.restore(variables, path, mapping=mapping, allow_unmatched=True)
    assert report.ok and not report.unexpected and len(report.matched) == len(tensors)
    assert_restored(variables, tensors, rename)
    assert tfsaver.compare(variables, path, mapping=mapping, allow_unmatched=True)


def test_suggested_mapping_of_a_published_model_restores_all_of_it(tf: Any, cases: pathlib.Path) -> None:
    path = cases / BERT
    tensors = {name: value for name, value in tensors_of(path).items() if "adam" not in name}

    def rename(name: str) -> str:
        return "encoder/" + name.removeprefix("bert/").replace("kernel", "weights")

    variables = variables_for(tf, tensors, rename)
    report = tfsaver.restore(variables, path, dry_run=True, strict=False)
    mapping = {**report.mapping, **report.guesses}
    assert len(mapping) >= len(tensors) - 1
    tfsaver.restore(variables, path, mapping=mapping, strict=False)
    right = {name: value for name, value in tensors.items() if mapping.get(name) == rename(name)}
    assert len(right) >= len(tensors) - 2
    assert_restored(variables, right, rename)


def test_bert_goes_on_with_the_adam_that_came_with_it(tf: Any, cases: pathlib.Path) -> None:
    path = cases / BERT
    tensors = tensors_of(path)
    weights = {name: value for name, value in tensors.items() if f"{name}/adam_m" in tensors}
    variables = variables_for(tf, weights)
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build(list(variables.values()))
    target = {"bert": variables, "optimizer": optimizer}
    has_steps = "global_step" in tensors
    report = tfsaver.restore(target, path, select=None if has_steps else tfsaver.Selection(exclude="iteration"))
    assert report.ok
    assert_restored(variables, weights)
    for index, name in enumerate(weights):
        for slots, slot in ((optimizer._momentums, "adam_m"), (optimizer._velocities, "adam_v")):
            assert slots[index].numpy().tobytes() == tensors[f"{name}/{slot}"].tobytes()


def test_transformer_goes_on_with_the_adam_it_was_trained_with(tf: Any, cases: pathlib.Path) -> None:
    path = cases / T2T
    tensors = tensors_of(path)
    slots = find_training_tensors({name: value.shape for name, value in tensors.items()}).found
    weights = {name: tensors[name] for name in dict.fromkeys(slot.variable for slot in slots.values() if slot.variable)}
    variables = variables_for(tf, weights)
    optimizer = tf.keras.optimizers.Adam(beta_1=0.9, beta_2=0.997)
    optimizer.build(list(variables.values()))
    report = tfsaver.restore({"model": variables, "optimizer": optimizer}, path)
    assert report.ok and len(report.matched) == 3 * len(weights) + 1
    assert_restored(variables, weights)
    for index, name in enumerate(weights):
        assert optimizer._momentums[index].numpy().tobytes() == tensors[f"training/{name}/Adam"].tobytes()
        assert optimizer._velocities[index].numpy().tobytes() == tensors[f"training/{name}/Adam_1"].tobytes()
    assert int(optimizer.iterations.numpy()) == int(tensors["global_step"])


def test_wide_and_deep_estimator_into_layers_with_two_optimizers(tf: Any, cases: pathlib.Path) -> None:
    path = cases / ESTIMATOR
    tensors = tensors_of(path)
    inputs = tf.keras.Input([3])
    outputs = inputs
    for index, units in enumerate((100, 70, 48, 34)):
        outputs = tf.keras.layers.Dense(units, name=f"hiddenlayer_{index}")(outputs)
    tower = tf.keras.Model(inputs, tf.keras.layers.Dense(1, name="logits")(outputs), name="tower")
    assert tfsaver.restore(tower, path, scope="dnn").ok
    for variable in tower.weights:
        name = getattr(variable, "path", variable.name).removesuffix(":0")
        assert variable.numpy().tobytes() == tensors[f"dnn/{name}"].tobytes(), name


@pytest.mark.parametrize("case", ["gen_partitioned_v1_single", "gen_partitioned_v2_single", "gen_partitioned_v2_sharded"])
def test_partitioned_variables_become_whole_ones(tf: Any, cases: pathlib.Path, case: str) -> None:
    path = cases / case / "model.ckpt-1"
    variables = {"emb/weights": tf.Variable(tf.zeros([10, 6])), "cols/weights": tf.Variable(tf.zeros([4, 9]))}
    optimizer = tf.keras.optimizers.Adagrad()
    optimizer.build(list(variables.values()))
    tfsaver.restore({"model": variables, "optimizer": optimizer}, path)
    tensors = tensors_of(path)
    assert_restored(variables, {name: tensors[name] for name in variables})
    for slot, name in zip(optimizer._accumulators, variables, strict=True):
        assert slot.numpy().tobytes() == tensors[f"{name}/Adagrad"].tobytes()


def test_whole_tensors_become_shards(tf: Any, cases: pathlib.Path) -> None:
    path = cases / "gen_partitioned_v2_sharded" / "model.ckpt-1"
    with tf.device("cpu"):
        parts = [tf.Variable(tf.zeros([5, 6]), name=f"emb/weights/part_{index}") for index in range(2)]
    slice_info = tf.Variable.SaveSliceInfo
    for index, part in enumerate(parts):
        part._set_save_slice_info(slice_info("emb/weights", [10, 6], [5 * index, 0], [5, 6]))
    report = tfsaver.restore(parts, path)
    assert report.num_wanted == 1 and len(report.matched) == 2
    whole = tensors_of(path)["emb/weights"]
    assert np.concatenate([part.numpy() for part in parts]).tobytes() == whole.tobytes()


def test_variable_in_shards_is_one_of_the_target(tf: Any, cases: pathlib.Path) -> None:
    sharded_variable = pytest.importorskip("tensorflow.python.distribute.sharded_variable")
    path = cases / "gen_partitioned_v2_sharded" / "model.ckpt-1"
    table = sharded_variable.ShardedVariable([tf.Variable(tf.zeros([size, 6])) for size in (4, 6)], name="emb/weights")
    for target in ([table], {"table": table}):
        for part in table.variables:
            part.assign(tf.zeros_like(part))
        mapping = {"emb/weights": "table"} if isinstance(target, dict) else None
        assert tfsaver.restore(target, path, mapping=mapping).ok
        whole = np.concatenate([part.numpy() for part in table.variables])
        assert whole.tobytes() == tensors_of(path)["emb/weights"].tobytes()


@pytest.mark.parametrize("case", SAVED_MODELS)
def test_saved_models_give_all_their_weights(tf: Any, cases: pathlib.Path, case: str) -> None:
    directory = cases / case
    path = next(found.parent.parent for found in sorted(directory.rglob("variables.index")))
    tensors = {name: value for name, value in tensors_of(path).items() if name.endswith("VARIABLE_VALUE") or "/." not in name}
    assert tensors
    variables = variables_for(tf, tensors, lambda name: name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"))
    assert tfsaver.restore(variables, path).ok
    assert_restored(variables, tensors, lambda name: name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"))


def test_module_and_optimizer_of_a_saved_model_that_tensorflow_cannot_load(tf: Any, cases: pathlib.Path) -> None:
    path = cases / "sm_tf_OptimizerSlotVariableModule"
    tensors = {name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): value for name, value in tensors_of(path).items()}
    module = tf.Module()
    module.v = tf.Variable(0.0)
    optimizer = tf.keras.optimizers.Adam(0.5)
    optimizer.build([module.v])
    assert tfsaver.restore({"model": module, "optimizer": optimizer}, path, mapping={"v": "model/v"}).ok
    assert module.v.numpy() == tensors["v"]
    assert optimizer._momentums[0].numpy() == tensors["v/.OPTIMIZER_SLOT/opt/m"]
    assert optimizer._velocities[0].numpy() == tensors["v/.OPTIMIZER_SLOT/opt/v"]
    assert int(optimizer.iterations.numpy()) == tensors["opt/iter"]
    assert np.float32(optimizer._learning_rate.numpy()) == tensors["opt/learning_rate"]
    module.opt = optimizer
    module.v.assign(-1.0)
    assert tfsaver.restore(module, path).ok and module.v.numpy() == tensors["v"]


def test_lists_and_dicts_of_an_object_are_followed(tf: Any, cases: pathlib.Path) -> None:
    path = cases / "gen_tf2_object_mutable_table_and_list" / "ckpt-3"
    tensors = tensors_of(path)
    root = tf.train.Checkpoint(m=tf.Module(), step=tf.Variable(0, dtype=tf.int64))
    root.m.ls = [tf.Variable(0.0), {"a": tf.Variable([0, 0])}]
    assert tfsaver.restore(root, path).ok
    assert root.m.ls[0].numpy() == tensors["m/ls/0/.ATTRIBUTES/VARIABLE_VALUE"]
    assert root.m.ls[1]["a"].numpy().tolist() == tensors["m/ls/1/a/.ATTRIBUTES/VARIABLE_VALUE"].tolist()
    assert root.step.numpy() == tensors["step/.ATTRIBUTES/VARIABLE_VALUE"]


def test_nothing_of_a_published_model_changes_when_one_shape_is_wrong(tf: Any, cases: pathlib.Path) -> None:
    path = cases / T2T
    variables = variables_for(tf, tensors_of(path))
    variables["global_step"] = tf.Variable(np.zeros(2, np.int64))
    variables["nobody/has/this"] = tf.Variable(0.0)
    with pytest.raises(RestoreError) as caught:
        tfsaver.restore(variables, path)
    report = caught.value.report
    assert [item.name for item in report.mismatched] == ["global_step"]
    assert [item.name for item in report.missing] == ["nobody/has/this"]
    assert not any(variable.numpy().any() for variable in variables.values())
    assert len(tfsaver.restore(variables, path, strict=False).matched) == 249
