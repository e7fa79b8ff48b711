"""Modules of PyTorch and Keras models on its backend and JAX's get a checkpoint's values, without TensorFlow."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.errors import InvalidArgumentError, RestoreError
from tfsaver.targets.programs import program_of

_KERAS = """
import sys
sys.modules["tensorflow"] = None
import os, tempfile
import keras, numpy as np, tfsaver
layers = [keras.layers.Input([3]), keras.layers.Dense(2, name="d"), keras.layers.BatchNormalization(name="n")]
model = keras.Sequential(layers, name="net")
words = ("gamma", "beta", "moving_mean", "moving_variance")
tensors = {"d/kernel": np.arange(6, dtype="f").reshape(3, 2), "d/bias": np.ones(2, "f")}
tensors |= {f"n/{word}": np.full(2, number, "f") for number, word in enumerate(words)}
assert tfsaver.restore(model, tensors).ok and tfsaver.compare(model, tensors)
assert all(map(np.array_equal, model.get_weights(), tensors.values())) and keras.backend.backend() == sys.argv[1]

optimizers = keras.optimizers.Adam(), keras.optimizers.Adafactor()
for optimizer in optimizers:
    try:
        tfsaver.restore({"model": model, "optimizer": optimizer}, tensors)
    except tfsaver.SaverError as error:
        assert "is not built" in str(error)
    optimizer.build(model.trainable_variables)
adam = {f"{name}/{word}": value + number for number, word in enumerate(("Adam", "Adam_1"), 1)
        for name, value in tensors.items() if "moving" not in name}
steps = {"beta1_power": np.float32(0.9**8), "beta2_power": np.float32(0.999**8)}
target = {"model": model, "optimizer": optimizers[0]}
report = tfsaver.restore(target, {**tensors, **adam, **steps})
assert report.ok and int(optimizers[0].iterations) == 7 and not report.unexpected, report
array = keras.ops.convert_to_numpy
moments = {variable.path.rpartition("/")[2]: array(variable) for variable in optimizers[0].variables}
assert np.array_equal(moments["net_d_kernel_momentum"], adam["d/kernel/Adam"]), moments
assert np.array_equal(moments["net_n_beta_velocity"], adam["n/beta/Adam_1"])

factored = {"d/kernel/vr": np.float32([1, 2, 3]), "d/kernel/vc": np.float32([4, 5]), "global_step": np.int64(3)}
target = {"optimizer": optimizers[1], "model": model}
assert tfsaver.restore(target, {**tensors, **factored}, select=["kernel", "net_d_kernel", "iteration"]).ok
assert array(optimizers[1]._r[0]).tolist() == [1, 2, 3] and array(optimizers[1]._c[0]).tolist() == [4, 5]
assert int(optimizers[1].iterations) == 3

def functional(name):
    inputs = keras.Input([4, 3])
    hidden = keras.layers.LSTM(3)(keras.layers.Dense(3)(keras.layers.Dense(3)(inputs)))
    return keras.Model(inputs, keras.layers.Dense(3)(hidden), name=name)

old, new = functional("old"), functional("new")
for number, weight in enumerate(old.weights):
    weight.assign(np.random.default_rng(number).random(weight.shape))
old.compile(keras.optimizers.Nadam(), "mse")
old.optimizer.build(old.trainable_variables)
for number, variable in enumerate(old.optimizer.variables):
    variable.assign(np.full(variable.shape, number, str(variable.dtype)))
for path in ("m.keras", "m.weights.h5"):
    path = os.path.join(tempfile.mkdtemp(), path)
    old.save(path) if path.endswith("keras") else old.save_weights(path)
    [weight.assign(weight * 0) for weight in new.weights]
    optimizer = keras.optimizers.Nadam()
    optimizer.build(new.trainable_variables)
    # The names of the layers are others, and some of them are those of other layers.
    assert tfsaver.restore({"model": new, "optimizer": optimizer}, path).ok
    assert all(map(np.array_equal, old.get_weights(), new.get_weights()))
    for one, other in zip(old.optimizer.variables, optimizer.variables, strict=True):
        assert np.array_equal(array(one), array(other)), other.path
    assert tfsaver.compare(new, path)

normalization = keras.Sequential([keras.layers.Input([1]), keras.layers.Normalization(name="n")], name="net")
names = {variable.path.rpartition("/")[2]: variable for variable in normalization.weights}
values = {f"n/{name}": np.full(variable.shape, 4, str(variable.dtype)) for name, variable in names.items()}
assert tfsaver.restore(normalization, values).ok and array(normalization.layers[0].mean).ravel().tolist() == [4]
"""


def test_module_gets_its_values_under_either_spelling_of_its_names() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2).to(torch.bfloat16))
    state = {name: value + 1 for name, value in module.state_dict().items() if "num_batches" not in name}
    bits = np.dtype(program_of(module).variables[-1].dtype.numpy)
    tensors: dict[str, Any] = {
        name.replace(".", "/"): value.view(torch.int16).numpy().view(bits) if value.dtype == torch.bfloat16 else value.numpy()
        for name, value in state.items()
    }
    address = module[0].weight.data_ptr()
    report = tfsaver.restore(module, tensors)
    assert report.ok and report.left == ("1.num_batches_tracked",)
    assert all(torch.equal(module.state_dict()[name], value) for name, value in state.items())
    assert tfsaver.compare(module, tensors) and module[0].weight.data_ptr() == address


def test_tied_parameter_has_both_names_and_a_mapping_turns_kernels() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 2, bias=False), "b": torch.nn.Linear(3, 2, bias=False)})
    module["b"].weight = module["a"].weight
    kernel = np.arange(6, dtype=np.float32).reshape(3, 2)
    mapping = {"dense/kernel": {"to": "b.weight", "transpose": True}}
    assert tfsaver.restore(module, {"dense/kernel": kernel}, mapping=mapping).ok
    np.testing.assert_array_equal(module["a"].weight.detach(), kernel.T)


def test_nothing_changes_in_a_module_when_a_tensor_is_missing() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(3, 2)
    before = module.weight.detach().clone()
    with pytest.raises(RestoreError, match="bias"):
        tfsaver.restore(module, {"weight": np.zeros([2, 3], np.float32)})
    assert torch.equal(module.weight, before)
    with pytest.raises(InvalidArgumentError, match="no variables to restore in the module ReLU"):
        tfsaver.restore(torch.nn.ReLU(), {"weight": np.zeros([2, 3], np.float32)})


def test_lstm_of_pytorch_takes_no_tensor_of_unknown_gates() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.ModuleDict({"rnn": torch.nn.LSTM(3, 2, bias=False)})
    shapes = {"x": (8, 3), "h": (8, 2)}
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    with pytest.raises(RestoreError, match="order of the gates.*tf-rnn-to-pytorch"):
        tfsaver.restore(module, tensors, mapping={"x": "rnn.weight_ih_l0", "h": "rnn.weight_hh_l0"})


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_keras_on_another_backend_is_restored_without_tensorflow(backend: str) -> None:
    for program in ("keras", backend):
        # Imported here, Keras would take TensorFlow with it.
        if importlib.util.find_spec(program) is None:
            pytest.skip(f"needs {program}: pip install {program}")
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-c", _KERAS, backend], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
