"""Training that is resumed: the numbers that the optimizer gets, and the run after it, bit for bit.

Within Keras 3 the run goes on as if nobody had stopped it. From TensorFlow 1 and from Keras 2 every slot and the step have the
bits of the old ones, or of what the old ones are in Keras's terms, and the run is that of an optimizer that got these numbers
by its own variables.
"""

from __future__ import annotations

import itertools
import pathlib
import tarfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import tfsaver

_X = np.random.default_rng(0).normal(size=[16, 3]).astype(np.float32)
_Y = np.random.default_rng(1).normal(size=[16, 2]).astype(np.float32)

_RECORDED = pathlib.Path(__file__).parents[2] / "checkpoint" / "optimizers" / "recorded" / "recorded.tar.xz"
_DENSE = ("kernel", "bias")

_KERAS: dict[str, Any] = {
    "SGD": lambda o: o.SGD(0.05, momentum=0.9),
    "Nesterov": lambda o: o.SGD(0.05, momentum=0.9, nesterov=True),
    "Adam": lambda o: o.Adam(0.05),
    "AMSGrad": lambda o: o.Adam(0.05, amsgrad=True),
    "AdamW": lambda o: o.AdamW(0.05, weight_decay=0.01),
    "RMSprop": lambda o: o.RMSprop(0.01, momentum=0.5, centered=True),
    "Adagrad": lambda o: o.Adagrad(0.1),
    "Adafactor": lambda o: o.Adafactor(0.05),
    "Nadam": lambda o: o.Nadam(0.05),
    "Lion": lambda o: o.Lion(0.01),
    "LossScale": lambda o: o.LossScaleOptimizer(o.Adam(0.05), initial_scale=64.0, dynamic_growth_steps=3),
}


@pytest.fixture(autouse=True)
def keras_3(tf: Any) -> None:
    if tf.__version__ < "2.16":
        pytest.skip("optimizers of Keras 3")
    tf.keras.backend.clear_session()


def network(tf: Any) -> Any:
    keras = tf.keras
    made = keras.Sequential([keras.layers.Input([3]), keras.layers.Dense(4, name="a"), keras.layers.Dense(2, name="b")])
    for number, variable in enumerate(made.trainable_variables):
        variable.assign(np.random.default_rng(number).normal(size=variable.shape).astype(np.float32))
    return made


def go_on(tf: Any, model: Any, optimizer: Any, steps: int) -> None:
    variables = [variable.value for variable in model.trainable_variables]
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(tf.constant(_X)) - tf.constant(_Y)) ** 2)
            if hasattr(optimizer, "scale_loss"):
                loss = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(loss, variables), model.trainable_variables)


def bits(*sources: Any) -> list[tuple[str, bytes]]:
    return [(variable.path, np.asarray(variable).tobytes()) for source in sources for variable in source.variables]


@pytest.mark.parametrize("kind", _KERAS)
def test_run_goes_on_within_keras_as_if_it_had_not_stopped(tf: Any, tmp_path: pathlib.Path, kind: str) -> None:
    model, optimizer = network(tf), _KERAS[kind](tf.keras.optimizers)
    go_on(tf, model, optimizer, 7)
    path = tf.train.Checkpoint(model=model, optimizer=optimizer).write(str(tmp_path / "ckpt"))
    go_on(tf, model, optimizer, 5)

    tf.keras.backend.clear_session()
    again, resumed = network(tf), _KERAS[kind](tf.keras.optimizers)
    resumed.build(again.trainable_variables)
    assert tfsaver.restore({"model": again, "optimizer": resumed}, path).ok
    assert int(resumed.iterations.numpy()) == 7
    go_on(tf, again, resumed, 5)
    assert [each for _, each in bits(again, resumed)] == [each for _, each in bits(model, optimizer)]


# Keras's slots of a variable, of what TensorFlow 1 calls the variable's slots.
_TF1: dict[str, tuple[Any, Any, Mapping[str, Any]]] = {
    "Momentum": (
        lambda v1: v1.MomentumOptimizer(0.05, 0.9),
        lambda o: o.SGD(0.05, momentum=0.9),
        # Sums of gradients there, of steps here.
        {"momentum": lambda slot: slot("Momentum") * np.float32(-0.05)},
    ),
    "Adam": (
        lambda v1: v1.AdamOptimizer(0.05, beta1=0.8),
        lambda o: o.Adam(0.05, beta_1=0.8, epsilon=1e-8),
        {"momentum": lambda slot: slot("Adam"), "velocity": lambda slot: slot("Adam_1")},
    ),
    "AdamW": (
        lambda v1: v1.AdamOptimizer(0.05),
        lambda o: o.AdamW(0.05, weight_decay=0.01),
        {"momentum": lambda slot: slot("Adam"), "velocity": lambda slot: slot("Adam_1")},
    ),
    "RMSprop": (
        lambda v1: v1.RMSPropOptimizer(0.01, decay=0.8, momentum=0.5, centered=True),
        lambda o: o.RMSprop(0.01, rho=0.8, momentum=0.5, centered=True),
        {
            "velocity": lambda slot: slot("RMSProp"),
            "average_gradient": lambda slot: slot("RMSProp_1"),
            "momentum": lambda slot: slot("RMSProp_2"),
        },
    ),
    "Adagrad": (
        lambda v1: v1.AdagradOptimizer(0.1),
        lambda o: o.Adagrad(0.1),
        {"accumulator": lambda slot: slot("Adagrad")},
    ),
}


@pytest.mark.parametrize("kind", _TF1)
def test_slots_of_tensorflow_1_have_the_bits_that_the_run_of_keras_needs(tf: Any, tmp_path: pathlib.Path, kind: str) -> None:
    old, new, slots = _TF1[kind]
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = tf.constant(_X)
        for scope, size in (("a", 4), ("b", 2)):
            with v1.variable_scope(scope):
                shape = [x.shape[-1], size]
                kernel = v1.get_variable("kernel", shape, initializer=v1.random_normal_initializer(seed=1))
                bias = v1.get_variable("bias", [size], initializer=v1.ones_initializer())
            x = tf.matmul(x, kernel) + bias
        step = v1.train.get_or_create_global_step()
        train = old(v1.train).minimize(tf.reduce_mean((x - tf.constant(_Y)) ** 2), global_step=step)
        session.run(v1.global_variables_initializer())
        for _ in range(7):
            session.run(train)
        path = v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    with tfsaver.load_checkpoint(path) as reader:
        tensors = {name: reader[name] for name in reader.names}

    model, optimizer = network(tf), new(tf.keras.optimizers)
    optimizer.build(model.trainable_variables)
    assert tfsaver.restore({"model": model, "optimizer": optimizer}, path).ok
    expected = {
        f"{scope}_{word}_{slot}": value(lambda ending, name=f"{scope}/{word}": tensors[f"{name}/{ending}"])
        for scope in "ab"
        for word in ("kernel", "bias")
        for slot, value in slots.items()
    }
    check(tf, model, optimizer, expected, 7, new)


def slot_name(variable: Any, model: Any) -> str:
    """As in ``a_kernel_momentum``."""
    return str(variable.path.partition("/")[2].removeprefix(f"{model.name}_"))


def check(tf: Any, model: Any, optimizer: Any, expected: Mapping[str, np.ndarray], step: int, new: Any) -> None:
    """The slots are the expected ones, and the run is that of an optimizer that got them by its own variables."""
    found = {slot_name(variable, model): np.asarray(variable) for variable in optimizer.variables}
    slots = {name: value for name, value in found.items() if name not in ("iteration", "learning_rate")}
    assert slots.keys() == expected.keys()
    for name, value in expected.items():
        assert slots[name].dtype == value.dtype and slots[name].tobytes() == value.tobytes(), name
    assert int(optimizer.iterations.numpy()) == step

    tf.keras.backend.clear_session()
    other, given = network(tf), new(tf.keras.optimizers)
    given.build(other.trainable_variables)
    other.set_weights(model.get_weights())
    for variable in given.variables:
        name = slot_name(variable, other)
        if name in expected:
            variable.assign(expected[name])
    given.iterations.assign(step)
    given.learning_rate.assign(optimizer.learning_rate)
    for each in (model, optimizer), (other, given):
        go_on(tf, *each, 5)
    assert [each for _, each in bits(other, given)] == [each for _, each in bits(model, optimizer)]


# ---- Keras 2, as tests/checkpoint/optimizers/recorded/record.py saved it ----
# Each variable is filled with a number of its own: weights from 100 on, then the step, then the optimizer's variables.

_ADAM = ("momentum", "velocity")
_RMSPROP = ("velocity", "momentum", "average_gradient")
# How Keras 3 makes the optimizer, and the slots in the order in which Keras 2 made them: a variable's slots together, or all
# variables of a slot.
_KERAS_2: dict[str, tuple[Any, tuple[str, ...], bool]] = {
    "tf_keras_sgd": (lambda o: o.SGD(momentum=0.9), ("momentum",), True),
    "tf_keras_adam": (lambda o: o.Adam(), _ADAM, True),
    "tf_keras_adamw_named": (lambda o: o.AdamW(), _ADAM, True),
    "tf_keras_lion": (lambda o: o.Lion(), ("momentum",), True),
    "tf_keras_nadam": (lambda o: o.Nadam(), _ADAM, True),
    "tf_keras_rmsprop": (lambda o: o.RMSprop(momentum=0.5, centered=True), _RMSPROP, False),
    "tf_keras_adagrad": (lambda o: o.Adagrad(), ("accumulator",), True),
}
# What Keras called the slots before 2.11, which stand under their variables.
_LEGACY: dict[str, tuple[Any, dict[str, str]]] = {
    "tf_keras_legacy_sgd_named": (lambda o: o.SGD(0.1, momentum=0.9), {"momentum": "momentum"}),
    "tf_keras_legacy_nadam": (lambda o: o.Nadam(), {"momentum": "m", "velocity": "v"}),
    "tf_keras_legacy_adagrad": (lambda o: o.Adagrad(), {"accumulator": "accumulator"}),
    "tf_keras_legacy_rmsprop": (
        lambda o: o.RMSprop(momentum=0.5, centered=True),
        {"velocity": "rms", "momentum": "momentum", "average_gradient": "mg"},
    ),
}
_WORDS = [(layer, word) for layer, both in (("a", _DENSE), ("n", ("gamma", "beta")), ("b", _DENSE)) for word in both]


def restored_from_keras_2(tf: Any, folder: pathlib.Path, row: str, make: Any) -> tuple[Any, dict[str, float]]:
    """The optimizer, and the number in each of its slots."""
    with tarfile.open(_RECORDED) as packed:
        for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001"):
            file = packed.extractfile(f"{row}/{name}")
            assert file is not None
            (folder / name).write_bytes(file.read())
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [layers.Input([4]), layers.Dense(4, name="a"), layers.BatchNormalization(name="n"), layers.Dense(4, name="b")]
    )
    optimizer = make(tf.keras.optimizers)
    optimizer.build(model.trainable_variables)
    # Keras 2 tracked it as a part of the model.
    model.compile(optimizer, "mse")
    assert tfsaver.restore({"model": model, "optimizer": optimizer}, folder / "model.ckpt").ok
    assert [float(np.asarray(variable).ravel()[0]) for variable in model.trainable_variables] == [100 + n for n in range(6)]
    assert int(optimizer.iterations.numpy()) == 106
    found = {slot_name(variable, model): np.asarray(variable) for variable in optimizer.variables}
    # Nadam's product of its momenta has no name.
    slots = {name: value for name, value in found.items() if name not in ("iteration", "learning_rate", "")}
    assert all(np.ptp(value) == 0 for value in slots.values())
    return optimizer, {name: float(value.ravel()[0]) for name, value in slots.items()}


@pytest.mark.parametrize("row", _KERAS_2)
def test_slots_of_keras_2_are_those_of_keras_3(tf: Any, tmp_path: pathlib.Path, row: str) -> None:
    make, slots, is_together = _KERAS_2[row]
    optimizer, found = restored_from_keras_2(tf, tmp_path, row, make)
    pairs = itertools.product(_WORDS, slots)
    order = list(pairs) if is_together else [(words, slot) for slot in slots for words in _WORDS]
    assert found == {f"{layer}_{word}_{slot}": 107.0 + n for n, ((layer, word), slot) in enumerate(order)}
    if "nadam" in row:
        reader = tf.train.load_checkpoint(str(tmp_path / "model.ckpt"))
        product = reader.get_tensor("model/optimizer/_u_product/.ATTRIBUTES/VARIABLE_VALUE")
        assert np.asarray(optimizer._u_product).tobytes() == product.tobytes() and product != 1


@pytest.mark.parametrize("row", _LEGACY)
def test_slots_of_keras_before_2_11_are_those_of_keras_3(tf: Any, tmp_path: pathlib.Path, row: str) -> None:
    make, slots = _LEGACY[row]
    optimizer, found = restored_from_keras_2(tf, tmp_path, row, make)
    reader = tf.train.load_checkpoint(str(tmp_path / "model.ckpt"))
    expected = {}
    for layer, word in _WORDS:
        path = f"model/layer_with_weights-{'anb'.index(layer)}/{word}/.OPTIMIZER_SLOT/model/optimizer"
        for slot, old in slots.items():
            expected[f"{layer}_{word}_{slot}"] = float(reader.get_tensor(f"{path}/{old}/.ATTRIBUTES/VARIABLE_VALUE").flat[0])
    assert found == expected and len(set(found.values())) == len(found)
    if "nadam" in row:
        [key] = [key for key in reader.get_variable_to_shape_map() if "/momentum_cache/" in key]
        assert np.asarray(optimizer._u_product).tobytes() == reader.get_tensor(key).tobytes()
