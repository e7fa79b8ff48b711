"""The variables of a program as the target of tensors: all get their values, or none.

What takes up to `HELD_SIZE` is read whole before the first variable changes, and each variable's old value is kept until
the last one has its new one: whatever goes wrong in between, Ctrl-C included, they are put back. (A variable's old value
costs no copy; TensorFlow gives the variable new memory for the new one.) What takes more is read twice, once to verify it
and once to assign it, a tensor at a time: nothing is assigned before all was verified, and only an error of the device or of
a disk that has changed in between could leave some variables new and some old.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfsaver.checkpoint.execution import Data, DryRun, Execution, Progress, Sink, Target, as_array
from tfsaver.checkpoint.losses import Losses, cast_array
from tfsaver.checkpoint.match_report import MatchedTensor
from tfsaver.checkpoint.optimizers.optimizer_state import OptimizerState, steps_from_powers
from tfsaver.checkpoint.optimizers.optimizer_table import GRADIENT_SUM
from tfsaver.checkpoint.plan import Plan
from tfsaver.checkpoint.recipes import Constant, Elementwise, Rearrange, Recipe, Take
from tfsaver.checkpoint.restoring.program import ProgramVariable
from tfsaver.checkpoint.restoring.target_matching import GLOBAL_STEP, MOMENTUM_CACHE, STEPS
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.targets.optimizers import betas_of, rate_of

# What fits in memory beside what is there already.
HELD_SIZE = 1 << 30


class Assignment(NamedTuple):
    """A variable and the tensor that it gets."""

    item: ProgramVariable
    tensor: MatchedTensor


class Variables(NamedTuple):
    """What variables get.

    Attributes:
        plan: A tensor for each variable, of its type and shape.
        items: The variables, by the names of their tensors in the plan: their own, with a number where several have one.
        num_bytes: How much all values take.
    """

    plan: Plan
    items: Mapping[str, ProgramVariable]
    num_bytes: int


def planned(source: TensorSource, assignments: Sequence[Assignment], state: OptimizerState) -> Variables:
    """The values that variables get.

    Args:
        source: The checkpoint.
        assignments: Who gets what.
        state: What in the checkpoint belongs to optimizers.

    Raises:
        InvalidArgumentError: The number of steps cannot be told; or a sum of gradients is to become steps, and the
            optimizer's learning rate is not one number.
        DataLossError: What the steps are told from is damaged.
    """
    sums = {key for slots in state.slots.values() for key in slots.get(GRADIENT_SUM, ())}
    counts = Counter(item.names[0] for item, _ in assignments)
    items: dict[str, ProgramVariable] = {}
    origins: dict[str, str] = {}
    recipes: dict[str, Recipe] = {}
    for item, tensor in assignments:
        name = item.names[0]
        if counts[name] > 1:
            name = f"{name} ({sum(each.startswith(f'{name} (') for each in items) + 1} of {counts[name]})"
        items[name] = item
        origins[name] = tensor.key
        if (recipe := _recipe(source, item, tensor, state, is_sum=item.slot is not None and tensor.key in sums)) is not None:
            recipes[name] = recipe
    names = sorted(items)
    plan = Plan([source], names, [origins[name] for name in names], recipes=recipes)
    return Variables(plan, items, sum(tensor.num_bytes for _, tensor in assignments))


def _recipe(
    source: TensorSource, item: ProgramVariable, tensor: MatchedTensor, state: OptimizerState, *, is_sum: bool
) -> Recipe | None:
    """How a variable's value is made of its tensor; None where it is the tensor."""
    made: Recipe
    if tensor.how == STEPS:
        steps = np.asarray(_steps(source, item, tensor, state), np.int64)
        made = Constant(steps, dtypes.from_numpy(steps.dtype))
    elif tensor.how == MOMENTUM_CACHE:
        cache = _momentum_cache(_steps(source, item, tensor, state), betas_of(item.optimizer)[0])
        made = Constant(cache, dtypes.from_numpy(cache.dtype))
    else:
        made = source.recipe(tensor.key) if isinstance(source, Plan) else Take(source, tensor.key)
        if item.part is not None:
            made = Rearrange(made, part=item.part[1])
    if made.dtype is not item.dtype:
        losses = Losses(made.dtype, item.dtype)
        made = Elementwise([made], lambda value: cast_array(value, losses), item.dtype, losses)
    if is_sum:
        factor = -rate_of(item.optimizer)
        made = Elementwise([made], lambda value: (value * factor).astype(value.dtype), made.dtype)
    return None if isinstance(made, Take) else made


def _steps(source: TensorSource, item: ProgramVariable, tensor: MatchedTensor, state: OptimizerState) -> int:
    """How many steps an optimizer has taken, from the powers of its betas or the program's counter."""
    if tensor.key != GLOBAL_STEP and tensor.key not in (state.beta_powers or ()):
        return int(source[tensor.key])
    counted = int(source[GLOBAL_STEP]) if GLOBAL_STEP in source else None
    steps = None
    if tensor.key != GLOBAL_STEP and state.beta_powers is not None:
        power1, power2 = (float(source[key]) for key in state.beta_powers)
        steps = steps_from_powers(power1, power2, *betas_of(item.optimizer))
    # The counter is exact where they agree; where not, another optimizer may have counted before this one.
    if counted is not None and (steps is None or abs(counted - steps) <= max(1, steps // 100)):
        steps = counted
    if steps is None:
        raise InvalidArgumentError(
            f"{item.names[0]}: the powers of the betas in the checkpoint do not say how many steps of an Adam with the "
            f"betas {betas_of(item.optimizer)} they are, and there is no {GLOBAL_STEP}: exclude it, and set it"
        )
    return steps


def _momentum_cache(steps: int, beta: float) -> Array:
    """The product of the momenta of so many steps of Nadam, multiplied as Keras does."""
    product, beta32 = np.float32(1), np.float32(beta)
    for step in range(1, steps + 1):
        product = product * beta32 * (np.float32(1) - np.float32(0.5) * np.power(np.float32(0.96), np.float32(step)))
        if not product:
            break
    return np.asarray(product, np.float32)


def assign(
    variables: Variables,
    *,
    dry_run: DryRun = False,
    progress: Progress | None = None,
    assigning: Callable[..., Target | None] | None = None,
) -> None:
    """Assigns the values; the variables are as they were when it fails, see the module.

    Args:
        variables: The variables and their values.
        dry_run: See `Execution.run`.
        progress: Called with the bytes done and the bytes in all; what is read twice counts twice.
        assigning: Makes the target of the values from the variables, where it is not the variables themselves.

    Raises:
        DataLossError: The checkpoint is damaged.
        InvalidArgumentError: Casts lose more than precision; says all.
    """
    is_held = variables.num_bytes <= HELD_SIZE
    target = None if assigning is None else assigning(variables.items, is_held=is_held)
    target = target or _Assigning(variables.items, is_held=is_held)
    if is_held or dry_run:
        Execution(variables.plan, target, progress=progress).run(dry_run=dry_run)
        return
    first, second = (progress and _half(progress, number) for number in range(2))
    Execution(variables.plan, target, progress=first).run(dry_run="values")
    Execution(variables.plan, target, progress=second).run()


def _half(progress: Progress, number: int) -> Progress:
    """The progress of one of two passes over the same bytes."""
    return lambda done, total: progress(number * total + done, 2 * total)


class _Assigning(Target):
    """Variables that get what a plan has.

    Args:
        items: The variables, by the names in the plan.
        is_held: Whether the first is assigned only once all values have been read.
    """

    batch_size = 256 << 20

    def __init__(self, items: Mapping[str, ProgramVariable], *, is_held: bool) -> None:
        self._items = items
        self._is_held = is_held

    def check(self, source: TensorSource) -> None:
        """Nothing: each tensor was made for its variable."""

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        values: list[tuple[ProgramVariable, Array]] = []

        def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
            if self._is_held:
                values.append((self._items[info.name], as_array(data)))
            else:
                self._items[info.name].assign(as_array(data))

        yield add
        _assign_or_put_back(values)


def _assign_or_put_back(values: list[tuple[ProgramVariable, Array]]) -> None:
    old: list[tuple[ProgramVariable, Any]] = []
    # Taken out of the list one by one: what was assigned need not stay, so that the old values take its room.
    values.reverse()
    try:
        while values:
            item, value = values.pop()
            old.append((item, item.current()))
            item.assign(value)
            del value
    except BaseException:
        for item, before in reversed(old):
            # The variable that cannot be assigned is among them, and keeps nobody else from getting its value back.
            with contextlib.suppress(BaseException):
                item.assign(before)
        raise
