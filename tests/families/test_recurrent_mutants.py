"""Cells of each layout compute the same as layers of another, in numpy; with gates or names permuted they do not.

The cells are written here from their papers and programs. Mutants are made in the source of `recurrent_cells`: gates in another
order, inputs and units exchanged, a transpose left out, names exchanged, another forget bias.
"""

from __future__ import annotations

import inspect
import itertools
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.names import recurrent_cells
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import SaverError

Arrays = dict[str, np.ndarray]
# As many inputs as units, so that what is exchanged still fits.
_SIZE = 3


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _lstm(gates: Callable[[np.ndarray, np.ndarray], np.ndarray], order: str, forget: float, inputs: np.ndarray) -> np.ndarray:
    h = c = np.zeros(_SIZE)
    outputs = []
    for x in inputs:
        parts = dict(zip(order, np.split(gates(x, h), 4), strict=True))
        c = c * _sigmoid(parts["f"] + forget) + _sigmoid(parts["i"]) * np.tanh(parts["c"])
        h = np.tanh(c) * _sigmoid(parts["o"])
        outputs.append(h)
    return np.array(outputs)


def _gru(step: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]], inputs: np.ndarray) -> np.ndarray:
    """`step` gives the update gate and the candidate."""
    h = np.zeros(_SIZE)
    outputs = []
    for x in inputs:
        update, candidate = step(x, h)
        h = update * h + (1 - update) * candidate
        outputs.append(h)
    return np.array(outputs)


def _rnn(sums: Callable[[np.ndarray, np.ndarray], np.ndarray], inputs: np.ndarray) -> np.ndarray:
    h = np.zeros(_SIZE)
    outputs = []
    for x in inputs:
        h = np.tanh(sums(x, h))
        outputs.append(h)
    return np.array(outputs)


# ---- the cells of checkpoints: variables and their shapes, and what they compute ----


def _tf_lstm(t: Arrays, inputs: np.ndarray, forget: float) -> np.ndarray:
    return _lstm(lambda x, h: np.concatenate([x, h]) @ t["kernel"] + t["bias"], "icfo", forget, inputs)


def _sonnet(t: Arrays, inputs: np.ndarray) -> np.ndarray:
    return _lstm(lambda x, h: np.concatenate([x, h]) @ t["w_gates"] + t["b_gates"], "icfo", 1.0, inputs)


def _baselines(t: Arrays, inputs: np.ndarray) -> np.ndarray:
    return _lstm(lambda x, h: x @ t["wx"] + h @ t["wh"] + t["b"], "ifoc", 0.0, inputs)


def _tf_gru(t: Arrays, inputs: np.ndarray) -> np.ndarray:
    def step(x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r, u = np.split(_sigmoid(np.concatenate([x, h]) @ t["gates/kernel"] + t["gates/bias"]), 2)
        return u, np.tanh(np.concatenate([x, r * h]) @ t["candidate/kernel"] + t["candidate/bias"])

    return _gru(step, inputs)


def _cudnn_gru(t: Arrays, inputs: np.ndarray) -> np.ndarray:
    def step(x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r, u = np.split(_sigmoid(np.concatenate([x, h]) @ t["gates/kernel"] + t["gates/bias"]), 2)
        of_inputs = x @ t["candidate/input_projection/kernel"] + t["candidate/input_projection/bias"]
        of_units = h @ t["candidate/hidden_projection/kernel"] + t["candidate/hidden_projection/bias"]
        return u, np.tanh(of_inputs + r * of_units)

    return _gru(step, inputs)


def _tf_rnn(t: Arrays, inputs: np.ndarray) -> np.ndarray:
    return _rnn(lambda x, h: np.concatenate([x, h]) @ t["kernel"] + t["bias"], inputs)


# ---- the layers ----


def _keras(t: Arrays, inputs: np.ndarray) -> np.ndarray:
    kernel, recurrent, bias = t["kernel"], t["recurrent_kernel"], t["bias"]
    size = recurrent.shape[1] // _SIZE
    if size == 4:
        return _lstm(lambda x, h: x @ kernel + h @ recurrent + bias, "ifco", 0.0, inputs)
    if size == 1:
        return _rnn(lambda x, h: x @ kernel + h @ recurrent + bias, inputs)

    def step(x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if bias.ndim == 2:
            xz, xr, xh = np.split(x @ kernel + bias[0], 3)
            hz, hr, hh = np.split(h @ recurrent + bias[1], 3)
            return _sigmoid(xz + hz), np.tanh(xh + _sigmoid(xr + hr) * hh)
        xz, xr, xh = np.split(x @ kernel + bias, 3)
        rz, rr, rh = np.split(recurrent, 3, 1)
        return _sigmoid(xz + h @ rz), np.tanh(xh + (_sigmoid(xr + h @ rr) * h) @ rh)

    return _gru(step, inputs)


def _pytorch(t: Arrays, inputs: np.ndarray) -> np.ndarray:
    def of_inputs(x: np.ndarray) -> np.ndarray:
        return t["weight_ih"] @ x + t["bias_ih"]

    def of_units(h: np.ndarray) -> np.ndarray:
        return t["weight_hh"] @ h + t["bias_hh"]

    size = len(t["weight_ih"]) // _SIZE
    if size == 4:
        return _lstm(lambda x, h: of_inputs(x) + of_units(h), "ifco", 0.0, inputs)
    if size == 1:
        return _rnn(lambda x, h: of_inputs(x) + of_units(h), inputs)

    def step(x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        (xr, xz, xn), (hr, hz, hn) = np.split(of_inputs(x), 3), np.split(of_units(h), 3)
        return _sigmoid(xz + hz), np.tanh(xn + _sigmoid(xr + hr) * hn)

    return _gru(step, inputs)


_FORGET_BIASES = {
    "basic_lstm_cell": 1.0,
    "lstm_cell": 1.0,
    "lstm_block_cell": 1.0,
    "lstm_block_wrapper": 1.0,
    "lstm_fused_cell": 1.0,
    "cudnn_compatible_lstm_cell": 0.0,
}
_U = _SIZE
_CUDNN_GRU = {
    "gates/kernel": (2 * _U, 2 * _U),
    "gates/bias": (2 * _U,),
    "candidate/input_projection/kernel": (_U, _U),
    "candidate/input_projection/bias": (_U,),
    "candidate/hidden_projection/kernel": (_U, _U),
    "candidate/hidden_projection/bias": (_U,),
}
_TF_GRU = {
    "gates/kernel": (2 * _U, 2 * _U),
    "gates/bias": (2 * _U,),
    "candidate/kernel": (2 * _U, _U),
    "candidate/bias": (_U,),
}


def _of_pytorch(size: int) -> dict[str, tuple[int, ...]]:
    weights = {f"weight_{each}": (size * _U, _U) for each in ("ih", "hh")}
    return {**weights, **{f"bias_{each}": (size * _U,) for each in ("ih", "hh")}}


def _of_keras(size: int, *biases: int) -> dict[str, tuple[int, ...]]:
    return {"kernel": (_U, size * _U), "recurrent_kernel": (_U, size * _U), "bias": (*biases, size * _U)}


Case = tuple[str, str, str, dict[str, tuple[int, ...]], Callable[[Arrays, np.ndarray], np.ndarray]]


def _cases() -> Iterator[Case]:
    for name, forget in _FORGET_BIASES.items():
        words = {"kernel": (2 * _U, 4 * _U), "bias": (4 * _U,)}
        for to in ("keras", "pytorch"):
            yield "tf", to, name, words, lambda t, x, forget=forget: _tf_lstm(t, x, forget)  # type: ignore[misc]
    for to in ("keras", "pytorch"):
        yield "sonnet", to, "lstm", {"w_gates": (2 * _U, 4 * _U), "b_gates": (4 * _U,)}, _sonnet
        yield "baselines", to, "lstm", {"wx": (_U, 4 * _U), "wh": (_U, 4 * _U), "b": (4 * _U,)}, _baselines
        yield "tf", to, "cudnn_compatible_gru_cell", _CUDNN_GRU, _cudnn_gru
        yield "tf", to, "basic_rnn_cell", {"kernel": (2 * _U, _U), "bias": (_U,)}, _tf_rnn
    yield "tf", "keras", "gru_cell", _TF_GRU, _tf_gru
    for size in (1, 3, 4):
        yield "pytorch", "keras", "*_l0", _of_pytorch(size), _pytorch
    for size, biases in ((1, ()), (4, ()), (3, (2,))):
        yield "keras", "pytorch", "cell", _of_keras(size, *biases), _keras


def _differs(cells: Any, case: Case) -> bool:
    source, to, name, shapes, run = case
    random = np.random.default_rng(7)
    tensors = {word: random.normal(size=shape) for word, shape in shapes.items()}
    inputs = random.normal(size=(4, _SIZE))
    place = name if "*" in name else f"{name}/*"
    stored = {place.replace("*", word): array for word, array in tensors.items()}
    plan = renamed(ArraySource(stored), cells.RecurrentCells(source, to)).plan
    made = {}
    for found in plan.names:
        word = re.sub(r"^.*[/.]|_l0$", "", found)
        made[word] = plan[found]
    expected = run(tensors, inputs)
    return not np.allclose((_keras if to == "keras" else _pytorch)(made, inputs), expected, atol=1e-9)


def _is_noticed(cells: Any) -> bool:
    for case in _cases():
        try:
            if _differs(cells, case):
                return True
        except (SaverError, ValueError, KeyError, IndexError):
            return True
    return False


@pytest.mark.parametrize("case", list(_cases()), ids=lambda case: "-".join(case[:3]))
def test_cell_computes_the_same_as_the_layer_that_it_becomes(case: Case) -> None:
    assert not _differs(recurrent_cells, case)


def _mutants(text: str) -> Iterator[tuple[str, str]]:
    def with_(match: re.Match[str], new: str) -> str:
        return text[: match.start()] + new + text[match.end() :]

    for match in re.finditer(r'(Gates\("\w+", ")(\w+)(")', text):
        order = match[2]
        for first, second in itertools.combinations(range(len(order)), 2):
            letters = list(order)
            letters[first], letters[second] = letters[second], letters[first]
            if match[1] == 'Gates("hzr", "' and letters[2] == "h":
                # The two gates in front are both padded with 0.
                continue
            yield f"{match[0]} as {''.join(letters)}", with_(match, match[1] + "".join(letters) + match[3])
    for match in re.finditer(r'("\w+_(?:cell|wrapper)": )([01])\.0', text):
        yield f"{match[0]} as the other", with_(match, f"{match[1]}{1 - int(match[2])}.0")
    for match in re.finditer(r"in \(0, 1\)", text):
        yield f"{match[0]} exchanged at {match.start()}", with_(match, "in (1, 0)")
    for match in re.finditer(r"Transpose\(\(1, 0\)\)", text):
        yield f"{match[0]} left out at {match.start()}", with_(match, "Transpose((0, 1))")
    for pair in (
        ('"weight_ih"', '"weight_hh"'),
        ('"kernel"', '"recurrent_kernel"'),
        ('"wx"', '"wh"'),
        ("weights.kernel,", "weights.recurrent,"),
        ("kernel, recurrent, bias = ", "recurrent, kernel, bias = "),
        ("kernel, recurrent, *rest = ", "recurrent, kernel, *rest = "),
        ("kernel, recurrent, *biases = ", "recurrent, kernel, *biases = "),
        ("candidate/input_projection/kernel", "candidate/hidden_projection/kernel"),
        ("candidate/input_projection/bias", "candidate/hidden_projection/bias"),
    ):
        for match in re.finditer(re.escape(pair[0]), text):
            if any(f"{word} = " in pair[0] for word in ("bias", "rest", "biases")):
                yield f"{pair[0]} at {match.start()}", with_(match, pair[1])
        if " = " not in pair[0]:
            exchanged = text.replace(pair[0], "\0").replace(pair[1], pair[0]).replace("\0", pair[1])
            if pair[0] in ("weights.kernel,", '"wx"') or "projection" in pair[0]:
                yield f"{pair[0]} and {pair[1]} exchanged", exchanged


def test_mutants_of_gates_and_names_are_caught() -> None:
    text = inspect.getsource(recurrent_cells)
    survived, count = [], 0
    for what, mutant in _mutants(text):
        assert mutant != text
        count += 1
        module = types.ModuleType("mutant")
        exec(compile(mutant, "mutant", "exec"), module.__dict__)
        if not _is_noticed(module):
            survived.append(what)
    assert count > 30
    assert not survived
