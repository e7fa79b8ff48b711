"""Sources whose tensors come in pieces, so that a tensor of any size can be edited in the memory of a few of them.

A tensor's elements in C order are cut after every `PIECE_ELEMENTS`, whatever its dtype: pieces of two tensors of one shape
have their elements in the same places, and can be averaged or compared without either being held.

    a whole tensor of a V2 checkpoint    its bytes, as they lie in the file, through the checksum
    one that it has in slices            each slice like a tensor of its own; all of it block by block
    V1, strings, arrays in memory        read whole, and cut: a V1 record cannot be read in part
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.editing.stored_pieces import StoredPieces
from tfsaver.checkpoint.tensor_source import Array, ArraySource, TensorSource
from tfsaver.errors import DataLossError, InvalidArgumentError
from tfsaver.framework.region import Region
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.tensor_bundle.reader import BundleReader

# 4 MiB of float32.
PIECE_ELEMENTS = 1 << 20


class PiecewiseSource(TensorSource):
    """A source that also gives a tensor's elements piece by piece."""

    @property
    def prefix(self) -> str | None:
        """The checkpoint that the tensors come from; None where they come from none."""
        return None

    def slices(self, name: str) -> tuple[TensorSlice, ...]:
        """The slices in which a tensor is stored; none where it is stored whole."""
        return ()

    @abc.abstractmethod
    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        """A tensor's elements in C order: one-dimensional arrays, all of `PIECE_ELEMENTS` but the last.

        A piece may share its memory with the one that follows it: who wants to keep it copies it.

        Args:
            name: The tensor's name.
            stored: One of its slices; all of the tensor when None.

        Raises:
            TensorNotFoundError: There is no such tensor.
            DataLossError: The bytes are damaged, which may be known only after the last piece.
        """


def as_piecewise(source: TensorSource) -> PiecewiseSource:
    """A source in pieces, in whatever way it can be had so."""
    if isinstance(source, PiecewiseSource):
        return source
    if isinstance(source, CheckpointReader) and isinstance(source.implementation, BundleReader):
        return _BundleSource(source, source.implementation)
    return _WholeSource(source)


def as_source(tensors: Any) -> TensorSource:
    """A source as it is, another mapping from names to arrays as a source.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if isinstance(tensors, TensorSource):
        return tensors
    if isinstance(tensors, Mapping):
        return ArraySource(tensors)
    raise InvalidArgumentError(f"a source of tensors or a mapping is needed, not {type(tensors).__name__}")


def cut(array: Array) -> Iterator[Array]:
    """The pieces of an array in memory."""
    # What is in a scalar of objects, and not in an array of one, is no array.
    whole = array if array.ndim else array.reshape(1)
    return recut(_flat(whole[block.indices]) for block in blocks(whole.shape))


def recut(arrays: Iterable[Array]) -> Iterator[Array]:
    """One-dimensional arrays cut anew, so that all but the last have `PIECE_ELEMENTS` elements."""
    waiting: list[Array] = []
    count = 0
    for array in arrays:
        start = 0
        while count + len(array) - start >= PIECE_ELEMENTS:
            end = start + PIECE_ELEMENTS - count
            waiting.append(array[start:end])
            yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            waiting, count, start = [], 0, end
        if start < len(array):
            waiting.append(array[start:])
            count += len(array) - start
    if waiting:
        yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)


def blocks(shape: Shape) -> Iterator[TensorSlice]:
    """Parts of a tensor, none of more than `PIECE_ELEMENTS`, whose elements one after the other are the tensor's."""
    if num_elements(shape) <= PIECE_ELEMENTS:
        if num_elements(shape):
            yield TensorSlice.full(len(shape)).resolve(shape)
        return
    row_elements = num_elements(shape[1:])
    if row_elements > PIECE_ELEMENTS:
        for row in range(shape[0]):
            for block in blocks(shape[1:]):
                yield TensorSlice(((row, 1), *block.extents))
        return
    rest = tuple((0, size) for size in shape[1:])
    step = PIECE_ELEMENTS // row_elements
    for start in range(0, shape[0], step):
        yield TensorSlice(((start, min(step, shape[0] - start)), *rest))


def _flat(array: Array) -> Array:
    """The elements in C order and in the machine's byte order."""
    flat: Array = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(-1)
    return flat


class _WholeSource(PiecewiseSource):
    """A source that is read tensor by tensor."""

    def __init__(self, source: TensorSource) -> None:
        self._source = source
        # Views, writers and reports all ask, and an open checkpoint decodes its answer anew.
        self._infos: dict[str, TensorInfo] = {}

    @property
    def prefix(self) -> str | None:
        return getattr(self._source, "prefix", None)

    @property
    def names(self) -> list[str]:
        return self._source.names

    def __contains__(self, name: object) -> bool:
        return name in self._source

    def info(self, name: str) -> TensorInfo:
        info = self._infos.get(name)
        if info is None:
            info = self._infos[name] = self._source.info(name)
        return info

    def read(self, name: str, region: Region | None = None) -> Array:
        return self._source.read(name, region)

    def is_in_memory(self, name: str) -> bool:
        return self._source.is_in_memory(name)

    def slices(self, name: str) -> tuple[TensorSlice, ...]:
        return self.info(name).slices

    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        yield from cut(self._source.read(name, stored))

    def close(self) -> None:
        self._source.close()

    def __repr__(self) -> str:
        return repr(self._source)


class _BundleSource(_WholeSource):
    """A V2 checkpoint."""

    def __init__(self, source: CheckpointReader, bundle: BundleReader) -> None:
        super().__init__(source)
        self._bundle = bundle
        self._stored = StoredPieces(bundle, PIECE_ELEMENTS)

    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        info = self.info(name)
        if not info.dtype.has_fixed_size:
            yield from super().pieces(name, stored)
        elif stored is None and info.slices:
            # All slices are checked once; block by block, a slice would be checked as often as a block meets it.
            try:
                for _ in self._bundle.verify_tensor(name):
                    pass
            except DataLossError as error:
                error.add_context(f"tensor {name!r}")
                raise
            yield from recut(_flat(self._bundle.read(name, block, verify=False)) for block in blocks(info.shape))
        else:
            yield from self._stored.iterate(name, stored)

    def close(self) -> None:
        self._stored.close()
        super().close()
