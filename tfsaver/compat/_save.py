"""From variables into a checkpoint: an execution whose source is the session and whose target is the checkpoint's files.

    not sharded    V2    model.index, model.data-00000-of-00001; several data files if asked for
                   V1    model
    sharded        V2    model.index, model.data-0000k-of-0000n
                   V1    model-0000k-of-0000n

Values stream from the session to the files, one batch in memory at a time. A V1 file is the exception: its records are
sorted by a key that mixes name and slice, so all values are held until it ends.

`begin_save` does what needs the session: it opens the files and fetches the first value, or all values where they may change
before the save ends. A fetched resource variable costs nothing until then: TensorFlow gives it new memory as soon as
something is assigned while the old value is held. A reference variable is changed where it is, under the hands of whoever
fetched it; its value is copied.

Which data file each variable goes to, when there are several:

    shards_of        device ""                    b        model.data-00000-of-00002     a file for each device, in the
                     device "/device:CPU:0"       a, c     model.data-00001-of-00002     order of their names
    balanced         4 GB                         b        model.data-00000-of-00002     files of about the same size
                     4 GB                         a, c     model.data-00001-of-00002

The first is what TensorFlow calls sharded, where each device, or the server it belongs to, writes its own file. Here one
process writes all of them, and the files are the same. The second is for speed: one file takes no more than one thread's
writes at a time. All the slices of a partitioned variable go to one file then.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from tfsaver.checkpoint.editing.cast import is_cast
from tfsaver.checkpoint.execution import Data, Execution, Part, Sink, Target, as_array
from tfsaver.checkpoint.losses import Losses, cast_array
from tfsaver.checkpoint.saved_tensor_slices import shard_path, shard_pattern
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter, finish_together
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.compat import _tensorflow, _transfer
from tfsaver.compat._binding import Binding, EagerVariable, GraphVariable
from tfsaver.compat._errors import writing
from tfsaver.compat._options import SaveOptions
from tfsaver.compat._paths import parent_directory
from tfsaver.compat._saveables import SavedTensor
from tfsaver.compat._transfer import Array, Stream
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import tensor_util
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io
from tfsaver.lib.lanes import Lanes
from tfsaver.tensor_bundle.writer import BundleWriter, Writes

# What is changed in place is copied whole up to the first size, and through a buffer of the second size beyond.
_COPIED_SIZE = 64 << 20
_COPY_BUFFER_SIZE = 16 << 20

# What writes the rest of a checkpoint, in any thread, and returns what casts have lost, by the names of the tensors.
Finish: TypeAlias = "Callable[[], Mapping[str, Losses]]"


def begin_save(
    session: Any, shards: Sequence[Sequence[Binding]], save_path: str, prefix: str, options: SaveOptions, *, held: bool
) -> Finish:
    """Does of a save what needs the session; whatever fails, here or later, no file and no directory is left behind.

    Args:
        session: Where the variables have their values; None for eager ones.
        shards: The variables by the data file they go to, in each sorted by name.
        save_path: What the caller asked to save to, for the error.
        prefix: The checkpoint's prefix, or the V1 file's path.
        options: How to save.
        held: Whether the variables may change before the save ends. Otherwise most of their values are fetched as they are
            written.

    Returns:
        What writes the checkpoint. It must be called, once: the files are open already.

    Raises:
        InvalidArgumentError: The directory is not there, in TensorFlow's words. A V2 save makes the last level of it,
            unless it is sharded.
    """
    # Of one tensor, devices may have a slice each, whose order counts; it never comes to several files otherwise.
    in_lanes = options.is_v2 and not options.sharded and len(shards) > 1
    placed = list(side_by_side(shards) if in_lanes else one_by_one(shards))
    source = _SessionValues(session, [binding for _, binding in placed], options)
    target = _CheckpointFiles(placed, len(shards), file_io.as_path(prefix), options, may_change=not held)
    with contextlib.ExitStack() as begun:
        begun.enter_context(
            parent_directory(
                target.path, save_path, may_be_made=options.is_v2 and not options.sharded, durable=options.durable
            )
        )
        # A variable without a value is the most common mistake: it shows before anything is written.
        source.begin(held=held)
        with writing(target.path):
            target.open_files(begun, in_lanes=in_lanes)

    def finish() -> Mapping[str, Losses]:
        with writing(target.path):
            Execution(source, target).run()
        return dict(source.losses())

    return finish


def found_as(prefix: str, num_shards: int, options: SaveOptions) -> str:
    """What finds a checkpoint again: the prefix, or the pattern of the files' names."""
    return shard_pattern(prefix, num_shards) if options.sharded and not options.is_v2 else prefix


class _SessionValues(Stream):
    """The values of variables, in the type in which they are saved.

    Args:
        session: Where they are.
        bindings: The variables, in the order of their files.
        options: How they are saved.
    """

    def __init__(self, session: Any, bindings: Sequence[Binding], options: SaveOptions) -> None:
        super().__init__()
        self._values = _transfer.fetch(session, bindings)
        self._names = list(dict.fromkeys(binding.name for binding in bindings))
        self._losses: dict[str, Losses] = {}
        if (dtype := options.save_dtype) is not None:
            for binding in bindings:
                # Floats as floats, integers as integers.
                if is_cast(binding.dtype, dtype, is_named=False):
                    self._losses.setdefault(binding.name, Losses(binding.dtype, dtype))

    def begin(self, *, held: bool) -> None:
        """Fetches the first value, or all of them, as they are now."""
        if held:
            self._values = _drained(list(map(_owned, self._values)))
        else:
            first = list(itertools.islice(self._values, 1))
            self._values = _led_by(first, self._values)

    @property
    def names(self) -> list[str]:
        return self._names

    def losses(self) -> Iterator[tuple[str, Losses]]:
        return iter(self._losses.items())

    def arrivals(self) -> Iterator[tuple[TensorInfo, TensorSlice | None, Array]]:
        value = next(self._values, None)
        while value is not None:
            binding, array = value
            # Let go of before the next is fetched: two large ones must not be in memory at once.
            del value
            losses = self._losses.get(binding.name)
            if losses is not None:
                array = np.asarray(cast_array(array, losses))
            dtype = binding.dtype if losses is None else losses.target
            shape = array.shape if binding.full_shape is None else binding.full_shape
            arrived = [array]
            del array
            yield TensorInfo(binding.name, dtype, shape, arrived[0].nbytes, ()), binding.tensor_slice, arrived.pop()
            value = next(self._values, None)


class _CheckpointFiles(Target):
    """The files of a checkpoint, which are open before the execution begins.

    Args:
        placed: The variables and the numbers of their data files.
        num_shards: How many data files there are.
        path: The checkpoint's prefix, or the V1 file's path.
        options: How to save.
        may_change: Whether another thread's step may change a value in place before it is written.
    """

    def __init__(
        self,
        placed: Sequence[tuple[int, Binding]],
        num_shards: int,
        path: str,
        options: SaveOptions,
        *,
        may_change: bool,
    ) -> None:
        self.path = path
        self._placed = {(binding.name, binding.tensor_slice): (shard_id, binding) for shard_id, binding in placed}
        self._num_shards = num_shards
        self._options = options
        self._may_change = may_change
        self._files = contextlib.ExitStack()
        self._lanes: Lanes | None = None
        self._bundle: BundleWriter | None = None
        self._v1: list[TensorSliceWriter] = []

    def open_files(self, begun: contextlib.ExitStack, *, in_lanes: bool) -> None:
        """Opens the files; whatever was begun before ends with them.

        Args:
            begun: What to undo when the save fails, which is the target's from now on.
            in_lanes: Whether each data file has a thread of its own.
        """
        if self._options.is_v2:
            # Lanes are threads enough.
            writes: Writes = "gathered" if in_lanes else "overlapped"
            size = sum(_known_size(binding) for _, binding in self._placed.values())
            self._bundle = begun.enter_context(
                BundleWriter(
                    self.path,
                    num_shards=self._num_shards,
                    durable=self._options.durable,
                    writes=writes,
                    expected_size=size,
                )
            )
        else:
            paths = [self.path]
            if self._options.sharded:
                paths = [shard_path(self.path, shard_id, self._num_shards) for shard_id in range(self._num_shards)]
            self._v1 = [TensorSliceWriter(path, durable=self._options.durable) for path in paths]
            begun.push(functools.partial(_finish_v1, self._v1))
        if in_lanes:
            self._lanes = Lanes(self._num_shards)
        self._files = begun.pop_all()

    def check(self, source: TensorSource) -> None:
        """Nothing: what can be wrong before a value is fetched showed when the files were opened."""

    def parts(self, source: TensorSource) -> Iterator[Part]:
        return _transfer.parts_of(source)

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        with self._files, self._lanes or contextlib.nullcontext():
            yield self._add

    def _add(self, info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
        shard_id, binding = self._placed[info.name, stored]
        write = functools.partial(self._write, binding, shard_id, as_array(data))
        if self._lanes is None:
            write()
        else:
            self._lanes.hand_over(shard_id, write, as_array(data).nbytes)

    def _write(self, binding: Binding, shard_id: int, value: Array) -> None:
        name, full_shape, stored = binding.name, binding.full_shape, binding.tensor_slice
        if self._may_change and binding.changes_in_place:
            # Between hashing and writing, another thread's step must not change it.
            if self._bundle is not None and value.nbytes > _COPIED_SIZE:
                array, dtype = tensor_util.as_tensor(value, name)
                shape = array.shape if full_shape is None else full_shape
                self._bundle.add_pieces(name, dtype, shape, _copied_pieces(array), region=stored, shard_id=shard_id)
                return
            value = value.copy()
        if stored is None or full_shape is None:
            if self._bundle is not None:
                self._bundle.add(name, value, shard_id=shard_id)
            else:
                self._v1[shard_id].add(name, value)
        elif self._bundle is not None:
            self._bundle.add_slice(name, full_shape, stored, value, shard_id=shard_id)
        else:
            self._v1[shard_id].add_slice(name, full_shape, stored, value)


def _finish_v1(writers: Sequence[TensorSliceWriter], kind: type[BaseException] | None, *_: Any) -> None:
    if kind is None:
        finish_together(writers)


def _owned(fetched: tuple[Binding, Array]) -> tuple[Binding, Array]:
    """A value that stays as it is whatever is assigned to its variable."""
    binding, value = fetched
    return (binding, value.copy()) if binding.changes_in_place else fetched


def _drained(values: list[tuple[Binding, Array]]) -> Iterator[tuple[Binding, Array]]:
    """The items of a list, which lets go of each."""
    values.reverse()
    while values:
        yield values.pop()


def _led_by(first: list[tuple[Binding, Array]], others: Iterator[tuple[Binding, Array]]) -> Iterator[tuple[Binding, Array]]:
    yield from _drained(first)
    yield from others


def _known_size(binding: Binding) -> int:
    """The bytes that a variable takes in a data file, or fewer where nobody knows before it is fetched."""
    shape = binding.variable.shape
    if shape is None or None in shape:
        return 0
    return math.prod(size for size in shape if size is not None) * binding.dtype.size


def _copied_pieces(array: Array) -> Iterator[Array]:
    """The elements of an array in pieces, all of them in the same memory."""
    flat = array.reshape(-1)
    size = max(1, _COPY_BUFFER_SIZE // array.itemsize)
    buffer = np.empty(min(size, flat.size), array.dtype)
    for start in range(0, flat.size, size):
        piece = buffer[: min(size, flat.size - start)]
        piece[:] = flat[start : start + size]
        yield piece


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
