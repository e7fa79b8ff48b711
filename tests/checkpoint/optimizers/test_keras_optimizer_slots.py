"""What TF1's optimizers saved goes where Keras's optimizers keep it: proved by training on from there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY
from tfsaver.checkpoint.optimizers.keras_optimizer_slots import (
    Iterations,
    SavedSlot,
    SavedSlots,
    iterations_from,
    slot_of_keras,
    slots_of_tf_train,
)
from tfsaver.errors import InvalidArgumentError

START = np.float32([0.5, -1.5, 2.0])
LEARNING_RATE = 0.05

# The optimizer of tf.train with its arguments, Keras's with the same meaning, and the slots of Keras's by its own words.
PAIRS = [
    ("AdamOptimizer", {}, "Adam", {"epsilon": 1e-8}, ("momentum", "velocity")),
    ("MomentumOptimizer", {"momentum": 0.9}, "SGD", {"momentum": 0.9}, ("momentum",)),
    ("MomentumOptimizer", {"momentum": 0.9, "use_nesterov": True}, "SGD", {"momentum": 0.9, "nesterov": True}, ("momentum",)),
    ("RMSPropOptimizer", {"momentum": 0.5, "epsilon": 1e-6}, "RMSprop", {"momentum": 0.5, "epsilon": 1e-6}, ("velocity", "momentum")),
    (
        "RMSPropOptimizer",
        {"momentum": 0.5, "epsilon": 1e-6, "centered": True},
        "RMSprop",
        {"momentum": 0.5, "epsilon": 1e-6, "centered": True},
        ("velocity", "momentum", "average_gradient"),
    ),
    ("AdagradOptimizer", {}, "Adagrad", {"epsilon": 1e-12}, ("accumulator",)),
    ("AdadeltaOptimizer", {"epsilon": 1e-6}, "Adadelta", {"epsilon": 1e-6}, ("accumulated_grad", "accumulated_delta_var")),
    ("FtrlOptimizer", {}, "Ftrl", {}, ("accumulator", "linear")),
]  # fmt: skip


@pytest.mark.parametrize(("old", "old_arguments", "new", "new_arguments", "slots"), PAIRS)
def test_keras_trains_on_where_tf_train_stopped(
    old: str, old_arguments: dict[str, Any], new: str, new_arguments: dict[str, Any], slots: tuple[str, ...]
) -> None:
    saved, goal = train_in_graph(old, old_arguments, steps=5, more=4)
    keras = pytest.importorskip("keras")
    tensors = SavedSlots({name: value.shape for name, value in saved.items()})
    weights = keras.Variable(saved["w"], name="w")
    optimizer = getattr(keras.optimizers, new)(LEARNING_RATE, **new_arguments)
    optimizer.build([weights])
    kept = {variable.path.rpartition("/")[2].removeprefix("w_"): variable for variable in optimizer.variables}
    assert set(slots) == kept.keys() - {"iteration", "learning_rate"}
    for slot in slots:
        found = tensors.find(new, slot, "w")
        assert found is not None
        kept[slot].assign(-LEARNING_RATE * saved[found.name] if found.is_scaled else saved[found.name])
    steps = iterations_from(beta1_power=saved.get("beta1_power"), global_step=int(saved["global_step"]))
    assert steps is not None and steps.value == 5
    optimizer.iterations.assign(steps.value)
    for _ in range(4):
        optimizer.apply([keras.ops.convert_to_tensor(gradient(np.asarray(weights)))])
    np.testing.assert_allclose(np.asarray(weights), goal, rtol=2e-5)


def train_in_graph(name: str, arguments: dict[str, Any], *, steps: int, more: int) -> tuple[dict[str, Any], Any]:
    """All variables after some steps of an optimizer of tf.train, and the weights after some more."""
    tf = pytest.importorskip("tensorflow").compat.v1
    with tf.Graph().as_default(), tf.Session() as session:
        weights = tf.get_variable("w", initializer=START)
        fed = tf.placeholder(tf.float32, [3])
        step = tf.train.get_or_create_global_step()
        optimizer = getattr(tf.train, name)(LEARNING_RATE, **arguments)
        train = optimizer.apply_gradients([(fed, weights)], global_step=step)
        session.run(tf.global_variables_initializer())
        for _ in range(steps):
            session.run(train, {fed: gradient(session.run(weights))})
        saved = {variable.op.name: session.run(variable) for variable in tf.global_variables()}
        for _ in range(more):
            session.run(train, {fed: gradient(session.run(weights))})
        return saved, session.run(weights)


def gradient(weights: Any) -> Any:
    return np.float32(weights - np.float32([1, 2, 3]) * np.sin(weights))


@pytest.mark.parametrize(
    ("optimizer", "words", "slot"),
    [
        ("Adam", ["momentum", "_momentums", "m"], "m"),
        ("Adam", ["velocity", "_velocities", "v"], "v"),
        ("Adam", ["velocity_hat", "vhat", "_velocity_hats"], "vhat"),
        ("RMSprop", ["velocity", "_velocities", "rms"], "rms"),
        ("RMSprop", ["average_gradient", "mg"], "mg"),
        ("SGD", ["momentum", "momentums", "m"], "momentum"),
        ("Adamax", ["norm", "u", "_u", "v"], "v"),
        ("Adadelta", ["accumulated_delta_var", "accum_var"], "accum_var"),
        ("Ftrl", ["linear", "_linears"], "linear"),
        ("LAMB", ["momentum"], "m"),
    ],
)  # fmt: skip
def test_kerases_call_one_slot_by_several_words(optimizer: str, words: list[str], slot: str) -> None:
    assert {slot_of_keras(optimizer, word) for word in words} == {slot}


def test_names_of_tf_train_are_told_without_a_checkpoint() -> None:
    assert slots_of_tf_train("Adam", "velocity", "w") == (
        SavedSlot("w/Adam_1", "v", False),
        SavedSlot("w/adam_v", "v", False),
        SavedSlot("w/AdamW_1", "v", False),
    )
    assert slots_of_tf_train("SGD", "momentum", "w")[0] == SavedSlot("w/Momentum", "momentum", True)
    assert slots_of_tf_train("RMSprop", "momentum", "w") == (SavedSlot("w/RMSProp_1", "momentum", False),)
    assert slots_of_tf_train("RMSprop", "momentum", "w", is_centered=True) == (SavedSlot("w/RMSProp_2", "momentum", False),)
    assert slots_of_tf_train("RMSprop", "average_gradient", "w") == ()
    assert [slot.name for slot in slots_of_tf_train("Lamb", "momentum", "w")] == ["w/LAMB", "w/lamb_m", "w/Adam", "w/adam_m"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("w/Adam", "w/Adam_1"),
        ("w/Adam_9", "w/Adam_10"),
        ("training/w/Adam", "training/w/Adam_1"),
        ("w/adam_m", "w/adam_v"),
        ("training/Adam/w/m", "training/Adam/w/v"),
    ],
)
def test_moments_are_found_however_they_were_named(first: str, second: str) -> None:
    slots = SavedSlots(dict.fromkeys(("w", first, second), (3, 4)))
    for optimizer in ("Adam", "AdamW"):
        found = [slots.find(optimizer, slot, "w") for slot in ("momentum", "velocity")]
        assert found == [SavedSlot(first, "m", False), SavedSlot(second, "v", False)]


def test_slots_of_objects_are_found() -> None:
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    names = [f"net/w{end}", f"net/w/.OPTIMIZER_SLOT/opt/m{end}", f"net/w/.OPTIMIZER_SLOT/opt/v{end}", f"opt/iter{end}"]
    slots = SavedSlots({**dict.fromkeys(names[:3], (3,)), names[3]: (), OBJECT_GRAPH_KEY: ()})
    assert slots.find("Adam", "velocity", names[0]) == SavedSlot(names[2], "v", False)


def test_momentum_of_kerases_sgd_is_not_scaled_again() -> None:
    slots = SavedSlots(dict.fromkeys(("w", "training/SGD/w/momentum"), (3,)))
    assert slots.find("SGD", "momentum", "w") == SavedSlot("training/SGD/w/momentum", "momentum", False)
    assert slots.find("Adam", "momentum", "w") is None


def test_what_is_ambiguous_is_not_guessed() -> None:
    twice = SavedSlots(dict.fromkeys(("w", "w/Adam", "w/Adam_1", "w/Adam_2", "w/Adam_3"), (3,)))
    both = SavedSlots(dict.fromkeys(("w", "w/Adam", "w/Adam_1", "w/adam_m", "w/adam_v"), (3,)))
    assert twice.find("Adam", "momentum", "w") is None and both.find("Adam", "momentum", "w") is None


def test_slots_of_another_optimizer_are_not_taken() -> None:
    slots = SavedSlots(dict.fromkeys(("w", "w/RMSProp", "w/RMSProp_1"), (3,)))
    assert slots.find("Adam", "momentum", "w") is None
    assert slots.find("RMSprop", "average_gradient", "w") is None


@pytest.mark.parametrize(
    ("optimizer", "slot", "sentence"),
    [("Adan", "m", "did you mean 'Adam'"), ("Adam", "speed", "there are m, momentum, v, velocity, velocity_hat, vhat")],
)
def test_unknown_optimizer_or_slot_is_an_error_that_says_the_known(optimizer: str, slot: str, sentence: str) -> None:
    with pytest.raises(InvalidArgumentError, match=sentence):
        slot_of_keras(optimizer, slot)


@pytest.mark.parametrize("steps", [0, 1, 5, 100, 800])
def test_first_power_tells_the_step_exactly(steps: int) -> None:
    assert iterations_from(beta1_power=power(0.9, steps), global_step=7) == Iterations(steps, "beta1_power")


def test_global_step_is_taken_when_the_first_power_is_used_up() -> None:
    powers = {"beta1_power": power(0.9, 5000), "beta2_power": power(0.999, 5000)}
    assert iterations_from(**powers, global_step=5000) == Iterations(5000, "global_step")
    contradicted = iterations_from(**powers, global_step=90_000)
    assert contradicted is not None and contradicted.source == "beta2_power" and abs(contradicted.value - 5000) <= 2


def test_what_does_not_tell_the_step_tells_nothing() -> None:
    assert iterations_from() is None
    assert iterations_from(beta1_power=0.0, beta2_power=1.5) is None
    assert iterations_from(global_step=12) == Iterations(12, "global_step")


def power(beta: float, steps: int) -> float:
    """The power after so many steps, multiplied in 32 bits as TensorFlow does."""
    value = np.float32(beta)
    for _ in range(steps):
        value = np.float32(value * np.float32(beta))
    return float(value)
