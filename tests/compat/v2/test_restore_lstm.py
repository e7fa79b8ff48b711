"""An LSTM that TF1 made computes the same as a layer of Keras."""

from __future__ import annotations

import pathlib
import warnings
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.editing.lstm_cells import keras_lstm
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError, TensorNotFoundError, UnimplementedError

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
    with keras_lstm(tfsaver.load_checkpoint(path), {scope: name}, forget_bias=forget_bias) as source:
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
    source = keras_lstm(tfsaver.load_checkpoint(path), {"rnn/basic_lstm_cell": "lstm/lstm_cell"})
    with source:
        tfsaver.restore(layer, source)
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
    assert any("keras_lstm" in note and f"{{{scope!r}: 'lstm/lstm_cell'}}" in note for note in report.notes)


def test_what_is_no_such_cell_is_refused() -> None:
    tensors = {"cell/kernel": np.zeros([8, 20], np.float32), "cell/bias": np.zeros(20, np.float32)}
    with pytest.raises(InvalidArgumentError, match="did you mean cell"):
        keras_lstm(ArraySource(tensors), {"sell": "lstm"})
    with pytest.raises(UnimplementedError, match="w_f_diag"):
        keras_lstm(ArraySource({**tensors, "cell/w_f_diag": np.zeros(5)}), {"cell": "lstm"})
    with pytest.raises(InvalidArgumentError, match="is no LSTM cell"):
        keras_lstm(ArraySource({**tensors, "cell/bias": np.zeros(16, np.float32)}), {"cell": "lstm"})
    with pytest.raises(TensorNotFoundError, match="did you mean 'lstm/bias'"):
        keras_lstm(ArraySource(tensors), {"cell": "lstm"}).info("lstn/bias")
