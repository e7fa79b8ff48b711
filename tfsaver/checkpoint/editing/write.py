"""Writes a source of tensors as a checkpoint.

    in memory, and stays as it is    written out of its memory: one data file by a thread of its own while the next tensor is
                                     hashed, several data files side by side
    anything else                    in pieces, none of which is needed once it is written; strings one tensor at a time
    V1                               held until the end: a file is written in the order of its keys, when all are known
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from tfsaver.checkpoint import saved_tensor_slices
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter, finish_together
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import DataLossError, InvalidArgumentError, UnimplementedError
from tfsaver.framework.tensor_shape import num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet
from tfsaver.lib import file_io
from tfsaver.lib.descriptor_limit import check_descriptors
from tfsaver.lib.lanes import Lanes
from tfsaver.tensor_bundle.writer import BundleWriter, Writes

Progress = Callable[[int, int], None]

_FORMATS = ("v2", "v1")


def write_source(
    source: TensorSource,
    prefix: file_io.PathLike,
    *,
    format: str = "v2",  # noqa: A002 - the word every saver uses for it
    num_shards: int = 1,
    keep_slices: bool = True,
    allow_missing_slices: bool = False,
    durable: bool = True,
    progress: Progress | None = None,
    check: Callable[[], None] | None = None,
) -> str:
    """Writes all tensors of a source, in the order of their names.

    Args:
        source: What to write. It stays open.
        prefix: The checkpoint's path without suffix. Missing directories are made.
        format: ``v2``, or ``v1`` for programs that know nothing newer.
        num_shards: How many data files there are; tensors and slices go to the one that has least.
        keep_slices: Whether tensors that the source has in slices are written in these; else whole.
        allow_missing_slices: Whether tensors of which slices are missing are written in those that are there.
        durable: Whether to return only once disks have the bytes.
        progress: Called with how many bytes are written and how many there are.
        check: Called when everything is written and nothing is visible yet: if it raises, nothing ever is.

    Returns:
        The checkpoint's name as `load_checkpoint` takes it: `prefix`, or the pattern of a V1 checkpoint in several files.

    Raises:
        InvalidArgumentError: An unknown format, fewer shards than one, an empty name.
        UnimplementedError: A tensor of a type that the format cannot hold.
        DataLossError: A tensor of the source is damaged, or not all of its slices are there, or two of them overlap.
    """
    path = check_writable(
        source,
        prefix,
        format=format,
        num_shards=num_shards,
        keep_slices=keep_slices,
        allow_missing_slices=allow_missing_slices,
    )
    parts = _Parts(source, num_shards, keep_slices, progress)
    with file_io.directory_made(file_io.split(path)[0], durable=durable):
        if format == "v1":
            return _write_v1(parts, path, durable, check)
        return _write_v2(parts, path, durable, check)


def check_writable(
    source: TensorSource,
    prefix: file_io.PathLike,
    *,
    format: str,  # noqa: A002 - the word every saver uses for it
    num_shards: int,
    keep_slices: bool,
    allow_missing_slices: bool = False,
) -> str:
    """Checks what can be known before a value is read: all that a dry run says, and the first step of a write.

    Args:
        source: See `write_source`, as for the others.

    Returns:
        The prefix as a path.

    Raises:
        InvalidArgumentError, UnimplementedError, DataLossError: See `write_source`.
    """
    path = file_io.as_path(prefix)
    if format not in _FORMATS:
        raise InvalidArgumentError(f"format {format!r} is unknown; known are {' and '.join(map(repr, _FORMATS))}")
    if num_shards < 1:
        raise InvalidArgumentError(f"num_shards is {num_shards}, at least 1 is needed")
    if "" in source:
        raise InvalidArgumentError("a tensor has the empty name, which no checkpoint can hold")
    if format == "v1" and not source.makes_on_demand:
        _check_v1(source)
    if keep_slices:
        _check_slices(source, allow_missing_slices)
    if not file_io.split(path)[1]:
        raise InvalidArgumentError(f"{path!r} ends with a slash: a prefix is a directory and a name in it")
    if not file_io.is_remote(path):
        check_descriptors(path, num_shards)
    return path


def _write_v2(parts: _Parts, path: str, durable: bool, check: Callable[[], None] | None) -> str:
    source = parts.source
    names = [] if source.makes_on_demand else source.names
    stable = sum(map(source.is_stable, names))
    # Several data files have a thread each, as long as nothing has to be waited for to fill them.
    has_lanes = parts.num_shards > 1 and bool(names) and stable == len(names)
    writes: Writes = "gathered" if has_lanes else "overlapped" if stable else "direct"
    size = sum(source.info(name).num_bytes for name in names)
    with BundleWriter(path, num_shards=parts.num_shards, durable=durable, writes=writes, expected_size=size) as writer:
        with Lanes(parts.num_shards) as lanes:
            _add_all(parts, writer, lanes if has_lanes else None)
        if check is not None:
            check()
    return path


def _add_all(parts: _Parts, writer: BundleWriter, lanes: Lanes | None) -> None:
    source = parts.source
    for name, stored, shard_id in parts:
        info = source.info(name)
        if stored is None and source.is_stable(name):
            value = parts.counted_whole(name, source.read(name))
            if lanes is not None:
                lanes.hand_over(shard_id, functools.partial(writer.add, name, value, shard_id=shard_id), value.nbytes)
            else:
                writer.add(name, value, shard_id=shard_id)
        elif info.dtype.has_fixed_size:
            pieces = parts.counted(source.pieces(name, stored))
            writer.add_pieces(name, info.dtype, info.shape, pieces, region=stored, shard_id=shard_id)
        elif stored is None:
            writer.add(name, parts.counted_whole(name, source.read(name)), shard_id=shard_id)
        else:
            value = parts.counted_whole(name, source.read(name, stored))
            writer.add_slice(name, info.shape, stored, value, shard_id=shard_id)


class _Parts:
    """What is written one after the other: tensors, or slices of them, with the shard that each goes to."""

    def __init__(self, source: TensorSource, num_shards: int, keep_slices: bool, progress: Progress | None) -> None:
        self._source = source
        self._sizes = [0] * num_shards
        self._keep_slices = keep_slices
        self._progress = progress
        self._done = 0
        is_known = progress is not None and not source.makes_on_demand
        self._total = sum(source.info(name).num_bytes for name in source.names) if is_known else 0

    @property
    def num_shards(self) -> int:
        return len(self._sizes)

    @property
    def source(self) -> TensorSource:
        return self._source

    def __iter__(self) -> Iterator[tuple[str, TensorSlice | None, int]]:
        for name in self._source.names:
            info = self._source.info(name)
            slices = self._source.slices(name) if self._keep_slices else ()
            for stored in slices or (None,):
                elements = num_elements(info.shape if stored is None else stored.resolve(info.shape, name).shape)
                shard_id = self._sizes.index(min(self._sizes))
                # Strings count as the pointers that they are in memory: how `save_checkpoint` has always dealt them out.
                self._sizes[shard_id] += elements * (info.dtype.size or 8)
                yield name, stored, shard_id

    def counted(self, pieces: Iterator[Array]) -> Iterator[Array]:
        """The pieces, and the progress that they are."""
        for piece in pieces:
            yield piece
            self._count(piece.nbytes)

    def counted_whole(self, name: str, value: Array) -> Array:
        """A tensor that is written whole, and the progress that it is."""
        self._count(self._source.info(name).num_bytes if self._progress is not None else 0)
        return value

    def _count(self, num_bytes: int) -> None:
        if self._progress is not None:
            # A tensor of strings in slices counts as often as it has some.
            self._done = min(self._done + num_bytes, self._total or self._done + num_bytes)
            self._progress(self._done, max(self._done, self._total))


def _check_v1(source: TensorSource) -> None:
    if refused := [f"{name!r} is {source.info(name).dtype}" for name in source.names if not source.info(name).dtype.in_v1]:
        more = f", and {len(refused) - 3:,} more" if len(refused) > 3 else ""
        raise UnimplementedError(f"a V1 checkpoint cannot hold: {', '.join(refused[:3])}{more}; a V2 one can")


def _check_slices(source: TensorSource, allow_missing_slices: bool) -> None:
    """Checks that what is written in slices can be read again."""
    names = [] if source.makes_on_demand else source.names
    for name in names:
        if slices := source.slices(name):
            try:
                stored = TensorSliceSet(name, source.info(name).shape, slices)
                if not allow_missing_slices:
                    stored.check_coverage()
            except DataLossError as error:
                error.add_context(f"tensor {name!r}")
                raise


def _write_v1(parts: _Parts, prefix: str, durable: bool, check: Callable[[], None] | None) -> str:
    num_shards = parts.num_shards
    paths = [prefix] if num_shards == 1 else [
        saved_tensor_slices.shard_path(prefix, number, num_shards) for number in range(num_shards)
    ]
    writers = [TensorSliceWriter(path, durable=durable) for path in paths]
    for name, stored, shard_id in parts:
        value = parts.counted_whole(name, parts.source.read(name, stored))
        if stored is None:
            writers[shard_id].add(name, value)
        else:
            writers[shard_id].add_slice(name, parts.source.info(name).shape, stored, value)
    if check is not None:
        check()
    finish_together(writers)
    return prefix if num_shards == 1 else saved_tensor_slices.shard_pattern(prefix, num_shards)
