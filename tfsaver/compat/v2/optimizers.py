"""Optimizers: which of their variables is which slot, and what checkpoints call that slot.

    Keras 2.11 and later, Keras 3     lists, one for each slot, a number for each variable     _momentums, _velocities
    Keras 2's legacy ones             a dict of slots for each variable                        m, v
    tf.compat.v1.train                variables with names of their own                        w/Adam, w/Adam_1

Which of them hold the same numbers is in `checkpoint.optimizers.optimizer_table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfsaver.checkpoint.optimizers.optimizer_table import spellings_of_slots
from tfsaver.compat import _tensorflow
from tfsaver.compat.v2.object_walk import is_variable
from tfsaver.compat.v2.target_variable import SlotOf, TargetVariable, name_of
from tfsaver.errors import InvalidArgumentError

_COUNTED = frozenset({"_variables", "_trainable_variables"})


def variables_of_optimizer(optimizer: Any) -> Iterator[TargetVariable]:
    """An optimizer's variables, each with what it is.

    Raises:
        InvalidArgumentError: It has no slots yet.
    """
    if isinstance(optimizer, _tensorflow.tf.compat.v1.train.Optimizer):
        variables = optimizer.variables()
        if not variables:
            raise InvalidArgumentError(
                f"the optimizer {optimizer.get_name()!r} has no variables yet: minimize something once before it is restored"
            )
        yield from (TargetVariable(variable, (name_of(variable),), optimizer=optimizer) for variable in variables)
        return
    variables = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    if (inner := getattr(optimizer, "inner_optimizer", None)) is not None:
        # A loss scale around an optimizer, whose own numbers no other program has.
        inside = list(variables_of_optimizer(inner))
        yield from inside
        known = {id(item.variable) for item in inside}
        for variable in _unique([variable for variable in variables if id(variable) not in known]):
            yield TargetVariable(variable, (name_of(variable),), optimizer=optimizer, is_optional=True)
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
    steps = "adam steps" if hasattr(optimizer, "beta_1") or "beta_1" in getattr(optimizer, "_hyper", ()) else "steps"
    numbers: dict[int, str] = {id(optimizer.iterations): steps, id(rate): "rate"}
    for variable in _unique([*variables, *([rate] if is_variable(rate) else [])]):
        slot = slots.get(id(variable))
        counts = numbers.get(id(variable))
        # Momentum that is zero is kept by some optimizers all the same, and read by none.
        is_unused = slot is not None and "momentum" in slot.spellings and getattr(optimizer, "momentum", 1) == 0
        yield TargetVariable(
            variable, (name_of(variable),), slot, counts, optimizer, is_optional=counts == "rate" or is_unused
        )


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
            owner_name = name_of(variable).partition("/")[2] if owner is None else name_of(owner)
            yield id(variable), SlotOf(owner, owner_ids.get(index, ""), owner_name, spellings, known)


def _legacy_slots(optimizer: Any) -> Iterator[tuple[int, SlotOf]]:
    """The slots that an optimizer has in a dict for each variable."""
    kinds = _kinds(optimizer)
    known = frozenset(spelling for spellings in kinds.values() for spelling in spellings)
    for owner_id, slots in optimizer._slots.items():
        for name, variable in slots.items():
            # Adam/dense/kernel/m
            owner_name = name_of(variable).partition("/")[2].removesuffix(f"/{name}")
            if spellings := kinds.get(name):
                yield id(variable), SlotOf(None, str(owner_id), owner_name, spellings, known)


def _kinds(optimizer: Any) -> dict[str, tuple[str, ...]]:
    return spellings_of_slots(frozenset(cls.__name__ for cls in type(optimizer).__mro__))


def _unique(variables: list[Any]) -> list[Any]:
    return list({id(variable): variable for variable in variables}.values())
