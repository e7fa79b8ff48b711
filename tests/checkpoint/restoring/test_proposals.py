"""What is proposed for missing variables: what is alike, what is the only one of its shape, and never another gate order."""

from __future__ import annotations

import numpy as np

from tfsaver.checkpoint.restoring.proposals import Proposals
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.checkpoint.wanted_tensor import PartialShape, WantedTensor
from tfsaver.framework import dtypes

F4 = dtypes.from_name("float32")


def propose(missing: dict[str, PartialShape], there: dict[str, tuple[int, ...]], dtype: str = "float32") -> Proposals:
    source = ArraySource({name: np.zeros(shape, dtype) for name, shape in there.items()})
    wanted = {name: WantedTensor(name, F4, shape) for name, shape in missing.items()}
    return Proposals(wanted, {name: name for name in source.names}, source.info)


def test_only_tensor_of_a_shape_is_a_guess_whatever_its_name() -> None:
    missing = {"embedding/embeddings": (7, 3), "net/hidden/kernel": (3, 2), "net/hidden/bias": (2,)}
    there = {"words": (7, 3), "dense/kernel": (3, 2), "dense/offset": (2,)}
    assert propose(missing, there).guesses == dict(zip(missing, there, strict=True))


def test_tensor_that_two_may_be_is_not_proposed_for_its_shape() -> None:
    assert propose({"query": (2,)}, {"stem": (2,), "foo": (2,)}).guesses == {}
    assert propose({"query": (2,), "gamma": (2,)}, {"stem": (2,)}).guesses == {}
    assert propose({"query": (2,), "gamma": (None,)}, {"stem": (2,)}).guesses == {}
    assert propose({"query": (2,), "gamma": None}, {"stem": (2,)}).guesses == {}


def test_scalar_or_other_dtype_is_not_proposed_for_its_shape() -> None:
    assert propose({"query": ()}, {"stem": ()}).guesses == {}
    assert propose({"query": (2,)}, {"stem": (2,)}, "float64").guesses == {}


def test_moving_average_is_no_rival_of_its_variable() -> None:
    there = {"stem": (2,), "stem/ExponentialMovingAverage": (2,)}
    assert propose({"query": (2,)}, there).guesses == {"query": "stem"}


def test_bias_of_a_tf1_lstm_cell_is_not_proposed_for_a_layer_of_keras() -> None:
    layer = {"lstm/lstm_cell/kernel": (5, 16), "lstm/lstm_cell/recurrent_kernel": (4, 16), "lstm/lstm_cell/bias": (16,)}
    for words in ("kernel", "bias"), ("weights", "biases"):
        kernel, bias = (f"rnn/basic_lstm_cell/{word}" for word in words)
        found = propose({**layer, "out/kernel": (4, 2)}, {kernel: (9, 16), bias: (16,), "projection": (4, 2)})
        assert found.guesses == {"out/kernel": "projection"}
        assert "RecurrentCells(" in found.notes[0]
        assert "{'rnn/basic_lstm_cell': 'lstm/lstm_cell'}" in found.notes[0]


def test_biases_of_layers_that_are_no_such_cells_are_proposed() -> None:
    layer = {"lstm/lstm_cell/kernel": (5, 16), "lstm/lstm_cell/recurrent_kernel": (4, 16), "lstm/lstm_cell/bias": (16,)}
    renamed = {name.replace("lstm/", "model/lstm/", 1): shape for name, shape in layer.items()}
    found = propose(dict(layer), renamed)
    assert found.matches == dict(zip(layer, renamed, strict=True)) and not found.notes
    found = propose({"hidden/bias": (16,)}, {"rnn/basic_lstm_cell/kernel": (9, 16), "rnn/basic_lstm_cell/bias": (16,)})
    assert found.guesses == {"hidden/bias": "rnn/basic_lstm_cell/bias"} and not found.notes


def test_tensor_of_a_biases_shape_is_proposed_where_the_bias_cannot_be_meant() -> None:
    layer = {"lstm/lstm_cell/kernel": (5, 16), "lstm/lstm_cell/recurrent_kernel": (4, 16), "lstm/lstm_cell/bias": (16,)}
    cell = {"rnn/basic_lstm_cell/kernel": (9, 16), "rnn/basic_lstm_cell/bias": (16,)}
    assert propose({**layer, "query": (16,)}, {**cell, "stem": (16,)}).guesses == {"query": "stem"}
    assert propose({**layer, "query": (16,)}, cell).guesses == {}


def test_cell_of_other_rows_or_gates_is_no_cell_of_a_layer() -> None:
    layer = {"lstm/kernel": (5, 16), "lstm/recurrent_kernel": (4, 16), "lstm/bias": (16,)}
    for kernel, bias in (((8, 16), (16,)), ((9, 12), (12,)), ((9, 16, 1), (16,))):
        found = propose(dict(layer), {"rnn/cell/kernel": kernel, "rnn/cell/bias": bias})
        assert not any("RecurrentCells(" in note for note in found.notes)
    unknown = {**layer, "lstm/kernel": (None, 16)}
    assert propose(unknown, {"rnn/cell/kernel": (9, 16), "rnn/cell/bias": (16,)}).notes
    for recurrent in (None, (None, 16), (4, 16, 1), (3, 16)):
        other = {**layer, "lstm/recurrent_kernel": recurrent}
        assert not propose(other, {"rnn/cell/kernel": (9, 16), "rnn/cell/bias": (16,)}).notes
