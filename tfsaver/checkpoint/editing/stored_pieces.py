"""The bytes of a V2 checkpoint's tensors, streamed: from the file, through the checksum, to whoever edits them.

What `BundleReader.read` does in one array this does in pieces. The checksum covers all of them: that they are damaged is
known after the last one, which is early enough for a writer that makes nothing visible before its end.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfsaver.errors import ChecksumError, DataLossError, InvalidArgumentError, TruncatedError
from tfsaver.framework import array_chunks
from tfsaver.framework.tensor_shape import num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import crc32c, file_io
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.reader import BundleReader

Array = np.ndarray[Any, Any]


class StoredPieces:
    """Streams tensors of fixed-size types from an open bundle.

    Args:
        bundle: The checkpoint; stays the caller's to close.
        piece_elements: Elements of each piece but the last.
    """

    def __init__(self, bundle: BundleReader, piece_elements: int) -> None:
        self._bundle = bundle
        self._piece_elements = piece_elements
        self._files: dict[int, file_io.RandomAccessFile] = {}
        # The slices of one tensor are asked for one after the other.
        self._slice_entries = functools.lru_cache(1)(lambda name: dict(bundle.slice_entries(name)))

    def iterate(self, name: str, stored: TensorSlice | None) -> Iterator[Array]:
        """The pieces of a whole tensor, or of one of its slices; all in the same memory.

        Raises:
            TensorNotFoundError: There is no such tensor.
            DataLossError: The bytes are not those that were written, or some are missing.
            InvalidArgumentError: The tensor is not stored in that slice.
        """
        try:
            if stored is None:
                entry = self._bundle.entry(name)
            elif (found := self._slice_entries(name).get(stored)) is not None:
                entry = found
            else:
                raise InvalidArgumentError(f"{name!r} is not stored in a slice {stored}")
            with DataLossError.located(self._bundle.data_path(entry.shard_id), entry.offset, entry.size):
                yield from self._iterate(entry)
        except DataLossError as error:
            error.add_context(f"tensor {name!r}")
            raise

    def _iterate(self, entry: BundleEntry) -> Iterator[Array]:
        file = self._file(entry)
        what = f"bytes {entry.offset} to {entry.offset + entry.size} of {file.path}"
        if entry.offset + entry.size > file.size:
            raise TruncatedError(what, wanted=entry.size, available=max(0, file.size - entry.offset))
        count = num_elements(entry.shape)
        buffer = np.empty(min(count, self._piece_elements) * entry.dtype.size, np.uint8)
        crc = done = 0
        while done < entry.size:
            raw = buffer[: entry.size - done]
            for start in range(0, len(raw), array_chunks.CHUNK_SIZE):
                chunk = raw[start : start + array_chunks.CHUNK_SIZE].data
                available = file.readinto(entry.offset + done + start, chunk)
                if available != len(chunk):
                    raise TruncatedError(what, wanted=len(chunk), available=available)
                crc = crc32c.extend(crc, chunk)
            done += len(raw)
            if self._bundle.header.byte_order != sys.byteorder:
                array_chunks.swap_bytes(raw, entry.dtype)
            entry.dtype.unpacked_bits(raw)
            if done == entry.size:
                self._check(entry, what, crc)
            yield raw.view(entry.dtype.numpy)
        if not entry.size:
            self._check(entry, what, crc)

    def _check(self, entry: BundleEntry, what: str, crc: int) -> None:
        stored = crc32c.unmask(entry.crc32c)
        if stored != crc:
            raise ChecksumError(what, stored=stored, computed=crc)

    def _file(self, entry: BundleEntry) -> file_io.RandomAccessFile:
        file = self._files.get(entry.shard_id)
        if file is None:
            try:
                file = file_io.open_for_reading(self._bundle.data_path(entry.shard_id))
            except FileNotFoundError:
                raise self._bundle.missing_shard(entry.shard_id) from None
            self._files[entry.shard_id] = file
        return file

    def close(self) -> None:
        """Closes the data files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
