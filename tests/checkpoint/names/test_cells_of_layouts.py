"""The cells of every layout, built gate by gate, become those of every other; which cells and layers there are is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.names import recurrent_cells
from tfsaver.checkpoint.names.changes import Spec
from tfsaver.checkpoint.names.name_steps import Infos
from tfsaver.checkpoint.names.recurrent_cells import (
    LAYOUTS,
    SOURCES,
    TARGETS,
    Cell,
    Layer,
    RecurrentCells,
    find_cells,
    forget_bias_of,
    has_layout,
    known_layouts,
    layer_of,
)
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes

F4 = dtypes.from_name("float32")
INPUTS, UNITS = 3, 2
LETTERS = {"LSTM": "ifco", "GRU": "zrh", "SimpleRNN": "h"}
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


class Gate:
    """The weights of one gate: of the inputs, of the units, and its biases."""

    def __init__(self, number: int) -> None:
        start = 100.0 * number
        self.kernel = (start + np.arange(INPUTS * UNITS)).reshape(INPUTS, UNITS)
        self.recurrent = (start + 20 + np.arange(UNITS * UNITS)).reshape(UNITS, UNITS)
        self.bias = start + 40 + np.arange(UNITS)
        self.recurrent_bias = start + 60 + np.arange(UNITS)


def gates_of(kind: str) -> dict[str, Gate]:
    return {letter: Gate(number) for number, letter in enumerate(LETTERS[kind], 1)}


def side_by_side(gates: Mapping[str, Gate], order: str, part: str) -> Any:
    return np.concatenate([getattr(gates[letter], part) for letter in order], axis=-1)


def fused(gates: Mapping[str, Gate], order: str) -> Any:
    return np.concatenate([side_by_side(gates, order, "kernel"), side_by_side(gates, order, "recurrent")])


def variables(layout: str, kind: str) -> dict[str, Any]:
    """A cell of one bias in a layout, by the words behind its scope."""
    gates = gates_of(kind)

    def of(order: str, *parts: str) -> list[Any]:
        return [side_by_side(gates, order, part) for part in parts]

    if layout == "keras":
        return dict(zip(("kernel", "recurrent_kernel", "bias"), of(LETTERS[kind], "kernel", "recurrent", "bias"), strict=True))
    if layout == "baselines":
        return dict(zip(("wx", "wh", "b"), of("ifoc", "kernel", "recurrent", "bias"), strict=True))
    if layout == "sonnet":
        return {"w_gates": fused(gates, "icfo"), "b_gates": of("icfo", "bias")[0]}
    if layout == "pytorch":
        order = {"LSTM": "ifco", "GRU": "rzh", "SimpleRNN": "h"}[kind]
        kernel, recurrent, bias = of(order, "kernel", "recurrent", "bias")
        return {"weight_ih": kernel.T, "weight_hh": recurrent.T, "bias_ih": bias, "bias_hh": np.zeros_like(bias)}
    if kind == "GRU":
        return {
            "gates/kernel": fused(gates, "rz"), "gates/bias": of("rz", "bias")[0],
            "candidate/kernel": fused(gates, "h"), "candidate/bias": of("h", "bias")[0],
        }  # fmt: skip
    return {"kernel": fused(gates, {"LSTM": "icfo", "SimpleRNN": "h"}[kind]), "bias": of("icfo" if kind == "LSTM" else "h", "bias")[0]}


def tensors(layout: str, kind: str, scope: str = "net/cell") -> dict[str, Any]:
    dot = layout == "pytorch"
    return {f"{scope.replace('/', '.')}.{word}_l0" if dot else f"{scope}/{word}": value for word, value in variables(layout, kind).items()}


def values(given: Mapping[str, Any], mapping: Any) -> dict[str, Any]:
    plan = renamed(ArraySource(dict(given)), mapping).plan
    return {name: plan[name] for name in plan.names}


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def said(function: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        function(*arguments, **options)
    return str(caught.value)


def scope_of(layout: str) -> str:
    return "net.cell.*_l0" if layout == "pytorch" else "net/cell"


WAYS = [
    (source, to, kind)
    for source in SOURCES
    for to in TARGETS
    for kind in LETTERS
    if source != to
    if kind == "LSTM" or source in ("tf", "keras", "pytorch")
    # A PyTorch layer has two biases, which a GRU of Keras keeps apart; a GRU of one bias resets at another place.
    if kind != "GRU" or (source == "tf" and to == "keras")
]


@pytest.mark.parametrize(("source", "to", "kind"), WAYS)
def test_gates_of_one_layout_are_where_another_has_them(source: Any, to: Any, kind: str) -> None:
    mapping = RecurrentCells(source, to, cells={scope_of(source): "net/cell"}, forget_bias=0.0)
    assert_same(values(tensors(source, kind), mapping), tensors(to, kind))


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("source", ["tf", "sonnet", "baselines"])
def test_the_forget_bias_is_added_to_the_forget_gate_alone(source: Any, to: Any) -> None:
    expected = tensors(to, "LSTM")
    bias = "net/cell/bias" if to == "keras" else "net.cell.bias_ih_l0"
    expected[bias] = expected[bias] + np.repeat([0.0, 2.5, 0.0, 0.0], UNITS)
    mapping = RecurrentCells(source, to, cells={"net/cell": "net/cell"}, forget_bias=2.5)
    assert_same(values(tensors(source, "LSTM"), mapping), expected)


def test_two_biases_are_two_rows_of_a_gru_and_the_sum_in_others() -> None:
    for kind, order in (("LSTM", "ifco"), ("GRU", "rzh"), ("SimpleRNN", "h")):
        given = tensors("pytorch", kind)
        gates = gates_of(kind)
        given["net.cell.bias_hh_l0"] = side_by_side(gates, order, "recurrent_bias")
        found = values(given, RecurrentCells("pytorch", cells={scope_of("pytorch"): "net/cell"}))
        expected = tensors("keras", kind)
        second = side_by_side(gates, LETTERS[kind], "recurrent_bias")
        bias = expected["net/cell/bias"]
        expected["net/cell/bias"] = np.stack([bias, second]) if kind == "GRU" else bias + second
        assert_same(found, expected)
        if kind == "GRU":
            assert_same(values(found, RecurrentCells("keras", "pytorch")), given)


def test_a_cudnn_compatible_gru_has_a_hidden_bias_of_the_candidate_alone() -> None:
    gates = gates_of("GRU")
    given = {
        "g/gates/kernel": fused(gates, "rz"),
        "g/gates/bias": side_by_side(gates, "rz", "bias"),
        "g/candidate/input_projection/kernel": gates["h"].kernel,
        "g/candidate/input_projection/bias": gates["h"].bias,
        "g/candidate/hidden_projection/kernel": gates["h"].recurrent,
        "g/candidate/hidden_projection/bias": gates["h"].recurrent_bias,
    }
    hidden = np.concatenate([np.zeros(2 * UNITS), gates["h"].recurrent_bias])
    expected = {f"g/{word}": value for word, value in variables("keras", "GRU").items()}
    expected["g/bias"] = np.stack([expected["g/bias"], hidden])
    assert_same(values(given, "tf-rnn-to-keras"), expected)
    other = {f"g.{word}_l0": value for word, value in variables("pytorch", "GRU").items()}
    assert_same(values(given, "tf-rnn-to-pytorch"), {**other, "g.bias_hh_l0": hidden})


@pytest.mark.parametrize(
    "words",
    [("gates/weights", "gates/biases", "candidate/weights", "candidate/biases"), ("w_ru", "b_ru", "w_c", "b_c")],
)
def test_grus_of_other_words_are_the_same_cells(words: tuple[str, ...]) -> None:
    given = dict(zip((f"g/{word}" for word in words), variables("tf", "GRU").values(), strict=True))
    assert_same(values(given, "tf-rnn-to-keras"), {f"g/{word}": value for word, value in variables("keras", "GRU").items()})
    assert "'g': its reset gate acts before the recurrent kernel, and in PyTorch after it" in said(values, given, "tf-rnn-to-pytorch")


@pytest.mark.parametrize("layout", ["keras", "pytorch"])
def test_layers_without_a_bias_stay_without(layout: Any) -> None:
    to: Any = "pytorch" if layout == "keras" else "keras"
    for kind in LETTERS:
        given = {name: value for name, value in tensors(layout, kind).items() if "bias" not in name}
        expected = {name: value for name, value in tensors(to, kind).items() if "bias" not in name}
        assert_same(values(given, RecurrentCells(layout, to, cells={scope_of(layout): "net/cell"})), expected)


def test_cells_keep_their_scopes_where_no_other_is_given() -> None:
    given = {f"a/b/basic_lstm_cell/{word}": value for word, value in variables("tf", "LSTM").items()}
    assert sorted(values(given, "tf-rnn-to-keras")) == [f"a/b/basic_lstm_cell/{word}" for word in ("bias", "kernel", "recurrent_kernel")]
    words = ("bias_hh", "bias_ih", "weight_hh", "weight_ih")
    assert sorted(values(given, "tf-rnn-to-pytorch")) == [f"a.b.basic_lstm_cell.{word}_l0" for word in words]
    mapping = RecurrentCells("tf", "pytorch", cells={"a/b/basic_lstm_cell": "lstm.*_l1_reverse"})
    assert sorted(values(given, mapping)) == [f"lstm.{word}_l1_reverse" for word in words]
    back = RecurrentCells("pytorch", cells={"*_l1_reverse": "r"})
    layer = {f"{word}_l1_reverse": value for word, value in variables("pytorch", "LSTM").items()}
    assert sorted(values(layer, back)) == ["r/bias", "r/kernel", "r/recurrent_kernel"]
    objects = {f"{name}{VALUE}": value for name, value in given.items()}
    assert sorted(values(objects, "tf-rnn-to-keras"))[0] == f"a/b/basic_lstm_cell/bias{VALUE}"


def test_the_forget_bias_follows_from_the_scope_of_some_cells() -> None:
    for word in ("basic_lstm_cell", "lstm_cell", "lstm_block_cell", "lstm_block_wrapper", "lstm_fused_cell"):
        assert forget_bias_of(word) == forget_bias_of(f"a/{word}") == forget_bias_of(f"a/{word}_3") == 1.0
    assert forget_bias_of("a/cudnn_compatible_lstm_cell_1") == 0.0
    assert forget_bias_of("a/my_lstm") is forget_bias_of("lstm_cell/b") is forget_bias_of("lstm_cell_x") is None
    text = said(values, {f"my_lstm/{word}": value for word, value in variables("tf", "LSTM").items()}, "tf-rnn-to-pytorch")
    assert "'my_lstm': its name does not say what the cell adds to the forget gate: give RecurrentCells('tf', 'pytorch', forget_bias=1.0), or 0.0 for a cuDNN-compatible one" in text


# ---- what is there ----


def infos(**shapes: tuple[int, ...]) -> Infos:
    named = {name.replace("__", "/"): shape for name, shape in shapes.items()}
    return Infos(list(named), lambda name: Spec(F4, named[name]))


def test_cells_are_found_by_their_variables() -> None:
    fused_cell = {"a__lstm_cell__kernel": (5, 8), "a__lstm_cell__bias": (8,)}
    assert find_cells(infos(**fused_cell), "tf") == [
        Cell("a/lstm_cell", "LSTM", ("a/lstm_cell/kernel", "a/lstm_cell/bias"), 2, 3)
    ]
    assert find_cells(infos(BasicLSTMCell__weights=(5, 8), BasicLSTMCell__biases=(8,)), "tf")[0].kind == "LSTM"
    assert find_cells(infos(a__basic_rnn_cell__kernel=(5, 2), a__basic_rnn_cell__bias=(2,)), "tf") == [
        Cell("a/basic_rnn_cell", "SimpleRNN", ("a/basic_rnn_cell/kernel", "a/basic_rnn_cell/bias"), 2, 3)
    ]
    for shapes in (
        {"dense__kernel": (5, 8), "dense__bias": (8,)},
        {"a__lstm_cell__kernel": (5, 8)},
        {"a__lstm_cell__kernel": (5, 8), "a__lstm_cell__biases": (8,)},
        {"a__lstm_cell__kernel": (2, 8), "a__lstm_cell__bias": (8,)},
        {"a__lstm_cell__kernel": (5, 10), "a__lstm_cell__bias": (10,)},
        {"a__lstm_cell__kernel": (5, 0), "a__lstm_cell__bias": (0,)},
        {**fused_cell, "a__lstm_cell__recurrent_kernel": (2, 8)},
        {"lstm__gates__kernel": (5, 8), "lstm__gates__bias": (8,)},
    ):
        assert find_cells(infos(**shapes), "tf") == []


def test_a_cell_that_is_known_needs_no_name() -> None:
    for units, kind, num_gates in ((2, "LSTM", 4), (2, "SimpleRNN", 1)):
        size = units * num_gates
        shapes = {"dense__kernel": (units + 1, size), "dense__bias": (size,)}
        assert find_cells(infos(**shapes), "tf") == []
        if kind == "LSTM":
            assert [cell.kind for cell in find_cells(infos(**shapes), "tf", {"dense": ""})] == ["LSTM"]
        assert find_cells(infos(**shapes), "tf", {"other": ""}) == []
    one = infos(dense__kernel=(4, 3), dense__bias=(3,))
    assert find_cells(one, "tf", {"dense": ""}) == [Cell("dense", "SimpleRNN", ("dense/kernel", "dense/bias"), 3, 1)]
    assert [cell.scope for cell in find_cells(infos(kernel=(5, 8), bias=(8,)), "tf", {"": "x"})] == [""]


def test_cells_of_keras_are_told_by_the_shape_of_the_recurrent_kernel() -> None:
    for size, kind in ((8, "LSTM"), (6, "GRU"), (2, "SimpleRNN")):
        found = find_cells(infos(a__kernel=(3, size), a__recurrent_kernel=(2, size), a__bias=(size,)), "keras")
        assert found == [Cell("a", kind, ("a/kernel", "a/recurrent_kernel", "a/bias"), 2, 3)]
    assert find_cells(infos(kernel=(3, 8), recurrent_kernel=(2, 8)), "keras") == [Cell("", "LSTM", ("kernel", "recurrent_kernel"), 2, 3)]
    for wrong in ({"a__recurrent_kernel": (2, 8)}, {"a__kernel": (3, 10), "a__recurrent_kernel": (2, 10)}, {"a__kernel": (3, 8), "a__recurrent_kernel": (2, 8, 1)}):
        assert find_cells(infos(**wrong), "keras") == []


def test_cells_of_baselines_and_sonnet_are_told_by_their_words() -> None:
    assert find_cells(infos(p__wx=(3, 8), p__wh=(2, 8), p__b=(8,)), "baselines") == [Cell("p", "LSTM", ("p/wx", "p/wh", "p/b"), 2, 3)]
    for wrong in ({"p__wx": (3, 8), "p__wh": (2, 8)}, {"p__wx": (3, 6), "p__wh": (2, 6), "p__b": (6,)}, {"p__wx": (3, 8), "p__wh": (2, 8), "p__b": (4,)}):
        assert find_cells(infos(**wrong), "baselines") == []
    assert find_cells(infos(p__w_gates=(5, 8), p__b_gates=(8,)), "sonnet") == [Cell("p", "LSTM", ("p/w_gates", "p/b_gates"), 2, 3)]
    assert find_cells(infos(p__w_gates=(5, 8)), "sonnet") == []


def test_cells_of_pytorch_have_a_star_for_their_words() -> None:
    shapes = {"net.weight_ih_l1_reverse": (8, 3), "net.weight_hh_l1_reverse": (8, 2)}
    every = {**shapes, "net.bias_ih_l1_reverse": (8,), "net.bias_hh_l1_reverse": (8,)}
    assert find_cells(infos(**every), "pytorch") == [Cell("net.*_l1_reverse", "LSTM", tuple(every), 2, 3)]
    assert find_cells(infos(**shapes), "pytorch") == [Cell("net.*_l1_reverse", "LSTM", tuple(shapes), 2, 3)]
    assert find_cells(infos(**shapes), "pytorch", {"net.*_l1_reverse": ""}) and not find_cells(infos(**shapes), "pytorch", {"net": ""})
    for size, kind in ((6, "GRU"), (2, "SimpleRNN"), (5, None), (0, None)):
        found = find_cells(infos(weight_ih_l0=(size, 3), weight_hh_l0=(size, 2)), "pytorch")
        assert [cell.kind for cell in found] == ([kind] if kind else [])
    assert find_cells(infos(weight_ih_l0=(8, 3)), "pytorch") == [] == find_cells(infos(weight_ih_l0=(8, 3), weight_hh_l0=(8,)), "pytorch")


def test_layers_are_told_by_a_variable_and_the_recurrent_kernel_beside_it() -> None:
    shapes = {"net/a/recurrent_kernel": (2, 8), "b/_recurrent_kernel": (2, 6), "c/recurrent_kernel": (2, 2), "recurrent_kernel": (2, 8)}
    for word in ("kernel", "recurrent_kernel", "bias", "_bias", "bias:0", f"bias{VALUE}"):
        assert layer_of(f"net/a/{word}", shapes.get) == Layer("keras", "net/a", "LSTM", 2)
    assert layer_of("b/_kernel", shapes.get) == Layer("keras", "b", "GRU", 2)
    assert layer_of("bias", shapes.get) == Layer("keras", "", "LSTM", 2)
    for name in ("c/kernel", "d/kernel", "net/a/gamma", "net/a/xkernel"):
        assert layer_of(name, shapes.get) is None
    torch = {"net.weight_hh_l0": (8, 2), "g.weight_hh_l2_reverse": (6, 2), "n.weight_hh_l0": (None, 2), "weight_hh_l0": (8, 2)}
    for word in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        assert layer_of(f"net.{word}_l0", torch.get) == Layer("pytorch", "net.*_l0", "LSTM", 2)
    assert layer_of("g.bias_hh_l2_reverse", torch.get) == Layer("pytorch", "g.*_l2_reverse", "GRU", 2)
    assert layer_of("weight_ih_l0", torch.get) == Layer("pytorch", "*_l0", "LSTM", 2)
    for name in ("n.weight_ih_l0", "other.weight_ih_l0", "net.weight_l0"):
        assert layer_of(name, torch.get) is None


def test_names_say_the_layout_of_their_gates() -> None:
    there = {"a/recurrent_kernel", "b/_recurrent_kernel:0"}
    for name in ("a/kernel", "a/bias:0", f"a/bias{VALUE}", "b/_kernel", "3", "layer/12"):
        assert has_layout(name, "keras", there.__contains__)
    for name in ("c/kernel", "a/gamma", "a/weight_ih_l0", "weight_ih_l0"):
        assert not has_layout(name, "keras", there.__contains__)
    for name in ("net.weight_ih_l0", "bias_hh_l1_reverse", "4"):
        assert has_layout(name, "pytorch", there.__contains__)
    for name in ("a/kernel", "net.weight_l0", "net.weight_ih"):
        assert not has_layout(name, "pytorch", there.__contains__)


def test_layouts_are_listed_for_people() -> None:
    assert set(LAYOUTS) == set(SOURCES)
    for to in TARGETS:
        others = [source for source in SOURCES if source != to]
        expected = "; ".join(f"mapping='{source}-rnn-to-{to}' for {LAYOUTS[source]}" for source in others)
        assert known_layouts(to) == expected


def test_a_report_says_what_cells_became_and_how_the_forget_bias_was_told() -> None:
    def counted(mapping: RecurrentCells, layout: str, kind: str = "LSTM", scope: str = "lstm_cell") -> str:
        named = {name: Spec(F4, np.shape(value)) for name, value in tensors(layout, kind, scope).items()}
        [count] = mapping.apply(Infos([*named, "other"], {**named, "other": Spec(F4, ())}.__getitem__)).counts
        assert (count.num_matched, count.num_names) == (len(named), len(named) + 1)
        return count.what

    assert counted(RecurrentCells("tf"), "tf") == "recurrent cells of tf as those of keras, forget_bias as the cells' names say"
    assert counted(RecurrentCells("sonnet", forget_bias=0.5), "sonnet") == "recurrent cells of sonnet as those of keras, forget_bias 0.5"
    assert counted(RecurrentCells("baselines", "pytorch"), "baselines") == "recurrent cells of baselines as those of pytorch"
    assert counted(RecurrentCells("tf"), "tf", "GRU") == "recurrent cells of tf as those of keras"
    assert counted(RecurrentCells("keras", "pytorch"), "keras") == "recurrent cells of keras as those of pytorch"


def test_a_step_is_written_as_it_is_given() -> None:
    assert repr(RecurrentCells("tf")) == "RecurrentCells('tf', 'keras')"
    assert repr(RecurrentCells("tf", "pytorch", cells={"a": "b"}, forget_bias=0.0)) == "RecurrentCells('tf', 'pytorch', cells={'a': 'b'}, forget_bias=0.0)"


def test_layers_of_several_cells_are_each_said() -> None:
    text = said(RecurrentCells, "tf", cells={"a": "L", "b": "M", "c": "L", "d": "M", "e": "N"})
    assert text == "'L' is the layer of 'a' and of 'c'\n'M' is the layer of 'b' and of 'd'"
    text = said(RecurrentCells, "keras", "keras")
    assert text.startswith("recurrent cells of 'keras' cannot become those of 'keras': from tf, ")
    assert said(RecurrentCells, "tf", "jax").endswith("to keras or pytorch")


def test_a_scope_without_a_cell_says_what_is_there() -> None:
    applied = RecurrentCells("tf", cells={"a": "L", "rn": "M", "zzzzzz": "N"}).apply(infos(a__kernel=(2, 2), a__x=(3,), rnn__kernel=(1,)))
    assert applied.problems == (
        "'a': no variables of a cell of tf are there: a/kernel [2, 2], a/x [3]",
        "'rn': no variables of a cell of tf are there; did you mean 'rnn'?",
        "'zzzzzz': no variables of a cell of tf are there",
    )
    many = {f"a__v{number}": (number,) for number in range(8)}
    [text] = RecurrentCells("tf", cells={"a": "L"}).apply(infos(**many)).problems
    assert text.endswith("a/v4 [4], a/v5 [5]")
    known = "; ".join(f"{name}: {text}" for name, text in LAYOUTS.items())
    [unmatched] = RecurrentCells("tf").apply(infos(a__kernel=(2, 2))).unmatched
    assert unmatched == f"recurrent cells of tf as those of keras: there are none; known layouts are {known}"
    assert RecurrentCells("tf").apply(infos()).unmatched == ()


@pytest.mark.parametrize("word", sorted(recurrent_cells._NOT_IN_LAYERS))
def test_a_cell_that_computes_more_is_no_layer(word: str) -> None:
    given = {f"a/lstm_cell/{each}": value for each, value in variables("tf", "LSTM").items()}
    text = said(values, {**given, f"a/lstm_cell/{word}": np.ones(2)}, "tf-rnn-to-pytorch")
    kinds = {"w_": "peepholes", "pr": "a projection", "in": "layer normalization", "tr": "layer normalization"}
    assert f"the cell has {kinds[word[:2]]}, which no LSTM of pytorch has" in text
    assert values({**given, f"b/{word}": np.ones(2)}, "tf-rnn-to-keras")[f"b/{word}"].size == 2
