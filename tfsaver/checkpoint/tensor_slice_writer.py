"""Writes a V1 checkpoint, or one file of a sharded one.

The table's keys are sorted, and a record's key depends on its name and slice, so records cannot be written as tensors
come: `add` keeps a reference to each array, and `finish` goes through them in order. Nothing is copied meanwhile, but an
array that its owner changes before `finish` is saved as changed. A record's values are encoded piece by piece.

A file appears whole; several files of one checkpoint get their names together (`shard_placement`). An error leaves the old
files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from tfsaver import schemas
from tfsaver.checkpoint import saved_tensor_slices
from tfsaver.checkpoint.checkpoint_files import series_of
from tfsaver.checkpoint.shard_placement import clean_shards, place_shards
from tfsaver.errors import (
    DataLossError,
    DuplicateKeyError,
    InvalidArgumentError,
    ShapeMismatchError,
    UnimplementedError,
    WriteError,
)
from tfsaver.framework import tensor_shape, tensor_slice, tensor_util, wire_format
from tfsaver.framework.dtypes import DType
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet
from tfsaver.lib import file_io
from tfsaver.lib.descriptor_limit import check_descriptors
from tfsaver.lib.directory_lock import directory_lock
from tfsaver.lib.file_io import WritableFile
from tfsaver.lib.free_space import check_free_space
from tfsaver.table.table_builder import TableBuilder
from tfsaver.tensor_bundle.cleaning import clean_directory

_SHARD_SUFFIX = re.compile(r"-\d{5}-of-\d{5}\Z")


class _Tensor(NamedTuple):
    dtype: DType
    shape: Shape
    slices: dict[TensorSlice, np.ndarray[Any, Any]]


class TensorSliceWriter:
    """Writes one V1 file; use it in a `with` block.

    Args:
        path: The file: a whole checkpoint's name, or that of one of its shards.
        durable: Whether `finish` returns only once disks have the bytes.
    """

    def __init__(self, path: file_io.PathLike, *, durable: bool = True) -> None:
        self.path = file_io.as_path(path)
        self._durable = durable
        self._tensors: dict[str, _Tensor] = {}
        self._size = 0
        self._finished = False

    def add(self, name: str, value: Any) -> None:
        """Adds a whole tensor.

        Raises:
            DuplicateKeyError: A tensor or a slice of that name was added before.
            UnimplementedError: A type that V1 does not have.
        """
        array, dtype = tensor_util.as_tensor(value, name)
        if name in self._tensors:
            raise DuplicateKeyError(name, prefix=self.path)
        self._add(name, array, dtype, array.shape, TensorSlice.full(array.ndim))

    def add_slice(self, name: str, full_shape: Sequence[int], region: Region, value: Any) -> None:
        """Adds one slice of a partitioned tensor.

        Raises:
            ShapeMismatchError: `value` has not the slice's shape, or another slice had another full shape.
            DuplicateKeyError: The slice was added before.
            InvalidArgumentError: The slice leaves the shape, or another slice had another dtype.
            UnimplementedError: A type that V1 does not have.
        """
        array, dtype = tensor_util.as_tensor(value, name)
        stored, _ = as_tensor_slice(region, tuple(full_shape), name)
        expected = stored.resolve(full_shape, repr(name)).shape
        if array.shape != expected:
            raise ShapeMismatchError(f"{name} {stored}", expected=expected, actual=array.shape)
        self._add(name, array, dtype, tuple(full_shape), stored)

    def _add(self, name: str, array: np.ndarray[Any, Any], dtype: DType, shape: Shape, stored: TensorSlice) -> None:
        self._check_unfinished()
        if not name:
            raise InvalidArgumentError(f"a tensor in {self.path!r} has the empty name, which is the meta record's key")
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(f"{name!r}: a V1 checkpoint's names are UTF-8: {error}") from error
        if not dtype.in_v1:
            raise UnimplementedError(f"{name!r} is {dtype}, which a V1 checkpoint cannot hold; a V2 one can")
        known = self._tensors.setdefault(name, _Tensor(dtype, shape, {}))
        if known.shape != shape:
            raise ShapeMismatchError(name, expected=known.shape, actual=shape)
        if known.dtype is not dtype:
            raise InvalidArgumentError(f"{name!r}: a slice of {dtype} beside slices of {known.dtype}")
        if stored in known.slices:
            raise DuplicateKeyError(f"{name} {stored}", prefix=self.path)
        size = tensor_util.encoded_values_size(array, dtype)
        if size > saved_tensor_slices.MAX_RECORD_SIZE:
            raise InvalidArgumentError(
                f"Tensor slice is too large to serialize: {name!r}: {size} bytes, a record of a V1 checkpoint is below 2 GiB"
                "; V2 has no limit"
            )
        known.slices[stored] = array
        self._size += size

    def finish(self) -> str:
        """Writes the file, which appears whole; returns its path. Nothing can be added afterwards.

        Raises:
            InvalidArgumentError: Slices of a tensor overlap, or the file is finished already.
            WriteError: The system refuses it, or there is no room.
        """
        finish_together([self])
        return self.path

    def check(self) -> None:
        """Makes sure that what was added makes a file; see `finish`."""
        self._check_unfinished()
        for name, tensor in self._tensors.items():
            # A reader, TensorFlow's too, refuses all of a file in which slices overlap.
            try:
                TensorSliceSet(name, tensor.shape, list(tensor.slices))
            except DataLossError as error:
                raise InvalidArgumentError(f"{self.path!r}: {error}") from None
        if not file_io.is_remote(self.path) and file_io.is_directory(self.path):
            raise WriteError(self.path, errno.EISDIR, f"{os.strerror(errno.EISDIR)}: a directory has that name")

    @property
    def size(self) -> int:
        """The bytes of the values that were added, as the file will have them."""
        return self._size

    @property
    def is_durable(self) -> bool:
        return self._durable

    def write(self, file: WritableFile) -> None:
        """Writes all of it to a file that has no name yet, and closes that."""
        try:
            table = TableBuilder(file)
            table.add(saved_tensor_slices.META_KEY, self._meta())
            for key, name, stored in self._records():
                tensor = self._tensors[name]
                size, parts = _encode_record(name, stored, tensor.slices[stored], tensor.dtype)
                table.add_parts(key, size, parts)
            table.finish()
            if self._durable:
                file.sync()
        finally:
            file.close()

    def end(self) -> None:
        """The file has its name."""
        self._finished = True

    def _check_unfinished(self) -> None:
        if self._finished:
            raise InvalidArgumentError(f"{self.path!r} is finished already")

    def __enter__(self) -> TensorSliceWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and not self._finished:
            self.finish()

    def _meta(self) -> bytes:
        meta = schemas.SavedTensorSliceMeta(versions=schemas.VersionDef(producer=1))
        for name, tensor in self._tensors.items():
            meta.tensor.add(
                name=name,
                shape=tensor_shape.to_proto(tensor.shape),
                type=tensor.dtype.data_type,
                slice=map(tensor_slice.to_proto, tensor.slices),
            )
        return bytes(schemas.SavedTensorSlices(meta=meta).SerializeToString())

    def _records(self) -> list[tuple[bytes, str, TensorSlice]]:
        return sorted(
            (
                (tensor_slice.encode_key(name.encode(), stored), name, stored)
                for name, tensor in self._tensors.items()
                for stored in tensor.slices
            ),
            key=lambda record: record[0],
        )


def finish_together(writers: Sequence[TensorSliceWriter]) -> None:
    """Writes the files of one checkpoint, which get their names when all of them are whole.

    Raises:
        InvalidArgumentError: Slices of a tensor overlap, a file is finished already, or this process may not open so many.
        WriteError: The system refuses it, or there is no room; everything is as it was.
    """
    for writer in writers:
        writer.check()
    first = writers[0]
    if not file_io.is_remote(first.path):
        check_descriptors(first.path, len(writers))
    directory = file_io.split(first.path)[0]
    own = _series(file_io.split(first.path)[1])
    if len(writers) > 1:
        clean_shards(directory)
    clean_directory(directory, lambda name: _series(name) == own)
    if not file_io.is_remote(first.path):
        check_free_space(first.path, sum(writer.size for writer in writers))
    with contextlib.ExitStack() as files:
        temporaries = []
        for writer in writers:
            file = file_io.open_temporary(writer.path, durable=writer.is_durable)
            files.callback(file.release)
            files.callback(_remove, file.path)
            temporaries.append(file.path)
            writer.write(file)
        with directory_lock(directory):
            place_shards(temporaries, [writer.path for writer in writers], durable=first.is_durable)
    for writer in writers:
        writer.end()


def _series(name: str) -> str:
    """The series of a file's checkpoint by the file's name."""
    whole = _SHARD_SUFFIX.sub("", name)
    return series_of(whole) if whole else ""


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        file_io.remove(path)


def _encode_record(
    name: str, stored: TensorSlice, array: np.ndarray[Any, Any], dtype: DType
) -> tuple[int, Iterator[bytes | memoryview]]:
    """A SavedTensorSlices record's size and its bytes, in pieces."""
    values_size = tensor_util.encoded_values_size(array, dtype)
    head = b"".join(
        wire_format.length_delimited_header(field, len(payload)) + payload
        for field, payload in (
            (saved_tensor_slices.NAME_FIELD, name.encode()),
            (saved_tensor_slices.SLICE_FIELD, tensor_slice.to_proto(stored).SerializeToString()),
        )
    ) + wire_format.length_delimited_header(saved_tensor_slices.VALUES_FIELD, values_size)
    start = wire_format.length_delimited_header(saved_tensor_slices.DATA_FIELD, len(head) + values_size) + head

    def parts() -> Iterator[bytes | memoryview]:
        yield start
        yield from tensor_util.encode_values(array, dtype)

    return len(start) + values_size, parts()
