"""Each rule by which a tensor is proposed for a variable: matches, recipes, guesses, and what is said of cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.match_report import MismatchedTensor
from tfsaver.checkpoint.names.recurrent_cells import LAYOUTS, known_layouts
from tfsaver.checkpoint.restoring.proposals import Proposals, mapping_of_shapes, recipe_for
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.checkpoint.wanted_tensor import PartialShape, WantedTensor
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_slice import TensorSlice

F4 = dtypes.from_name("float32")
Shapes = dict[str, tuple[int, ...]]


def propose(missing: dict[str, PartialShape], there: Shapes, **options: Any) -> Proposals:
    source = ArraySource({name: np.zeros(shape, np.float32) for name, shape in there.items()})
    return Proposals(
        {name: WantedTensor(name, F4, shape) for name, shape in missing.items()}, {name: name for name in there}, source.info, **options
    )


def found(proposals: Proposals) -> tuple[dict[str, str], dict[str, Any], dict[str, str]]:
    return proposals.matches, proposals.recipes, proposals.guesses


# ---- recipes ----


@pytest.mark.parametrize(
    ("stored", "wanted", "recipe"),
    [
        ((1, 3), (3,), {"reshape": [3]}),
        ((3,), (1, 3, 1), {"reshape": [1, 3, 1]}),
        ((1, 3, 1, 2), (3, 2), {"reshape": [3, 2]}),
        ((2, 3), (3, 2), {"transpose": [1, 0]}),
        ((2, 3, 4), (4, 2, 3), {"transpose": [2, 0, 1]}),
        ((2, 3, 4, 5, 6, 7), (7, 6, 5, 4, 3, 2), {"transpose": [5, 4, 3, 2, 1, 0]}),
        # More than one order of the axes makes the shape, or there are too many orders.
        ((2, 2, 3), (3, 2, 2), None),
        ((2, 3, 4, 5, 6, 7, 8), (8, 7, 6, 5, 4, 3, 2), None),
        ((2, 3), (2, 3), None),
        ((2, 3), (6,), None),
        ((2, 3), (2, 4), None),
        ((2, 3), None, None),
        ((2, 3), (3, None), None),
        ((1,), (), None),
    ],
)
def test_a_recipe_is_the_one_way_to_a_shape(stored: tuple[int, ...], wanted: PartialShape, recipe: Any) -> None:
    info = ArraySource({"w": np.zeros(stored, np.float32)}).info("w")
    assert recipe_for(info, WantedTensor("v", F4, wanted)) == recipe
    assert recipe_for(info, WantedTensor("v", dtypes.from_name("float64"), wanted)) is None
    if recipe is not None:
        assert recipe == {"reshape": list(wanted or ())} or np.zeros(stored).transpose(recipe["transpose"]).shape == wanted


def test_mismatched_shapes_have_a_mapping_where_there_is_a_recipe() -> None:
    source = ArraySource({"a": np.zeros((2, 3), np.float32), "b": np.zeros((2, 2), np.float32), "c": np.zeros((1, 3), np.float32)})
    wanted = {"v": WantedTensor("v", F4, (3, 2)), "u": WantedTensor("u", F4, (4, 4)), "p": WantedTensor("p", F4, (3, 2), (6, 2), TensorSlice(((0, 3), (0, 2))))}
    items = [
        MismatchedTensor("v", "a", "shape", "[3,2]", "[2,3]"),
        MismatchedTensor("v", "c", "dtype", "float32", "float64"),
        MismatchedTensor("u", "b", "shape", "[4,4]", "[2,2]"),
        MismatchedTensor("p", "a", "shape", "[3,2]", "[2,3]"),
        MismatchedTensor("unknown", "a", "shape", "[3,2]", "[2,3]"),
    ]
    mapping: Any = mapping_of_shapes(items, wanted, source.info)
    assert {key: target.to_json() for key, target in mapping.items()} == {"a": {"to": "v", "transpose": [1, 0]}}


def test_names_that_agree_are_matches_and_recipes_where_shapes_do_not() -> None:
    there = {"m/a/weights": (2, 3), "m/b/kernel": (5, 4), "m/c/kernel": (1, 1, 7, 2)}
    proposals = propose({"a/kernel": (2, 3), "b/kernel": (4, 5), "c/kernel": (7, 2)}, there)
    assert found(proposals) == (
        dict(zip(("a/kernel", "b/kernel", "c/kernel"), there, strict=True)),
        {"b/kernel": {"transpose": [1, 0]}, "c/kernel": {"reshape": [7, 2]}},
        {},
    )
    assert proposals.target("a/kernel") == "a/kernel"
    target: Any = proposals.target("b/kernel")
    assert target.to_json() == {"to": "b/kernel", "transpose": [1, 0]}


def test_what_mappings_call_a_variable_is_its_label() -> None:
    proposals = propose({"a/kernel": (2, 3), "b/kernel": (4, 5)}, {"m/a/kernel": (2, 3), "m/b/kernel": (5, 4)}, labels={"a/kernel": "A", "b/kernel": "B"})
    target: Any = proposals.target("b/kernel")
    assert proposals.target("a/kernel") == "A" and target.name == "B"


def test_a_recipe_keeps_the_role_of_its_tensor() -> None:
    assert found(propose({"a/kernel": (4, 5)}, {"a/gamma": (5, 4)})) == ({}, {}, {})
    assert propose({"a/kernel": (4, 5)}, {"a/weights": (5, 4)}).recipes == {"a/kernel": {"transpose": [1, 0]}}


def test_a_better_name_that_fits_by_a_recipe_outranks_one_of_the_shape() -> None:
    proposals = propose({"net/a/kernel": (2, 3)}, {"a/kernel": (2, 3), "x/net/a/kernel": (3, 2)})
    assert found(proposals) == ({"net/a/kernel": "x/net/a/kernel"}, {"net/a/kernel": {"transpose": [1, 0]}}, {})
    assert propose({"net/a/kernel": (2, 3)}, {"a/kernel": (2, 3), "kernel": (3, 2)}).matches == {"net/a/kernel": "a/kernel"}


def test_a_bias_follows_its_kernel() -> None:
    there = {"m/one/kernel": (2, 3), "m/one/bias": (3,), "m/two/kernel": (4, 3), "m/two/bias": (3,)}
    matches = propose({"one/kernel": (2, 3), "one/bias": (3,), "two/kernel": (4, 3), "two/bias": (3,)}, there).matches
    assert matches == dict(zip(("one/kernel", "one/bias", "two/kernel", "two/bias"), there, strict=True))
    # By the pair of another report, whose kernel is decided.
    other = {"x/bias": (3,), "y/bias": (3,)}
    assert propose({"a/bias": (3,)}, other).matches == {}
    assert propose({"a/bias": (3,)}, other, known={"a/kernel": "y/kernel"}).matches == {"a/bias": "y/bias"}
    assert propose({"a/bias": (3,)}, other, known={"a/kernel": "y/gamma"}).matches == {}
    assert propose({"a/bias": (3,)}, {"y/bias": (4,)}, known={"a/kernel": "y/kernel"}).matches == {}
    assert propose({"a/bias": (3,)}, {"x/bias": (3,)}, known={"a/kernel": "y/kernel"}).guesses == {}


def test_matches_stand_in_the_order_of_what_is_missing() -> None:
    missing = {"z/kernel": (2, 3), "a/kernel": (3, 4), "k/kernel": (4, 5)}
    proposals = propose(dict(missing), {f"m/{name}": shape for name, shape in reversed(missing.items())})
    assert list(proposals.matches) == list(missing)


def test_nothing_is_proposed_where_nothing_is_missing_or_there() -> None:
    for proposals in (propose({}, {"a": (2,)}), propose({"a": (2,)}, {})):
        assert found(proposals) == ({}, {}, {}) and proposals.notes == []


def test_any_tensor_will_do_where_nothing_is_wanted_of_it() -> None:
    source = ArraySource({"m/w": np.zeros(3), "other": np.zeros((2, 2))})
    proposals = Proposals({"w": None}, {name: name for name in source.names}, source.info)
    assert proposals.matches == {"w": "m/w"} and proposals.target("w") == "w"


def test_a_shape_that_is_known_in_part_is_compared_in_part() -> None:
    assert propose({"w": (None, 3)}, {"m/w": (7, 3)}).matches == {"w": "m/w"}
    assert propose({"w": None}, {"m/w": (7, 3)}).matches == {"w": "m/w"}
    assert propose({"w": (None, 3)}, {"m/w": (7, 4)}).matches == {}
    assert propose({"w": (None, 3)}, {"m/w": (3,)}).matches == {}


def test_a_part_is_compared_by_the_shape_of_the_whole() -> None:
    part = WantedTensor("w", F4, (2, 3), (4, 3), TensorSlice(((0, 2), (0, 3))))
    for shape, expected in (((4, 3), {"w": "m/w"}), ((2, 3), {}), ((3, 4), {})):
        source = ArraySource({"m/w": np.zeros(shape, np.float32)})
        proposals = Proposals({"w": part}, {"m/w": "m/w"}, source.info)
        assert proposals.matches == expected and proposals.recipes == {}


# ---- guesses ----


def test_similar_names_of_a_shape_are_guesses() -> None:
    missing: dict[str, PartialShape] = {"embedding_table": (5, 2), "positions_table": (5, 2)}
    there = {"position_table": (5, 2), "embeding_table": (5, 2)}
    assert propose(missing, there).guesses == {"embedding_table": "embeding_table", "positions_table": "position_table"}
    assert list(propose(missing, there).guesses) == list(missing)


def test_a_tensor_is_guessed_for_one_name_at_most() -> None:
    assert propose({"p": (2,), "q": (3,)}, {"x": (2,), "y": (3,)}).guesses == {"p": "x", "q": "y"}
    assert propose({"p": (2,), "q": (2,)}, {"x": (2,)}).guesses == {}
    assert propose({"p": (2,)}, {"x": (2,), "y": (2,)}).guesses == {}
    assert propose({"p": (2,)}, {"x": (2,), "x/ExponentialMovingAverage": (2,)}).guesses == {"p": "x"}
    # A shape that is known in part is a rival where it may be the same.
    assert propose({"p": (2,), "q": (None, None)}, {"x": (2,)}).guesses == {"p": "x"}
    assert propose({"p": (2, 2), "q": (None, None)}, {"x": (2, 2)}).guesses == {}
    # A variable that has its tensor no longer competes for another one.
    proposals = propose({"a/kernel": (2, 3), "query": (2, 3)}, {"m/a/kernel": (2, 3), "stem": (2, 3)})
    assert found(proposals) == ({"a/kernel": "m/a/kernel"}, {}, {"query": "stem"})


# ---- cells ----

LSTM = {"lstm/kernel": (3, 8), "lstm/recurrent_kernel": (2, 8), "lstm/bias": (8,)}
GRU = {"gru/kernel": (3, 6), "gru/recurrent_kernel": (2, 6), "gru/bias": (2, 6)}
TORCH = {"net.weight_ih_l0": (8, 3), "net.weight_hh_l0": (8, 2), "net.bias_ih_l0": (8,), "net.bias_hh_l0": (8,)}
BIAS = (
    "; forget_bias is what the cell adds to the forget gate when it runs, which no checkpoint has: 1.0 unless the "
    "program says otherwise, 0.0 for cuDNN-compatible cells"
)


def note(cells: str, kind: str, source: str, call: str, more: str = "") -> str:
    return (
        f"{cells}: the gates of {kind} of {LAYOUTS[source]} stand in another order than those of the layer, or its variables "  # type: ignore[index]
        f"are other ones; to restore it: mapping=RecurrentCells({call}), from tfsaver.checkpoint.names.name_map{more}"
    )


def fused(scope: str, gates: int = 4) -> Shapes:
    return {f"{scope}/kernel": (5, 2 * gates), f"{scope}/bias": (2 * gates,)}


CELLS: list[tuple[Shapes, Shapes, str]] = [
    (LSTM, fused("lstm_cell"), note("lstm_cell", "an LSTM", "tf", "'tf', 'keras', cells={'lstm_cell': 'lstm'}, forget_bias=1.0", BIAS)),
    (LSTM, fused("my_lstm"), note("my_lstm", "an LSTM", "tf", "'tf', 'keras', cells={'my_lstm': 'lstm'}, forget_bias=...", BIAS)),
    (
        LSTM,
        fused("cudnn_compatible_lstm_cell"),
        note("cudnn_compatible_lstm_cell", "an LSTM", "tf", "'tf', 'keras', cells={'cudnn_compatible_lstm_cell': 'lstm'}, forget_bias=0.0", BIAS),
    ),
    (
        LSTM,
        {"s/w_gates": (5, 8), "s/b_gates": (8,)},
        note("s", "an LSTM", "sonnet", "'sonnet', 'keras', cells={'s': 'lstm'}, forget_bias=1.0", BIAS),
    ),
    (LSTM, {"b/wx": (3, 8), "b/wh": (2, 8), "b/b": (8,)}, note("b", "an LSTM", "baselines", "'baselines', 'keras', cells={'b': 'lstm'}")),
    (LSTM, TORCH, note("net.*_l0", "an LSTM", "pytorch", "'pytorch', 'keras', cells={'net.*_l0': 'lstm'}")),
    (TORCH, LSTM, note("lstm", "an LSTM", "keras", "'keras', 'pytorch', cells={'lstm': 'net.*_l0'}")),
    (
        GRU,
        {"g/gates/kernel": (5, 4), "g/gates/bias": (4,), "g/candidate/kernel": (5, 2), "g/candidate/bias": (2,)},
        note("g", "a GRU", "tf", "'tf', 'keras', cells={'g': 'gru'}", "; the layer must be made with reset_after=False"),
    ),
    (
        GRU,
        {
            "g/gates/kernel": (5, 4), "g/gates/bias": (4,),
            **{f"g/candidate/{word}_projection/{part}": shape for word, rows in (("input", 3), ("hidden", 2)) for part, shape in (("kernel", (rows, 2)), ("bias", (2,)))},
        },
        note("g", "a GRU", "tf", "'tf', 'keras', cells={'g': 'gru'}", "; the layer must be made with reset_after=True"),
    ),
    (
        {name.replace("lstm/", f"l{number}/"): shape for number in (10, 9) for name, shape in LSTM.items()},
        {**fused("c10/lstm_cell"), **fused("c9/lstm_cell")},
        note(
            "c9/lstm_cell, c10/lstm_cell", "an LSTM", "tf",
            "'tf', 'keras', cells={'c9/lstm_cell': 'l9', 'c10/lstm_cell': 'l10'}, forget_bias=1.0",
            f"{BIAS}; cells and layers are paired by their order here, so look at the pairs",
        ),
    ),
    (
        LSTM,
        {**fused("lstm_cell"), **fused("cudnn_compatible_lstm_cell")},
        note(
            "cudnn_compatible_lstm_cell, lstm_cell", "an LSTM", "tf",
            "'tf', 'keras', cells={'cudnn_compatible_lstm_cell': 'lstm'}, forget_bias=...",
            f"{BIAS}; cells and layers are paired by their order here, so look at the pairs",
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("missing", "there", "expected"), CELLS, ids=range(len(CELLS)))
def test_cells_of_another_layout_are_said_with_the_call_that_restores_them(missing: Any, there: Shapes, expected: str) -> None:
    proposals = propose(missing, there)
    assert proposals.notes == [expected]
    assert found(proposals) == ({}, {}, {})


def test_gates_of_which_nothing_says_the_order_are_said() -> None:
    proposals = propose(dict(LSTM), {"x/a": (3, 8), "x/b": (2, 8), "x/c": (8,), "x/d": (8,)})
    assert proposals.notes == [
        "x/a, x/b, x/c: nothing says in which order the gates stand, so that none is proposed for the LSTM lstm; "
        f"{known_layouts('keras')}; or say the order yourself, as in mapping={{'x/a': {{'to': ..., 'gates': 'ifco->ifco'}}}}"
    ]
    assert found(proposals) == ({}, {}, {})
    assert propose(dict(LSTM), {"x/a": (3, 7), "x/b": ()}).notes == []
    assert "the GRU gru" in propose(dict(GRU), {"x/a": (3, 6)}).notes[0]


def test_tensors_of_cells_are_nobody_elses() -> None:
    other: dict[str, PartialShape] = {"dense/bias": (8,)}
    assert propose(other, fused("lstm_cell")).guesses == {"dense/bias": "lstm_cell/bias"}
    assert propose({**other, **LSTM}, fused("lstm_cell")).guesses == {}


def test_layers_of_one_layout_find_each_other() -> None:
    there = {f"m/{name}": shape for name, shape in LSTM.items()}
    proposals = propose(dict(LSTM), there)
    assert proposals.matches == dict(zip(LSTM, there, strict=True)) and proposals.notes == []
    torch = propose(dict(TORCH), {name.replace("net.", "model.net."): shape for name, shape in TORCH.items()})
    assert len(torch.matches) == 4 and torch.notes == []


def test_layers_are_called_as_mappings_call_them() -> None:
    labels = {name: f"model/{name}" for name in LSTM}
    assert "cells={'lstm_cell': 'model/lstm'}" in propose(dict(LSTM), fused("lstm_cell"), labels=labels).notes[0]
    other = {name: f"key of {number}" for number, name in enumerate(LSTM)}
    assert "cells={'lstm_cell': 'lstm'}" in propose(dict(LSTM), fused("lstm_cell"), labels=other).notes[0]


def test_cells_of_other_units_are_not_said() -> None:
    larger = {"lstm_cell/kernel": (6, 12), "lstm_cell/bias": (12,)}
    assert not any("RecurrentCells" in each for each in propose(dict(LSTM), larger).notes)
