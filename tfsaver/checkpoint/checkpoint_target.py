"""A checkpoint to be written.

    in memory, and stays as it is    written out of its memory: one data file by a thread of its own while the next tensor is
                                     hashed, several data files side by side
    anything else                    in pieces, none of which is needed once it is written; strings one tensor at a time
    V1                               held until the end: a file is written in the order of its keys, when all are known

A result is never written over a checkpoint that it is made of: one of the same number of shards has the same files, which
change one after the other, and whoever stops in between has neither. Nor over another checkpoint, unless asked to.
"""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np

from tfsaver.checkpoint import saved_tensor_slices
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.execution import Data, Part, Sink, Target, as_array
from tfsaver.checkpoint.fitting import check_fits, no_type
from tfsaver.checkpoint.target_names import refuse_other_suffix
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter, finish_together
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import AlreadyExistsError, DataLossError, InvalidArgumentError, OptionError
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet
from tfsaver.lib import file_io
from tfsaver.lib.descriptor_limit import check_descriptors
from tfsaver.lib.lanes import Lanes
from tfsaver.tensor_bundle.writer import BundleWriter, Writes

# The generations of checkpoint files.
CheckpointFormat: TypeAlias = "Literal['V1', 'V2']"


def checkpoint_format(given: str) -> CheckpointFormat:
    """A format as every report spells it; the earlier spelling in small letters works for one release and warns.

    Raises:
        InvalidArgumentError: There is no such format.
    """
    for known in ("V1", "V2"):
        if given == known:
            return known
        if given == known.lower():
            warnings.warn(f"format={given!r} is now format={known!r}", DeprecationWarning, stacklevel=4)
            return known
    raise OptionError(f"unknown checkpoint format {given!r}; known are 'V1' and 'V2'")


class CheckpointTarget(Target):
    """A checkpoint of either format.

    Args:
        prefix: The checkpoint's path without suffix. Missing directories are made.
        format: ``V2``, or ``V1`` for programs that know nothing newer.
        num_shards: How many data files there are; tensors and slices go to the one that has least.
        keep_slices: Whether tensors that the source has in slices are written in these; else whole.
        allow_missing_slices: Whether tensors of which slices are missing are written in those that are there.
        durable: Whether to return only once disks have the bytes.
        any_name: Whether the prefix may read like a file of another format, as in ``model.pt``.
        replaces: What may be there: ``nothing``, ``others`` (none of those that the source reads), or ``anything``.

    Attributes:
        format: The generation, as reports spell it.
        path: The checkpoint's name as `load_checkpoint` takes it: `prefix`, or the pattern of a V1 checkpoint in several
            files.

    Raises:
        InvalidArgumentError: An unknown format, fewer shards than one, a prefix that ends with a slash, or that reads like
            a file of another format.
    """

    def __init__(
        self,
        prefix: file_io.PathLike,
        *,
        format: CheckpointFormat = "V2",  # noqa: A002 - the word every saver uses for it
        num_shards: int = 1,
        keep_slices: bool = True,
        allow_missing_slices: bool = False,
        durable: bool = True,
        any_name: bool = False,
        replaces: Literal["nothing", "others", "anything"] = "anything",
    ) -> None:
        self.format = checkpoint_format(format)
        self._is_v1 = self.format == "V1"
        if num_shards < 1:
            raise OptionError(f"num_shards is {num_shards}, at least 1 is needed")
        self._prefix = file_io.as_path(prefix)
        if not file_io.split(self._prefix)[1]:
            raise InvalidArgumentError(f"{self._prefix!r} ends with a slash: a prefix is a directory and a name in it")
        if not any_name:
            refuse_other_suffix(self._prefix)
        self._num_shards = num_shards
        self._keep_slices = keep_slices
        self._allow_missing_slices = allow_missing_slices
        self._durable = durable
        self._replaces = replaces
        self.takes_pieces = not self._is_v1
        is_pattern = self._is_v1 and num_shards > 1
        self.path = saved_tensor_slices.shard_pattern(self._prefix, num_shards) if is_pattern else self._prefix

    def check(self, source: TensorSource) -> None:
        """See `Target`.

        Raises:
            InvalidArgumentError: The result would lie over a checkpoint that the source reads; an empty name.
            AlreadyExistsError: There is a checkpoint that may not be replaced.
            UnimplementedError: A tensor of a type that the format cannot hold.
            DataLossError: Not all slices of a tensor are there, or two of them overlap.
        """
        self.check_place(source)
        if "" in source:
            raise InvalidArgumentError("a tensor has the empty name, which no checkpoint can hold")
        # What a tensor is that is made on demand, is known once it is made.
        if not source.makes_on_demand:
            infos = check_fits(source, f"a {'V1' if self._is_v1 else 'V2'} checkpoint", self._objection, is_text=False)
            self.expected_size = sum(info.num_bytes for info in infos)
            if self._keep_slices:
                self._check_slices(source)
        if not file_io.is_remote(self._prefix):
            check_descriptors(self._prefix, self._num_shards)

    def _objection(self, info: TensorInfo) -> str | None:
        return f"{no_type(info)}, which V2 checkpoints have" if self._is_v1 and not info.dtype.in_v1 else None

    def check_place(self, source: TensorSource) -> None:
        """Raises where the result may not lie, whatever is in it; see `check`."""
        if self._replaces == "anything":
            return
        target = resolved(self._prefix)
        shard = saved_tensor_slices.shard_path(target, 0, self._num_shards)
        for reader in source.inputs:
            if not isinstance(reader, CheckpointReader):
                continue
            occupied = {resolved(path) for path in (reader.prefix, *reader.paths)}
            if {target, target + ".index", shard} & occupied:
                raise InvalidArgumentError(
                    f"{self._prefix!r} is the checkpoint that is read: a result goes to another prefix, since whoever stops "
                    "a checkpoint being replaced by itself has neither the old one nor the new one"
                )
        is_file = file_io.exists(self._prefix) and not file_io.is_directory(self._prefix)
        is_there = is_file or file_io.exists(self._prefix + ".index") or (self._is_v1 and file_io.exists(shard))
        if self._replaces == "nothing" and is_there:
            what = "there is a checkpoint already, and overwriting it was not asked for"
            raise AlreadyExistsError(f"{self._prefix!r}: {what}")

    def parts(self, source: TensorSource) -> Iterator[Part]:
        for name in source.names:
            for stored in (source.slices(name) if self._keep_slices else ()) or (None,):
                yield name, stored

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        with (
            file_io.directory_made(file_io.split(self._prefix)[0], durable=self._durable),
            self._v1() if self._is_v1 else self._v2(source) as add,
        ):
            yield add

    @contextlib.contextmanager
    def _v2(self, source: TensorSource) -> Iterator[Sink]:
        names = [] if source.makes_on_demand else source.names
        is_in_memory = bool(names) and all(map(source.is_stable, names))
        # Several data files have a thread each, as long as nothing has to be waited for to fill them.
        has_lanes = self._num_shards > 1 and is_in_memory
        # A thread of the writer's own pays where all tensors come from memory, and costs where they are read from files.
        writes: Writes = "gathered" if has_lanes else "overlapped" if is_in_memory else "direct"
        shards = _Shards(self._num_shards)
        with (
            BundleWriter(
                self._prefix,
                num_shards=self._num_shards,
                durable=self._durable,
                writes=writes,
                expected_size=self.expected_size,
            ) as writer,
            Lanes(self._num_shards) as lanes,
        ):

            def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
                name, shard_id = info.name, shards.next(info, stored)
                if not isinstance(data, np.ndarray):
                    writer.add_pieces(name, info.dtype, info.shape, data, region=stored, shard_id=shard_id)
                elif stored is not None:
                    writer.add_slice(name, info.shape, stored, data, shard_id=shard_id)
                elif has_lanes:
                    lanes.hand_over(shard_id, functools.partial(writer.add, name, data, shard_id=shard_id), data.nbytes)
                else:
                    writer.add(name, data, shard_id=shard_id)

            yield add

    @contextlib.contextmanager
    def _v1(self) -> Iterator[Sink]:
        paths = [self._prefix]
        if self._num_shards > 1:
            numbers = range(self._num_shards)
            paths = [saved_tensor_slices.shard_path(self._prefix, number, self._num_shards) for number in numbers]
        writers = [TensorSliceWriter(path, durable=self._durable) for path in paths]
        shards = _Shards(self._num_shards)

        def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
            writer = writers[shards.next(info, stored)]
            if stored is None:
                writer.add(info.name, as_array(data))
            else:
                writer.add_slice(info.name, info.shape, stored, as_array(data))

        yield add
        finish_together(writers)

    def _check_slices(self, source: TensorSource) -> None:
        """Checks that what is written in slices can be read again."""
        for name in source.names:
            if slices := source.slices(name):
                try:
                    stored = TensorSliceSet(name, source.info(name).shape, slices)
                    if not self._allow_missing_slices:
                        stored.check_coverage()
                except DataLossError as error:
                    error.add_context(f"tensor {name!r}")
                    raise


class _Shards:
    """Deals tensors, and slices of them, out to data files: each to the file that has least."""

    def __init__(self, num_shards: int) -> None:
        self.expected_sizes = [0] * num_shards

    def next(self, info: TensorInfo, stored: TensorSlice | None) -> int:
        elements = num_elements(info.shape if stored is None else stored.resolve(info.shape, info.name).shape)
        shard_id = self.expected_sizes.index(min(self.expected_sizes))
        # Strings count as the pointers that they are in memory: how `save_checkpoint` has always dealt them out.
        self.expected_sizes[shard_id] += elements * (info.dtype.size or 8)
        return shard_id


def resolved(path: str) -> str:
    """One spelling for all of a path's."""
    return path if file_io.is_remote(path) else os.path.realpath(path)
