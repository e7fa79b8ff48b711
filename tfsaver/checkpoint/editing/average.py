"""The mean of several checkpoints of one model, tensor by tensor and piece by piece.

    floats, complex numbers    the mean, in float64 or complex128, rounded to the tensors' own type; of these two types
                               themselves in twice their digits, so that little else is rounded
    everything else            the last checkpoint's: a mean of steps, of words or of random states means nothing

All checkpoints must have the same tensors, of the same types and shapes; whatever is not so is said at once. In checkpoints
that were written from objects these are the keys; the description of the objects is the last one's, like the count of saves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from tfsaver.checkpoint.checkpoint_management import checkpoint_exists
from tfsaver.checkpoint.checkpoint_state import recorded_state
from tfsaver.checkpoint.losses import is_complex, is_float
from tfsaver.checkpoint.plan import Plan, as_plan, tensor_names
from tfsaver.checkpoint.recipes import Elementwise
from tfsaver.checkpoint.report import count
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import InvalidArgumentError, OptionError, raise_problems
from tfsaver.framework.array_pieces import BLOCK_ELEMENTS
from tfsaver.framework.dtypes import ALL, DType
from tfsaver.lib import file_io

# From here on a sum of float64 may leave its range, or a number cannot be cut in two halves.
_LARGE = 2.0**960
# What such numbers are multiplied by.
_SMALLER = 2.0**-64
# Cuts the 53 digits of a float64 in two halves.
_SPLITTER = 2.0**27 + 1


def averaged(sources: Sequence[TensorSource], weights: Sequence[float] | None = None) -> Plan:
    """The mean of several sources.

    Args:
        sources: The sources.
        weights: How much each counts; None for all the same. Only their proportions matter.

    Raises:
        InvalidArgumentError: The sources have not the same tensors, or the weights make no mean; says all.
    """
    factors = _checked(weights, len(sources))
    raise_problems("the checkpoints cannot be averaged", list(_differences(sources)))
    plans = [as_plan(source) for source in sources]
    last = plans[-1]

    def recipe(name: str, dtype: DType) -> Elementwise:
        return Elementwise([plan.recipe(name) for plan in plans], lambda *values: _mean(values, factors, dtype), dtype)

    forms = zip(last.tensor_names, last.forms(last.tensor_names), strict=True)
    kinds = {kind.name for kind in ALL if is_averaged(kind)}
    recipes = {name: recipe(name, form.dtype) for name, form in forms if form.dtype.name in kinds}
    return last.standing_on(plans[:-1]).with_recipes(recipes)


def _mean(values: Sequence[Array], weights: Sequence[float], dtype: DType) -> Array:
    """The mean of pieces.

    Args:
        values: A piece of each source.
        weights: How much each counts, as `_checked` returns them.
        dtype: The tensors' type.
    """
    # What does not count is not multiplied either: nothing times infinity is not a number.
    chosen = [(value, weight) for value, weight in zip(values, weights, strict=True) if weight]
    counted = [(np.ascontiguousarray(value).reshape(-1), weight) for value, weight in chosen]
    mean = _mean_of_doubles if dtype.size == 8 * (2 if is_complex(dtype) else 1) else _mean_of_smaller
    result: Array = np.empty(values[0].size, dtype.numpy)
    for start in range(0, result.size, BLOCK_ELEMENTS):
        end = start + BLOCK_ELEMENTS
        result[start:end] = mean([(value[start:end], weight) for value, weight in counted], dtype)
    return np.reshape(result, values[0].shape)


def _mean_of_smaller(counted: Sequence[tuple[Array, float]], dtype: DType) -> Array:
    """The mean of numbers whose sum float64 or complex128 holds."""
    wide = np.complex128 if is_complex(dtype) else np.float64
    (first, weight), *others = counted
    total: Array = first.astype(wide)
    if weight != 1:
        total *= weight
    for value, weight in others:
        term = value.astype(wide)
        if weight != 1:
            term *= weight
        total += term
    total /= math.fsum(weight for _, weight in counted)
    with np.errstate(over="ignore"):
        mean: Array = total.astype(dtype.numpy)
    return mean


def _mean_of_doubles(counted: Sequence[tuple[Array, float]], dtype: DType) -> Array:
    """The mean of float64 or complex128, for whose sum there is no wider type: two numbers hold what one cannot."""
    parts = [(value.view(np.float64), weight) for value, weight in counted]
    with np.errstate(all="ignore"):
        largest = np.abs(parts[0][0])
        for value, _ in parts[1:]:
            np.maximum(largest, np.abs(value), out=largest)
        # Beside so large a number of the same element, what a small one loses by it is not seen.
        scale = np.where(largest > _LARGE, _SMALLER, 1.0)
        high, low = np.zeros_like(parts[0][0]), np.zeros_like(parts[0][0])
        plain = np.zeros_like(high)
        for value, weight in parts:
            term, error = _product(value * scale, weight)
            plain += term
            high, rest = _sum(high, term)
            low += rest + error
        divisor = math.fsum(weight for _, weight in parts)
        quotient = (high + low) / divisor
        # What the quotient is off by, of what was divided.
        product, error = _product(quotient, divisor)
        mean = (quotient + ((high - product) - error + low) / divisor) / scale
        # Infinities and NaNs are what an ordinary sum makes of them.
        ordinary = plain / divisor / scale
        result: Array = np.where(np.isfinite(plain), mean, ordinary).view(dtype.numpy)
    return result


def _sum(a: Array, b: Array) -> tuple[Array, Array]:
    """A sum and what it was rounded by (Knuth)."""
    total = a + b
    virtual = total - a
    return total, (a - (total - virtual)) + (b - virtual)


def _product(a: Array, factor: float) -> tuple[Array, Array]:
    """A product and what it was rounded by (Veltkamp and Dekker)."""
    total = a * factor
    if math.frexp(factor)[0] == 0.5:
        # A power of two rounds nothing.
        return total, np.zeros_like(total)
    a_high = a * _SPLITTER
    a_high -= a_high - a
    factor_high = factor * _SPLITTER
    factor_high -= factor_high - factor
    a_low, factor_low = a - a_high, factor - factor_high
    return total, ((a_high * factor_high - total) + a_high * factor_low + a_low * factor_high) + a_low * factor_low


def is_averaged(dtype: DType) -> bool:
    """Whether a mean of such elements means something."""
    return is_float(dtype) or is_complex(dtype)


def _checked(weights: Sequence[float] | None, num_sources: int) -> list[float]:
    if not num_sources:
        raise InvalidArgumentError("there are no checkpoints to average")
    numbers = [1.0] * num_sources if weights is None else [float(weight) for weight in weights]
    if len(numbers) != num_sources:
        raise OptionError(f"{count(len(numbers), 'weight')} for {count(num_sources, 'checkpoint')}")
    if any(not math.isfinite(weight) or weight < 0 for weight in numbers) or not any(numbers):
        raise OptionError(f"weights are numbers of which none is negative and one is more than 0, not {numbers}")
    # Only proportions matter: with the largest between a half and one, no product and no sum of them leaves the range.
    exponent = math.frexp(max(numbers))[1]
    return numbers if all(number == 1 for number in numbers) else [math.ldexp(number, -exponent) for number in numbers]


def _differences(sources: Sequence[TensorSource]) -> Iterator[str]:
    """Everything in which the sources differ from the last, in sentences."""
    last = sources[-1]
    names = tensor_names(last)
    for source in sources[:-1]:
        both = others = tensor_names(source)
        if others != names:
            gone, new = sorted(set(names).difference(others)), sorted(set(others).difference(names))
            yield from (f"{name!r} is not in {source.description}, but in {last.description}" for name in gone)
            yield from (f"{name!r} is not in {last.description}, but in {source.description}" for name in new)
            both = sorted(set(names).intersection(others))
        for name, one, other in zip(both, source.forms(both), last.forms(both), strict=True):
            if one != other and one[:2] != other[:2]:
                yield (
                    f"{name!r} is {one.dtype} {list(one.shape)} in {source.description}, "
                    f"{other.dtype} {list(other.shape)} in {last.description}"
                )


def last_checkpoints(directory: file_io.PathLike, number: int) -> list[str]:
    """The newest checkpoints of a directory, as its state file names them, oldest first.

    Those that the state file names elsewhere are looked for beside it, as `latest_checkpoint` does.

    Raises:
        InvalidArgumentError: There are not so many.
    """
    if number < 1:
        raise OptionError(f"the last {number} checkpoints are none")
    path = file_io.as_path(directory)
    state = recorded_state(path)
    named = [file_io.in_store_of(path, item) for item in state.all_model_checkpoint_paths] if state is not None else []
    beside = [item if checkpoint_exists(item) else file_io.join(path, file_io.split(item)[1]) for item in named]
    found = [item for item in beside if checkpoint_exists(item)]
    if len(found) < number:
        there = count(len(found), "checkpoint")
        raise InvalidArgumentError(f"{path!r}: its state file names {there} that are there, not {number}")
    return found[-number:]
