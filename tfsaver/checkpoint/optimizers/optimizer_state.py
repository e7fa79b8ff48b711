"""What an optimizer keeps in a checkpoint, by what it is for, so that another program's optimizer can go on with it.

`optimizer_table` says what each slot is for, and `training_tensors` which tensors are slots.

How many steps were taken stands in a counter of the optimizer, or in `global_step`; TF1's Adam has only the powers of its
betas after so many steps: beta1 ** (steps + 1). They are the truth about the bias correction, but a float32 cannot hold them
for long: 0.9 to the power of a thousand is zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tfsaver.checkpoint.optimizers.optimizer_table import COUNTERS, MOMENTUM_CACHES, RATES, spell_numbered
from tfsaver.checkpoint.optimizers.training_tensors import GraphEvidence, TrainingTensor, find_training_tensors
from tfsaver.framework.tensor_shape import Shape

# The least power whose logarithm still says the step: below, float32 has few digits left, and then none.
_LEAST_POWER = 1e-35
# How far two counts may be apart that were made of products with some million roundings.
_TOLERANCE = 1e-2


class OptimizerState(NamedTuple):
    """The state of the optimizers of a checkpoint.

    Attributes:
        slots: For each variable's tensor the tensors of its slots, by spelling; more than one of a spelling when several
            optimizers train the variable.
        counters: The tensors that count steps.
        rates: The tensors that are learning rates.
        caches: The tensors that are Nadam's product of momenta.
        beta_powers: The tensors of the powers of beta1 and of beta2; None where there are none, or several.
        tensors: All tensors that only training needs.
        inferred: Those of them of which structure alone says it.
        is_known: Whether nothing of it was inferred, or left open, which a graph may say better.
    """

    slots: Mapping[str, Mapping[str, list[str]]]
    counters: tuple[str, ...]
    rates: tuple[str, ...]
    caches: tuple[str, ...]
    beta_powers: tuple[str, str] | None
    tensors: frozenset[str]
    inferred: frozenset[str]
    is_known: bool


def find_optimizer_state(
    shapes: Mapping[str, Shape],
    full_names: Mapping[str, str] | None = None,
    dtypes: Mapping[str, str] | None = None,
    evidence: GraphEvidence | None = None,
) -> OptimizerState:
    """Looks for optimizers in a checkpoint, by the names of its tensors.

    Args:
        shapes: The shape of every tensor, by name.
        full_names: What the variables were called, by key, in an object-based checkpoint.
        dtypes: The name of the dtype of every tensor.
        evidence: What the graph says of the variables, where it was asked.
    """
    found, questions = find_training_tensors(shapes, full_names, dtypes=dtypes, evidence=evidence)
    kept: dict[str, list[tuple[str, str]]] = {}
    slots: dict[str, dict[str, list[str]]] = {}
    counters, rates, caches = [], [], []
    powers: dict[str, list[str]] = {"beta1_power": [], "beta2_power": []}
    for key, tensor in found.items():
        if tensor.variable is not None and not _is_called_after_optimizer(key, tensor):
            slots.setdefault(tensor.variable, {}).setdefault(tensor.slot, []).append(key)
        elif tensor.variable is not None:
            kept.setdefault(tensor.variable, []).append((tensor.slot, key))
        elif tensor.slot in COUNTERS:
            counters.append(key)
        elif tensor.slot in RATES:
            rates.append(key)
        elif tensor.slot in MOMENTUM_CACHES:
            caches.append(key)
        elif tensor.slot in powers:
            powers[tensor.slot].append(key)
    for variable, tensors in kept.items():
        spellings = slots.setdefault(variable, {})
        for spelling, (_, key) in zip(spell_numbered([slot for slot, _ in tensors]), tensors, strict=True):
            spellings.setdefault(spelling, []).append(key)
    one, two = powers.values()
    beta_powers = (one[0], two[0]) if len(one) == len(two) == 1 else None
    inferred = frozenset(name for name, tensor in found.items() if tensor.is_inferred)
    is_known = not questions and not inferred
    return OptimizerState(
        slots, tuple(counters), tuple(rates), tuple(caches), beta_powers, frozenset(found), inferred, is_known
    )


def steps_from_powers(power1: float, power2: float, beta1: float, beta2: float) -> int | None:
    """The number of steps after which the powers of Adam's betas are these; None when they do not say.

    Both powers must say the same, as far as they can: with other betas than those of the training, they do not.
    """
    counts = []
    least = -0.5
    for power, beta in ((power1, beta1), (power2, beta2)):
        # As TensorFlow multiplied it: 0.999 is a little more than that in a float32, which is steps after many of them.
        factor = float(np.float32(beta))
        if not 0 < factor < 1 or power >= 1:
            continue
        if power > _LEAST_POWER:
            counts.append(math.log(power) / math.log(factor) - 1)
        else:
            least = max(least, math.log(_LEAST_POWER) / math.log(factor) - 1)
    if not counts or min(counts) < least or max(counts) - min(counts) > max(1.0, _TOLERANCE * max(counts)):
        return None
    return max(round(counts[0]), 0)


def _is_called_after_optimizer(key: str, tensor: TrainingTensor) -> bool:
    """Whether it is a numbered slot of `tf.train`, w/Adam_1; not Keras's momentum/w/momentum."""
    number = tensor.slot.removeprefix(tensor.optimizer)
    is_numbered = tensor.slot.startswith(tensor.optimizer) and (not number or number.removeprefix("_").isdigit())
    return is_numbered and key.endswith(f"/{tensor.slot}") and not key.startswith(f"{tensor.optimizer}/")
