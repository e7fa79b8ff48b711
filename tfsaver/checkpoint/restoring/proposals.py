"""The tensors that the missing variables of a program most likely are, for a mapping that a person looks at and pastes.

    by name     dtype, shape, and a name that is alike                            see `names.renames`
    the only    no other tensor that is left has the dtype and shape, and no other variable wants it; scalars excepted
    never       the bias of a TF1 LSTM cell for that of a Keras LSTM layer: one shape, and another order of the gates
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tfsaver.checkpoint.optimizers.training_tensors import find_moving_averages
from tfsaver.checkpoint.restoring.matching import is_compatible, likely_tensors
from tfsaver.checkpoint.wanted_tensor import PartialShape, WantedTensor
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape

_KERNELS = ("kernel", "weights")
_BIASES = ("bias", "biases")


class _Layer(NamedTuple):
    """A layer, or a cell: its scope, and the shape of its kernel."""

    scope: str
    kernel: PartialShape


class Proposals:
    """What the missing variables may be.

    Args:
        missing: What is looked for, by name.
        candidates: The keys of the tensors that nobody wants, with the name that each is to be judged by.
        info_of: What a key's tensor is.

    Attributes:
        likely: The key for each name for which there is a likely one.
        notes: What is not proposed, and why, in sentences.
    """

    def __init__(
        self,
        missing: Mapping[str, WantedTensor],
        candidates: Mapping[str, str],
        info_of: Callable[[str], TensorInfo],
    ) -> None:
        self.likely: dict[str, str] = {}
        self.notes: list[str] = []
        if not missing:
            return
        layers_of = _lstm_layers(missing)
        cells_of = _lstm_cells(candidates, info_of) if layers_of else {}
        pairs = {
            (bias, key): (layer, cell)
            for bias, layer in layers_of.items()
            for key, cell in cells_of.items()
            if _is_cell_of(cell.kernel, layer.kernel, missing[bias].shape)
        }
        if pairs:
            self.notes.append(_note_on_cells({cell.scope: layer.scope for layer, cell in pairs.values()}))
        biases, keys = ({pair[side] for pair in pairs} for side in (0, 1))
        missing = {name: tensor for name, tensor in missing.items() if name not in biases}
        candidates = {key: spelling for key, spelling in candidates.items() if key not in keys}
        likely = likely_tensors(missing, candidates, info_of)
        alone = _only_ones(missing, candidates, info_of)
        taken = set(likely.values())
        for name in missing:
            if name in likely:
                self.likely[name] = likely[name]
            elif name in alone and alone[name] not in taken:
                self.likely[name] = alone[name]


def _only_ones(
    missing: Mapping[str, WantedTensor], candidates: Mapping[str, str], info_of: Callable[[str], TensorInfo]
) -> dict[str, str]:
    """Of each name the tensor, where both are the only ones of their dtype and shape, and that is no scalar's."""
    shapes = {spelling: tuple(info_of(key).shape) for key, spelling in candidates.items()}
    averages = find_moving_averages(shapes)
    keys: dict[tuple[int, Shape], list[str]] = {}
    for key, spelling in candidates.items():
        # An average beside its variable is no rival of it.
        if spelling not in averages:
            keys.setdefault((info_of(key).dtype.data_type, shapes[spelling]), []).append(key)
    names: dict[tuple[int, PartialShape], list[str]] = {}
    for name, tensor in missing.items():
        shape = tensor.full_shape if tensor.tensor_slice is not None else tensor.shape
        names.setdefault((tensor.dtype.data_type, shape), []).append(name)
    vague = [(data_type, shape) for data_type, shape in names if shape is None or None in shape]
    found = {}
    for (data_type, shape), fitting in keys.items():
        wanting = names.get((data_type, shape), ())
        if not shape or len(fitting) != 1 or len(wanting) != 1:
            continue
        if not any(data_type == other and is_compatible(shape, partial) for other, partial in vague):
            found[wanting[0]] = fitting[0]
    return found


def _lstm_layers(missing: Mapping[str, WantedTensor]) -> dict[str, _Layer]:
    """The LSTM layers of Keras that are missing, by their biases."""
    layers = {}
    for name, tensor in missing.items():
        scope, _, word = name.rpartition("/")
        kernel, recurrent = (missing.get(f"{scope}/{other}") for other in ("kernel", "recurrent_kernel"))
        if word == "bias" and kernel is not None and recurrent is not None and _is_of_gates(recurrent.shape, tensor.shape):
            layers[name] = _Layer(scope, kernel.shape)
    return layers


def _lstm_cells(candidates: Mapping[str, str], info_of: Callable[[str], TensorInfo]) -> dict[str, _Layer]:
    """What may be LSTM cells of TF1, by the keys of their biases."""
    keys = {spelling: key for key, spelling in candidates.items()}
    cells = {}
    for spelling, key in keys.items():
        scope, _, word = spelling.rpartition("/")
        kernel = next((keys[name] for name in (f"{scope}/{other}" for other in _KERNELS) if name in keys), None)
        if word in _BIASES and kernel is not None and f"{scope}/recurrent_kernel" not in keys:
            cells[key] = _Layer(scope, tuple(info_of(kernel).shape))
    return cells


def _is_of_gates(recurrent: PartialShape, bias: PartialShape) -> bool:
    """Whether these are the shapes of four gates' weights."""
    if recurrent is None or len(recurrent) != 2 or recurrent[0] is None:
        return False
    return bias == (4 * recurrent[0],)


def _is_cell_of(cell: PartialShape, layer: PartialShape, bias: PartialShape) -> bool:
    """Whether a cell's one kernel has the rows of both of a layer's."""
    if not cell or not layer or not bias or bias[0] is None or len(cell) != 2 or cell[1:] != bias:
        return False
    return cell[0] is not None and layer[0] in (None, cell[0] - bias[0] // 4)


def _note_on_cells(layers: Mapping[str, str]) -> str:
    """How to restore LSTM cells of TF1 into layers of Keras."""
    cells = ", ".join(f"{cell!r}: {layer!r}" for cell, layer in layers.items())
    return (
        "the gates of an LSTM cell of TF1 stand in another order than those of a Keras layer; to restore one, give in place "
        f"of the checkpoint tfsaver.checkpoint.editing.lstm_cells.keras_lstm(load_checkpoint(...), {{{cells}}})"
    )
