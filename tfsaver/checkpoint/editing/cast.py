"""A checkpoint's tensors in another type, and what that costs them.

    to a float type      the floats among the tensors
    to a complex type    the complex ones
    to an integer type   the integers, and only without loss: an integer that changes is another value, not a rounded one
    by a pattern         whatever it names that are numbers; between integers and floats only what stays the same number

Strings, booleans, quantised numbers and descriptions of objects stay what they are. What float elements lose is counted as
they go by, and a number that the new type does not reach is an error unless the caller takes infinity for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tfsaver.checkpoint.losses import Losses, cast_array, is_complex, is_float, is_integer, raise_losses
from tfsaver.checkpoint.plan import Plan, as_plan
from tfsaver.checkpoint.recipes import Elementwise
from tfsaver.checkpoint.selection import Selection, occurrence_of, raise_unmatched
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import NothingSelectedError, OptionError
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType


def casted(
    source: TensorSource,
    dtype: Any,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    *,
    allow_overflow: bool = False,
    raises: bool = True,
    allow_unmatched: bool = False,
) -> Plan:
    """A source with some tensors in another type; `Plan.losses` says what that has cost them.

    Args:
        source: The source.
        dtype: The type: a numpy type, or TensorFlow's name for one.
        include: Patterns of which one must occur in the name of a tensor that is cast; a single one need not be in a list.
        exclude: Patterns of which none may occur.
        allow_overflow: Whether numbers out of the new type's range become infinite. Otherwise reading them is an error.
        allow_unmatched: Whether a pattern may be in no name.
        raises: Whether reading what must not be lost is an error; without, it is only in the losses.

    Raises:
        InvalidArgumentError: Nothing can be cast to that type, or a pattern is in no name.
        UnimplementedError: No checkpoint can hold such a type.
    """
    plan = as_plan(source)
    target = as_dtype(dtype)

    def recipe(name: str) -> Elementwise:
        of = plan.recipe(name)
        losses = Losses(of.dtype, target, allow_overflow)

        def cast_piece(value: Array) -> Array:
            result = cast_array(value, losses)
            if raises:
                raise_losses([(name, losses)])
            return result

        return Elementwise([of], cast_piece, target, losses)

    names = list(_names_to_cast(plan, target, include, exclude, allow_unmatched))
    return plan.with_recipes(dict(zip(names, map(recipe, names), strict=True)))


def as_dtype(dtype: Any) -> DType:
    """A type of numbers, from a numpy type, from TensorFlow's name for it, or from an alias such as ``bf16`` or ``half``.

    Raises:
        InvalidArgumentError: It is no type of numbers.
        UnimplementedError: It is none that a checkpoint can hold.
    """
    if isinstance(dtype, (DType, str)):
        found = dtype if isinstance(dtype, DType) else dtypes.from_word(dtype)
    else:
        try:
            found = dtypes.from_numpy(np.dtype(dtype))
        except TypeError as error:
            raise OptionError(f"{dtype!r} is no type: {error}") from error
    if not (is_float(found) or is_integer(found) or is_complex(found)):
        raise OptionError(f"{found} is no type of numbers that others can be cast to")
    # Whether the installed ml_dtypes has it is better known now than at the first tensor.
    _ = found.numpy
    return found


def _names_to_cast(
    source: Plan, dtype: DType, include: str | Sequence[str], exclude: str | Sequence[str], allow_unmatched: bool
) -> Iterable[str]:
    names = source.tensor_names
    patterns = Selection(include=include or ".", exclude=exclude)  # type: ignore[arg-type]
    included = [occurrence_of(pattern) for pattern in patterns.include] if include else []
    for pattern, is_in in zip(patterns.include, included, strict=False):
        if not allow_unmatched and not any(map(is_in, names)):
            raise NothingSelectedError(f"{pattern!r}, to be cast, is in none of {len(names):,} names")
    if not allow_unmatched:
        raise_unmatched(Selection(exclude=patterns.exclude).unmatched(names) if patterns.exclude else [])
    # What a tensor is costs more to know than its name.
    if include:
        names = [name for name in names if any(is_in(name) for is_in in included)]
    for is_in in map(occurrence_of, patterns.exclude):
        names = [name for name in names if not is_in(name)]
    kinds = {kind.name for kind in dtypes.ALL if is_cast(kind, dtype, is_named=bool(include))}
    return (name for name, form in zip(names, source.forms(names), strict=True) if form.dtype.name in kinds)


def is_cast(kind: DType, dtype: DType, *, is_named: bool) -> bool:
    """Whether tensors of one type are cast to another, where a pattern names them or none is given."""
    if kind is dtype:
        return False
    is_same_kind = any(is_kind(kind) and is_kind(dtype) for is_kind in (is_float, is_integer, is_complex))
    is_number = is_float(kind) or is_integer(kind)
    return is_same_kind or (is_named and is_number and not is_complex(dtype))
