"""Which data file each variable goes to when a checkpoint is sharded: one file for each device, in the order of their names.

    device ""                      b           model.data-00000-of-00002
    device "/device:CPU:0"         a, c        model.data-00001-of-00002

That is TensorFlow's way, where each device, or the server it belongs to, writes its own file. Here one process writes all of
them, and the files are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from tfsaver.compat import _tensorflow
from tfsaver.compat._binding import Binding, EagerVariable
from tfsaver.compat._saveables import SavedTensor
from tfsaver.errors import InvalidArgumentError


def shards_of(bindings: Sequence[Binding], *, sharded: bool) -> list[list[Binding]]:
    """Variables by data file: a single list unless the checkpoint is sharded.

    Raises:
        InvalidArgumentError: The tensors of one object are on several devices.
    """
    if not sharded:
        return [list(bindings)]
    devices: dict[str, list[Binding]] = {}
    of_object: dict[int, str] = {}
    for binding in bindings:
        device = _canonical(device_of(binding))
        group = binding.variable.group
        if group is not None and of_object.setdefault(group, device) != device:
            raise InvalidArgumentError(
                f"All tensors of a saveable object must be on the same device: {binding.variable.label}"
            )
        devices.setdefault(device, []).append(binding)
    return [devices[device] for device in sorted(devices)]


def device_of(binding: Binding) -> str:
    """The device that a variable's value comes from, as the program spelled it; empty when it named none."""
    variable = binding.variable
    if isinstance(variable, EagerVariable):
        return variable.variable.device or ""
    if isinstance(variable, SavedTensor):
        return variable.saveable.specs[variable.index].device or ""
    # A slice is read where the variable is, a whole variable through the tensor that is there for reading it.
    return (variable.tensor if binding.tensor_slice is None else variable.operation).device or ""


def _canonical(device: str) -> str:
    spec: str = _tensorflow.tf.compat.v1.DeviceSpec.from_string(device).to_string()
    return spec
