"""Recurrent cells of one library as layers of another: gates in another order, split kernels, added biases.

    layout      variables                                   LSTM      GRU    what else
    tf          kernel [inputs + units, gates], bias        i c f o   r z    forget bias added when the cell runs
                gates/kernel, candidate/kernel, ...                          candidate apart, in Keras reset_after=False
                w_ru, b_ru, w_c, b_c                                         the same, of a GRUBlockCell
                candidate/input_projection/kernel, ...                       cuDNN-compatible, in Keras reset_after=True
    sonnet      w_gates [inputs + units, gates], b_gates    i c f o          Sonnet 1; forget bias 1
    baselines   wx [inputs, gates], wh [units, gates], b    i f o c          no forget bias
    keras       kernel, recurrent_kernel, bias              i f c o   z r h  Keras 2 and 3, tf.keras; no forget bias
    pytorch     weight_ih_l0 [gates, inputs], weight_hh_l0, i f c o   r z h  two biases, of which an LSTM has the sum
                bias_ih_l0, bias_hh_l0

The letters: input, forget, cell (TensorFlow's j, PyTorch's g, the baselines' u), output; reset, update (z), candidate (h).
A SimpleRNN has one part of the same kind. Equal shapes say nothing about the order: a bias of a TensorFlow cell fits a Keras
layer, and its numbers are those of other gates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from tfsaver.checkpoint.names.changes import Change, Changes, Crop, Gates, Joined, Pad, Part, Slice, Summed, Transpose
from tfsaver.checkpoint.names.name_steps import Applied, Counted, Infos, Renamed, Targets, split_attribute
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS
from tfsaver.checkpoint.wanted_tensor import PartialShape
from tfsaver.errors import InvalidArgumentError, nearest_names

From: TypeAlias = Literal["tf", "sonnet", "baselines", "keras", "pytorch"]
To: TypeAlias = Literal["keras", "pytorch"]

SOURCES: tuple[From, ...] = ("tf", "sonnet", "baselines", "keras", "pytorch")
TARGETS: tuple[To, ...] = ("keras", "pytorch")
# How a person knows a layout.
LAYOUTS = {
    "tf": "TensorFlow's cells (LSTM i c f o, GRU r z and a candidate)",
    "sonnet": "Sonnet 1 (i c f o)",
    "baselines": "OpenAI's baselines (wx, wh, b; i f o c)",
    "keras": "Keras (LSTM i f c o, GRU z r h)",
    "pytorch": "PyTorch (LSTM i f c o, GRU r z h; transposed)",
}
# What cells of TF1 add to the forget gate unless they are told otherwise, by the scopes that they make. An LSTMCell and a
# BasicLSTMCell take the number as an argument, which no checkpoint has.
_FORGET_BIASES = {
    "basic_lstm_cell": 1.0,
    "lstm_cell": 1.0,
    "lstm_block_cell": 1.0,
    "lstm_block_wrapper": 1.0,
    "lstm_fused_cell": 1.0,
    "cudnn_compatible_lstm_cell": 0.0,
}
_LSTM = Gates("ifco", "ifco")
# Further variables of a cell that compute something that a layer does not.
_NOT_IN_LAYERS = {
    "w_f_diag": "peepholes",
    "w_i_diag": "peepholes",
    "w_o_diag": "peepholes",
    "projection/kernel": "a projection",
    "projection/weights": "a projection",
    "input/gamma": "layer normalization",
    "transform/gamma": "layer normalization",
}
_NUMBERED = re.compile(r"_\d+\Z")
_PYTORCH = re.compile(r"(?P<scope>.*?)weight_ih_(?P<layer>l\d+(?:_reverse)?)")
_PYTORCH_WORD = re.compile(r"(?P<scope>.*?)(?:weight|bias)_(?:ih|hh)_(?P<layer>l\d+(?:_reverse)?)")
_KERAS_WORD = re.compile(r"(?P<scope>(?:.*/)?)_?(?:kernel|recurrent_kernel|bias)", re.DOTALL)
_RECURRENT = ("recurrent_kernel", "_recurrent_kernel")
# What ends a scope: its first variable.
_FIRST_WORDS = {
    "tf": ("gates/kernel", "gates/weights", "w_ru", "kernel", "weights"),
    "sonnet": ("w_gates",),
    "baselines": ("wx",),
    "keras": ("recurrent_kernel",),
}


class Piece(NamedTuple):
    """A tensor of the checkpoint as a part of one of the layer's."""

    name: str
    changes: Changes


class Cell(NamedTuple):
    """A cell in the checkpoint.

    Attributes:
        scope: Its scope; for PyTorch with ``*`` in the place of the words, as in ``lstm.*_l0``.
        kind: ``LSTM``, ``GRU`` or ``SimpleRNN``.
        words: The full names of its variables.
        units: How many units it has.
        inputs: How many inputs.
    """

    scope: str
    kind: str
    words: tuple[str, ...]
    units: int
    inputs: int


class _Weights(NamedTuple):
    """A layer in Keras's order: for each variable the pieces that it consists of, along the axis of the gates.

    Attributes:
        kernel: The inputs' weights.
        recurrent: The units' weights.
        bias: The bias; for a GRU with reset_after the inputs' bias.
        recurrent_bias: The units' bias; none where the cell has one bias.
    """

    kernel: Sequence[Piece]
    recurrent: Sequence[Piece]
    bias: Sequence[Piece]
    recurrent_bias: Sequence[Piece] = ()


class RecurrentCells:
    """Recurrent cells of one layout as those of another: a step of a mapping.

    An optimizer's moments and moving averages of the variables follow them. Other tensors keep their names.

    Args:
        source: The layout of the cells in the checkpoint.
        to: The layout that they get.
        cells: For each cell its scope and the name that the layer's cell has, as in
            ``{"rnn/basic_lstm_cell": "lstm/lstm_cell"}``; every cell that is recognized, under its own scope, when None. In
            a scope of PyTorch ``*`` stands for the words: ``lstm.*_l0``.
        forget_bias: What the LSTM cells were made with. When None it follows from what the cell is called, where it does.

    Raises:
        InvalidArgumentError: There is no such layout.
    """

    def __init__(
        self,
        source: From,
        to: To = "keras",
        *,
        cells: Mapping[str, str] | None = None,
        forget_bias: float | None = None,
    ) -> None:
        if source not in SOURCES or to not in TARGETS or source == to:
            raise InvalidArgumentError(
                f"recurrent cells of {source!r} cannot become those of {to!r}: from {', '.join(SOURCES)}, to "
                f"{' or '.join(TARGETS)}"
            )
        if cells is not None and len(set(cells.values())) < len(cells):
            olds: dict[str, list[str]] = {}
            for scope, layer in cells.items():
                olds.setdefault(layer, []).append(scope)
            raise InvalidArgumentError("\n".join(
                f"{layer!r} is the layer of {' and of '.join(map(repr, scopes))}"
                for layer, scopes in olds.items()
                if len(scopes) > 1
            ))
        self._source = source
        self._to = to
        self._cells = cells
        self._forget_bias = forget_bias

    def __repr__(self) -> str:
        """As it is written in a mapping."""
        options = {"cells": self._cells, "forget_bias": self._forget_bias}
        given = [f"{key}={value!r}" for key, value in options.items() if value is not None]
        return f"RecurrentCells({', '.join([repr(self._source), repr(self._to), *given])})"

    def apply(self, infos: Infos) -> Applied:
        """See `Step`."""
        what = f"recurrent cells of {self._source} as those of {self._to}"
        found = {cell.scope: cell for cell in find_cells(infos, self._source, self._cells)}
        problems: list[str] = []
        changed: dict[str, list[Renamed]] = {}
        wanted = dict.fromkeys(found) if self._cells is None else self._cells
        for scope, new_scope in wanted.items():
            if scope not in found:
                there = _what_is_there(infos, scope)
                problems.append(f"{scope!r}: no variables of a cell of {self._source} are there{there}")
                continue
            try:
                for old, target in self._targets(found[scope], new_scope or scope, infos):
                    changed.setdefault(old, []).append(target)
            except InvalidArgumentError as error:
                problems.append(f"{scope!r}: {error}")
        if not wanted and infos.names:
            known = "; ".join(f"{name}: {text}" for name, text in LAYOUTS.items())
            return Applied({}, unmatched=(f"{what}: there are none; known layouts are {known}",))
        made: dict[str, Targets] = {old: tuple(targets) for old, targets in changed.items()}
        if any(cell.kind == "LSTM" for cell in found.values()) and self._source in ("tf", "sonnet"):
            what += ", forget_bias " + ("as the cells' names say" if self._forget_bias is None else f"{self._forget_bias:g}")
        return Applied(made, (), tuple(problems), counts=(Counted(what, len(made), len(infos)),), named=frozenset())

    def _targets(self, cell: Cell, layer: str, infos: Infos) -> Iterator[tuple[str, Renamed]]:
        weights = self._weights(cell, infos)
        attribute = split_attribute(cell.words[0])[1]
        place = layer if "*" in layer else f"{layer}/*" if self._to == "keras" else f"{layer.replace('/', '.')}.*_l0"

        def name(word: str) -> str:
            return place.replace("*", word) + attribute

        if self._to == "keras":
            yield from _joined(weights.kernel, name("kernel"))
            yield from _joined(weights.recurrent, name("recurrent_kernel"))
            if not weights.recurrent_bias:
                yield from _joined(weights.bias, name("bias"))
            elif cell.kind == "GRU":
                yield from _stacked((weights.bias, weights.recurrent_bias), name("bias"))
            else:
                yield from _summed((weights.bias, weights.recurrent_bias), name("bias"))
            return
        turned: Changes = (Transpose((1, 0)),)
        # The same order twice says that it is known.
        order: Changes = {"LSTM": (_LSTM,), "GRU": (Gates("zrh", "rzh"),)}.get(cell.kind, ())
        size = cell.units * {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[cell.kind]
        if cell.kind == "GRU" and weights.bias and not weights.recurrent_bias:
            raise InvalidArgumentError("its reset gate acts before the recurrent kernel, and in PyTorch after it")
        zeros: Changes = (Crop(0), Pad(size, 0.0))
        # A bias of one layer is the sum of two in the other.
        second = weights.recurrent_bias or [piece._replace(changes=(*piece.changes, *zeros)) for piece in weights.bias[:1]]
        for pieces, word, after in (
            (weights.kernel, "weight_ih", (*order, *turned)),
            (weights.recurrent, "weight_hh", (*order, *turned)),
            (weights.bias, "bias_ih", order),
            (second, "bias_hh", order),
        ):
            yield from _joined(pieces, name(word), after)

    def _weights(self, cell: Cell, infos: Infos) -> _Weights:
        if self._source in ("tf", "sonnet"):
            return self._of_fused(cell, infos)
        order: Changes = ()
        if self._source == "baselines":
            order = (Gates("ifoc", "ifco", self._forget_gate(0.0)),)
            kernel, recurrent, bias = cell.words
            plain: Changes = (Gates("ifoc", "ifco"),)
            return _Weights([Piece(kernel, plain)], [Piece(recurrent, plain)], [Piece(bias, order)])
        if self._source == "keras":
            kernel, recurrent, *rest = cell.words
            weights = _Weights([Piece(kernel, ())], [Piece(recurrent, ())], [Piece(name, ()) for name in rest])
            if rest and len(infos[rest[0]].shape) == 2:
                first, second = (Piece(rest[0], (Slice(f"{row}, :"),)) for row in (0, 1))
                return weights._replace(bias=[first], recurrent_bias=[second])
            return weights
        order = {"LSTM": (_LSTM,), "GRU": (Gates("rzh", "zrh"),)}.get(cell.kind, ())
        turned: Changes = (Transpose((1, 0)), *order)
        kernel, recurrent, *biases = cell.words
        first_bias, second_bias = ([Piece(name, order)] for name in biases) if biases else ([], [])
        return _Weights([Piece(kernel, turned)], [Piece(recurrent, turned)], first_bias, second_bias)

    def _of_fused(self, cell: Cell, infos: Infos) -> _Weights:
        """Cells of which one kernel has the rows of inputs and units."""
        rows = (cell.inputs, cell.units)
        above, below = (Part(0, rows, index) for index in (0, 1))
        if cell.kind == "GRU":
            order: Changes = (Gates("rz", "zr"),)
            if len(cell.words) == 4:
                gates, gates_bias, candidate, candidate_bias = cell.words
                return _Weights(
                    [Piece(gates, (above, *order)), Piece(candidate, (above,))],
                    [Piece(gates, (below, *order)), Piece(candidate, (below,))],
                    [Piece(gates_bias, order), Piece(candidate_bias, ())],
                )
            gates, gates_bias, inputs, inputs_bias, hidden, hidden_bias = cell.words
            size = 3 * cell.units
            return _Weights(
                [Piece(gates, (above, *order)), Piece(inputs, ())],
                [Piece(gates, (below, *order)), Piece(hidden, ())],
                [Piece(gates_bias, order), Piece(inputs_bias, ())],
                [Piece(hidden_bias, (Pad(size, 0.0), Gates("hzr", "zrh")))],
            )
        kernel, bias = cell.words
        if cell.kind == "SimpleRNN":
            return _Weights([Piece(kernel, (above,))], [Piece(kernel, (below,))], [Piece(bias, ())])
        extra = {
            text
            for name in infos
            for word, text in _NOT_IN_LAYERS.items()
            if split_attribute(name)[0] == f"{cell.scope}/{word}"
        }
        if extra:
            raise InvalidArgumentError(f"the cell has {' and '.join(sorted(extra))}, which no LSTM of {self._to} has")
        default = 1.0 if self._source == "sonnet" else forget_bias_of(cell.scope)
        order = (Gates("icfo", "ifco"),)
        added = (Gates("icfo", "ifco", self._forget_gate(default)),)
        return _Weights([Piece(kernel, (above, *order))], [Piece(kernel, (below, *order))], [Piece(bias, added)])

    def _forget_gate(self, default: float | None) -> tuple[tuple[str, float], ...]:
        number = default if self._forget_bias is None else self._forget_bias
        if number is None:
            raise InvalidArgumentError(
                "its name does not say what the cell adds to the forget gate: give "
                f"RecurrentCells({self._source!r}, {self._to!r}, forget_bias=1.0), or 0.0 for a cuDNN-compatible one"
            )
        return (("f", float(number)),) if number else ()


def forget_bias_of(scope: str) -> float | None:
    """What a TF1 LSTM cell of this scope adds to the forget gate by default; None where its name does not say it."""
    return _FORGET_BIASES.get(_NUMBERED.sub("", scope.rpartition("/")[2]))


class Layer(NamedTuple):
    """A recurrent layer of a program.

    Attributes:
        layout: ``keras`` or ``pytorch``.
        scope: What its cell's variables have in front of their words; with ``*`` for PyTorch, see `Cell`.
        kind: ``LSTM`` or ``GRU``.
        units: How many units it has.
    """

    layout: To
    scope: str
    kind: str
    units: int


def layer_of(name: str, shape_of: Callable[[str], PartialShape]) -> Layer | None:
    """The layer with gates that a variable belongs to, judged by its name and the recurrent kernel beside it.

    Args:
        name: The variable's name.
        shape_of: The shape of the variable of a name; None where there is none.
    """
    path = split_attribute(name)[0].removesuffix(":0")
    if match := _PYTORCH_WORD.fullmatch(path):
        shape = shape_of(f"{match['scope']}weight_hh_{match['layer']}") or ()
        size, units = (*shape, None, None)[:2]
        return _layer("pytorch", f"{match['scope']}*_{match['layer']}", size, units)
    if (match := _KERAS_WORD.fullmatch(path)) is None:
        return None
    shape = next(filter(None, (shape_of(f"{match['scope']}{word}") for word in _RECURRENT)), ())
    units, size = (None, None, *shape)[-2:]
    return _layer("keras", match["scope"].rstrip("/"), size, units)


def _layer(layout: To, scope: str, size: int | None, units: int | None) -> Layer | None:
    kind = {4: "LSTM", 3: "GRU"}.get(size // units) if size and units and size % units == 0 else None
    return Layer(layout, scope, kind, units) if kind and units else None


def has_layout(name: str, layout: To, is_there: Callable[[str], bool]) -> bool:
    """Whether a tensor's name says that its gates stand as in a layout, or is a number that says nothing at all.

    Args:
        name: The tensor's name.
        layout: The layout.
        is_there: Whether there is a tensor of a name.
    """
    path = split_attribute(name)[0].removesuffix(":0")
    if path.rpartition("/")[2].isdigit():
        return True
    if layout == "pytorch":
        return _PYTORCH_WORD.fullmatch(path) is not None
    match = _KERAS_WORD.fullmatch(path)
    return match is not None and any(
        is_there(f"{match['scope']}{word}{end}") for word in _RECURRENT for end in ("", ":0")
    )


def known_layouts(layout: To) -> str:
    """The layouts of which cells can become layers, for people: the mapping to give, and what it is for."""
    return "; ".join(
        f"mapping='{source}-rnn-to-{layout}' for {text}" for source, text in LAYOUTS.items() if source != layout
    )


def find_cells(infos: Infos, source: From, scopes: Mapping[str, str] | None = None) -> list[Cell]:
    """The recurrent cells of a layout, by their variables' names and shapes.

    Args:
        infos: The tensors.
        source: The layout.
        scopes: The scopes of cells that the caller knows: there what a cell is called does not matter.
    """
    paths = {split_attribute(name)[0]: name for name in infos if name not in DESCRIPTIONS}
    cells = []
    for path in paths:
        if source == "pytorch":
            if match := _PYTORCH.fullmatch(path):
                cells.append(_cell_of_pytorch(infos, paths, match["scope"], match["layer"]))
            continue
        for word in _FIRST_WORDS[source]:
            if path == word or path.endswith(f"/{word}"):
                scope = path.removesuffix(word).removesuffix("/")
                cells.append(_cell(infos, paths, source, scope, word, is_known=scopes is not None and scope in scopes))
                break
    return [cell for cell in cells if cell is not None and (scopes is None or cell.scope in scopes)]


def _cell(infos: Infos, paths: Mapping[str, str], source: From, scope: str, word: str, *, is_known: bool) -> Cell | None:
    def names(*words: str) -> tuple[str, ...]:
        found = tuple(paths.get(f"{scope}/{each}" if scope else each, "") for each in words)
        return found if all(found) else ()

    if source == "keras":
        found = names("kernel", "recurrent_kernel")
        if not found:
            return None
        (inputs, *_), (units, size) = _shape(infos, found[0], 2), _shape(infos, found[1], 2)
        kind = {4 * units: "LSTM", 3 * units: "GRU", units: "SimpleRNN"}.get(size, "")
        return Cell(scope, kind, (*found, *names("bias")), units, inputs) if kind and units else None
    if source == "baselines":
        found = names("wx", "wh", "b")
        if not found:
            return None
        (inputs, size), (units, _), bias = _shape(infos, found[0], 2), _shape(infos, found[1], 2), _shape(infos, found[2], 1)
        return Cell(scope, "LSTM", found, units, inputs) if units and size == 4 * units == bias[0] else None
    if source == "sonnet":
        return _fused(infos, scope, names("w_gates", "b_gates"), "LSTM", 4)
    if word == "w_ru":
        return _fused(infos, scope, names("w_ru", "b_ru", "w_c", "b_c"), "GRU", 2)
    if word in ("gates/kernel", "gates/weights"):
        first, second = ("kernel", "bias") if word == "gates/kernel" else ("weights", "biases")
        found = names(f"gates/{first}", f"gates/{second}", f"candidate/{first}", f"candidate/{second}") or names(
            "gates/kernel",
            "gates/bias",
            "candidate/input_projection/kernel",
            "candidate/input_projection/bias",
            "candidate/hidden_projection/kernel",
            "candidate/hidden_projection/bias",
        )
        return _fused(infos, scope, found, "GRU", 2)
    if names("recurrent_kernel") or scope.endswith(("/gates", "/candidate")):
        return None
    last = scope.rpartition("/")[2].lower()
    second = "bias" if word == "kernel" else "biases"
    if "lstm" in last or is_known:
        cell = _fused(infos, scope, names(word, second), "LSTM", 4)
        if cell is not None or "lstm" in last:
            return cell
    if "basic_rnn_cell" in last or is_known:
        return _fused(infos, scope, names(word, second), "SimpleRNN", 1)
    return None


def _fused(infos: Infos, scope: str, names: tuple[str, ...], kind: str, num_gates: int) -> Cell | None:
    """A cell of which one kernel has the rows of inputs and units; None where the shapes are not those of one."""
    if not names:
        return None
    (rows, size), (bias,) = _shape(infos, names[0], 2), _shape(infos, names[1], 1)
    units = bias // num_gates
    if not units or size != bias or bias % num_gates or rows <= units:
        return None
    return Cell(scope, kind, names, units, rows - units)


def _cell_of_pytorch(infos: Infos, paths: Mapping[str, str], scope: str, layer: str) -> Cell | None:
    words = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    names = [paths.get(f"{scope}{word}_{layer}", "") for word in words]
    if not names[1]:
        return None
    (size, inputs), (_, units) = _shape(infos, names[0], 2), _shape(infos, names[1], 2)
    kind = {4 * units: "LSTM", 3 * units: "GRU", units: "SimpleRNN"}.get(size, "")
    return Cell(f"{scope}*_{layer}", kind, tuple(filter(None, names)), units, inputs) if kind and units else None


def _what_is_there(infos: Infos, scope: str) -> str:
    below = [name for name in infos if name.startswith(f"{scope}/")]
    if below:
        return ": " + ", ".join(f"{name} {list(infos[name].shape)}" for name in below[:6])
    near = nearest_names(scope, {name.rpartition("/")[0] for name in infos if "/" in name})
    return f"; did you mean {', '.join(map(repr, near))}?" if near else ""


def _shape(infos: Infos, name: str, rank: int) -> tuple[int, ...]:
    shape = tuple(infos[name].shape)
    return shape if len(shape) == rank else (0,) * rank


def _joined(pieces: Sequence[Piece], to: str, after: Changes = ()) -> Iterator[tuple[str, Renamed]]:
    inputs = tuple(piece.name for piece in pieces)
    for index, piece in enumerate(pieces):
        join: tuple[Change, ...] = (Joined("concat", -1, index, inputs, to),) if len(pieces) > 1 else ()
        yield piece.name, Renamed.of(to, (*piece.changes, *join, *after))


def _stacked(rows: Sequence[Sequence[Piece]], to: str) -> Iterator[tuple[str, Renamed]]:
    inputs = tuple(", ".join(piece.name for piece in pieces) for pieces in rows)
    for index, pieces in enumerate(rows):
        yield from _joined(pieces, to, (Joined("stack", 0, index, inputs, to),))


def _summed(rows: Sequence[Sequence[Piece]], to: str) -> Iterator[tuple[str, Renamed]]:
    inputs = tuple(piece.name for pieces in rows for piece in pieces)
    for index, name in enumerate(inputs):
        yield name, Renamed.of(to, (*rows[index][0].changes, Summed("sum", 0, index, inputs, to)))
