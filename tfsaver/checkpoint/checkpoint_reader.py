"""One reader for every checkpoint: a Mapping from names to arrays, whatever the format behind it.

Opening reads the index; a tensor's dtype and shape come from there; its bytes are read when it is asked for, checked, and
not kept. TensorFlow's own method names stand beside Python's, for programs that know them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from types import EllipsisType, TracebackType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tfsaver import schemas
from tfsaver.checkpoint import checkpoint_location
from tfsaver.checkpoint.tensor_slice_reader import TensorSliceReader
from tfsaver.errors import DataLossError, InvalidArgumentError
from tfsaver.framework import tensor_slice
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io
from tfsaver.tensor_bundle import BundleReader

Array = np.ndarray[Any, Any]
# What `read` takes for part of a tensor: as numpy's basic indexing with steps of 1, or as a TensorSlice or its text.
Region: TypeAlias = "TensorSlice | str | slice | int | EllipsisType | Sequence[slice | int | EllipsisType]"


class TensorInfo(NamedTuple):
    """What a checkpoint says of a tensor without its bytes being read.

    Attributes:
        name: The tensor's name.
        dtype: Its element type, with the numpy one as `dtype.numpy`.
        shape: Its full shape.
        slices: The slices it is stored in; empty for a tensor stored whole.
        num_bytes: Bytes of its values, as an array; for strings and variants, and what they take in the data file.
        shard_ids: The files its bytes are in.
    """

    name: str
    dtype: DType
    shape: Shape
    slices: tuple[TensorSlice, ...]
    num_bytes: int
    shard_ids: tuple[int, ...]


class CheckpointReader(Mapping[str, Array]):
    """An open checkpoint; use `load_checkpoint` to get one. Several threads may read from it at once.

    Example:
        >>> reader = load_checkpoint("/tmp/model")  # doctest: +SKIP
        >>> reader["dense/kernel"].shape  # doctest: +SKIP
        (784, 10)
        >>> reader.read("dense/kernel", np.s_[:3, 0])  # doctest: +SKIP
    """

    def __init__(self, location: checkpoint_location.CheckpointLocation) -> None:
        self._reader: BundleReader | TensorSliceReader
        if location.version == "V2":
            self._reader = BundleReader(location.prefix)
        else:
            self._reader = _open_v1(location)
        self.version = location.version
        self.prefix = location.prefix

    @property
    def names(self) -> list[str]:
        """The tensors' names, sorted."""
        return self._reader.names

    @property
    def implementation(self) -> BundleReader | TensorSliceReader:
        """The reader of the format itself, for what only one of the formats has."""
        return self._reader

    def __getitem__(self, name: str) -> Array:
        return self.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._reader.names)

    def __len__(self) -> int:
        return len(self._reader.names)

    def __contains__(self, name: object) -> bool:
        return name in self._reader

    def info(self, name: str) -> TensorInfo:
        """What the checkpoint says of a tensor.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
        """
        if isinstance(self._reader, BundleReader):
            entry = self._reader.entry(name)
            stored = self._reader.stored_entries(name)
            shard_ids = tuple(sorted({part.shard_id for part in stored}))
            size = sum(part.size for part in stored)
            return TensorInfo(name, entry.dtype, entry.shape, entry.slices, size, shard_ids)
        tensor = self._reader.tensor(name)
        whole = len(tensor.slices) == 1 and tensor.slices[0].is_full
        return TensorInfo(
            name,
            tensor.dtype,
            tensor.shape,
            () if whole else tuple(tensor.slices),
            num_elements(tensor.shape) * tensor.dtype.size,
            tuple(sorted(set(tensor.shard_ids))),
        )

    def dtype(self, name: str) -> np.dtype[Any]:
        """The numpy dtype of a tensor; `object` for strings, whose elements are bytes."""
        return self._dtype_and_shape(name)[0].numpy

    def shape(self, name: str) -> Shape:
        """The full shape of a tensor."""
        return self._dtype_and_shape(name)[1]

    def read(self, name: str, region: Region | None = None, *, out: Array | None = None, verify: bool = True) -> Array:
        """A tensor, or part of it.

        Args:
            name: The tensor's name.
            region: Which part: slices with step 1, integers and an Ellipsis, as in ``np.s_[2:5, :]``; or a TensorSlice, or
                its text (``"2,3:-"``). All of the tensor when None.
            out: An array of the part's shape and dtype to fill, instead of a new one.
            verify: Whether the tensor's bytes must match their checksum, for which all of them are read. Without it, a
                part of a large tensor takes no more than its own bytes.

        Returns:
            An array of the part's shape; an integer in `region` drops its dimension, as in numpy.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
            DataLossError: The bytes are not those that were written, or some are missing.
            InvalidArgumentError: The region leaves the tensor or is not of that form, or the checkpoint holds only some
                slices of it.
            ShapeMismatchError: `out` has another shape.
        """
        if region is None:
            return self._reader.read(name, out=out, verify=verify)
        _, shape = self._dtype_and_shape(name)
        part, dropped = as_tensor_slice(region, shape, name)
        if out is not None and dropped:
            out = np.expand_dims(out, dropped)
        return self._reader.read(name, part, out=out, verify=verify).squeeze(dropped)

    # TensorFlow's names.

    def has_tensor(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return name in self._reader

    def get_tensor(self, name: str) -> Any:
        """A tensor as TensorFlow's reader gives it: a scalar as a numpy scalar, or as bytes."""
        array = self.read(name)
        return array[()] if array.ndim == 0 else array

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        """The shape of every tensor by name."""
        return {name: list(self.shape(name)) for name in self}

    def get_variable_to_dtype_map(self) -> dict[str, np.dtype[Any]]:
        """The numpy dtype of every tensor by name."""
        return {name: self.dtype(name) for name in self}

    def debug_string(self) -> bytes:
        """A line for each tensor, as in ``kernel (DT_FLOAT) [784,10]``."""
        lines = []
        for name in self:
            dtype, shape = self._dtype_and_shape(name)
            data_type = schemas.DataType.Name(dtype.data_type)
            lines.append(f"{name} ({data_type}) [{','.join(map(str, shape))}]\n")
        return "".join(lines).encode("utf-8", "surrogateescape")

    def close(self) -> None:
        """Closes the files; nothing can be read afterwards."""
        self._reader.close()

    def __enter__(self) -> CheckpointReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<CheckpointReader of {self.prefix!r}, {self.version}>"

    def _dtype_and_shape(self, name: str) -> tuple[DType, Shape]:
        if isinstance(self._reader, BundleReader):
            entry = self._reader.entry(name)
            return entry.dtype, entry.shape
        tensor = self._reader.tensor(name)
        return tensor.dtype, tensor.shape


def load_checkpoint(path: file_io.PathLike) -> CheckpointReader:
    """Opens a checkpoint of either format.

    Args:
        path: A prefix, a directory with a state file, a SavedModel's directory, a V1 pattern, or any of the checkpoint's
            files; local, or a URL that fsspec knows.

    Raises:
        CheckpointNotFoundError: There is none; names what was looked for and what is there.
        DataLossError: What is there is no checkpoint, or its index is damaged.
    """
    return CheckpointReader(checkpoint_location.locate_checkpoint(path))


def list_variables(path: file_io.PathLike) -> list[tuple[str, list[int]]]:
    """The name and the shape of every tensor, sorted by name."""
    with load_checkpoint(path) as reader:
        return sorted(reader.get_variable_to_shape_map().items())


def load_variable(path: file_io.PathLike, name: str) -> Any:
    """One tensor as TensorFlow gives it; a ``:0`` at the end of its name is taken off."""
    with load_checkpoint(path) as reader:
        return reader.get_tensor(name.removesuffix(":0"))


def _open_v1(location: checkpoint_location.CheckpointLocation) -> TensorSliceReader:
    try:
        return TensorSliceReader(location.prefix, location.paths)
    except DataLossError as error:
        # Any file may be named here, and most that are named by mistake are not damaged checkpoints but none at all.
        error.add_context(f"no V2 checkpoint, since {location.prefix}.index is not there, and no sound V1 checkpoint")
        raise


def as_tensor_slice(region: Region, shape: Shape, name: str) -> tuple[TensorSlice, tuple[int, ...]]:
    """A region as a resolved slice of a tensor of that shape, and the dimensions that integers in it drop.

    Raises:
        InvalidArgumentError: Steps other than 1, too many indices, or outside the shape.
    """
    if isinstance(region, TensorSlice):
        return region.resolve(shape, repr(name)), ()
    if isinstance(region, str):
        prefixed = region if " " in region or not shape else " ".join([*map(str, shape), region])
        return tensor_slice.parse_shape_and_slice(prefixed)[1].resolve(shape, repr(name)), ()
    indices = list(region) if isinstance(region, Sequence) else [region]
    if indices.count(...) > 1 or len(indices) - indices.count(...) > len(shape):
        raise InvalidArgumentError(f"{name!r} of shape {list(shape)}: {len(indices)} indices do not fit: {indices}")
    where = indices.index(...) if ... in indices else len(indices)
    missing = len(shape) - (len(indices) - indices.count(...))
    indices[where : where + 1] = [slice(None)] * missing
    extents = []
    dropped = []
    for axis, (index, size) in enumerate(zip(indices, shape, strict=True)):
        if isinstance(index, slice):
            start, stop, step = index.indices(size)
            if step != 1:
                raise InvalidArgumentError(f"{name!r}: a region has steps of 1, not {step}")
            extents.append((start, max(0, stop - start)))
            continue
        try:
            position = operator.index(index)  # type: ignore[arg-type]
        except TypeError:
            raise InvalidArgumentError(f"{name!r}: {index!r} in a region is neither an integer nor a slice") from None
        if not -size <= position < size:
            raise InvalidArgumentError(f"{name!r} of shape {list(shape)}: index {position} is outside dimension {axis}")
        extents.append((position % size, 1))
        dropped.append(axis)
    return TensorSlice(tuple(extents)), tuple(dropped)
