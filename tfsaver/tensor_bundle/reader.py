"""Reads a bundle: the index by look-ups, tensors by streaming their bytes through the checksum into an array.

Nothing is allocated for a tensor before its entry agrees with itself and with the size of its data file. A region of a
tensor is filled from the pieces that meet it; the checksum can only be checked over all of the tensor's bytes, so these
are all read unless the caller gives the check up.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import numpy as np

from tfsaver.errors import (
    CheckpointNotFoundError,
    ChecksumError,
    DataLossError,
    InvalidArgumentError,
    SaverError,
    TensorNotFoundError,
    TruncatedError,
    UnimplementedError,
    nearest_names,
)
from tfsaver.framework import array_chunks, dtypes, tensor_slice
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import StoredPiece, TensorInfo
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet
from tfsaver.lib import crc32c, file_io
from tfsaver.table.table import OnDamage, Table, raise_damage
from tfsaver.tensor_bundle import naming, out_array, region_pieces, strings, variants
from tfsaver.tensor_bundle.entry import BundleEntry, decode_entry
from tfsaver.tensor_bundle.header import HEADER_KEY, BundleHeader, decode_header

Array = np.ndarray[Any, Any]


# Some 400 bytes each.
_NUM_KEPT_ENTRIES = 1 << 14


class BundleReader:
    """An open V2 checkpoint. Several threads may read from it at once.

    Args:
        prefix: The checkpoint's path without suffix.

    Raises:
        CheckpointNotFoundError: There is no index of that prefix.
        DataLossError: The index is no table, or its header is damaged.
        UnimplementedError: It was written for newer readers.
    """

    def __init__(self, prefix: file_io.PathLike) -> None:
        self.prefix = file_io.as_path(prefix)
        self._index_path = naming.index_path(self.prefix)
        try:
            self._index_file = file_io.open_for_reading(self._index_path)
        except (FileNotFoundError, NotADirectoryError):
            raise CheckpointNotFoundError(self.prefix, looked_for=[self._index_path]) from None
        self._data_files: dict[int, file_io.RandomAccessFile] = {}
        self._data_paths: dict[int, str] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        # A tensor's slices lie side by side in the index: its entry need not be parsed for each of them.
        self._slices_in = functools.lru_cache(4)(_slices_in)
        # A tensor is asked about several times: whether it fits, where it is, what its bytes are.
        self._entries: dict[str, BundleEntry] = {}
        try:
            self._table = self._open_table(self._index_file)
            self.header = self._read_header()
        except BaseException:
            self.close()
            raise

    def _open_table(self, index: file_io.RandomAccessFile) -> Table:
        return Table(index)

    def _read_header(self) -> BundleHeader:
        return decode_header(self._table.get(HEADER_KEY), self._index_path)

    @property
    def paths(self) -> list[str]:
        """The index and the data files, whether they are there or not."""
        return [self._index_path, *map(self.data_path, range(self.header.num_shards))]

    @functools.cached_property
    def names(self) -> list[str]:
        """The tensors' names in the order of their keys; a partitioned tensor's slices are not among them.

        Raises:
            DataLossError: A part of the index is damaged.
        """
        return self._names(raise_damage)

    def _names(self, on_damage: OnDamage) -> list[str]:
        keys = [key for key, _ in self._table.items(on_damage) if key != HEADER_KEY]
        return [key.decode("utf-8", "surrogateescape") for key in keys if not self._is_slice_key(key)]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or not name:
            return False
        key = _as_key(name)
        return bool(key) and self._table.get(key) is not None and not self._is_slice_key(key)

    def entry(self, name: str) -> BundleEntry:
        """What the index says of a tensor, without reading its bytes.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
        """
        entry = self._entries.get(name)
        if entry is None:
            key = _as_key(name)
            value = self._table.get(key) if key else None
            if value is None:
                raise TensorNotFoundError(name, checkpoint=self.prefix, near=nearest_names(name, self.names))
            entry = decode_entry(value, f"entry of {name!r} in {self._index_path}")
            if len(self._entries) < _NUM_KEPT_ENTRIES:
                self._entries[name] = entry
        return entry

    def dtype_and_shape(self, name: str) -> tuple[DType, Shape]:
        """A tensor's type and full shape."""
        entry = self.entry(name)
        return entry.dtype, entry.shape

    def info(self, name: str) -> TensorInfo:
        """What the index says of a tensor, in the form that both formats share."""
        entry = self.entry(name)
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
        full = self.entry(name)
        return [(stored, self._slice_entry(name, full, stored)) for stored in full.slices]

    def _slice_entry(self, name: str, full: BundleEntry, stored: TensorSlice) -> BundleEntry:
        what = f"entry of {name!r} {stored} in {self._index_path}"
        value = self._table.get(tensor_slice.encode_key(_as_key(name), stored))
        if value is None:
            raise DataLossError(f"{what}: listed as a slice, but missing")
        part = decode_entry(value, what)
        if part.is_sliced or part.dtype is not full.dtype or part.shape != stored.resolve(full.shape, what).shape:
            raise DataLossError(f"{what}: {part.dtype} of shape {list(part.shape)} is not that slice of the tensor")
        return part

    def stored_entries(self, name: str) -> list[BundleEntry]:
        """The entries that point at a tensor's bytes: its own, or those of its slices."""
        entry = self.entry(name)
        return [part for _, part in self.slice_entries(name)] if entry.is_sliced else [entry]

    def read(self, name: str, region: TensorSlice | None = None, *, out: Array | None = None, verify: bool = True) -> Array:
        """A tensor, or a region of it.

        Args:
            name: The tensor's name.
            region: Which part; all of it when None.
            out: An array of the right dtype and shape to fill, instead of a new one.
            verify: Whether the bytes must match their checksum. Without it a region takes its own bytes, and
                what lies between them where that is little.

        Raises:
            TensorNotFoundError: There is no such tensor.
            DataLossError: The bytes are not those that were written, or some are missing.
            InvalidArgumentError: The region leaves the tensor, or is not wholly stored.
            ShapeMismatchError: `out` has another shape.
        """
        try:
            entry = self.entry(name)
            resolved = (region or TensorSlice.full(len(entry.shape))).resolve(entry.shape, repr(name))
            if not entry.is_sliced:
                self.check_present(entry)
                out = _array_for(out, name, entry, resolved)
                self._fill(entry, resolved, out, verify)
                return out
            parts = self.slice_entries(name)
            slices = TensorSliceSet(name, entry.shape, [stored for stored, _ in parts])
            for number, _ in slices.plan(resolved):
                self.check_present(parts[number][1])
            out = _array_for(out, name, entry, resolved)
            slices.assemble(resolved, out, lambda number, part, target: self._fill(parts[number][1], part, target, verify))
        except DataLossError as error:
            error.add_context(f"tensor {name!r}")
            raise
        return out

    def verify_tensor(self, name: str, on_damage: OnDamage = raise_damage) -> Iterator[int]:
        """Reads all bytes of a tensor and checks them, in bounded memory; yields how many were read, piece by piece.

        Args:
            name: The tensor's name.
            on_damage: Called with what is wrong with the tensor, or with each slice of it.
        """
        if slices := self.slice_entries(name):
            # Overlapping slices are found by who puts them together.
            TensorSliceSet(name, self.entry(name).shape, [stored for stored, _ in slices])
        for entry in self.stored_entries(name):
            try:
                if entry.dtype.has_fixed_size:
                    with self.located(entry):
                        yield from self._verify_fixed_size(entry)
                else:
                    self._read_elements(entry)
                    yield entry.size
            except (DataLossError, CheckpointNotFoundError) as error:
                on_damage(error)

    def verify_index(self, on_damage: OnDamage = raise_damage) -> list[str]:
        """Reads every byte of the index, those included that nothing depends on; returns the names that can be read.

        Args:
            on_damage: Called with each damaged block. If it returns, the names in the other blocks are found all the same.
        """
        names = self._names(on_damage)
        self._table.verify_unread_bytes(on_damage)
        return names

    def close(self) -> None:
        """Closes the files; nothing can be read afterwards."""
        self._index_file.close()
        with self._lock:
            self._is_closed = True
            for file in self._data_files.values():
                file.close()
            self._data_files.clear()

    def __enter__(self) -> BundleReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _is_slice_key(self, key: bytes) -> bool:
        # A name may begin with a zero byte too: a slice is what the entry of its tensor lists as one.
        if not key.startswith(b"\0"):
            return False
        try:
            name, stored = tensor_slice.decode_key(key)
        except DataLossError:
            return False
        try:
            value = self._table.get(name)
        except DataLossError:
            # The tensor's own entry is in a damaged block.
            return True
        try:
            return value is not None and bool(name) and stored in self._slices_in(value)
        except SaverError:
            return False

    def missing_shard(self, shard_id: int) -> CheckpointNotFoundError:
        """The error for a data file that is not there."""
        found = f"the index is there, its data shard {shard_id} is not"
        return CheckpointNotFoundError(self.prefix, looked_for=[self.data_path(shard_id)], found=found)

    def data_path(self, shard_id: int) -> str:
        """The file of a shard."""
        path = self._data_paths.get(shard_id)
        if path is None:
            path = self._data_paths[shard_id] = naming.data_path(self.prefix, shard_id, self.header.num_shards)
        return path

    def check_present(self, entry: BundleEntry) -> None:
        """Checks that the file holds the bytes that an entry promises: before an array is made for them.

        Raises:
            TruncatedError: It ends before.
            CheckpointNotFoundError: There is no such file.
        """
        with self.located(entry):
            self.data_file(entry)

    def data_file(self, entry: BundleEntry) -> file_io.RandomAccessFile:
        """The open file in which an entry's bytes lie, all of them."""
        with self._lock:
            if self._is_closed:
                raise InvalidArgumentError(f"{self.prefix} is closed")
            file = self._data_files.get(entry.shard_id)
            if file is None:
                path = self.data_path(entry.shard_id)
                try:
                    file = file_io.open_for_reading(path)
                except FileNotFoundError:
                    raise self.missing_shard(entry.shard_id) from None
                self._data_files[entry.shard_id] = file
        if entry.offset + entry.size > file.size:
            raise TruncatedError(
                f"{entry.size} bytes at {entry.offset} of {file.path}",
                wanted=entry.size,
                available=max(0, file.size - entry.offset),
            )
        return file

    def located(self, entry: BundleEntry) -> AbstractContextManager[None]:
        """Says of every DataLossError in the block that it is about an entry's bytes."""
        return DataLossError.located(self.data_path(entry.shard_id), entry.offset, entry.size)

    def _fill(self, entry: BundleEntry, region: TensorSlice, out: Array, verify: bool) -> None:
        if entry.dtype.has_fixed_size:
            with self.located(entry):
                self._fill_fixed_size(entry, region, out, verify)
        else:
            elements = np.empty(num_elements(entry.shape), object)
            elements[:] = self._read_elements(entry)
            out[...] = elements.reshape(entry.shape)[region.indices]

    def _fill_fixed_size(self, entry: BundleEntry, region: TensorSlice, out: Array, verify: bool) -> None:
        crc = 0
        file = self.data_file(entry)
        if region.shape == entry.shape and out.flags.c_contiguous:
            crc = self._read_into(file, entry.offset, out.reshape(-1).view(np.uint8), crc)
            self._as_numpy(entry, out.reshape(-1).view(np.uint8))
        else:
            buffer = np.empty(min(entry.size, region_pieces.MAX_PIECE_SIZE), np.uint8)
            for piece in region_pieces.iterate_pieces(entry.shape, entry.dtype, region, only_wanted=not verify):
                raw = buffer[: piece.size]
                crc = self._read_into(file, entry.offset + piece.offset, raw, crc)
                if piece.is_wanted:
                    self._as_numpy(entry, raw)
                    out[piece.target] = raw.view(entry.dtype.numpy).reshape(piece.shape)[piece.source]
        if verify:
            self.check_crc(entry, crc)

    def _read_into(self, file: file_io.RandomAccessFile, offset: int, raw: Array, crc: int) -> int:
        """Fills a uint8 array from the file; returns the checksum extended by its bytes."""
        for start in range(0, len(raw), array_chunks.CHUNK_SIZE):
            chunk = raw[start : start + array_chunks.CHUNK_SIZE].data
            count = file.readinto(offset + start, chunk)
            if count != len(chunk):
                raise TruncatedError(f"bytes at {offset + start} of {file.path}", wanted=len(chunk), available=count)
            crc = crc32c.extend(crc, chunk)
        return crc

    def _as_numpy(self, entry: BundleEntry, raw: Array) -> None:
        """Makes a file's bytes what numpy expects, in place."""
        if self.header.byte_order != sys.byteorder:
            array_chunks.swap_bytes(raw, entry.dtype)
        entry.dtype.unpacked_bits(raw)

    def _verify_fixed_size(self, entry: BundleEntry) -> Iterator[int]:
        file = self.data_file(entry)
        buffer = np.empty(min(entry.size, array_chunks.CHUNK_SIZE), np.uint8)
        crc = 0
        for start in range(0, entry.size, array_chunks.CHUNK_SIZE):
            raw = buffer[: min(array_chunks.CHUNK_SIZE, entry.size - start)]
            crc = self._read_into(file, entry.offset + start, raw, crc)
            yield len(raw)
        self.check_crc(entry, crc)

    def _read_elements(self, entry: BundleEntry) -> list[bytes]:
        with self.located(entry):
            return self._decode_elements(entry, self.data_file(entry))

    def _decode_elements(self, entry: BundleEntry, file: file_io.RandomAccessFile) -> list[bytes]:
        data = memoryview(file_io.read_exactly(file, entry.offset, entry.size, str(entry.dtype)))
        count = num_elements(entry.shape)
        elements: list[bytes]
        try:
            if entry.dtype is dtypes.STRING:
                elements, crc = strings.decode(data, count, self.header.byte_order)
            elif entry.dtype is dtypes.VARIANT:
                if self.header.byte_order != "little":
                    raise UnimplementedError(f"{self.prefix}: variants in a big-endian bundle have no defined form")
                decoded, crc = variants.decode(data, count)
                elements = list(decoded)
            else:
                raise UnimplementedError(f"{self.prefix}: {entry.dtype} tensors cannot be stored, and cannot be read")
        except DataLossError as error:
            error.add_context(f"bytes {entry.offset} to {entry.offset + entry.size} of {file.path}")
            raise
        self.check_crc(entry, crc)
        return elements

    def check_crc(self, entry: BundleEntry, crc: int) -> None:
        """Compares the checksum of a tensor's bytes with the one that the index has.

        Raises:
            ChecksumError: They differ.
        """
        stored = crc32c.unmask(entry.crc32c)
        if stored != crc:
            what = f"bytes {entry.offset} to {entry.offset + entry.size} of {self.data_path(entry.shard_id)}"
            raise ChecksumError(what, stored=stored, computed=crc)


def _array_for(out: Array | None, name: str, entry: BundleEntry, region: TensorSlice) -> Array:
    if out is None:
        return np.empty(region.shape, entry.dtype.numpy)
    return out_array.checked(out, name, region.shape, entry.dtype)


def _as_key(name: str) -> bytes:
    """The key of a name; the empty one, which is no tensor's, for a text that has no UTF-8 form."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return b""


def _slices_in(value: bytes) -> frozenset[TensorSlice]:
    """The slices that an entry lists."""
    return frozenset(decode_entry(value, "entry").slices)
