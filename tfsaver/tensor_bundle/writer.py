"""Writes a bundle: data files as tensors come, the index at the end.

Everything goes to temporary names. Once all of it is written, `finish` has it appear in one step (see `placement`): until
then there is no checkpoint of that prefix, or the old one. A block left by an error removes what it wrote.

The bytes are those that TensorFlow writes for the same tensors in the same order: no padding, entries in key order, the
index uncompressed. Tensors are hashed and written piece by piece; beyond the caller's arrays the writer keeps one piece
and the entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, TypeAlias

import numpy as np

from tfsaver.errors import DuplicateKeyError, InvalidArgumentError, ShapeMismatchError, UnimplementedError
from tfsaver.framework import array_chunks, dtypes, tensor_slice, tensor_util
from tfsaver.framework.dtypes import DType
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import crc32c, file_io
from tfsaver.lib.descriptor_limit import check_descriptors
from tfsaver.lib.file_io import Buffer, WritableFile
from tfsaver.lib.free_space import check_free_space
from tfsaver.lib.gathered_file import GatheredFile
from tfsaver.lib.overlapped_file import OverlappedFile
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.lib.workers import num_usable_cores
from tfsaver.tensor_bundle import naming, strings, variants
from tfsaver.tensor_bundle.cleaning import clean_directory
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.header import BundleHeader
from tfsaver.tensor_bundle.mapped_writes import mapped_writes
from tfsaver.tensor_bundle.placement import FileNames, file_names, place_bundle

Writes: TypeAlias = Literal["direct", "gathered", "overlapped"]


class _Shard:
    """One data file while it is written."""

    def __init__(self, path: str, writes: Writes, helps: bool, durable: bool, exclusive: bool) -> None:
        self.path = path
        self._held = file_io.open_temporary(path, durable=durable, exclusive=exclusive)
        self.temporary = self._held.path
        self.file: WritableFile | GatheredFile = self._held
        if writes == "gathered":
            self.file = GatheredFile(self._held)
        elif writes == "overlapped":
            self.file = OverlappedFile(self._held, mapped_writes(self._held) if helps else None)
        self.offset = 0

    def append(self, data: Buffer) -> None:
        self.file.append(data)
        self.offset += memoryview(data).nbytes

    def complete(self, durable: bool) -> None:
        """Waits until all is written, on the disk if asked for, and closes the file."""
        self.drain()
        if durable:
            self.file.sync()
        self.file.close()

    def drain(self) -> None:
        """Waits until what was appended is written and no longer needed."""
        if isinstance(self.file, GatheredFile):
            self.file.drain()

    def discard(self) -> None:
        """Removes the file, unless it has its name by now."""
        self.file.discard()
        self.release()

    def release(self) -> None:
        """Says that the file is nobody's who is writing."""
        self._held.release()


class BundleWriter:
    """Writes a V2 checkpoint; use it in a `with` block.

    Args:
        prefix: The checkpoint's path without suffix. The directory it is in is made if its parent exists.
        num_shards: How many data files there are.
        byte_order: ``little`` or ``big``; every reader takes both, and little is what all machines of today want.
        durable: Whether `finish` returns only once disks have the bytes.
        writes: ``direct``: what was added may change as soon as `add` returns. Otherwise it is borrowed, and must not change
            before `finish` has returned: ``gathered``, in calls of some megabytes; ``overlapped``, these by a thread for
            each data file while the next tensors are prepared.
        expected_size: How many bytes will be added, as far as that is known: the disk must have room for them.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        InvalidArgumentError: An argument is out of its range, or this process may not open so many data files.
        WriteError: The directory is not there, or the system does not let anything be written to it.
        NoSpaceError: The disk has no room for `expected_size` bytes more.

    Example:
        >>> with BundleWriter("/tmp/model") as writer:  # doctest: +SKIP
        ...     writer.add("dense/kernel", np.zeros((3, 4), np.float32))
    """

    # Whether data that another writer has put into a store under the same names meanwhile are an error.
    _is_exclusive = True

    @takes_storage_options("prefix")
    def __init__(
        self,
        prefix: file_io.PathLike,
        *,
        num_shards: int = 1,
        byte_order: Literal["little", "big"] = "little",
        durable: bool = True,
        writes: Writes = "direct",
        expected_size: int = 0,
        storage_options: StorageOptions | None = None,
        fs: OpenFileSystem | None = None,
    ) -> None:
        if num_shards < 1:
            raise InvalidArgumentError(f"num_shards is {num_shards}, at least 1 is needed")
        if byte_order not in ("little", "big"):
            raise InvalidArgumentError(f"byte_order is {byte_order!r}, 'little' or 'big' is needed")
        self.prefix = file_io.as_path(prefix)
        self._header = BundleHeader(num_shards, byte_order)
        self._names = self._file_names()
        self._durable = durable
        self._entries: dict[bytes, BundleEntry] = {}
        self._finished = False
        self._shards: list[_Shard] = []
        self._made_directories: list[str] = []
        if not file_io.is_remote(self.prefix):
            check_descriptors(self.prefix, num_shards)
        directory = file_io.split(self.prefix)[0]
        try:
            self._made_directories = _make_last_directory(directory, durable)
            if not self._made_directories:
                clean_directory(directory)
            if not file_io.is_remote(self.prefix):
                check_free_space(self.prefix, expected_size)
            for shard_id in range(num_shards):
                path = self._data_path(shard_id)
                # A core for each file's thread, and one for the caller.
                self._shards.append(_Shard(path, writes, num_shards < num_usable_cores(), durable, self._is_exclusive))
        except BaseException:
            self.discard()
            raise

    def add(self, name: str | bytes, value: Any, *, shard_id: int = 0) -> None:
        """Appends a tensor.

        Args:
            name: Any text but the empty one.
            value: An array or what numpy makes one of; strings as str or bytes, variants as `Variant`.
            shard_id: The data file it goes to.

        Raises:
            DuplicateKeyError: A tensor of that name was added before.
            UnimplementedError: A type that no checkpoint can hold.
        """
        key = self._new_key(name)
        array, dtype = tensor_util.as_tensor(value, str(name))
        self._entries[key] = self._write_tensor(array, dtype, shard_id)

    def add_slice(
        self, name: str | bytes, full_shape: Sequence[int], region: Region, value: Any, *, shard_id: int = 0
    ) -> None:
        """Appends one slice of a partitioned tensor; a slice that is the whole tensor is stored as such.

        Args:
            name: The whole tensor's name, the same for all its slices.
            full_shape: The whole tensor's shape, the same for all its slices.
            region: Which part `value` is: a TensorSlice, or as in ``np.s_[0:1000]``.
            value: An array of the slice's shape.
            shard_id: The data file it goes to.

        Raises:
            ShapeMismatchError: `value` has not the slice's shape, or another slice had another full shape.
            DuplicateKeyError: That slice, or a whole tensor of that name, was added before.
            InvalidArgumentError: The slice leaves the shape, or another slice had another dtype.
        """
        full_shape = tuple(full_shape)
        stored, _ = as_tensor_slice(region, full_shape, str(name))
        resolved = stored.resolve(full_shape, repr(name))
        array, dtype = tensor_util.as_tensor(value, str(name))
        if array.shape != resolved.shape:
            raise ShapeMismatchError(f"{name!s} {stored}", expected=resolved.shape, actual=array.shape)
        if resolved.shape == full_shape:
            self.add(name, value, shard_id=shard_id)
            return
        self._add_slice(name, dtype, full_shape, stored, shard_id, lambda: self._write_tensor(array, dtype, shard_id))

    def add_pieces(
        self,
        name: str | bytes,
        dtype: DType,
        shape: Sequence[int],
        pieces: Iterable[np.ndarray[Any, Any]],
        *,
        region: Region | None = None,
        shard_id: int = 0,
    ) -> None:
        """Appends a tensor, or one slice of it, that comes in pieces: nobody needs to hold all of it.

        Args:
            name: The whole tensor's name.
            dtype: Its type, one whose elements all have the same size.
            shape: The whole tensor's shape.
            pieces: Arrays whose elements, in C order and one array after the other, are those of what is added. Each is
                written before the next one is asked for.
            region: Which part of the tensor they are, as for `add_slice`; all of it when None.
            shard_id: The data file it goes to.

        Raises:
            ShapeMismatchError: The pieces have fewer or more elements, or another slice had another full shape.
            DuplicateKeyError: The tensor, or that slice of it, was added before.
            InvalidArgumentError: A piece, or another slice, has another dtype; or the slice leaves the shape.
            UnimplementedError: Elements of that type differ in size: such a tensor goes to `add`, whole.
        """
        shape = tuple(shape)
        if not dtype.has_fixed_size:
            raise UnimplementedError(f"{name!r}: {dtype} comes whole, not in pieces")
        stored = TensorSlice.full(len(shape)) if region is None else as_tensor_slice(region, shape, str(name))[0]
        part = stored.resolve(shape, repr(name)).shape

        def write() -> BundleEntry:
            return self._write(dtype, part, shard_id, lambda shard: self._append_pieces(shard, name, dtype, part, pieces))

        if part == shape:
            key = self._new_key(name)
            self._entries[key] = write()
        else:
            self._add_slice(name, dtype, shape, stored, shard_id, write)

    def _add_slice(
        self,
        name: str | bytes,
        dtype: DType,
        full_shape: Shape,
        stored: TensorSlice,
        shard_id: int,
        write: Callable[[], BundleEntry],
    ) -> None:
        """Notes a slice that is not the whole tensor; `write` appends its bytes once it is known to fit the others."""
        key = _as_key(name)
        full = self._entries.get(key) or BundleEntry(dtype, full_shape, shard_id)
        if key in self._entries and not full.is_sliced:
            raise DuplicateKeyError(str(name), prefix=self.prefix)
        if full.shape != full_shape:
            raise ShapeMismatchError(str(name), expected=full.shape, actual=full_shape)
        if full.dtype is not dtype:
            raise InvalidArgumentError(f"{name!r}: a slice of {dtype} beside slices of {full.dtype}")
        slice_key = self._new_key(tensor_slice.encode_key(key, stored), what=f"{name!s} {stored}")
        self._entries[slice_key] = write()
        # Of a tensor that has no bytes of its own the number is that of the shard with its first slice.
        self._entries[key] = BundleEntry(dtype, full_shape, full.shard_id, slices=(*full.slices, stored))

    def finish(self) -> str:
        """Makes the checkpoint visible, all of it at once; returns the prefix. Nothing can be added afterwards."""
        self._check_unfinished()
        try:
            for shard in self._shards:
                shard.complete(self._durable)
            self._place([shard.temporary for shard in self._shards])
        except BaseException:
            self.discard()
            raise
        for shard in self._shards:
            shard.release()
        self._finished = True
        return self.prefix

    def _file_names(self) -> FileNames:
        return file_names(self.prefix, self._header.num_shards)

    def _data_path(self, shard_id: int) -> str:
        """The name that a data file gets."""
        return naming.data_path(self.prefix, shard_id, self._names.num_shards)

    def _place(self, data_paths: list[str]) -> None:
        """Makes what was written visible; the data files are whole."""
        entries = [(key, self._entries[key].encode()) for key in sorted(self._entries)]
        place_bundle(self.prefix, data_paths, self._header, entries, durable=self._durable, names=self._names)

    def discard(self) -> None:
        """Removes what was written so far; the prefix is then as it was."""
        for shard in self._shards:
            shard.discard()
        file_io.remove_directories(self._made_directories)

    def __enter__(self) -> BundleWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.discard()
        elif not self._finished:
            self.finish()

    def _check_unfinished(self) -> None:
        if self._finished:
            raise InvalidArgumentError(f"{self.prefix!r} is finished already")

    def _new_key(self, name: str | bytes, what: str | None = None) -> bytes:
        self._check_unfinished()
        key = _as_key(name)
        if not key:
            raise InvalidArgumentError(f"a tensor in {self.prefix!r} has the empty name, which is the header's key")
        if key in self._entries:
            raise DuplicateKeyError(what or str(name), prefix=self.prefix)
        return key

    def _write_tensor(self, array: np.ndarray[Any, Any], dtype: DType, shard_id: int) -> BundleEntry:
        return self._write(dtype, array.shape, shard_id, lambda shard: self._append_elements(shard, array, dtype))

    def _write(self, dtype: DType, shape: Shape, shard_id: int, append: Callable[[_Shard], int]) -> BundleEntry:
        """Where the bytes lie that `append` puts at the end of a shard; it returns their checksum."""
        if not 0 <= shard_id < self._header.num_shards:
            raise InvalidArgumentError(f"shard {shard_id} of {self.prefix!r}, which has {self._header.num_shards}")
        shard = self._shards[shard_id]
        offset = shard.offset
        crc = append(shard)
        return BundleEntry(dtype, shape, shard_id, offset, shard.offset - offset, crc32c.mask(crc))

    def _append_pieces(
        self, shard: _Shard, name: str | bytes, dtype: DType, shape: Shape, pieces: Iterable[np.ndarray[Any, Any]]
    ) -> int:
        crc = count = 0
        for piece in pieces:
            if dtypes.from_numpy(piece.dtype) is not dtype:
                raise InvalidArgumentError(f"{name!r}: a piece of {piece.dtype} of a tensor of {dtype}")
            count += piece.size
            for chunk in array_chunks.iterate_chunks(piece, dtype, self._header.byte_order):
                crc = crc32c.extend(crc, chunk)
                shard.append(chunk)
            # Whoever makes the pieces may make the next in the memory of this one.
            shard.drain()
        if count != num_elements(shape):
            raise ShapeMismatchError(f"{name!s}, in pieces", expected=shape, actual=(count,))
        return crc

    def _append_elements(self, shard: _Shard, array: np.ndarray[Any, Any], dtype: DType) -> int:
        crc = 0
        if dtype is dtypes.STRING:
            elements = array.reshape(-1).tolist()
            sizes, crc = strings.encode_sizes(elements, self._header.byte_order)
            shard.append(sizes)
            for data in _batched(elements):
                crc = crc32c.extend(crc, data)
                shard.append(data)
        elif dtype is dtypes.VARIANT:
            if self._header.byte_order != "little":
                raise UnimplementedError("variants have no form in a big-endian bundle")
            for data, crc in variants.encode(array.reshape(-1).tolist()):  # noqa: B007 - the last one is the tensor's
                shard.append(data)
        else:
            for chunk in array_chunks.iterate_chunks(array, dtype, self._header.byte_order):
                crc = crc32c.extend(crc, chunk)
                shard.append(chunk)
        return crc


def _make_last_directory(directory: str, durable: bool) -> list[str]:
    """Makes the directory a prefix is in, if its parent exists: one level, as TensorFlow does; returns it if it was made."""
    if not file_io.has_directories(directory):
        return []
    if directory and not file_io.exists(directory) and file_io.is_directory(file_io.split(directory)[0] or "."):
        return file_io.make_directory(directory, durable=durable)
    return []


def _as_key(name: str | bytes) -> bytes:
    try:
        return name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{name!r}: a tensor's name must have a UTF-8 form: {error}") from error


def _batched(elements: Iterable[bytes]) -> Iterable[bytes]:
    batch: list[bytes] = []
    size = 0
    for element in elements:
        batch.append(element)
        size += len(element)
        if size >= array_chunks.CHUNK_SIZE:
            yield b"".join(batch)
            batch, size = [], 0
    if batch:
        yield b"".join(batch)
