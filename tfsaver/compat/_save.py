"""From variables into a checkpoint: values stream from the session to the files, one batch in memory at a time.

    not sharded    V2    model.index, model.data-00000-of-00001; several data files if asked for
                   V1    model
    sharded        V2    model.index, model.data-0000k-of-0000n
                   V1    model-0000k-of-0000n

A V1 file is the exception: its records are sorted by a key that mixes name and slice, so all values are held until it ends.

`begin_save` has all values at once instead, so that what is left to do can be done while they change. A fetched resource
variable costs nothing until then: TensorFlow gives it new memory as soon as something is assigned while the old value is
held. A reference variable is changed where it is, under the hands of whoever fetched it; its value is copied.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tfsaver import schemas
from tfsaver.checkpoint.editing.cast import is_cast
from tfsaver.checkpoint.losses import Losses, cast_array, raise_losses
from tfsaver.checkpoint.saved_tensor_slices import shard_path, shard_pattern
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter, finish_together
from tfsaver.compat import _transfer
from tfsaver.compat._binding import Binding
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat._paths import parent_directory
from tfsaver.compat._shards import one_by_one, side_by_side
from tfsaver.compat._transfer import Array
from tfsaver.framework import tensor_util
from tfsaver.framework.dtypes import DType
from tfsaver.lib import file_io
from tfsaver.lib.lanes import Lanes
from tfsaver.tensor_bundle.writer import BundleWriter, Writes

# What is changed in place is copied whole up to the first size, and through a buffer of the second size beyond.
_COPIED_SIZE = 64 << 20
_COPY_BUFFER_SIZE = 16 << 20

Writers: TypeAlias = "BundleWriter | list[TensorSliceWriter]"
Values: TypeAlias = "Iterator[_Value]"


class _Value(NamedTuple):
    """What goes to a data file."""

    shard_id: int
    binding: Binding
    value: Array


class Casting:
    """The type in which one save writes the numbers of its kind, and what that has lost.

    Args:
        dtype: The type.

    Attributes:
        losses: What each tensor that was cast has lost so far; the parts of one together.
    """

    def __init__(self, dtype: DType) -> None:
        self._dtype = dtype
        self.losses: dict[str, Losses] = {}

    def cast(self, fetched: _Value) -> _Value:
        """A value in the type, where it is of the same kind: floats as floats, integers as integers."""
        dtype = fetched.binding.dtype
        if not is_cast(dtype, self._dtype, is_named=False):
            return fetched
        losses = self.losses.setdefault(fetched.binding.name, Losses(dtype, self._dtype))
        return fetched._replace(value=np.asarray(cast_array(fetched.value, losses)))


def save_variables(
    session: Any,
    shards: Sequence[Sequence[Binding]],
    save_path: str,
    prefix: str,
    *,
    version: int,
    durable: bool,
    sharded: bool = False,
    casting: Casting | None = None,
) -> str:
    """Writes a checkpoint; whatever fails, no file and no directory is left behind.

    Args:
        session: Where the variables have their values; None for eager ones.
        shards: The variables by the data file they go to, in each sorted by name.
        save_path: What the caller asked to save to, for the error.
        prefix: The checkpoint's prefix, or the V1 file's path.
        version: SaverDef.V1 or SaverDef.V2.
        durable: Whether it returns only once the disk has the bytes.
        sharded: Whether the files are named as the shards of a checkpoint, were it only one.
        casting: The type in which numbers are written, where it is another one than the variables'.

    Returns:
        What finds the checkpoint again: the prefix, or the pattern of the files' names.

    Raises:
        InvalidArgumentError: The directory is not there, in TensorFlow's words. A V2 save makes the last level of it,
            unless it is sharded.
    """
    _begin(
        session,
        shards,
        save_path,
        prefix,
        version=version,
        durable=durable,
        sharded=sharded,
        held=False,
        casting=casting,
    )()
    return found_as(prefix, len(shards), version=version, sharded=sharded)


def begin_save(
    session: Any,
    shards: Sequence[Sequence[Binding]],
    save_path: str,
    prefix: str,
    *,
    version: int,
    durable: bool,
    sharded: bool = False,
    casting: Casting | None = None,
) -> Callable[[], None]:
    """Does of `save_variables` what needs the session: afterwards the variables may change.

    Returns:
        What writes the checkpoint, in any thread. It must be called, once: the files are open already.
    """
    return _begin(
        session,
        shards,
        save_path,
        prefix,
        version=version,
        durable=durable,
        sharded=sharded,
        held=True,
        casting=casting,
    )


def found_as(prefix: str, num_shards: int, *, version: int, sharded: bool) -> str:
    """What finds a checkpoint again: the prefix, or the pattern of the files' names."""
    return shard_pattern(prefix, num_shards) if sharded and version != schemas.SaverDef.V2 else prefix


def _begin(
    session: Any,
    shards: Sequence[Sequence[Binding]],
    save_path: str,
    prefix: str,
    *,
    version: int,
    durable: bool,
    sharded: bool,
    held: bool,
    casting: Casting | None,
) -> Callable[[], None]:
    path = file_io.as_path(prefix)
    is_v2 = version == schemas.SaverDef.V2
    # Of one tensor, devices may have a slice each, whose order counts; it never comes to several files otherwise.
    in_lanes = is_v2 and not sharded and len(shards) > 1
    with contextlib.ExitStack() as begun:
        begun.enter_context(parent_directory(path, save_path, may_be_made=is_v2 and not sharded, durable=durable))
        values = _fetch(session, list(side_by_side(shards) if in_lanes else one_by_one(shards)))
        if casting is not None:
            values = map(casting.cast, values)
        if held:
            values = _drained(list(map(_own, values)))
        # A variable without a value is the most common mistake: it shows before anything is written.
        first = list(itertools.islice(values, 1))
        with tensorflow_errors():
            size = sum(_known_size(binding) for shard in shards for binding in shard) if is_v2 else 0
            # Lanes are threads enough.
            writes: Writes = "gathered" if in_lanes else "overlapped"
            writers: Writers
            if is_v2:
                writers = _open_v2(begun, path, len(shards), size, durable=durable, writes=writes)
            else:
                writers = _open_v1(begun, path, len(shards), sharded=sharded, durable=durable)
        files = begun.pop_all()

    def write() -> None:
        add = functools.partial(_add, writers, may_change=not held)
        with tensorflow_errors(), files:
            if in_lanes:
                _write_in_lanes(add, _led_by(first, values), len(shards))
            else:
                _write(add, _led_by(first, values))
            # An error here still discards everything that was written.
            if casting is not None:
                raise_losses(casting.losses.items())

    return write


def _fetch(session: Any, placed: Sequence[tuple[int, Binding]]) -> Values:
    shard_ids = {id(binding): shard_id for shard_id, binding in placed}
    # No generator, which would hold each value until it has the next: two large ones must not be in memory at once.
    place = functools.partial(_placed, shard_ids)
    return map(place, _transfer.fetch(session, [binding for _, binding in placed]))


def _placed(shard_ids: dict[int, int], fetched: tuple[Binding, Array]) -> _Value:
    return _Value(shard_ids[id(fetched[0])], *fetched)


def _own(fetched: _Value) -> _Value:
    return fetched._replace(value=fetched.value.copy()) if fetched.binding.changes_in_place else fetched


def _drained(values: list[_Value]) -> Values:
    """The items of a list, which lets go of each."""
    values.reverse()
    while values:
        yield values.pop()


def _led_by(first: list[_Value], others: Values) -> Values:
    yield from _drained(first)
    yield from others


def _write(add: Callable[[_Value], None], values: Values) -> None:
    fetched = next(values, None)
    while fetched is not None:
        add(fetched)
        # Let go of before the next is fetched.
        fetched = None
        fetched = next(values, None)


def _write_in_lanes(add: Callable[[_Value], None], values: Values, num_lanes: int) -> None:
    with Lanes(num_lanes) as lanes:
        fetched = next(values, None)
        while fetched is not None:
            lanes.hand_over(fetched.shard_id, functools.partial(add, fetched), fetched.value.nbytes)
            fetched = None
            fetched = next(values, None)


def _open_v2(
    files: contextlib.ExitStack, path: str, num_shards: int, size: int, *, durable: bool, writes: Writes
) -> BundleWriter:
    return files.enter_context(
        BundleWriter(path, num_shards=num_shards, durable=durable, writes=writes, expected_size=size)
    )


def _open_v1(
    files: contextlib.ExitStack, path: str, num_shards: int, *, sharded: bool, durable: bool
) -> list[TensorSliceWriter]:
    names = [shard_path(path, shard_id, num_shards) for shard_id in range(num_shards)] if sharded else [path]
    writers = [TensorSliceWriter(name, durable=durable) for name in names]
    files.push(functools.partial(_finish, writers))
    return writers


def _finish(writers: Sequence[TensorSliceWriter], kind: type[BaseException] | None, *_: Any) -> None:
    if kind is None:
        finish_together(writers)


def _known_size(binding: Binding) -> int:
    """The bytes that a variable takes in a data file, or fewer where nobody knows before it is fetched."""
    shape = binding.variable.shape
    if shape is None or None in shape:
        return 0
    return math.prod(size for size in shape if size is not None) * binding.dtype.size


def _add(writers: Writers, fetched: _Value, *, may_change: bool) -> None:
    shard_id, binding, value = fetched
    if may_change and fetched.binding.changes_in_place:
        # Between hashing and writing, another thread's step must not change it.
        if isinstance(writers, BundleWriter) and value.nbytes > _COPIED_SIZE:
            array, dtype = tensor_util.as_tensor(value, binding.name)
            shape = array.shape if binding.full_shape is None else binding.full_shape
            pieces = _copied_pieces(array)
            writers.add_pieces(binding.name, dtype, shape, pieces, region=binding.tensor_slice, shard_id=shard_id)
            return
        value = value.copy()
    if binding.tensor_slice is None or binding.full_shape is None:
        if isinstance(writers, BundleWriter):
            writers.add(binding.name, value, shard_id=shard_id)
        else:
            writers[shard_id].add(binding.name, value)
    elif isinstance(writers, BundleWriter):
        writers.add_slice(binding.name, binding.full_shape, binding.tensor_slice, value, shard_id=shard_id)
    else:
        writers[shard_id].add_slice(binding.name, binding.full_shape, binding.tensor_slice, value)


def _copied_pieces(array: Array) -> Iterator[Array]:
    """The elements of an array in pieces, all of them in the same memory."""
    flat = array.reshape(-1)
    size = max(1, _COPY_BUFFER_SIZE // array.itemsize)
    buffer = np.empty(min(size, flat.size), array.dtype)
    for start in range(0, flat.size, size):
        piece = buffer[: min(size, flat.size - start)]
        piece[:] = flat[start : start + size]
        yield piece
