"""An LSTM that TF1 made computes the same as a layer of Keras."""

from __future__ import annotations

import pathlib
import warnings
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.names.name_map import RecurrentCells
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import RestoreError

_UNITS, _INPUTS = 5, 3


def cell_of_tf1(kernel: Any, bias: Any, inputs: Any, forget_bias: float) -> Any:
    """What TF1's documentation says that a BasicLSTMCell computes, in numpy; the last output."""

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    state = output = np.zeros([len(inputs), _UNITS])
    for step in range(inputs.shape[1]):
        i, j, f, o = np.split(np.concatenate([inputs[:, step], output], 1) @ kernel + bias, 4, axis=1)
        state = state * sigmoid(f + forget_bias) + sigmoid(i) * np.tanh(j)
        output = np.tanh(state) * sigmoid(o)
    return output


@pytest.mark.parametrize(("words", "forget_bias"), [(("kernel", "bias"), 1.0), (("weights", "biases"), 0.5)])
def test_layer_computes_what_the_cell_did(tf: Any, tmp_path: pathlib.Path, words: Any, forget_bias: float) -> None:
    random = np.random.default_rng(0)
    kernel = random.normal(size=[_INPUTS + _UNITS, 4 * _UNITS]).astype(np.float32)
    bias = random.normal(size=4 * _UNITS).astype(np.float32)
    scope = "rnn/multi_rnn_cell/cell_0/basic_lstm_cell"
    tensors = {f"{scope}/{words[0]}": kernel, f"{scope}/{words[1]}": bias, f"{scope}/{words[0]}/Adam": kernel + 1}
    path = tfsaver.save_checkpoint({**tensors, f"{scope}/{words[1]}/Adam": bias, "other": np.float32(1)}, tmp_path / "model")
    tf.keras.backend.clear_session()
    layer = tf.keras.layers.LSTM(_UNITS, name="lstm")
    inputs = random.normal(size=[2, 4, _INPUTS]).astype(np.float32)
    layer(inputs)
    name = getattr(layer.weights[0], "path", layer.weights[0].name).removesuffix(":0").removesuffix("/kernel")
    cells = RecurrentCells("tf", cells={scope: name}, forget_bias=forget_bias)
    with renamed(tfsaver.load_checkpoint(path), cells).plan as source:
        assert "other" in source.names and f"{scope}/{words[0]}" not in source.names
        report = tfsaver.restore(layer, source)
        assert report.ok and tfsaver.compare(layer, source)
        np.testing.assert_allclose(layer(inputs), cell_of_tf1(kernel, bias, inputs, forget_bias), rtol=1e-4, atol=1e-5)
        slot = source[f"{name}/recurrent_kernel/Adam"]
        np.testing.assert_array_equal(slot[:, :_UNITS], (kernel + 1)[_INPUTS:, :_UNITS])
        np.testing.assert_array_equal(source[f"{name}/bias/Adam"][_UNITS : 2 * _UNITS], bias[2 * _UNITS : 3 * _UNITS])
        np.testing.assert_array_equal(source.read(f"{name}/recurrent_kernel/Adam", np.s_[1, 2:4]), slot[1, 2:4])


def test_layer_computes_what_tensorflows_own_cell_does(tf: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    try:
        cell = v1.nn.rnn_cell.BasicLSTMCell
    except AttributeError:
        pytest.skip("this TensorFlow has no cells of TF1 anymore")
    inputs = np.random.default_rng(2).normal(size=[2, 4, _INPUTS]).astype(np.float32)
    with tf.Graph().as_default(), v1.Session() as session, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs, _ = v1.nn.dynamic_rnn(cell(_UNITS), tf.constant(inputs), dtype=tf.float32)
        session.run(v1.global_variables_initializer())
        expected = session.run(outputs)
        path = v1.train.Saver().save(session, str(tmp_path / "model"))
    layer = tf.keras.layers.LSTM(_UNITS, return_sequences=True, name="lstm")
    layer(inputs)
    tfsaver.restore(layer, path, mapping=RecurrentCells("tf", cells={"rnn/basic_lstm_cell": "lstm/lstm_cell"}))
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-5, atol=1e-6)


def test_cell_is_not_restored_by_its_bias_alone_and_the_way_is_named(tf: Any) -> None:
    scope, columns = "rnn/basic_lstm_cell", 4 * _UNITS
    tensors = {
        f"{scope}/kernel": np.ones([_INPUTS + _UNITS, columns], np.float32),
        f"{scope}/bias": np.ones(columns, np.float32),
    }
    layer = tf.keras.layers.LSTM(_UNITS, name="lstm")
    layer(np.zeros([1, 2, _INPUTS], np.float32))
    report = tfsaver.restore(layer, ArraySource(tensors), strict=False)
    assert not report.matched and not report.mapping
    assert any("RecurrentCells(" in note and "forget_bias=1.0" in note and f"{{{scope!r}: 'lstm/lstm_cell'}}" in note for note in report.notes)


def test_tensors_of_unknown_gates_are_refused_and_the_order_can_be_said(tf: Any) -> None:
    random = np.random.default_rng(4)
    shapes = {"wx": (_INPUTS, 4 * _UNITS), "wh": (_UNITS, 4 * _UNITS), "b": (4 * _UNITS,)}
    tensors = {f"agent/{word}": random.normal(size=shape).astype(np.float32) for word, shape in shapes.items()}
    layer = tf.keras.layers.LSTM(_UNITS, name="lstm")
    layer(np.zeros([1, 2, _INPUTS], np.float32))
    before = layer.get_weights()
    words = dict(zip(shapes, ("kernel", "recurrent_kernel", "bias"), strict=True))
    names = {f"agent/{old}": f"lstm/lstm_cell/{new}" for old, new in words.items()}
    for options in ({"mapping": names}, {"by": "shape"}, {"accept_guesses": True}):
        with pytest.raises(RestoreError, match="gates.*baselines"):
            tfsaver.restore(layer, ArraySource(tensors), **options)
        report = tfsaver.restore(layer, ArraySource(tensors), strict=False, **options)
        assert not report.matched and not report.mapping
    assert all(map(np.array_equal, before, layer.get_weights()))
    said = {old: {"to": new, "gates": "ifco->ifco"} for old, new in names.items()}
    assert tfsaver.restore(layer, ArraySource(tensors), mapping=said).ok
    assert all(map(np.array_equal, tensors.values(), layer.get_weights()))


def test_bias_alone_of_the_same_name_is_refused(tf: Any) -> None:
    layer = tf.keras.layers.LSTM(_UNITS, name="lstm")
    layer(np.zeros([1, 2, _INPUTS], np.float32))
    tensors = {"lstm/lstm_cell/kernel": np.ones([8, 20], np.float32), "lstm/lstm_cell/bias": np.ones(20, np.float32)}
    report = tfsaver.restore(layer, ArraySource(tensors), strict=False)
    assert not report.matched and any("tf-rnn-to-keras" in note for note in report.notes)


@pytest.mark.parametrize(
    ("reset_after", "is_cudnn", "is_block"), [(False, False, False), (False, False, True), (True, True, False)]
)
def test_gru_computes_what_the_cell_did(tf: Any, reset_after: bool, is_cudnn: bool, is_block: bool) -> None:
    random = np.random.default_rng(5)

    def normal(*shape: int) -> Any:
        return random.normal(size=shape).astype(np.float32)

    inputs = normal(2, 4, _INPUTS)
    gates, gates_bias = normal(_INPUTS + _UNITS, 2 * _UNITS), normal(2 * _UNITS)
    above, below, bias, hidden_bias = normal(_INPUTS, _UNITS), normal(_UNITS, _UNITS), normal(_UNITS), normal(_UNITS)
    state = np.zeros([2, _UNITS])
    for step in range(4):
        joined = np.concatenate([inputs[:, step], state], 1)
        reset, update = np.split(1 / (1 + np.exp(-(joined @ gates + gates_bias))), 2, axis=1)
        inner = reset * (state @ below + hidden_bias) if is_cudnn else (reset * state) @ below
        state = update * state + (1 - update) * np.tanh(inputs[:, step] @ above + bias + inner)
    scope = "rnn/cell_0"
    tensors = {f"{scope}/gates/kernel": gates, f"{scope}/gates/bias": gates_bias}
    if is_cudnn:
        tensors |= {
            f"{scope}/candidate/input_projection/kernel": above,
            f"{scope}/candidate/input_projection/bias": bias,
            f"{scope}/candidate/hidden_projection/kernel": below,
            f"{scope}/candidate/hidden_projection/bias": hidden_bias,
        }
    else:
        tensors |= {f"{scope}/candidate/kernel": np.concatenate([above, below]), f"{scope}/candidate/bias": bias}
    if is_block:
        words = {"gates/kernel": "w_ru", "gates/bias": "b_ru", "candidate/kernel": "w_c", "candidate/bias": "b_c"}
        tensors = {f"{scope}/{new}": tensors[f"{scope}/{old}"] for old, new in words.items()}
    layer = tf.keras.layers.GRU(_UNITS, reset_after=reset_after, name="recurrent")
    layer(inputs)
    report = tfsaver.restore(layer, ArraySource(tensors), strict=False)
    assert not report.matched and any("a GRU of TensorFlow's cells" in note and scope in note for note in report.notes)
    tfsaver.restore(layer, ArraySource(tensors), mapping=RecurrentCells("tf", cells={scope: "recurrent/gru_cell"}))
    np.testing.assert_allclose(layer(inputs), state, rtol=1e-5, atol=1e-6)
    # The other kind of layer computes something else, and has a bias of another shape.
    other = tf.keras.layers.GRU(_UNITS, reset_after=not reset_after, name="recurrent")
    other(inputs)
    with pytest.raises(RestoreError, match="shape"):
        tfsaver.restore(other, ArraySource(tensors), mapping=RecurrentCells("tf", cells={scope: "recurrent/gru_cell"}))
