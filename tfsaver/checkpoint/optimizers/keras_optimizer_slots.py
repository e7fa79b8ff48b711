"""What TF1's optimizers saved, as the variables of Keras's optimizers.

    in the checkpoint                             slot      Keras 3                        Keras 2.11   before
    w/Adam    w/adam_m  Adam/w/m    Adam/m/w      m         adam/w_momentum                Adam/m/w     Adam/w/m
    w/Adam_1  w/adam_v  Adam/w/v    Adam/v/w      v         adam/w_velocity                Adam/v/w     Adam/w/v
    w/Momentum          SGD/w/momentum            momentum  sgd/w_momentum                 SGD/m/w      SGD/w/momentum

Each optimizer of ``tf.train`` numbers what it keeps for a variable in the order of making it, and the number says what it
is: of RMSProp's two the second is the momentum, of its three (``centered=True``) it is the mean gradient. A graph that was
built several times goes on counting (``w/Adam_7``, ``w/Adam_8``), so that only the order counts, and how many there are.

The numbers mean the same in both, but for one: Momentum sums gradients and multiplies by the learning rate when it applies
them, Keras's SGD has the step itself in its sum. Its slot is the saved one times minus the learning rate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tfsaver.checkpoint.optimizers.optimizer_slots import OptimizerTensor, find_optimizer_tensors
from tfsaver.errors import InvalidArgumentError, nearest_names
from tfsaver.framework.tensor_shape import Shape

__all__ = ["Iterations", "SavedSlot", "SavedSlots", "iterations_from", "slot_of_keras", "slots_of_tf_train"]

# A slot is called here what Keras called it before 2.11. The other words for it: Keras 2.11's, Keras 3's, their lists'.
_MOMENTS: dict[str, tuple[str, ...]] = {
    "m": ("momentum", "momentums"),
    "v": ("velocity", "velocities"),
    "vhat": ("velocity_hat", "velocity_hats"),
}
_KERAS_SLOTS: dict[str, dict[str, tuple[str, ...]]] = {
    "Adadelta": {
        "accum_grad": ("accumulated_grad", "accumulated_grads"),
        "accum_var": ("accumulated_delta_var", "accumulated_delta_vars"),
    },
    "Adagrad": {"accumulator": ("accumulators",)},
    "Adam": _MOMENTS,
    "AdamW": _MOMENTS,
    "Adamax": {"m": ("momentum",), "v": ("norm", "u")},
    "Ftrl": {"accumulator": ("accumulators",), "linear": ("linears",)},
    "Lamb": _MOMENTS,
    "Lion": {"m": ("momentum", "momentums")},
    "Nadam": _MOMENTS,
    "RMSprop": {
        "rms": ("velocity", "velocities"),
        "mg": ("average_gradient", "average_gradients"),
        "momentum": ("momentums",),
    },
    "SGD": {"momentum": ("m", "momentums")},
}

# The optimizers that kept the same for a Keras optimizer: the name behind the variable's, and the slots in their order.
_TF_TRAIN: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {
    "Adadelta": {"Adadelta": (("accum_grad", "accum_var"),)},
    "Adagrad": {"Adagrad": (("accumulator",),)},
    "Adam": {"Adam": (("m", "v"),), "AdamW": (("m", "v"),)},
    "AdamW": {"AdamW": (("m", "v"),), "Adam": (("m", "v"),)},
    "Adamax": {"AdaMax": (("m", "v"),)},
    "Ftrl": {"Ftrl": (("accumulator", "linear"),)},
    "Lamb": {"LAMB": (("m", "v"),), "Adam": (("m", "v"),)},
    "Lion": {},
    "Nadam": {"Adam": (("m", "v"),)},
    "RMSprop": {"RMSProp": (("rms", "momentum"), ("rms", "mg", "momentum"))},
    "SGD": {"Momentum": (("momentum",),), "MomentumW": (("momentum",),)},
}
# Slots that are spelled out behind the variable's name: BERT's optimizer and LAMB.
_SPELLED = {"adam_m": "m", "adam_v": "v", "lamb_m": "m", "lamb_v": "v"}

# A Keras class of another name with the same slots.
_ALIASES = {"LAMB": "Lamb", "AdaMax": "Adamax", "RMSProp": "RMSprop"}
_NUMBERED = re.compile(r"(?P<base>.+?)(?:_(?P<number>\d+))?")


class SavedSlot(NamedTuple):
    """A tensor of a checkpoint that an optimizer's variable takes its value from.

    Attributes:
        name: The tensor's name.
        slot: What it is, in the words of this module.
        is_scaled: Whether its value times minus the learning rate is the value to take.
    """

    name: str
    slot: str
    is_scaled: bool


class Iterations(NamedTuple):
    """How many steps an optimizer has made.

    Attributes:
        value: The number of steps.
        source: What it follows from: ``beta1_power``, ``beta2_power`` or ``global_step``.
    """

    value: int
    source: str


def slot_of_keras(optimizer: str, slot: str) -> str:
    """What a Keras optimizer's slot is, in the words of this module.

    Args:
        optimizer: The optimizer's class, as in ``Adam``.
        slot: As Keras 2 or 3 spells it: ``velocity``, ``v``, ``_velocities``.

    Raises:
        InvalidArgumentError: The optimizer or its slot is not known here.

    Example:
        >>> slot_of_keras("Adam", "velocity"), slot_of_keras("RMSprop", "velocity")
        ('v', 'rms')
    """
    slots = _slots_of(optimizer)
    word = slot.removeprefix("_")
    found = [name for name, words in slots.items() if word == name or word in words]
    if not found:
        known = ", ".join(sorted({*slots, *(words[0] for words in slots.values())}))
        raise InvalidArgumentError(f"{optimizer} has no slot {slot!r}: there are {known}")
    return found[0]


def slots_of_tf_train(optimizer: str, slot: str, variable: str, *, is_centered: bool = False) -> tuple[SavedSlot, ...]:
    """The names under which a slot was saved by ``tf.train``'s optimizers of the default names, the likeliest first.

    Args:
        optimizer: The Keras optimizer's class.
        slot: Its slot, as Keras 2 or 3 spells it.
        variable: The name that the variable has in the checkpoint.
        is_centered: Whether an RMSProp kept the mean gradient too.

    Raises:
        InvalidArgumentError: The optimizer or its slot is not known here.
    """
    wanted = slot_of_keras(optimizer, slot)
    found = []
    for base, orders in _TF_TRAIN[_ALIASES.get(optimizer, optimizer)].items():
        order = orders[-1] if is_centered else orders[0]
        if wanted in order:
            position = order.index(wanted)
            name = f"{variable}/{base}_{position}" if position else f"{variable}/{base}"
            found.append(SavedSlot(name, wanted, _is_scaled(optimizer)))
        spelled = [word for word in _SPELLED if word.startswith(f"{base.lower()}_") and _SPELLED[word] == wanted]
        found += (SavedSlot(f"{variable}/{word}", wanted, False) for word in spelled)
    return tuple(found)


class SavedSlots:
    """What the optimizers of a checkpoint kept, by variable.

    Args:
        shapes: The shape of every tensor of the checkpoint, by name.
        full_names: For an object-based checkpoint what `object_graph.full_names_of_keys` gives.
    """

    def __init__(self, shapes: Mapping[str, Shape], full_names: Mapping[str, str] | None = None) -> None:
        self.tensors = find_optimizer_tensors(shapes, full_names)
        self._of_variables: dict[str, list[tuple[str, OptimizerTensor]]] = {}
        for name, tensor in self.tensors.items():
            if tensor.variable is not None:
                self._of_variables.setdefault(tensor.variable, []).append((name, tensor))

    def find(self, optimizer: str, slot: str, variable: str) -> SavedSlot | None:
        """The tensor that a slot of a Keras optimizer takes its value from; None where there is none, or more than one.

        Args:
            optimizer: The Keras optimizer's class.
            slot: Its slot, as Keras 2 or 3 spells it.
            variable: The name that the variable has in the checkpoint.

        Raises:
            InvalidArgumentError: The optimizer or its slot is not known here.
        """
        wanted = slot_of_keras(optimizer, slot)
        kept = self._of_variables.get(variable, [])
        found = [SavedSlot(name, wanted, _is_scaled(optimizer)) for name in _in_order(optimizer, wanted, kept)]
        found += [SavedSlot(name, wanted, False) for name, tensor in kept if _spelled(optimizer, tensor) == wanted]
        return found[0] if len(found) == 1 else None


def iterations_from(
    *,
    beta1_power: float | None = None,
    beta2_power: float | None = None,
    global_step: int | None = None,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
) -> Iterations | None:
    """How many steps an optimizer of ``tf.train`` has made, from the numbers that it saved; None when they do not tell.

    Adam multiplies each power by its beta in each step, beginning with the beta itself. The first power tells the step
    exactly until it is too small for a float, some 800 steps; the second goes on for 80,000, but not exactly. The global
    step counts what the program counted, which need not be this optimizer's steps: it is taken where the first power is
    used up, unless the second contradicts it.
    """
    exact = _steps(beta1_power, beta_1)
    if exact is not None:
        return Iterations(exact, "beta1_power")
    rough = _steps(beta2_power, beta_2)
    if global_step is not None and (rough is None or abs(rough - global_step) <= 1 + global_step // 100):
        return Iterations(int(global_step), "global_step")
    return None if rough is None else Iterations(rough, "beta2_power")


def _steps(power: float | None, beta: float) -> int | None:
    # TensorFlow multiplies floats of 32 bits. Below the smallest normal one, powers lose digits and stay where they are.
    beta = float(np.float32(beta))
    if power is None or not 1.2e-38 < power <= beta * (1 + 1e-6) or not 0 < beta < 1:
        return None
    return round(math.log(power) / math.log(beta)) - 1


def _slots_of(optimizer: str) -> dict[str, tuple[str, ...]]:
    name = _ALIASES.get(optimizer, optimizer)
    if name not in _KERAS_SLOTS:
        near = nearest_names(name, _KERAS_SLOTS)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_KERAS_SLOTS)}"
        raise InvalidArgumentError(f"no optimizer {optimizer!r} of tf.train is known to keep what this one keeps; {hint}")
    return _KERAS_SLOTS[name]


def _is_scaled(optimizer: str) -> bool:
    return optimizer == "SGD"


def _in_order(optimizer: str, wanted: str, kept: list[tuple[str, OptimizerTensor]]) -> list[str]:
    """The tensors of a slot, told from the order that they are numbered in."""
    found = []
    for base, orders in _TF_TRAIN[_ALIASES.get(optimizer, optimizer)].items():
        numbered = []
        for name, tensor in kept:
            match = _NUMBERED.fullmatch(tensor.slot)
            if tensor.optimizer == base and match is not None and match["base"] == base:
                numbered.append((int(match["number"] or 0), name))
        order = next((order for order in orders if len(order) == len(numbered)), ())
        found += [name for slot, (_, name) in zip(order, sorted(numbered), strict=False) if slot == wanted]
    return found


def _spelled(optimizer: str, tensor: OptimizerTensor) -> str | None:
    """What a slot is of which the name says so: BERT's, LAMB's, Keras's own."""
    slots = _slots_of(optimizer)
    if tensor.slot in _SPELLED:
        return _SPELLED[tensor.slot] if slots is _MOMENTS else None
    # The scope of a Keras optimizer says which it was; of another, the same slot is something else.
    scope = _NUMBERED.fullmatch(tensor.optimizer)
    if scope is not None and scope["base"] in _KERAS_SLOTS and _KERAS_SLOTS[scope["base"]] is not slots:
        return None
    return next((name for name, words in slots.items() if tensor.slot == name or tensor.slot in words), None)
