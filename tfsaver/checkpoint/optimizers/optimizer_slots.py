"""Which of a checkpoint's tensors belong to an optimizer, and of which variable each is a slot, told from their names.

    w/Momentum  w/Adam  w/Adam_1                      TF1: the optimizer's name behind the variable's, numbered by slot
    scope/w/Adam                                      the same, made inside of a scope that the variable is outside of
    beta1_power  scope/beta2_power_1                  TF1's Adam and AdaMax: steps, one number for all variables
    w/adam_m  w/lamb_v  w_slot_vr                     optimizers that came with a model: BERT, LAMB, Adafactor
    training/Adagrad/w/accumulator                    Keras 2 in a graph: the optimizer's name before, the slot's behind
    training/Adagrad/learning_rate                    ... and its numbers
    w/.OPTIMIZER_SLOT/opt/m/.ATTRIBUTES/...           TF2's object paths
    opt/iter/.ATTRIBUTES/...                          ... and the numbers of the optimizer `opt`
    opt/_variables/2/.ATTRIBUTES/...                  Keras 3: only the object graph says of which variable

A name is only taken for a slot when the variable is in the checkpoint too and has the slot's shape (Adafactor and Shampoo
keep less than that), so that a layer that somebody called Momentum stays a layer. What Keras 3 has under
``opt/_trainable_variables`` is the model's own variables, which happen to have their shortest path there. A moving average
is no slot: it is a second set of weights, often the better one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from tfsaver.framework.tensor_shape import Shape

# TF1's optimizers and those of its contrib that make slots: the name they use by default, with _1, _2 for further slots.
_BEHIND_THE_VARIABLE = frozenset(
    {
        "Adadelta",  # accum, accum_update
        "Adafactor",  # m, vr and vc, or v
        "Adagrad",  # accumulator
        "AdagradDA",  # gradient_accumulator, gradient_squared_accumulator
        "Adam",  # m, v; also of Nadam, LazyAdam and the optimizers that wrap one
        "AdaMax",  # m, v
        "AdamW",  # m, v
        "AddSignOptimizer",  # m
        "Ftrl",  # accum, linear
        "LARSOptimizer",  # momentum
        "Momentum",  # momentum
        "MomentumW",  # momentum
        "PowerSignOptimizer",  # m
        "ProximalAdagrad",  # accumulator
        "RegAdagrad",  # accumulator
        "RMSProp",  # rms, (mg,) momentum
        "Shampoo",  # gradients, and a matrix for each dimension
    }
)
_STEP_POWERS = frozenset({"beta1_power", "beta2_power"})
_WITH_STEP_POWERS = ("Adam", "AdamW", "AdaMax")

# Optimizers outside of TensorFlow, which spell the slot itself behind the variable.
_SLOT_ENDINGS = (
    ("/adam_m", "Adam"),  # BERT's AdamWeightDecayOptimizer, and the LAMBs derived from it
    ("/adam_v", "Adam"),
    ("/lamb_m", "LAMB"),
    ("/lamb_v", "LAMB"),
    ("/vr", "Adafactor"),
    ("/vc", "Adafactor"),
    ("_slot_vr", "Adafactor"),  # Mesh TensorFlow
    ("_slot_vc", "Adafactor"),
    ("_slot_v", "Adafactor"),
    ("_slot_m", "Adafactor"),
)
_ENDINGS = tuple(ending for ending, _ in _SLOT_ENDINGS)

# Optimizers whose slots need not have the variable's shape; their dimensions are some of the variable's.
_FACTORED = frozenset({"Adafactor", "Shampoo"})

_KERAS_OPTIMIZERS = frozenset(
    {"Adadelta", "Adagrad", "Adam", "AdamWeightDecay", "Adamax", "Ftrl", "LAMB", "Nadam", "RMSprop", "SGD"}
)
_KERAS_SLOTS = frozenset({"accum_grad", "accum_var", "accumulator", "linear", "m", "mg", "momentum", "rms", "v", "vhat"})
_KERAS_NUMBERS = frozenset(
    {
        *("iter", "iterations", "learning_rate", "lr", "decay", "epsilon", "rho", "momentum", "momentum_cache"),
        *("beta", "beta_1", "beta_2", "learning_rate_power", "l1_regularization_strength", "l2_regularization_strength"),
    }
)

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_OBJECT_SLOT = "/.OPTIMIZER_SLOT/"
_AVERAGE = "/ExponentialMovingAverage"
_NUMBERED = re.compile(r"_\d+\Z")
_KERAS_3_STATE = re.compile(r"(?P<optimizer>.+)/_variables/(?P<number>\d+)\Z", re.DOTALL)


class OptimizerTensor(NamedTuple):
    """A tensor that only training needs.

    Attributes:
        optimizer: The optimizer's name; in an object-based checkpoint its path.
        slot: The slot or the number as the checkpoint spells it: ``Adam_1``, ``m``, ``beta1_power``.
        variable: The name of the variable that it is a slot of; None for what belongs to the optimizer as a whole.
    """

    optimizer: str
    slot: str
    variable: str | None


def find_optimizer_tensors(
    shapes: Mapping[str, Shape], full_names: Mapping[str, str] | None = None
) -> dict[str, OptimizerTensor]:
    """Which tensors belong to an optimizer, by name.

    Args:
        shapes: The shape of every tensor of the checkpoint, by name.
        full_names: For an object-based checkpoint what `object_graph.full_names_of_keys` gives; Keras 3's slots have no
            variable without it.
    """
    found: dict[str, OptimizerTensor] = {}
    powers: list[str] = []
    for name, shape in shapes.items():
        head, _, tail = name.rpartition("/")
        base = _NUMBERED.sub("", tail) if tail[-1:].isdigit() else tail
        tensor = None
        if base in _BEHIND_THE_VARIABLE and head:
            tensor = _slot(base, tail, _owner(head, shape, shapes, base))
        elif base in _STEP_POWERS and shape == ():
            powers.append(name)
        elif tail == "VARIABLE_VALUE" and _OBJECT_SLOT in name:
            tensor = _object_slot(name, shapes)
        elif name.endswith(_ENDINGS):
            ending, optimizer = next(item for item in _SLOT_ENDINGS if name.endswith(item[0]))
            tensor = _slot(optimizer, ending[1:], _owner(name.removesuffix(ending), shape, shapes, optimizer))
        if tensor is None and (tail in _KERAS_SLOTS or tail in _KERAS_NUMBERS or base == "Variable"):
            tensor = _in_keras_scope(head, tail, shape, shapes)
        if tensor is not None:
            found[name] = tensor
    used = {tensor.optimizer for tensor in found.values()}
    if stepping := [optimizer for optimizer in _WITH_STEP_POWERS if optimizer in used]:
        found.update({name: OptimizerTensor(stepping[0], name.rpartition("/")[2], None) for name in powers})
    found.update(_state_of_objects(shapes, found, full_names or {}))
    return found


def find_moving_averages(shapes: Mapping[str, Shape]) -> dict[str, str]:
    """The tensors that are a TF1 moving average of a variable in the checkpoint, and that variable."""
    averages = {name: name.removesuffix(_AVERAGE) for name in shapes if name.endswith(_AVERAGE)}
    return {name: variable for name, variable in averages.items() if shapes.get(variable) == shapes[name]}


def _slot(optimizer: str, slot: str, variable: str | None) -> OptimizerTensor | None:
    return None if variable is None else OptimizerTensor(optimizer, slot, variable)


def _fits(optimizer: str, slot: Shape, variable: Shape | None) -> bool:
    if variable is None:
        return False
    return slot == variable or (optimizer in _FACTORED and bool(slot) and set(slot) <= set(variable))


def _owner(name: str, shape: Shape, shapes: Mapping[str, Shape], optimizer: str) -> str | None:
    """The variable of that name, or of the longest end of it that there is: scopes come in front."""
    while not _fits(optimizer, shape, shapes.get(name)):
        _, slash, name = name.partition("/")
        if not slash:
            return None
    return name


def _in_keras_scope(head: str, tail: str, shape: Shape, shapes: Mapping[str, Shape]) -> OptimizerTensor | None:
    scopes = head.split("/")
    for position, scope in enumerate(scopes):
        if _NUMBERED.sub("", scope) not in _KERAS_OPTIMIZERS:
            continue
        if position == len(scopes) - 1:
            # Old Kerases number their slots in the order of creation: whose they are is not in the name.
            return OptimizerTensor(scope, tail, None) if tail.startswith("Variable") or shape == () else None
        variable = "/".join(scopes[position + 1 :])
        if tail in _KERAS_SLOTS and shapes.get(variable) == shape:
            return OptimizerTensor(scope, tail, variable)
    return None


def _object_slot(name: str, shapes: Mapping[str, Shape]) -> OptimizerTensor | None:
    path, _, rest = name.removesuffix(_VALUE).rpartition(_OBJECT_SLOT)
    optimizer, _, slot = rest.rpartition("/")
    return OptimizerTensor(optimizer, slot, path + _VALUE) if path + _VALUE in shapes else None


def _state_of_objects(
    shapes: Mapping[str, Shape], slots: Mapping[str, OptimizerTensor], full_names: Mapping[str, str]
) -> dict[str, OptimizerTensor]:
    """The numbers of the optimizers that are objects, and the variables that Keras 3 keeps in a list of theirs."""
    paths = [name.removesuffix(_VALUE) for name in shapes if name.endswith(_VALUE) and name not in slots]
    parents: dict[str, set[str]] = {}
    for path in paths:
        parent, _, last = path.rpartition("/")
        parents.setdefault(parent, set()).add(last)
    optimizers = {tensor.optimizer for name, tensor in slots.items() if _OBJECT_SLOT in name}
    for parent, children in parents.items():
        if "_iterations" in children or ("iter" in children and not children.isdisjoint(_KERAS_NUMBERS - {"iter"})):
            optimizers.add(parent)
    variables = _Variables(shapes, full_names)
    found = {}
    for path in paths:
        parent, _, last = path.rpartition("/")
        if parent in optimizers and parent and shapes[path + _VALUE] == ():
            found[path + _VALUE] = OptimizerTensor(parent, last, None)
        elif (match := _KERAS_3_STATE.match(path)) and match["optimizer"] in optimizers:
            slot, variable = variables.of_slot(path + _VALUE) or (f"_variables/{match['number']}", None)
            found[path + _VALUE] = OptimizerTensor(match["optimizer"], slot, variable)
    return found


class _Variables:
    """An object-based checkpoint's variables by their names in the program, for slots that are named after them.

    adam/dense_kernel_momentum      Keras 3: optimizer / variable with _ for / _ slot
    Adam/m/dense/kernel             Keras 2.11 to 2.15: optimizer / slot / variable
    """

    def __init__(self, shapes: Mapping[str, Shape], full_names: Mapping[str, str]) -> None:
        self._shapes = shapes
        self._full_names = full_names
        self._by_name: dict[str, str | None] = {}
        for key, full_name in full_names.items():
            if key in shapes and not _KERAS_3_STATE.match(key.removesuffix(_VALUE)):
                for spelling in {full_name, full_name.replace("/", "_")}:
                    # Two variables of one spelling: rather none than the wrong one.
                    self._by_name[spelling] = None if spelling in self._by_name else key

    def of_slot(self, key: str) -> tuple[str, str] | None:
        """The slot and the key of the variable it is of."""
        _, _, name = self._full_names.get(key, "").partition("/")
        slot, _, variable = name.partition("/")
        if self._has_shape_of(key, variable):
            return slot, str(self._by_name[variable])
        end = name.rfind("_")
        while end > 0:
            if self._has_shape_of(key, name[:end]):
                return name[end + 1 :], str(self._by_name[name[:end]])
            end = name.rfind("_", 0, end)
        return None

    def _has_shape_of(self, key: str, variable: str) -> bool:
        owner = self._by_name.get(variable)
        return owner is not None and self._shapes[owner] == self._shapes[key]
