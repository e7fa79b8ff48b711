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

from tfsaver.checkpoint.plan import Plan, as_plan, same_names
from tfsaver.checkpoint.recipes import Elementwise, Join, Rearrange, Recipe
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import InvalidArgumentError, UnimplementedError, nearest_names
from tfsaver.framework.tensor_slice import TensorSlice

_KERNELS = ("kernel", "weights")
_BIASES = ("bias", "biases")
_AVERAGE = "/ExponentialMovingAverage"
_NOT_IN_KERAS = ("w_f_diag", "w_i_diag", "w_o_diag", "projection/kernel")
# The columns of Keras, by number among those of TF1.
_GATES = (0, 2, 1, 3)
_FORGET = 1


def keras_lstm(source: TensorSource, cells: Mapping[str, str], *, forget_bias: float = 1.0) -> Plan:
    """A checkpoint in which cells of TF1 are layers of Keras; all other tensors are as they are.

    Args:
        source: The checkpoint.
        cells: For each cell its scope and the name that the layer's cell has, as in
            ``{"rnn/basic_lstm_cell": "lstm/lstm_cell"}``. The scopes of TF 0.x and 1.1, with weights and biases, work too.
        forget_bias: What the cells were made with.

    Raises:
        InvalidArgumentError: There is no such cell, two cells are for one layer, or another tensor has the name of one
            that a layer gets; says all.
        UnimplementedError: A cell has peepholes or a projection.
    """
    plan = as_plan(source)
    problems = [
        f"{layer!r} is the layer of {' and of '.join(map(repr, scopes))}"
        for layer in dict.fromkeys(cells.values())
        if len(scopes := [scope for scope, each in cells.items() if each == layer]) > 1
    ]
    made: dict[str, Recipe] = {}
    replaced: set[str] = set()
    for scope, layer in cells.items():
        kernel, bias = (
            next((f"{scope}/{word}" for word in words if f"{scope}/{word}" in plan), None) for words in (_KERNELS, _BIASES)
        )
        if kernel is None or bias is None:
            near = nearest_names(f"{scope}/kernel", plan.names)
            hint = f"; did you mean {', '.join(name.rpartition('/')[0] for name in near)}?" if near else ""
            problems.append(f"{scope!r}: no kernel and bias of an LSTM cell are there{hint}")
            continue
        if extra := [word for word in _NOT_IN_KERAS if f"{scope}/{word}" in plan]:
            raise UnimplementedError(f"the cell {scope!r} has {', '.join(extra)}, which no LSTM of Keras has")
        problems += _add(plan, layer, kernel, bias, forget_bias, made, replaced)
    kept = same_names(name for name in plan.tensor_names if name not in replaced)
    problems += [f"{name!r} is a tensor already, and would be one of a layer" for name in sorted(kept.keys() & made.keys())]
    if problems:
        raise InvalidArgumentError("\n".join(problems))
    return plan.with_names(kept, graph=plan.graph, recipes=made)


def _add(
    plan: Plan,
    layer: str,
    kernel: str,
    bias: str,
    forget_bias: float,
    made: dict[str, Recipe],
    replaced: set[str],
) -> list[str]:
    """Plans a layer's tensors; returns what is wrong."""
    shape, bias_shape = (tuple(plan.info(name).shape) for name in (kernel, bias))
    units = bias_shape[0] // 4 if bias_shape else 0
    if len(shape) != 2 or len(bias_shape) != 1 or bias_shape[0] % 4 or shape[1] != bias_shape[0] or shape[0] <= units:
        return [f"{kernel}: {list(shape)} with a bias {list(bias_shape)} is no LSTM cell"]
    num_inputs = shape[0] - units
    for name in plan.tensor_names:
        if (name == kernel or name.startswith(f"{kernel}/")) and tuple(plan.info(name).shape) == shape:
            rest = name.removeprefix(kernel)
            of = plan.recipe(name)
            made[f"{layer}/kernel{rest}"] = _in_order_of_keras(_rows(of, 0, num_inputs))
            made[f"{layer}/recurrent_kernel{rest}"] = _in_order_of_keras(_rows(of, num_inputs, shape[0]))
            replaced.add(name)
        elif (name == bias or name.startswith(f"{bias}/")) and tuple(plan.info(name).shape) == bias_shape:
            rest = name.removeprefix(bias)
            added = forget_bias if rest in ("", _AVERAGE) else 0.0
            made[f"{layer}/bias{rest}"] = _in_order_of_keras(plan.recipe(name), added)
            replaced.add(name)
    return []


def _rows(of: Recipe, start: int, stop: int) -> Recipe:
    return Rearrange(of, TensorSlice(((start, stop - start), *((0, size) for size in of.shape[1:]))))


def _in_order_of_keras(of: Recipe, forget_bias: float = 0.0) -> Recipe:
    """The four gates along the last axis in Keras's order, the forget gate with what TF1 adds when it runs."""
    units = of.shape[-1] // 4
    before = tuple((0, size) for size in of.shape[:-1])
    gates: list[Recipe] = [
        Rearrange(of, TensorSlice((*before, (number * units, units)))) for number in _GATES
    ]
    if forget_bias:

        def add(gate: Array) -> Array:
            # In the gate's own type, as the cell does it.
            total: Array = gate + gate.dtype.type(forget_bias)
            return total

        gates[_FORGET] = Elementwise([gates[_FORGET]], add, of.dtype)
    return Join(gates, -1)
