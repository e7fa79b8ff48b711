"""Cells of one layout become those of another: each gate where it belongs, or an error that names what is unknown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.names.name_map import RecurrentCells, as_name_map
from tfsaver.checkpoint.plan import Plan
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError

KERNEL = np.arange(40, dtype=np.float32).reshape(5, 8)
CELL = {"a/basic_lstm_cell/kernel": KERNEL, "a/basic_lstm_cell/bias": np.arange(8.0)}
# Keras has the second and the third gate of TF1 the other way round.
ORDER = [0, 1, 4, 5, 2, 3, 6, 7]


def mapped(tensors: Mapping[str, Any], mapping: Any) -> Plan:
    return renamed(ArraySource(dict(tensors)), mapping).plan


def test_forget_gate_gets_what_the_old_cell_adds_when_it_runs() -> None:
    bias = "a/basic_lstm_cell/bias"
    source = {**CELL, f"{bias}/Adam": np.arange(8.0), f"{bias}/Adam_1": np.arange(8.0), "other": np.ones(2)}
    plan = mapped({**source, f"{bias}/ExponentialMovingAverage": np.arange(8.0)}, "tf-rnn-to-keras")
    assert plan[bias].tolist() == [0, 1, 4 + 1, 5 + 1, 2, 3, 6, 7]
    assert plan[f"{bias}/ExponentialMovingAverage"].tolist() == plan[bias].tolist()
    assert plan[f"{bias}/Adam"].tolist() == plan[f"{bias}/Adam_1"].tolist() == ORDER
    assert plan["other"].tolist() == [1, 1]
    assert plan.read(bias, np.s_[3:3]).shape == (0,) and plan.read(bias, np.s_[3:6]).tolist() == [6, 2, 3]


def test_kernel_is_cut_into_the_inputs_rows_and_the_units_rows() -> None:
    plan = mapped(CELL, RecurrentCells("tf", cells={"a/basic_lstm_cell": "lstm/cell"}))
    assert plan.names == ["lstm/cell/bias", "lstm/cell/kernel", "lstm/cell/recurrent_kernel"]
    np.testing.assert_array_equal(plan["lstm/cell/kernel"], KERNEL[:3, ORDER])
    np.testing.assert_array_equal(plan["lstm/cell/recurrent_kernel"], KERNEL[3:, ORDER])


def test_cells_may_change_places() -> None:
    tensors = {"a/kernel": KERNEL, "a/bias": np.arange(8.0), "c/kernel": -KERNEL, "c/bias": -np.arange(8.0)}
    plan = mapped(tensors, RecurrentCells("tf", cells={"a": "c", "c": "a"}, forget_bias=0.0))
    np.testing.assert_array_equal(plan["c/kernel"], KERNEL[:3, ORDER])
    np.testing.assert_array_equal(plan["a/recurrent_kernel"], -KERNEL[3:, ORDER])


def test_bias_that_gets_nothing_keeps_its_bits() -> None:
    tensors = {"a/cudnn_compatible_lstm_cell/kernel": KERNEL, "a/cudnn_compatible_lstm_cell/bias": np.full(8, -0.0)}
    plan = mapped(tensors, "tf-rnn-to-keras")
    assert np.signbit(plan["a/cudnn_compatible_lstm_cell/bias"]).all()


def test_forget_bias_must_be_said_where_the_cells_name_does_not() -> None:
    tensors = {"a/my_lstm/kernel": KERNEL, "a/my_lstm/bias": np.zeros(8)}
    with pytest.raises(InvalidArgumentError, match=r"'a/my_lstm': .* forget_bias=1.0\), or 0.0"):
        mapped(tensors, "tf-rnn-to-keras")
    plan = mapped(tensors, RecurrentCells("tf", forget_bias=0.5))
    assert plan["a/my_lstm/bias"].tolist() == [0, 0, 0.5, 0.5, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("words", "table", "order", "added"),
    [
        (("wx", "wh", "b"), "baselines-rnn-to-keras", [0, 1, 2, 3, 6, 7, 4, 5], 0),
        (("w_gates", "b_gates"), "sonnet-rnn-to-keras", ORDER, 1),
    ],
)
def test_tables_know_the_order_of_other_libraries(words: tuple[str, ...], table: str, order: list[int], added: int) -> None:
    kernels = [KERNEL[:3], KERNEL[3:]] if len(words) == 3 else [KERNEL]
    plan = mapped({f"s/{word}": value for word, value in zip(words, [*kernels, np.arange(8.0)], strict=True)}, table)
    np.testing.assert_array_equal(plan["s/kernel"], KERNEL[:3, order])
    np.testing.assert_array_equal(plan["s/recurrent_kernel"], KERNEL[3:, order])
    assert plan["s/bias"].tolist() == [each + added * (place in (2, 3)) for place, each in enumerate(order)]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_pytorch_computes_the_same_after_the_way_to_keras_and_back(kind: str) -> None:
    torch = pytest.importorskip("torch")
    layer, inputs = getattr(torch.nn, kind)(3, 4), torch.randn(5, 2, 3)
    tensors = {f"net.{name}": value.detach().numpy() for name, value in layer.state_dict().items()}
    there = mapped(tensors, RecurrentCells("pytorch", cells={"net.*_l0": "net/cell"}))
    assert set(there.names) == {"net/cell/kernel", "net/cell/recurrent_kernel", "net/cell/bias"}
    back = mapped({name: there[name] for name in there.names}, RecurrentCells("keras", "pytorch", cells={"net/cell": "*_l0"}))
    other = getattr(torch.nn, kind)(3, 4)
    other.load_state_dict({name: torch.tensor(back[name]) for name in back.names})
    np.testing.assert_allclose(other(inputs)[0].detach(), layer(inputs)[0].detach(), atol=1e-6)


def test_gru_that_resets_before_the_recurrent_kernel_cannot_be_one_of_pytorch() -> None:
    tensors = {"g/gates/kernel": np.zeros([5, 4]), "g/gates/bias": np.zeros(4)}
    tensors |= {"g/candidate/kernel": np.zeros([5, 2]), "g/candidate/bias": np.zeros(2)}
    with pytest.raises(InvalidArgumentError, match="reset gate acts before the recurrent kernel"):
        mapped(tensors, "tf-rnn-to-pytorch")


@pytest.mark.parametrize(
    ("kernel", "bias"), [((5, 8), (7,)), ((5, 8), (12,)), ((2, 8), (8,)), ((5, 8, 1), (8,)), ((5, 8), (8, 1)), ((5, 8), ())]
)
def test_shapes_that_are_no_cell_are_named(kernel: tuple[int, ...], bias: tuple[int, ...]) -> None:
    said = re.escape(f"a/kernel {list(kernel)}")
    with pytest.raises(InvalidArgumentError, match=f"'a': no variables of a cell of tf are there: .*{said}"):
        mapped({"a/kernel": np.zeros(kernel), "a/bias": np.zeros(bias)}, RecurrentCells("tf", cells={"a": "L"}))


def test_cell_that_is_not_there_is_named_with_similar_scopes() -> None:
    with pytest.raises(InvalidArgumentError, match="'rn': no variables of a cell of tf are there; did you mean 'rnn'"):
        mapped({"rnn/kernel": KERNEL, "rnn/bias": np.zeros(8)}, RecurrentCells("tf", cells={"rn": "L"}))


def test_two_cells_for_one_layer_are_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="'L' is the layer of 'a' and of 'c'"):
        RecurrentCells("tf", cells={"a": "L", "c": "L"})


@pytest.mark.parametrize("name", ["L/kernel", "L/recurrent_kernel", "L/bias"])
def test_tensor_with_the_name_of_a_layers_is_an_error(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name}'"):
        mapped({**CELL, name: np.ones(3)}, RecurrentCells("tf", cells={"a/basic_lstm_cell": "L"}))


@pytest.mark.parametrize(
    ("word", "said"), [("w_i_diag", "peepholes"), ("projection/kernel", "a projection"), ("input/gamma", "layer normalization")]
)
def test_what_a_layer_does_not_compute_is_refused(word: str, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"the cell has {said}, which no LSTM of keras has"):
        mapped({**CELL, f"a/basic_lstm_cell/{word}": np.zeros(2)}, "tf-rnn-to-keras")


def test_mapping_without_a_cell_lists_the_layouts() -> None:
    with pytest.raises(InvalidArgumentError, match=r"baselines: OpenAI's baselines \(wx, wh, b; i f o c\)"):
        mapped({"dense/kernel": KERNEL, "dense/bias": np.zeros(8)}, "tf-rnn-to-keras")


def test_gates_in_a_mapping_are_permuted_and_increased() -> None:
    entry = {"to": "v", "gates": {"order": "icfo->ifco", "add": {"f": 2}}}
    assert mapped({"w": np.arange(4.0)}, {"w": entry})["v"].tolist() == [0, 4, 1, 3]
    assert mapped({"w": np.eye(4)}, {"w": {"to": "v", "gates": "rz->zr"}})["v"].argmax(1).tolist() == [2, 3, 0, 1]
    for wrong in ("icfo", "icfo->ifcc", "iifo->ifoi", {"order": "rz->zr", "add": {"f": 1}}):
        with pytest.raises(InvalidArgumentError, match="gates is"):
            as_name_map({"w": {"to": "v", "gates": wrong}})
    with pytest.raises(InvalidArgumentError, match="gates icfo of equal size"):
        mapped({"w": np.zeros(6)}, {"w": {"to": "v", "gates": "icfo->ifco"}})


@pytest.mark.parametrize(("source", "to"), [("tf", "tf"), ("keras", "keras"), ("theano", "keras")])
def test_unknown_layouts_are_listed(source: Any, to: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="from tf, sonnet, baselines, keras, pytorch, to keras or pytorch"):
        RecurrentCells(source, to)
