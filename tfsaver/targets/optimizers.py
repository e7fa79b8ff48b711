"""Keras's optimizers, on any backend: which of their variables is which slot, and what checkpoints call that slot.

    Keras 2.11 and later, Keras 3     lists, one for each slot, a number for each variable     _momentums, _velocities
    Keras 2's legacy ones             a dict of slots for each variable                        m, v

Which of them hold the same numbers is in `checkpoint.optimizers.optimizer_table`. Nothing is imported: who gives an
optimizer has its library.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from tfsaver.checkpoint.names.tensor_names import plain
from tfsaver.checkpoint.optimizers.optimizer_table import spellings_of_slots
from tfsaver.errors import InvalidArgumentError

_COUNTED = frozenset({"_variables", "_trainable_variables"})


@dataclasses.dataclass(frozen=True, eq=False)
class SlotOf:
    """What a variable is to an optimizer.

    Attributes:
        owner: The variable that it is kept for, where the optimizer has it at hand.
        owner_id: What the optimizer knows the variable by, where it has not; else empty.
        owner_name: The variable's name.
        spellings: What checkpoints call such a slot, see `tfsaver.checkpoint.optimizers.optimizer_state`.
        known: What they call any slot of an optimizer of this kind.
    """

    owner: Any
    owner_id: str
    owner_name: str
    spellings: tuple[str, ...]
    known: frozenset[str]


@dataclasses.dataclass(frozen=True, eq=False)
class OptimizerVariable:
    """A variable of an optimizer.

    Attributes:
        variable: The variable as its library has it.
        optimizer: The optimizer.
        slot: What it is to the optimizer, where it is a slot.
        counts: ``steps``, ``adam steps``, ``rate`` or ``momentum cache`` for one of the optimizer's numbers.
        is_optional: Whether it may keep its value when a checkpoint has none for it.
    """

    variable: Any
    optimizer: Any
    slot: SlotOf | None = None
    counts: str | None = None
    is_optional: bool = False


def is_variable(value: Any) -> bool:
    """Whether something can be assigned to: a variable of TensorFlow, of Keras 3, or of a distribution strategy."""
    return hasattr(value, "assign") and hasattr(value, "shape") and hasattr(value, "dtype")


def is_optimizer(value: Any) -> bool:
    """Whether it is an optimizer of any Keras, or of `tf.compat.v1.train`."""
    return hasattr(value, "apply_gradients") and hasattr(value, "variables")


def variables_of_optimizer(optimizer: Any) -> Iterator[OptimizerVariable]:
    """The variables of an optimizer of Keras, each with what it is.

    Raises:
        InvalidArgumentError: It has no slots yet.
    """
    variables = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    if (inner := getattr(optimizer, "inner_optimizer", None)) is not None:
        # A loss scale around an optimizer, whose own numbers no other program has.
        inside = list(variables_of_optimizer(inner))
        yield from inside
        known = {id(item.variable) for item in inside}
        for variable in _unique([variable for variable in variables if id(variable) not in known]):
            yield OptimizerVariable(variable, optimizer, is_optional=True)
        return
    is_legacy = isinstance(getattr(optimizer, "_slots", None), Mapping)
    slots = dict(_legacy_slots(optimizer) if is_legacy else _slots(optimizer))
    # The older of the two generations that have lists says so only in private.
    if not (slots if is_legacy else getattr(optimizer, "built", False) or getattr(optimizer, "_built", False)):
        raise InvalidArgumentError(
            f"the optimizer {optimizer.name!r} is not built: it has no slots yet to restore into; "
            "call optimizer.build(model.trainable_variables) first"
        )
    rate = getattr(optimizer, "_learning_rate", None)
    # Nadam's product of its momenta, which its list of variables leaves out.
    cache = getattr(optimizer, "_u_product", None)
    cache = getattr(optimizer, "_m_cache", None) if cache is None else cache
    steps = "adam steps" if hasattr(optimizer, "beta_1") or "beta_1" in getattr(optimizer, "_hyper", ()) else "steps"
    numbers: dict[int, str] = {id(optimizer.iterations): steps, id(rate): "rate", id(cache): "momentum cache"}
    unneeded = _unneeded(optimizer)
    for variable in _unique([*variables, *(number for number in (rate, cache) if is_variable(number))]):
        slot = slots.get(id(variable))
        counts = numbers.get(id(variable))
        # Momentum that is zero is kept by some optimizers all the same, and read by none.
        is_unused = slot is not None and "momentum" in slot.spellings and getattr(optimizer, "momentum", 1) == 0
        is_optional = counts == "rate" or is_unused or id(variable) in unneeded
        yield OptimizerVariable(variable, optimizer, slot, counts, is_optional)


def rate_of(optimizer: Any) -> float:
    """The learning rate that an optimizer has.

    Raises:
        InvalidArgumentError: It is a schedule.
    """
    rate = getattr(optimizer, "_learning_rate", None)
    if rate is None:
        rate = optimizer._get_hyper("learning_rate") if hasattr(optimizer, "_get_hyper") else optimizer.learning_rate
    if callable(rate) and not is_variable(rate):
        raise InvalidArgumentError(
            f"the optimizer {optimizer.name!r} has a schedule for a learning rate: the sums of gradients that the "
            "checkpoint has of tf.train.MomentumOptimizer cannot be made steps; exclude them, or set a number"
        )
    return float(rate)


def betas_of(optimizer: Any) -> tuple[float, float]:
    """The betas of an Adam."""
    return float(optimizer.beta_1), float(optimizer.beta_2)


def _unneeded(optimizer: Any) -> frozenset[int]:
    """What an Adafactor has and does not need, by the variables' ids.

    It makes a matrix's second moments of rows and columns in each step; a vector has zeros in the place of these.
    """
    found = set()
    lists = [getattr(optimizer, name, None) for name in ("_r", "_c", "_v")]
    if all(isinstance(each, list) for each in lists):
        for row, column, moment in zip(*lists, strict=False):
            found.update([id(moment)] if row is None or tuple(row.shape) else [id(row), id(column)])
    return frozenset(found)


def _slots(optimizer: Any) -> Iterator[tuple[int, SlotOf]]:
    """The slots that an optimizer has in lists, by the variables' ids."""
    kinds = _kinds(optimizer)
    known = frozenset(spelling for spellings in kinds.values() for spelling in spellings)
    owners = list(getattr(optimizer, "_trainable_variables", ()))
    owner_ids = {index: str(key) for key, index in dict(getattr(optimizer, "_index_dict", {})).items()}
    for attribute, values in vars(optimizer).items():
        if attribute in _COUNTED or not isinstance(values, list):
            continue
        spellings = kinds.get(attribute.lstrip("_"))
        if spellings is None:
            continue
        for index, variable in enumerate(values):
            if not is_variable(variable):
                continue
            owner = owners[index] if len(owners) == len(values) else None
            # m/dense/kernel
            owner_name = _name(variable).partition("/")[2] if owner is None else _name(owner)
            yield id(variable), SlotOf(owner, owner_ids.get(index, ""), owner_name, spellings, known)


def _legacy_slots(optimizer: Any) -> Iterator[tuple[int, SlotOf]]:
    """The slots that an optimizer has in a dict for each variable."""
    kinds = _kinds(optimizer)
    known = frozenset(spelling for spellings in kinds.values() for spelling in spellings)
    for owner_id, slots in optimizer._slots.items():
        for name, variable in slots.items():
            # Adam/dense/kernel/m
            owner_name = _name(variable).partition("/")[2].removesuffix(f"/{name}")
            if spellings := kinds.get(name):
                yield id(variable), SlotOf(None, str(owner_id), owner_name, spellings, known)


def _kinds(optimizer: Any) -> dict[str, tuple[str, ...]]:
    return spellings_of_slots(frozenset(cls.__name__ for cls in type(optimizer).__mro__))


def _name(variable: Any) -> str:
    """What Keras calls a variable: in Keras 3 its path."""
    path = getattr(variable, "path", None)
    return path if isinstance(path, str) else plain(variable.name)


def _unique(variables: list[Any]) -> list[Any]:
    return list({id(variable): variable for variable in variables}.values())
