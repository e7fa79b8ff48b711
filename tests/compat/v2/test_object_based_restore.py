"""Checkpoints that were written from names come back in objects of today: tf.train.Checkpoint takes them, and leaves nothing."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tfsaver import load_checkpoint, save_checkpoint
from tfsaver.checkpoint.names.name_map import NameMapLike
from tfsaver.checkpoint.objects.object_based import for_objects
from tfsaver.checkpoint.objects.object_graph_like import object_graph_like
from tfsaver.checkpoint.tensor_source import ArraySource, TensorSource
from tfsaver.compat.v2.object_graph import object_graph_of

CASES = {
    "v1_session_bundle_half_plus_two/00000123/export": 2,
    "v2_tiny_bert_keras_bert": 139,
    "v2_tfx_estimator_ckpt/model.ckpt-999": 60,
    "gen_partitioned_v2_sharded": 6,
}


def restored(tf: Any, source: TensorSource, objects: Mapping[str, Any], prefix: pathlib.Path, mapping: NameMapLike = None) -> Any:
    """Brings a source into objects by way of a file."""
    path = save_checkpoint(for_objects(source, object_graph_of(objects), mapping).plan, prefix)
    checkpoint = tf.train.Checkpoint(**objects)
    status = checkpoint.restore(path)
    status.assert_consumed()
    status.assert_existing_objects_matched()
    assert int(checkpoint.save_counter) == 1
    return checkpoint


@pytest.mark.parametrize("case", CASES)
def test_names_of_long_ago_become_objects(tf: Any, cases: pathlib.Path, tmp_path: pathlib.Path, case: str) -> None:
    scopes: dict[str, dict[str, Any]] = {}
    with load_checkpoint(cases / case) as reader:
        for name in reader.names:
            scope, _, last = name.rpartition("/")
            zeros = tf.zeros(reader.info(name).shape, reader.info(name).dtype.name)
            scopes.setdefault(scope, {})[last] = tf.Variable(zeros, name=name)
        model = tf.Module()
        model.scopes = scopes
        restored(tf, reader, {"model": model}, tmp_path / "objects")
        assert sum(map(len, model.scopes.values())) == len(reader) == CASES[case]
        for scope, variables in model.scopes.items():
            for last, variable in variables.items():
                np.testing.assert_array_equal(variable.numpy(), reader[f"{scope}/{last}" if scope else last])


def test_optimizer_of_tensorflow_1_comes_back_with_its_slots(tf: Any, cases: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with load_checkpoint(cases / "v2_t2t_transformer_two_shards") as reader:
        weights = [name for name in reader.names if f"training/{name}/Adam" in reader]
        assert len(weights) == 81
        model = tf.Module()
        model.weights = {name: tf.Variable(tf.zeros(reader.info(name).shape), name=name) for name in weights}
        optimizer = tf.compat.v1.train.AdamOptimizer(0.1)
        optimizer.apply_gradients([(tf.zeros_like(variable), variable) for variable in model.weights.values()])
        others = {name: None for name in reader.names if name not in weights and "/Adam" not in name and "power" not in name}
        restored(tf, reader, {"model": model, "optimizer": optimizer}, tmp_path / "objects", [others, ("^training/", "")])
        for name, variable in model.weights.items():
            np.testing.assert_array_equal(variable.numpy(), reader[name])
            for slot, ending in (("m", "Adam"), ("v", "Adam_1")):
                kept = optimizer.get_slot(variable, slot)
                np.testing.assert_array_equal(kept.numpy(), reader[f"training/{name}/{ending}"])


def test_keras_takes_weights_and_optimizer_state(tf: Any, tmp_path: pathlib.Path) -> None:
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs keras: pip install keras")
    keras = tf.keras
    if not hasattr(keras, "Variable"):
        pytest.skip("needs keras 3: Keras 2 has other names for its slots")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="fc"), keras.layers.Dense(1, name="out")], name="net")
    model.compile(keras.optimizers.Adam(name="adam"), "mse")
    model.fit(np.ones((1, 3)), np.ones((1, 1)), verbose=0)
    generator = np.random.default_rng(3)
    old: dict[str, Any] = {"global_step": np.int64(77)}
    names: dict[str, str] = {"global_step": "adam/iteration", "rate": "adam/learning_rate"}
    full_names = object_graph_of({"model": model}).keys_of_full_names()
    for layer, shape in (("fc", (3, 2)), ("out", (2, 1))):
        for kind, size in (("kernel", shape), ("bias", shape[1:])):
            ours = next(name for name in full_names if name.endswith(f"{layer}/{kind}"))
            flat = ours.replace("/", "_")
            tensor = f"{layer}/{kind}"
            for end, new in (("", ours), ("/Adam", f"{{}}/{flat}_momentum"), ("/Adam_1", f"{{}}/{flat}_velocity")):
                old[tensor + end] = generator.normal(size=size).astype(np.float32)
                names[tensor + end] = new.format("adam")
    old["rate"] = np.float32(0.25)
    with ArraySource(old) as source:
        restored(tf, source, {"model": model, "optimizer": model.optimizer}, tmp_path / "objects", names)
    np.testing.assert_array_equal(np.asarray(model.get_layer("out").kernel), old["out/kernel"])
    assert int(model.optimizer.iterations) == 77
    assert float(model.optimizer.learning_rate) == 0.25
    state = {variable.path: np.asarray(variable) for variable in model.optimizer.variables}
    for tensor, new in names.items():
        if tensor.endswith(("/Adam", "/Adam_1")):
            np.testing.assert_array_equal(state[new], old[tensor])


def test_tree_of_names_is_restored_into_lists_and_dicts(tf: Any, tmp_path: pathlib.Path) -> None:
    tree = {"net": {"a/b": "w", "x.y": ["v", {"deep": "u"}]}, "again": ["w"]}
    tensors = {"w": np.arange(3, dtype=np.float32), "v": np.int64(5), "u": np.array([b"x", b""], object)}
    prefix = save_checkpoint(tensors, tmp_path / "tree", object_graph=tree)
    shared = tf.Variable(tf.zeros(3))
    module = tf.Module()
    module.inner = {"a/b": shared, "x.y": [tf.Variable(0, dtype=tf.int64), {"deep": tf.Variable(["", ""])}]}
    status = tf.train.Checkpoint(net=module.inner, again=[shared]).restore(prefix)
    status.assert_consumed()
    status.assert_existing_objects_matched()
    np.testing.assert_array_equal(shared.numpy(), tensors["w"])
    assert module.inner["x.y"][0].numpy() == 5
    assert module.inner["x.y"][1]["deep"].numpy().tolist() == [b"x", b""]


def test_root_of_a_saved_model_is_restored_as_a_child(tf: Any, tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.layers = [tf.Variable([1.0, 2.0], name="first"), {"w": tf.Variable(3, name="second")}]
    module.call = tf.function(lambda x: x * module.layers[0], input_signature=[tf.TensorSpec([2])])
    tf.saved_model.save(module, str(tmp_path / "model"))
    new = {"first": np.array([5.0, 6.0], np.float32), "second": np.int32(7)}
    for under in ((), ("model",)):
        graph = object_graph_like(tmp_path / "model", under=under)
        prefix = save_checkpoint(new, tmp_path / "new", object_graph=graph)
        other = tf.Module()
        other.layers = [tf.Variable([0.0, 0.0]), {"w": tf.Variable(0)}]
        checkpoint = tf.train.Checkpoint(model=other) if under else tf.train.Checkpoint(other)
        checkpoint.restore(prefix).assert_consumed()
        assert other.layers[0].numpy().tolist() == [5.0, 6.0]
        assert other.layers[1]["w"].numpy() == 7


def test_what_is_left_out_keeps_its_value(tf: Any, tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.kept, module.lost = tf.Variable(1.0, name="kept"), tf.Variable(2.0, name="lost")
    source = for_objects(ArraySource({"kept": np.float32(5)}), object_graph_of({"m": module}), strict=False).plan
    checkpoint = tf.train.Checkpoint(m=module)
    status = checkpoint.restore(save_checkpoint(source, tmp_path / "part"))
    # Nothing of the file is left over; the program has more than it.
    status.assert_consumed()
    assert (module.kept.numpy(), module.lost.numpy()) == (5.0, 2.0)
