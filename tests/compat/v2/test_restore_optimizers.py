"""The state of TF1's optimizers in Keras's: training goes on as if nobody had changed the program."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.errors import InvalidArgumentError, RestoreError

_X = np.random.default_rng(0).normal(size=[16, 3]).astype(np.float32)
_Y = np.random.default_rng(1).normal(size=[16, 2]).astype(np.float32)

# How TF1 makes an optimizer, and what is the same in Keras.
_OPTIMIZERS = {
    "Adam": (lambda v1: v1.AdamOptimizer(0.05, beta1=0.8), lambda keras: keras.Adam(0.05, beta_1=0.8, epsilon=1e-8)),
    "Adam of its own name": (
        lambda v1: v1.AdamOptimizer(0.05, beta1=0.8, name="g_adam"),
        lambda keras: keras.Adam(0.05, beta_1=0.8, epsilon=1e-8),
    ),
    "Momentum": (lambda v1: v1.MomentumOptimizer(0.05, 0.9), lambda keras: keras.SGD(0.05, momentum=0.9)),
    "Nesterov": (
        lambda v1: v1.MomentumOptimizer(0.05, 0.9, use_nesterov=True),
        lambda keras: keras.SGD(0.05, momentum=0.9, nesterov=True),
    ),
    "RMSProp": (
        lambda v1: v1.RMSPropOptimizer(0.01, decay=0.8, momentum=0.5, epsilon=1e-6),
        lambda keras: keras.RMSprop(0.01, rho=0.8, momentum=0.5, epsilon=1e-6),
    ),
    "centered RMSProp": (
        lambda v1: v1.RMSPropOptimizer(0.01, decay=0.8, momentum=0.5, epsilon=1e-6, centered=True),
        lambda keras: keras.RMSprop(0.01, rho=0.8, momentum=0.5, epsilon=1e-6, centered=True),
    ),
    "Adagrad": (
        lambda v1: v1.AdagradOptimizer(0.1),
        lambda keras: keras.Adagrad(0.1, epsilon=1e-12),
    ),
    "Ftrl": (
        lambda v1: v1.FtrlOptimizer(0.1, l1_regularization_strength=0.01),
        lambda keras: keras.Ftrl(0.1, l1_regularization_strength=0.01),
    ),
    "Adadelta": (
        lambda v1: v1.AdadeltaOptimizer(0.5, rho=0.9, epsilon=1e-4),
        lambda keras: keras.Adadelta(0.5, rho=0.9, epsilon=1e-4),
    ),
}


def trained(tf: Any, make: Any, directory: pathlib.Path, *, num_steps: int, more: int, with_step: bool) -> tuple[str, Any]:
    """A checkpoint of a TF1 program after some steps, and what its variables are after more of them."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        kernel = v1.get_variable("fc/weights", initializer=np.ones([3, 2], np.float32) / 3)
        bias = v1.get_variable("fc/biases", initializer=np.zeros(2, np.float32))
        loss = tf.reduce_mean((tf.matmul(tf.constant(_X), kernel) + bias - tf.constant(_Y)) ** 2)
        step = v1.train.get_or_create_global_step() if with_step else None
        train = make(v1.train).minimize(loss, global_step=step)
        session.run(v1.global_variables_initializer())
        for _ in range(num_steps):
            session.run(train)
        path = v1.train.Saver().save(session, str(directory / "model.ckpt"))
        for _ in range(more):
            session.run(train)
        return path, session.run([kernel, bias])


def go_on(tf: Any, variables: Any, optimizer: Any, num_steps: int) -> None:
    for _ in range(num_steps):
        with tf.GradientTape() as tape:
            outputs = tf.matmul(tf.constant(_X), tf.convert_to_tensor(variables[0])) + tf.convert_to_tensor(variables[1])
            loss = tf.reduce_mean((outputs - tf.constant(_Y)) ** 2)
        sources = [variable if isinstance(variable, tf.Variable) else variable.value for variable in variables]
        optimizer.apply_gradients(zip(tape.gradient(loss, sources), variables, strict=True))


def keras_optimizers(tf: Any) -> list[Any]:
    legacy = getattr(tf.keras.optimizers, "legacy", None) if tf.__version__ < "2.16" else None
    return [tf.keras.optimizers, *([legacy] if legacy is not None else [])]


MAPPING = {"fc/weights": "fc/kernel", "fc/biases": "fc/bias"}


@pytest.mark.parametrize("with_step", [True, False])
@pytest.mark.parametrize("kind", _OPTIMIZERS)
def test_training_goes_on_where_tf1_stopped(tf: Any, tmp_path: pathlib.Path, kind: str, with_step: bool) -> None:
    old, new = _OPTIMIZERS[kind]
    path, expected = trained(tf, old, tmp_path, num_steps=7, more=5, with_step=with_step)
    for number, optimizers in enumerate(keras_optimizers(tf)):
        layer = tf.keras.layers.Dense(2, name="fc")
        layer.build([None, 3])
        optimizer = new(optimizers)
        if hasattr(optimizer, "build"):
            optimizer.build(layer.trainable_variables)
        else:
            optimizer.apply_gradients([(tf.ones_like(variable), variable) for variable in layer.trainable_variables])
        layer_names = [getattr(variable, "path", variable.name).removesuffix(":0") for variable in layer.weights]
        mapping = dict(zip(MAPPING, layer_names, strict=True))
        target = {"model": layer, "optimizer": optimizer}
        # Without a counter only Adam says how many steps it has taken; the others do not need to know.
        select = None if with_step or kind.startswith("Adam ") or kind == "Adam" else tfsaver.Selection(exclude="iter")
        report = tfsaver.restore(target, path, mapping=mapping, select=select)
        assert report.ok and tfsaver.compare(target, path, mapping=mapping, select=select), number
        if select is None:
            assert int(optimizer.iterations.numpy()) == 7
        go_on(tf, layer.weights, optimizer, 5)
        for variable, value in zip(layer.weights, expected, strict=True):
            np.testing.assert_allclose(variable.numpy(), value, rtol=2e-5, atol=2e-6, err_msg=kind)


def test_optimizer_alone_is_restored_by_the_names_of_its_variables(tf: Any, tmp_path: pathlib.Path) -> None:
    path, _ = trained(tf, _OPTIMIZERS["Adam"][0], tmp_path, num_steps=3, more=0, with_step=True)
    variables = [tf.Variable(tf.zeros([3, 2]), name="fc/weights"), tf.Variable(tf.zeros([2]), name="fc/biases")]
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build(variables)
    assert tfsaver.restore(optimizer, path).ok
    with tfsaver.load_checkpoint(path) as reader:
        np.testing.assert_array_equal(optimizer._momentums[0].numpy(), reader["fc/weights/Adam"])
        np.testing.assert_array_equal(optimizer._velocities[1].numpy(), reader["fc/biases/Adam_1"])
    assert int(optimizer.iterations.numpy()) == 3 and not variables[0].numpy().any()


def test_tf1_optimizers_in_eager_mode_are_restored_by_name(tf: Any, tmp_path: pathlib.Path) -> None:
    path, _ = trained(tf, _OPTIMIZERS["Adam"][0], tmp_path, num_steps=3, more=0, with_step=False)
    variables = [tf.Variable(tf.zeros([3, 2]), name="fc/weights"), tf.Variable(tf.zeros([2]), name="fc/biases")]
    optimizer = tf.compat.v1.train.AdamOptimizer(0.05, beta1=0.8)
    with pytest.raises(InvalidArgumentError, match="minimize something once"):
        tfsaver.restore(optimizer, path)
    optimizer.minimize(lambda: sum(tf.reduce_sum(variable) for variable in variables), var_list=variables)
    assert tfsaver.restore([variables, optimizer], path).num_wanted == 8
    assert tfsaver.compare([variables, optimizer], path)


def test_slots_of_another_kind_of_optimizer_are_not_taken(tf: Any, tmp_path: pathlib.Path) -> None:
    path, _ = trained(tf, _OPTIMIZERS["Adam"][0], tmp_path, num_steps=3, more=0, with_step=True)
    variables = {"fc/weights": tf.Variable(tf.zeros([3, 2])), "fc/biases": tf.Variable(tf.zeros([2]))}
    optimizer = tf.keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(list(variables.values()))
    with pytest.raises(RestoreError, match="slots of another kind of optimizer: Adam:0, Adam:1") as caught:
        tfsaver.restore({"model": variables, "optimizer": optimizer}, path)
    assert len(caught.value.report.missing) == 2 and not variables["fc/weights"].numpy().any()


def test_two_optimizers_of_one_variable_are_ambiguous(tf: Any, tmp_path: pathlib.Path) -> None:
    names = ("w", "w/Adam", "w/Adam_1", "opt/w/Adam", "opt/w/Adam_1")
    path = tfsaver.save_checkpoint({**dict.fromkeys(names, np.float32([1, 2])), "global_step": np.int64(3)}, tmp_path / "model")
    weights = tf.Variable([0.0, 0.0])
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build([weights])
    with pytest.raises(RestoreError) as caught:
        tfsaver.restore({"model": {"w": weights}, "optimizer": optimizer}, path)
    assert [set(item.keys) for item in caught.value.report.ambiguous] == [{"w/Adam", "opt/w/Adam"}, {"w/Adam_1", "opt/w/Adam_1"}]
    assert "several optimizers have this slot for w" in str(caught.value)


def test_schedule_has_no_rate_to_make_steps_with(tf: Any, tmp_path: pathlib.Path) -> None:
    path, _ = trained(tf, _OPTIMIZERS["Momentum"][0], tmp_path, num_steps=1, more=0, with_step=True)
    variables = {"fc/weights": tf.Variable(tf.zeros([3, 2])), "fc/biases": tf.Variable(tf.zeros([2]))}
    schedule = tf.keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    optimizer = tf.keras.optimizers.SGD(schedule, momentum=0.9)
    optimizer.build(list(variables.values()))
    with pytest.raises(InvalidArgumentError, match="schedule for a learning rate"):
        tfsaver.restore({"model": variables, "optimizer": optimizer}, path)
