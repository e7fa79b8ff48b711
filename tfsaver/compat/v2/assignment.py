"""From the tensors of a checkpoint into variables, all or none of them.

What takes up to `HELD_SIZE` is read whole before the first variable changes, and each variable's old value is kept until
the last one has its new one: whatever goes wrong in between, Ctrl-C included, they are put back. (A variable's old value
costs no copy; TensorFlow gives the variable new memory for the new one.) What takes more is read twice, once to verify it
and once to assign it, a tensor at a time: nothing is assigned before all was verified, and only an error of the device or of
a disk that has changed in between could leave some variables new and some old.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.losses import Losses, can_lose, cast_array, raise_losses
from tfsaver.checkpoint.optimizers.optimizer_state import OptimizerState, steps_from_powers
from tfsaver.checkpoint.restoring.restore_report import MatchedTensor
from tfsaver.checkpoint.restoring.target_matching import GLOBAL_STEP, STEPS
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.compat import _restore
from tfsaver.compat._transfer import Array
from tfsaver.compat.v2.optimizers import GRADIENT_SUM, betas_of, rate_of
from tfsaver.compat.v2.target_variable import TargetVariable
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes
from tfsaver.tensor_bundle.slabs import aligned_empty


class Assignment(NamedTuple):
    """A variable and the tensor that it gets."""

    item: TargetVariable
    tensor: MatchedTensor


class Values:
    """The values that variables get, read when they are asked for.

    Args:
        source: The checkpoint.
        assignments: Who gets what.
        state: What in the checkpoint belongs to optimizers.
        raises: Whether a value that its variable's type cannot hold is an error; otherwise it is only in `losses`.

    Attributes:
        losses: What values have lost that were cast, by the variable's name, as far as they have been read.

    Raises:
        InvalidArgumentError: A sum of gradients is to become steps, and the optimizer's learning rate is not one number.
    """

    def __init__(
        self, source: TensorSource, assignments: Sequence[Assignment], state: OptimizerState, *, raises: bool = True
    ) -> None:
        self.losses: dict[str, Losses] = {}
        self._raises = raises
        self._source = source
        self._assignments = assignments
        self._state = state
        sums = {key for slots in state.slots.values() for key in slots.get(GRADIENT_SUM, ())}
        self._factors = {
            id(item): -rate_of(item.optimizer)
            for item, tensor in assignments
            if item.slot is not None and tensor.key in sums
        }

    def _cast(self, value: Array, item: TargetVariable) -> Array:
        if value.dtype == item.dtype.numpy:
            return value
        # The parts of a partitioned variable have one name.
        losses = self.losses.setdefault(item.names[0], Losses(dtypes.from_numpy(value.dtype), item.dtype))
        return cast_array(value, losses)

    def check_casts(self) -> None:
        """Reads the values whose casts can lose something, and keeps none.

        Raises:
            DataLossError: The checkpoint is damaged.
            InvalidArgumentError: As iterating.
        """
        self.losses.clear()
        for item, tensor in self._assignments:
            dtype = self._source.info(tensor.key).dtype
            if tensor.how != STEPS and dtype is not item.dtype and can_lose(dtype, item.dtype):
                self._cast(self._read(item, tensor), item)
        self._raise_losses()

    def _raise_losses(self) -> None:
        if self._raises:
            raise_losses(self.losses)

    @property
    def num_bytes(self) -> int:
        """How much all of them take."""
        return sum(tensor.num_bytes for _, tensor in self._assignments)

    def __iter__(self) -> Iterator[tuple[TargetVariable, Array]]:
        """Each variable and its value.

        Raises:
            DataLossError: The checkpoint is damaged.
            InvalidArgumentError: A cast loses more than precision (see `losses`), or the number of steps cannot be told.
        """
        # Read twice, nothing is lost twice.
        self.losses.clear()
        for item, tensor in self._assignments:
            value = self._steps(item, tensor) if tensor.how == STEPS else self._read(item, tensor)
            value = self._cast(value, item)
            if id(item) in self._factors:
                value = (value * self._factors[id(item)]).astype(value.dtype)
            yield item, value
        # Of all variables at once, and before any of them is assigned.
        self._raise_losses()

    def _read(self, item: TargetVariable, tensor: MatchedTensor) -> Array:
        part = item.part[1] if item.part is not None else None
        if tensor.transpose is not None:
            whole = np.ascontiguousarray(np.transpose(self._source.read(tensor.key), tensor.transpose))
            return whole if part is None else np.ascontiguousarray(whole[part.resolve(whole.shape).indices])
        if not isinstance(self._source, CheckpointReader):
            return self._source.read(tensor.key, part)
        out = aligned_empty(tensor.shape, self._source.info(tensor.key).dtype.numpy)
        return self._source.read(tensor.key, part, out=out)

    def _steps(self, item: TargetVariable, tensor: MatchedTensor) -> Array:
        """How many steps an optimizer has taken, from the powers of its betas or the program's counter."""
        counted = int(self._source[GLOBAL_STEP]) if GLOBAL_STEP in self._source else None
        steps = None
        if tensor.key != GLOBAL_STEP and self._state.beta_powers is not None:
            power1, power2 = (float(self._source[key]) for key in self._state.beta_powers)
            steps = steps_from_powers(power1, power2, *betas_of(item.optimizer))
        # The counter is exact where they agree; where not, another optimizer may have counted before this one.
        if counted is not None and (steps is None or abs(counted - steps) <= max(1, steps // 100)):
            steps = counted
        if steps is None:
            raise InvalidArgumentError(
                f"{item.names[0]}: the powers of the betas in the checkpoint do not say how many steps of an Adam with the "
                f"betas {betas_of(item.optimizer)} they are, and there is no {GLOBAL_STEP}: exclude it, and set it"
            )
        return np.asarray(steps, np.int64)


def assign(values: Values) -> None:
    """Assigns the values; the variables are as they were when it fails, see the module.

    Raises:
        DataLossError: The checkpoint is damaged.
        InvalidArgumentError: See `Values`.
    """
    if values.num_bytes > _restore.HELD_SIZE:
        for _ in values:
            pass
        for item, value in values:
            item.assign(value)
        return
    _assign_or_put_back(list(values))


def _assign_or_put_back(values: list[tuple[TargetVariable, Array]]) -> None:
    old: list[tuple[TargetVariable, Any]] = []
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
            item.assign(before)
        raise




