"""Keras models and layers, of Keras 2 and Keras 3, whichever TensorFlow brings: from names, objects and SavedModels."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.errors import InvalidArgumentError, RestoreError


@pytest.fixture(autouse=True)
def fresh_names(tf: Any) -> None:
    """Layers are numbered anew, so that names do not depend on the tests before."""
    tf.keras.backend.clear_session()


def model(tf: Any, *units: int) -> Any:
    keras = tf.keras
    layers = [keras.layers.Dense(size, name=f"dense_{index}") for index, size in enumerate(units)]
    return keras.Sequential([keras.layers.Input([3]), *layers], name="net")


def zero(variables: Any) -> None:
    for variable in variables:
        variable.assign(np.zeros(variable.shape, variable.dtype if isinstance(variable.dtype, str) else None))


def arrays(variables: Any) -> list[Any]:
    return [np.asarray(variable.numpy()) for variable in variables]


def assert_equal(actual: list[Any], expected: list[Any]) -> None:
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == other.dtype and one.tobytes() == other.tobytes()


def test_names_of_layers_are_found_with_and_without_the_models_name(tf: Any, tmp_path: pathlib.Path) -> None:
    net = model(tf, 2, 1)
    tensors = {
        f"dense_{index}/{name}": np.random.default_rng(index).normal(size=shape).astype(np.float32)
        for index, name, shape in ((0, "kernel", (3, 2)), (0, "bias", (2,)), (1, "kernel", (2, 1)), (1, "bias", (1,)))
    }
    for prefix in ("", "net/"):
        path = tfsaver.save_checkpoint({f"{prefix}{name}": value for name, value in tensors.items()}, tmp_path / "model")
        zero(net.weights)
        scope = "net" if prefix and tf.__version__ < "2.16" else None
        assert tfsaver.restore(net, path, scope=scope).ok
        assert_equal(arrays(net.weights), list(tensors.values()))
    outputs = np.ones([1, 3]) @ tensors["dense_0/kernel"] + tensors["dense_0/bias"]
    np.testing.assert_allclose(
        net(np.ones([1, 3], np.float32)), outputs @ tensors["dense_1/kernel"] + tensors["dense_1/bias"], rtol=1e-5
    )


def test_single_layer_is_restored_out_of_a_model(tf: Any, tmp_path: pathlib.Path) -> None:
    net = model(tf, 2, 1)
    tensors = {"fc/weights": np.ones([3, 2], np.float32), "fc/biases": np.ones(2, np.float32)}
    layer = net.layers[0]
    names = [getattr(variable, "path", variable.name).removesuffix(":0") for variable in layer.weights]
    mapping = dict(zip(tensors, names, strict=True))
    assert tfsaver.restore(layer, tfsaver.save_checkpoint(tensors, tmp_path / "model"), mapping=mapping).ok
    assert_equal(arrays(layer.weights), list(tensors.values()))


def test_unbuilt_models_and_optimizers_are_errors_that_say_what_to_do(tf: Any, tmp_path: pathlib.Path) -> None:
    keras = tf.keras
    path = tfsaver.save_checkpoint({"w": np.float32(0)}, tmp_path / "model")
    with pytest.raises(InvalidArgumentError, match=r"Sequential 'sequential' is not built.* call it on an input"):
        tfsaver.restore(keras.Sequential([keras.layers.Dense(2)]), path)
    with pytest.raises(InvalidArgumentError, match=r"call optimizer\.build\(model\.trainable_variables\) first"):
        tfsaver.restore(keras.optimizers.Adam(), path)


@pytest.mark.filterwarnings("ignore:.*unbuilt state")
def test_layers_that_were_never_called_are_mentioned(tf: Any, tmp_path: pathlib.Path) -> None:
    class Model(tf.keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = (tf.keras.layers.Dense(2, name=name) for name in ("used", "unused"))

        def call(self, inputs: Any) -> Any:
            return self.used(inputs)

    net = Model()
    net(np.ones([1, 2], np.float32))
    path = tf.train.Checkpoint(net).write(str(tmp_path / "objects"))
    assert any("never called" in note and "unused" in note for note in tfsaver.restore(net, path).notes)


def test_objects_are_found_where_the_program_has_them_whatever_they_are_called(tf: Any, tmp_path: pathlib.Path) -> None:
    old = model(tf, 2, 2, 2)
    path = tf.train.Checkpoint(model=old).write(str(tmp_path / "objects"))
    net = model(tf, 2, 2, 2)
    # Other names than those in the checkpoint: only the places agree.
    for layer in net.layers:
        layer._name = f"other_{layer.name}"
    zero(net.weights)
    report = tfsaver.restore({"model": net}, path)
    assert {item.how for item in report.matched} == {"object"}
    assert_equal(arrays(net.weights), arrays(old.weights))
    zero(net.weights)
    assert tfsaver.restore(net, path, scope="model").ok and tfsaver.compare(net, path, scope="model")
    assert_equal(arrays(net.weights), arrays(old.weights))


def test_report_names_the_scope_in_which_the_objects_are(tf: Any, tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.w = tf.Variable([1.0], name="u")
    path = tf.train.Checkpoint(deep=module, other=tf.train.Checkpoint()).write(str(tmp_path / "objects"))
    target = tf.Module()
    target.w = tf.Variable([0.0], name="v")
    with pytest.raises(RestoreError, match="scope='deep' finds 1 of the 1 variables"):
        tfsaver.restore(target, path)
    assert tfsaver.restore(target, path, scope="deep").ok and target.w.numpy() == 1


def test_checkpoint_object_is_a_target_too(tf: Any, tmp_path: pathlib.Path) -> None:
    def program() -> Any:
        net = model(tf, 2)
        return tf.train.Checkpoint(model=net, step=tf.Variable(5, dtype=tf.int64), extra=[tf.Variable(1.0), tf.Variable(2.0)])

    old, new = program(), program()
    path = old.save(str(tmp_path / "objects"))
    zero(new.model.weights)
    new.extra[1].assign(7.0)
    assert tfsaver.restore(new, path).ok
    assert_equal(arrays(new.model.weights), arrays(old.model.weights))
    assert new.extra[1].numpy() == 2.0


def test_what_tensorflow_restores_is_what_we_restore(tf: Any, tmp_path: pathlib.Path) -> None:
    def program() -> tuple[Any, Any]:
        net = model(tf, 4, 1)
        net.compile("adam", "mse")
        net.fit(np.random.default_rng(0).normal(size=[8, 3]), np.ones([8, 1]), epochs=2, verbose=0)
        return net, net.optimizer

    def state(net: Any, optimizer: Any) -> list[Any]:
        variables = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
        return arrays([*net.weights, *variables])

    old_net, old_optimizer = program()
    path = tf.train.Checkpoint(model=old_net, optimizer=old_optimizer).write(str(tmp_path / "objects"))
    net, optimizer = program()
    assert tfsaver.restore({"model": net, "optimizer": optimizer}, path).ok
    assert_equal(state(net, optimizer), state(old_net, old_optimizer))
    theirs_net, theirs_optimizer = program()
    tf.train.Checkpoint(model=theirs_net, optimizer=theirs_optimizer).restore(path)
    assert_equal(state(net, optimizer), state(theirs_net, theirs_optimizer))


def test_variables_of_a_lookup_and_of_batch_norm_are_weights_like_others(tf: Any, tmp_path: pathlib.Path) -> None:
    keras = tf.keras
    net = keras.Sequential([keras.layers.Input([4]), keras.layers.BatchNormalization(name="bn")], name="net")
    tensors = {
        f"bn/{name}": np.random.default_rng(1).normal(size=4).astype(np.float32)
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    }
    assert tfsaver.restore(net, tfsaver.save_checkpoint(tensors, tmp_path / "model")).ok
    assert_equal(arrays(net.weights), list(tensors.values()))


def test_keras_savedmodels_that_nothing_loads_give_their_weights(tf: Any, cases: pathlib.Path) -> None:
    path = cases / "sm_keras_simple_model_from_auto_compile"
    keras = tf.keras
    net = keras.Sequential([keras.layers.Input([784]), keras.layers.Dense(100), keras.layers.Dense(10)])
    with tfsaver.load_checkpoint(path) as reader:
        expected = [
            reader[f"layer_with_weights-{index}/{name}/.ATTRIBUTES/VARIABLE_VALUE"]
            for index in (0, 1)
            for name in ("kernel", "bias")
        ]
    report = tfsaver.restore(net, path)
    assert {item.how for item in report.matched} == {"object"}
    assert_equal(arrays(net.weights), expected)
    functional = keras.Model(inputs := keras.Input([784]), keras.layers.Dense(10)(keras.layers.Dense(100)(inputs)))
    assert tfsaver.restore(functional, path).ok
    assert_equal(arrays(functional.weights), expected)
    by_shape = keras.Sequential([keras.layers.Input([784]), keras.layers.Dense(100), keras.layers.Dense(10)])
    assert {item.how for item in tfsaver.restore(list(by_shape.weights), path, by="shape").matched} == {"shape"}
    assert_equal(arrays(by_shape.weights), expected)


def test_model_of_the_other_keras_is_restored_by_its_objects(tf: Any, tmp_path: pathlib.Path) -> None:
    """The layout that Keras 2 gives a checkpoint, and the one that Keras 3 gives it, into whichever Keras is here."""
    layouts = {
        "2": ("layer_with_weights-{}/kernel", "layer_with_weights-{}/bias", 0),
        "3": ("_operations/{}/_kernel", "_operations/{}/bias", 1),
        "3 sequential": ("_functional/_operations/{}/_kernel", "_functional/_operations/{}/bias", 1),
    }
    for number, (kernel, bias, first) in enumerate(layouts.values()):
        tensors = {
            kernel.format(first): np.full([3, 2], number + 1, np.float32),
            bias.format(first): np.full([2], number + 2, np.float32),
            kernel.format(first + 1): np.full([2, 2], number + 3, np.float32),
            bias.format(first + 1): np.full([2], number + 4, np.float32),
        }
        root = tf.train.Checkpoint()
        for path, value in tensors.items():
            *edges, last = path.split("/")
            node = root
            for edge in edges:
                if not hasattr(node, edge):
                    setattr(node, edge, tf.train.Checkpoint())
                node = getattr(node, edge)
            setattr(node, last, tf.Variable(value))
        net = model(tf, 2, 2)
        assert tfsaver.restore(net, root.write(str(tmp_path / f"layout-{number}"))).ok
        assert_equal(arrays(net.weights), list(tensors.values()))


def test_mixed_precision_keeps_its_variables_in_their_own_dtype(tf: Any, tmp_path: pathlib.Path) -> None:
    layer = tf.keras.layers.Dense(2, name="fc", dtype="mixed_float16")
    layer.build([None, 3])
    names = [getattr(variable, "path", variable.name).removesuffix(":0") for variable in layer.weights]
    values = [np.ones([3, 2], np.float32) / 3, np.ones(2, np.float32) / 7]
    path = tfsaver.save_checkpoint(dict(zip(names, values, strict=True)), tmp_path / "model")
    assert tfsaver.restore(layer, path).ok and tfsaver.compare(layer, path)
    assert_equal(arrays(layer.weights), values)


def test_optimizer_inside_of_a_loss_scale_is_restored(tf: Any, tmp_path: pathlib.Path) -> None:
    net = model(tf, 2)
    optimizer = tf.keras.mixed_precision.LossScaleOptimizer(tf.keras.optimizers.Adam())
    optimizer.build(net.trainable_variables)
    path = tf.train.Checkpoint(model=net, optimizer=optimizer).write(str(tmp_path / "objects"))
    variables = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    expected = arrays(variables)
    for variable in variables:
        variable.assign(np.zeros(variable.shape) if variable.dtype != bool else False)
    assert tfsaver.restore({"model": net, "optimizer": optimizer}, path).ok
    assert_equal(arrays(variables), expected)
