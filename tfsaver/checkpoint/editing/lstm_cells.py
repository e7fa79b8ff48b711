"""LSTM cells of TF1 as layers of Keras: the same numbers in another order, for which no renaming is enough.

    tf.nn.rnn_cell.BasicLSTMCell, LSTMCell        kernel [inputs + units, 4 * units], bias [4 * units]; columns i j f o
    keras.layers.LSTM                             kernel [inputs, 4 * units], recurrent_kernel [units, 4 * units],
                                                  bias [4 * units]; columns i f c o, where c is what TF1 calls j

The rows of the one kernel are cut in two, the columns change places, and to the forget gate's bias is added what a cell of
TF1 adds whenever it runs (`forget_bias`, 1 by default) and does not save. An optimizer's slots and moving averages of these
go the same way; only averages of the bias get the addition too, since they stand in its place.

A cell with peepholes or a projection is something else than a layer of Keras, and refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import InvalidArgumentError, TensorNotFoundError, UnimplementedError, nearest_names
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_info import TensorInfo

__all__ = ["KerasLSTMSource"]

_KERNELS = ("kernel", "weights")
_BIASES = ("bias", "biases")
_AVERAGE = "/ExponentialMovingAverage"
_NOT_IN_KERAS = ("w_f_diag", "w_i_diag", "w_o_diag", "projection/kernel")
# The columns of Keras, by number among those of TF1.
_GATES = (0, 2, 1, 3)
_FORGET = 1


class _Part(NamedTuple):
    """A tensor of Keras: what it is made from, which rows of it (None for a bias), what is added to the forget gate."""

    name: str
    rows: tuple[int, int] | None
    forget_bias: float


class KerasLSTMSource(TensorSource):
    """A view of a checkpoint in which cells of TF1 are layers of Keras; all other tensors are as they are.

    Args:
        source: The checkpoint.
        cells: Of each cell its scope and the name that the layer's cell has, as in
            ``{"rnn/basic_lstm_cell": "lstm/lstm_cell"}``. The scopes of TF 0.x and 1.1, with weights and biases, work too.
        forget_bias: What the cells were made with.

    Raises:
        InvalidArgumentError: There is no such cell; says it of all.
        UnimplementedError: A cell has peepholes or a projection.
    """

    def __init__(self, source: TensorSource, cells: Mapping[str, str], *, forget_bias: float = 1.0) -> None:
        self._source = source
        self._parts: dict[str, _Part] = {}
        problems = []
        replaced: set[str] = set()
        for scope, layer in cells.items():
            kernel, bias = (
                next((f"{scope}/{word}" for word in words if f"{scope}/{word}" in source), None)
                for words in (_KERNELS, _BIASES)
            )
            if kernel is None or bias is None:
                near = nearest_names(f"{scope}/kernel", source.names)
                hint = f"; did you mean {', '.join(name.rpartition('/')[0] for name in near)}?" if near else ""
                problems.append(f"{scope!r}: no kernel and bias of an LSTM cell are there{hint}")
                continue
            if extra := [word for word in _NOT_IN_KERAS if f"{scope}/{word}" in source]:
                raise UnimplementedError(f"the cell {scope!r} has {', '.join(extra)}, which no LSTM of Keras has")
            problems += self._add(layer, kernel, bias, forget_bias, replaced)
        if problems:
            raise InvalidArgumentError("\n".join(problems))
        self._names = dict.fromkeys(sorted([*(name for name in source.names if name not in replaced), *self._parts]))

    def _add(self, layer: str, kernel: str, bias: str, forget_bias: float, replaced: set[str]) -> list[str]:
        """Plans a layer's tensors; returns what is wrong."""
        shape, bias_shape = (tuple(self._source.info(name).shape) for name in (kernel, bias))
        units = bias_shape[0] // 4 if bias_shape else 0
        if len(shape) != 2 or len(bias_shape) != 1 or bias_shape[0] % 4 or shape[1] != bias_shape[0] or shape[0] <= units:
            return [f"{kernel}: {list(shape)} with a bias {list(bias_shape)} is no LSTM cell"]
        num_inputs = shape[0] - units
        for name in self._source.names:
            if (name == kernel or name.startswith(f"{kernel}/")) and tuple(self._source.info(name).shape) == shape:
                rest = name.removeprefix(kernel)
                self._parts[f"{layer}/kernel{rest}"] = _Part(name, (0, num_inputs), 0.0)
                self._parts[f"{layer}/recurrent_kernel{rest}"] = _Part(name, (num_inputs, shape[0]), 0.0)
                replaced.add(name)
            elif (name == bias or name.startswith(f"{bias}/")) and tuple(self._source.info(name).shape) == bias_shape:
                rest = name.removeprefix(bias)
                self._parts[f"{layer}/bias{rest}"] = _Part(name, None, forget_bias if rest in ("", _AVERAGE) else 0.0)
                replaced.add(name)
        return []

    @property
    def prefix(self) -> str | None:
        """The checkpoint that the view stands on; None where it stands on none."""
        return getattr(self._source, "prefix", None)

    @property
    def names(self) -> list[str]:
        return list(self._names)

    def info(self, name: str) -> TensorInfo:
        part = self._part(name)
        if part is None:
            return self._source.info(name)
        info = self._source.info(part.name)
        shape = info.shape if part.rows is None else (part.rows[1] - part.rows[0], *info.shape[1:])
        return TensorInfo(name, info.dtype, tuple(shape), info.dtype.size * int(np.prod(shape)), ())

    def read(self, name: str, region: Region | None = None) -> Array:
        part = self._part(name)
        if part is None:
            return self._source.read(name, region)
        value = self._source.read(part.name, None if part.rows is None else np.s_[part.rows[0] : part.rows[1], :])
        gates = np.split(value, 4, axis=-1)
        result: Array = np.concatenate([gates[number] for number in _GATES], axis=-1)
        if part.forget_bias:
            result[_FORGET * result.shape[0] // 4 : (_FORGET + 1) * result.shape[0] // 4] += part.forget_bias
        if region is None:
            return result
        wanted, dropped = as_tensor_slice(region, result.shape, name)
        return result[wanted.resolve(result.shape).indices].squeeze(dropped)

    def close(self) -> None:
        self._source.close()

    def _part(self, name: str) -> _Part | None:
        if name in self._parts:
            return self._parts[name]
        if name not in self._names:
            raise TensorNotFoundError(name, checkpoint=self.prefix or "the view", near=nearest_names(name, self._names))
        return None
