"""A cell becomes a layer of Keras, or an error says what is in the way; no tensor gives its name to another in silence."""

from __future__ import annotations

import numpy as np
import pytest

from tfsaver.checkpoint.editing.lstm_cells import keras_lstm
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError

KERNEL = np.arange(40, dtype=np.float32).reshape(5, 8)
CELLS = {"a/kernel": KERNEL, "a/bias": np.arange(8.0), "c/kernel": -KERNEL, "c/bias": -np.arange(8.0)}


def test_two_cells_for_one_layer_are_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="'L' is the layer of 'a' and of 'c'"):
        keras_lstm(ArraySource(CELLS), {"a": "L", "c": "L"})


@pytest.mark.parametrize("name", ["L/kernel", "L/recurrent_kernel", "L/bias"])
def test_tensor_with_the_name_of_a_layers_is_an_error(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"'{name}' is a tensor already"):
        keras_lstm(ArraySource({**CELLS, name: np.ones(3)}), {"a": "L"})


def test_cells_may_change_places() -> None:
    plan = keras_lstm(ArraySource(CELLS), {"a": "c", "c": "a"}, forget_bias=0.0)
    assert plan.names == sorted(f"{scope}/{part}" for scope in "ac" for part in ("kernel", "recurrent_kernel", "bias"))
    # Keras has the second and the third gate of TF1 the other way round.
    order = [0, 1, 4, 5, 2, 3, 6, 7]
    np.testing.assert_array_equal(plan["c/kernel"], KERNEL[:3, order])
    np.testing.assert_array_equal(plan["a/recurrent_kernel"], -KERNEL[3:, order])
