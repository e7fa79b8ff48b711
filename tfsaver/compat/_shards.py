"""Which data file each variable goes to when there are several.

    shards_of        device ""                    b        model.data-00000-of-00002     a file for each device, in the
                     device "/device:CPU:0"       a, c     model.data-00001-of-00002     order of their names
    balanced         4 GB                         b        model.data-00000-of-00002     files of about the same size
                     4 GB                         a, c     model.data-00001-of-00002

The first is what TensorFlow calls sharded, where each device, or the server it belongs to, writes its own file. Here one
process writes all of them, and the files are the same. The second is for speed: one file takes no more than one thread's
writes at a time. All the slices of a partitioned variable go to one file then.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from tfsaver.compat import _tensorflow, _transfer
from tfsaver.compat._binding import Binding, EagerVariable, GraphVariable
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


def balanced(bindings: Sequence[Binding], num_shards: int) -> list[list[Binding]]:
    """Variables by data file, of which all get about the same number of bytes.

    Args:
        bindings: The variables, sorted by name.
        num_shards: How many data files there may be. There are no more than there are tensors, and at least one.
    """
    sizes: dict[str, int] = {}
    for binding in bindings:
        sizes[binding.name] = sizes.get(binding.name, 0) + _transfer.expected_size(binding)
    emptiest = [(0, shard_id) for shard_id in range(max(1, min(num_shards, len(sizes))))]
    shards: list[list[Binding]] = [[] for _ in emptiest]
    place: dict[str, int] = {}
    # The largest first: what comes last then makes little difference.
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        size, shard_id = emptiest[0]
        heapq.heapreplace(emptiest, (size + sizes[name], shard_id))
        place[name] = shard_id
    for binding in bindings:
        shards[place[binding.name]].append(binding)
    return shards


def one_by_one(shards: Sequence[Sequence[Binding]]) -> Iterator[tuple[int, Binding]]:
    """All variables and the numbers of their data files, one file after the other."""
    for shard_id, shard in enumerate(shards):
        for binding in shard:
            yield shard_id, binding


def side_by_side(shards: Sequence[Sequence[Binding]]) -> Iterator[tuple[int, Binding]]:
    """All variables and the numbers of their data files, in an order in which the files grow alike; in each file by name."""
    shortest = [(0, shard_id) for shard_id, shard in enumerate(shards) if shard]
    positions = [0] * len(shards)
    while shortest:
        size, shard_id = shortest[0]
        binding = shards[shard_id][positions[shard_id]]
        yield shard_id, binding
        positions[shard_id] += 1
        if positions[shard_id] < len(shards[shard_id]):
            heapq.heapreplace(shortest, (size + _transfer.expected_size(binding), shard_id))
        else:
            heapq.heappop(shortest)


def device_of(binding: Binding) -> str:
    """The device that a variable's value comes from, as the program spelled it; empty when it named none."""
    variable = binding.variable
    if isinstance(variable, EagerVariable):
        return variable.variable.device or ""
    if isinstance(variable, SavedTensor):
        return variable.saveable.specs[variable.index].device or ""
    if not isinstance(variable, GraphVariable):
        return ""
    # A slice is read where the variable is, a whole variable through the tensor that is there for reading it.
    return (variable.tensor if binding.tensor_slice is None else variable.operation).device or ""


def _canonical(device: str) -> str:
    spec: str = _tensorflow.tf.compat.v1.DeviceSpec.from_string(device).to_string()
    return spec
