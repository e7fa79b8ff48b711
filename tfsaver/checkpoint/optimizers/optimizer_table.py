"""The optimizers whose names and slots are known: what they write, and what each slot is for.

    written by                     first and second moment of Adam             spelled here
    tf.train.AdamOptimizer         w/Adam  w/Adam_1                            Adam:0  Adam:1
    BERT's Adam                    w/adam_m  w/adam_v                          adam_m  adam_v
    Keras 2 in a graph             training/Adam/w/m  training/Adam/w/v        m  v
    Keras 2, legacy                w/.OPTIMIZER_SLOT/opt/m  .../v              m  v
    Keras 2.11 to 2.15             opt/_variables/1 (Adam/m/w)                 m  v
    Keras 3                        opt/_variables/2 (adam/w_momentum)          momentum  velocity

Each optimizer of `tf.train` numbers what it keeps for a variable in the order of creation. RMSProp keeps two slots, or three
when it is centered, so its slots are spelled RMSProp:rms, RMSProp:mg and RMSProp:momentum.

The moments of the Adams and the sums of squares of RMSprop, Adagrad, Adadelta and Ftrl are the same numbers everywhere.
Momentum is not: `tf.train.MomentumOptimizer` sums gradients and multiplies by the learning rate when it applies them;
Keras's SGD sums the steps. Its slot (`GRADIENT_SUM`) times minus the learning rate is Keras's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

# TensorFlow 1's optimizers and those of its contrib that make slots: the default name, which stands behind the variable's.
BEHIND_THE_VARIABLE = frozenset(
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

# Optimizers outside of TensorFlow, which spell the slot itself behind the variable.
SLOT_ENDINGS = (
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
    ("_adam_vr", "DietAdam"),  # tensor2tensor
    ("_adam_vc", "DietAdam"),
    ("_adam_v", "DietAdam"),
    ("_adam_m", "DietAdam"),
)

# Optimizers whose slots need not have the variable's shape; their dimensions are some of the variable's.
FACTORED = frozenset({"Adafactor", "DietAdam", "Shampoo"})

STEP_POWERS = frozenset({"beta1_power", "beta2_power"})
# Scalars that scale a loss, and the scalars that stand next to one.
LOSS_SCALES = frozenset({"current_loss_scale", "dynamic_loss_scale", "loss_scale"})
LOSS_SCALE_COUNTS = frozenset({"good_steps", "bad_steps", "num_good_steps", "num_bad_steps"})
RATES = frozenset({"learning_rate", "_learning_rate", "lr"})
COUNTERS = frozenset({"iter", "iterations", "iteration", "_iterations"})
# Nadam's product of the momenta of all steps, in Keras 2 and in Keras 3.
MOMENTUM_CACHES = frozenset({"momentum_cache", "u_product", "_u_product"})
# What GGT keeps for all variables together.
GGT_BUFFERS = frozenset({"flat_grad", "grad_buffer", "moment1"})

KERAS_OPTIMIZERS = frozenset(
    {
        *("Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "AdamWeightDecay", "Adamax", "Ftrl", "LAMB", "Lamb", "Lion"),
        *("Nadam", "RMSprop", "SGD"),
    }
)
KERAS_NUMBERS = frozenset(
    {
        *COUNTERS,
        *RATES,
        *MOMENTUM_CACHES,
        *("decay", "epsilon", "rho", "momentum", "beta", "beta_1", "beta_2", "learning_rate_power"),
        *("l1_regularization_strength", "l2_regularization_strength"),
    }
)


class KerasSlots(NamedTuple):
    """What a kind of Keras optimizer keeps for a variable.

    Attributes:
        words: By slot, as Keras called it before 2.11, its other names: Keras 3's, and those of the optimizer's lists.
        numbered: Optimizers of `tf.train` that keep the same, by default name, each with the slots in order; one order for
            each number of slots that it may have.
    """

    words: dict[str, tuple[str, ...]]
    numbered: dict[str, tuple[tuple[str, ...], ...]]


_MOMENTS = KerasSlots(
    {
        "m": ("momentum", "momentums", "adam_m", "lamb_m"),
        "v": ("velocity", "velocities", "adam_v", "lamb_v"),
        "vhat": ("velocity_hat", "velocity_hats"),
    },
    {"Adam": (("m", "v"),), "AdamW": (("m", "v"),)},
)
_KERAS: dict[str, KerasSlots] = {
    **dict.fromkeys(("Adam", "AdamW", "Nadam", "Lamb"), _MOMENTS),
    "Adafactor": KerasSlots({"vr": ("r",), "vc": ("c",), "v": ("velocity",)}, {}),
    "Adadelta": KerasSlots(
        {
            "accum_grad": ("accumulated_grad", "accumulated_grads"),
            "accum_var": ("accumulated_delta_var", "accumulated_delta_vars"),
        },
        {"Adadelta": (("accum_grad", "accum_var"),)},
    ),
    "Adagrad": KerasSlots({"accumulator": ("accumulators",)}, {"Adagrad": (("accumulator",),)}),
    "Adamax": KerasSlots({"m": ("momentum",), "v": ("u", "norm")}, {"AdaMax": (("m", "v"),)}),
    "Ftrl": KerasSlots({"accumulator": ("accumulators",), "linear": ("linears",)}, {"Ftrl": (("accumulator", "linear"),)}),
    "Lion": KerasSlots({"m": ("momentum", "momentums")}, {}),
    "RMSprop": KerasSlots(
        {
            "rms": ("velocity", "velocities"),
            "momentum": ("momentums",),
            "mg": ("average_gradient", "average_gradients"),
        },
        {"RMSProp": (("rms",), ("rms", "momentum"), ("rms", "mg", "momentum"))},
    ),
    "SGD": KerasSlots({"momentum": ("m", "momentums")}, {"Momentum": (("momentum",),)}),
}
# Every name of a slot in Keras 2 and 3; the lists' names are attributes, and stand in no checkpoint.
KERAS_SLOTS = frozenset(
    word
    for kind in _KERAS.values()
    for slot, words in kind.words.items()
    for word in (slot, *words)
    if "_" not in word or not word.startswith(("adam_", "lamb_"))
)

# The slot whose numbers are gradients, where Keras's are steps.
GRADIENT_SUM = "Momentum:0"

_NUMBERED = re.compile(r"(?P<optimizer>.+?)(?:_(?P<number>\d+))?\Z", re.DOTALL)
_ORDERS = {name: orders for kind in _KERAS.values() for name, orders in kind.numbered.items()}


def spellings_of_slots(class_names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """What checkpoints call the slots of a Keras optimizer, by each name that the optimizer itself may have for them.

    Args:
        class_names: The names of the optimizer's class and of its bases; an optimizer of no known kind has no spellings.

    Example:
        >>> spellings_of_slots(["SGD"])["momentums"]
        ('Momentum:0', 'momentum', 'm', 'momentums')
    """
    kind = next((kind for name, kind in _KERAS.items() if name in class_names), None)
    if kind is None:
        return {}
    found = {}
    for slot, words in kind.words.items():
        numbered = [_numbered(name, orders, slot) for name, orders in kind.numbered.items() if slot in orders[-1]]
        found.update(dict.fromkeys((slot, *words), (*numbered, slot, *words)))
    return found


def spell_numbered(slots: Sequence[str]) -> list[str]:
    """The spellings of a variable's slots that are called after their optimizer, such as ``Adam`` and ``Adam_1``.

    An optimizer with a name of its own is spelled as the one whose name is in it, when it has as many slots: the second of
    ``g_adam`` and ``g_adam_1`` is ``Adam:1``. Momentum is not: see above.
    """
    by_optimizer: dict[str, list[tuple[int, str]]] = {}
    for slot in slots:
        match = _NUMBERED.match(slot)
        if match is not None:
            by_optimizer.setdefault(match["optimizer"], []).append((int(match["number"] or 0), slot))
    spelled = {}
    for optimizer, numbered in by_optimizer.items():
        known = _known_name(optimizer, len(numbered))
        for position, (number, slot) in enumerate(sorted(numbered)):
            spelled[slot] = slot if known is None else _spelling(known, position, number, len(numbered))
    return [spelled.get(slot, slot) for slot in slots]


def _numbered(name: str, orders: tuple[tuple[str, ...], ...], slot: str) -> str:
    return f"{name}:{slot}" if len(orders) > 1 else f"{name}:{orders[0].index(slot)}"


def _known_name(optimizer: str, num_slots: int) -> str | None:
    if optimizer in _ORDERS or optimizer in BEHIND_THE_VARIABLE:
        return optimizer
    inside = [
        name
        for name, orders in _ORDERS.items()
        # What another optimizer calls momentum may be sums of gradients or of steps.
        if name != "Momentum"
        and name.lower() in optimizer.lower()
        and any(len(order) == num_slots for order in orders)
    ]
    return max(inside, key=len, default=None)


def _spelling(optimizer: str, position: int, number: int, num_slots: int) -> str:
    orders = _ORDERS.get(optimizer, ())
    if len(orders) > 1:
        order = next((order for order in orders if len(order) == num_slots), None)
        return f"{optimizer}:{number if order is None else order[position]}"
    return f"{optimizer}:{number}"
