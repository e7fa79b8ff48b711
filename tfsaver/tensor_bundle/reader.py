"""Reads a bundle: the index by look-ups, tensors by streaming their bytes through the checksum into an array.

    bundle_index    which tensors there are, and where the bytes of each lie
    data_files      the files in which they lie, and whether they are this index's
    stored_bytes    from bytes to numpy
    here            a tensor, or a region of it, put together from its entries

Nothing is allocated for a tensor before its entry agrees with itself and with the size of its data file. A reader stays with
the checkpoint that it has opened: when that is replaced or removed meanwhile, it goes on as far as it has the files open,
and says so where it has not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np

from tfsaver.errors import CheckpointNotFoundError, DataLossError, SaverError
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import StoredPiece, TensorInfo
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet
from tfsaver.lib import file_io
from tfsaver.table.table import OnDamage, raise_damage
from tfsaver.tensor_bundle import out_array, stored_bytes
from tfsaver.tensor_bundle.bundle_index import BundleIndex
from tfsaver.tensor_bundle.data_files import DataFiles
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.header import BundleHeader

Array = np.ndarray[Any, Any]


class BundleReader:
    """An open V2 checkpoint. Several threads may read from it at once.

    Args:
        prefix: The checkpoint's path without suffix.

    Attributes:
        index: What it says of tensors.
        header: What the index says of the bundle as a whole.

    Raises:
        CheckpointNotFoundError: There is no index of that prefix.
        CheckpointReplacedError: It is being written over.
        DataLossError: The index is no table, or its header is damaged.
        UnimplementedError: It was written for newer readers.
    """

    def __init__(self, prefix: file_io.PathLike) -> None:
        self.prefix = file_io.as_path(prefix)
        self.index = self._open_index()
        self.header: BundleHeader = self.index.header
        self._files = DataFiles(self.prefix, self.header.num_shards, self.index.file)
        # Tensors of doubtful files whose checksum has fitted once.
        self._proven: set[tuple[int, int]] = set()

    def _open_index(self) -> BundleIndex:
        return BundleIndex(self.prefix)

    @property
    def paths(self) -> list[str]:
        """The index and the data files, whether they are there or not."""
        return [self.index.path, *map(self.data_path, range(self.header.num_shards))]

    @property
    def names(self) -> list[str]:
        """The tensors' names in the order of their keys; a partitioned tensor's slices are not among them.

        Raises:
            DataLossError: A part of the index is damaged.
        """
        return self.index.names

    def __contains__(self, name: object) -> bool:
        return name in self.index

    def entry(self, name: str) -> BundleEntry:
        """What the index says of a tensor, without reading its bytes.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
        """
        return self.index.entry(name)

    def dtype_and_shape(self, name: str) -> tuple[DType, Shape]:
        """A tensor's type and full shape."""
        entry = self.index.entry(name)
        return entry.dtype, entry.shape

    def info(self, name: str) -> TensorInfo:
        """What the index says of a tensor, in the form that both formats share."""
        entry = self.index.entry(name)
        if not entry.slices:
            place = StoredPiece(self.data_path(entry.shard_id), entry.shard_id, entry.offset, entry.size, None)
            return TensorInfo(name, entry.dtype, entry.shape, entry.size, (place,))
        stored = self.slice_entries(name)
        pieces = tuple(
            StoredPiece(self.data_path(part.shard_id), part.shard_id, part.offset, part.size, stored_slice)
            for stored_slice, part in stored
        )
        return TensorInfo(name, entry.dtype, entry.shape, sum(part.size for _, part in stored), pieces)

    def slice_entries(self, name: str) -> list[tuple[TensorSlice, BundleEntry]]:
        """The stored slices of a partitioned tensor and their entries.

        Raises:
            DataLossError: A slice that the tensor's entry lists is not in the index, or is something else.
        """
        return self.index.slice_entries(name)

    def stored_entries(self, name: str) -> list[BundleEntry]:
        """The entries that point at a tensor's bytes: its own, or those of its slices."""
        entry = self.index.entry(name)
        return [part for _, part in self.slice_entries(name)] if entry.is_sliced else [entry]

    def read(self, name: str, region: TensorSlice | None = None, *, out: Array | None = None, verify: bool = True) -> Array:
        """A tensor, or a region of it.

        Args:
            name: The tensor's name.
            region: Which part; all of it when None.
            out: An array of the right dtype and shape to fill, instead of a new one.
            verify: Whether the bytes must match their checksum. Without it a region takes its own bytes, and what lies
                between them where that is little; but those of a doubtful data file (see `data_files`) are checked once.

        Raises:
            TensorNotFoundError: There is no such tensor.
            DataLossError: The bytes are not those that were written, or some are missing.
            CheckpointReplacedError: They are those of another checkpoint that has the name now.
            InvalidArgumentError: The region leaves the tensor, or is not wholly stored.
            ShapeMismatchError: `out` has another shape.
        """
        try:
            entry = self.index.entry(name)
            resolved = (region or TensorSlice.full(len(entry.shape))).resolve(entry.shape, repr(name))
            if not entry.is_sliced:
                with self.located(entry):
                    file = self.data_file(entry)
                    out = _array_for(out, name, entry, resolved)
                    self._fill(file, entry, resolved, out, verify)
                return out
            parts = self.slice_entries(name)
            slices = TensorSliceSet(name, entry.shape, [stored for stored, _ in parts])
            for number, _ in slices.plan(resolved):
                self.check_present(parts[number][1])
            out = _array_for(out, name, entry, resolved)
            slices.assemble(resolved, out, lambda number, part, out: self._fill_slice(parts[number][1], part, out, verify))
        except DataLossError as error:
            error.add_context(f"tensor {name!r}")
            raise
        return out

    def _fill_slice(self, entry: BundleEntry, region: TensorSlice, out: Array, verify: bool) -> None:
        with self.located(entry):
            self._fill(self.data_file(entry), entry, region, out, verify)

    def _fill(
        self, file: file_io.RandomAccessFile, entry: BundleEntry, region: TensorSlice, out: Array, verify: bool
    ) -> None:
        verify = verify or self.is_doubtful(entry)
        stored_bytes.fill(file, entry, self.header.byte_order, region, out, verify=verify)
        if verify and self._files.has_doubts:
            self.prove(entry)

    def verify_tensor(
        self, name: str, on_damage: OnDamage = raise_damage, *, with_doubt: bool = False
    ) -> Iterator[int]:
        """Reads all bytes of a tensor and checks them, in bounded memory; yields how many were read, piece by piece.

        Args:
            name: The tensor's name.
            on_damage: Called with what is wrong with the tensor, or with each slice of it.
            with_doubt: Whether what is wrong also says what is odd about its file; see `located`.

        Raises:
            CheckpointReplacedError: Another checkpoint has the name now.
        """
        if slices := self.slice_entries(name):
            # Overlapping slices are found by who puts them together.
            TensorSliceSet(name, self.entry(name).shape, [stored for stored, _ in slices])
        for entry in self.stored_entries(name):
            try:
                yield from self.verify_entry(entry, with_doubt=with_doubt)
            except (DataLossError, CheckpointNotFoundError) as error:
                on_damage(error)

    def verify_entry(self, entry: BundleEntry, *, with_doubt: bool = False) -> Iterator[int]:
        """The same for the bytes of one entry; the first thing that is wrong is raised."""
        with self.located(entry, with_doubt=with_doubt):
            file = self.data_file(entry)
            if entry.dtype.has_fixed_size:
                yield from stored_bytes.verified(file, entry)
            else:
                stored_bytes.elements(file, entry, self.header.byte_order)
                yield entry.size
        self.prove(entry)

    def verify_index(self, on_damage: OnDamage = raise_damage) -> list[str]:
        """Reads every byte of the index, those included that nothing depends on; returns the names that can be read.

        Args:
            on_damage: Called with each damaged block. If it returns, the names in the other blocks are found all the same.
        """
        return self.index.verify(on_damage)

    def data_path(self, shard_id: int) -> str:
        """The file of a shard."""
        return self._files.path(shard_id)

    def missing_shard(self, shard_id: int) -> SaverError:
        """The error for a data file that is not there."""
        return self._files.missing(shard_id)

    def check_not_replaced(self) -> None:
        """Checks, when something else has gone wrong, whether that is why.

        Raises:
            CheckpointReplacedError: Another checkpoint has the name now.
        """
        self._files.check_not_replaced()

    def check_present(self, entry: BundleEntry) -> None:
        """Checks that the file holds the bytes that an entry promises: before an array is made for them.

        Raises:
            TruncatedError: It ends before.
            CheckpointNotFoundError: There is no such file.
            CheckpointReplacedError: It is another checkpoint's.
        """
        with self.located(entry):
            self.data_file(entry)

    def data_file(self, entry: BundleEntry) -> file_io.RandomAccessFile:
        """The open file in which an entry's bytes lie, all of them; raises as `check_present`."""
        file = self._files.of(entry)
        self.index.promised.check(entry.shard_id, file)
        return file

    def check_crc(self, entry: BundleEntry, crc: int) -> None:
        """Compares the checksum of a tensor's bytes with the one that the index has.

        Raises:
            ChecksumError: They differ.
        """
        stored_bytes.check_crc(entry, crc, self.data_path(entry.shard_id))

    @property
    def has_doubts(self) -> bool:
        """Whether there is anything to prove."""
        return self._files.has_doubts

    def is_doubtful(self, entry: BundleEntry) -> bool:
        """Whether nothing but its checksum, which nobody has compared yet, says that an entry's bytes are this bundle's."""
        return self._files.is_doubtful(entry) and (entry.shard_id, entry.offset) not in self._proven

    def prove(self, entry: BundleEntry) -> None:
        """Notes that the checksum of an entry's bytes has fitted."""
        if self._files.is_doubtful(entry):
            self._proven.add((entry.shard_id, entry.offset))

    @contextlib.contextmanager
    def located(self, entry: BundleEntry, *, with_doubt: bool = True) -> Iterator[None]:
        """Says of every DataLossError in the block that it is about an entry's bytes, and how it may have come about.

        Args:
            entry: The entry.
            with_doubt: Whether it also says what is odd about a doubtful file.

        Raises:
            CheckpointReplacedError: Bytes are wrong because they are another checkpoint's.
        """
        try:
            yield
        except DataLossError as error:
            if error.path is None:
                error.path, error.offset, error.size = self.data_path(entry.shard_id), entry.offset, entry.size
            self._files.check_not_replaced()
            if with_doubt and self.is_doubtful(entry):
                error.add_context(self._files.doubt(entry.shard_id))
            raise

    def close(self) -> None:
        """Closes the files; nothing can be read afterwards."""
        self.index.close()
        self._files.close()

    def __enter__(self) -> BundleReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _array_for(out: Array | None, name: str, entry: BundleEntry, region: TensorSlice) -> Array:
    if out is None:
        return np.empty(region.shape, entry.dtype.numpy)
    return out_array.checked(out, name, region.shape, entry.dtype)
