"""From the bytes of one entry to numpy, through the checksum.

Bytes are streamed: read into their place, hashed while they are in the cache, swapped and unpacked there. A region is
filled from the pieces that meet it; the checksum can only be checked over all of a tensor's bytes, so these are all read
unless the caller gives the check up.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from tfsaver.errors import ChecksumError, DataLossError, TruncatedError, UnimplementedError
from tfsaver.framework import array_chunks, dtypes
from tfsaver.framework.tensor_shape import num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import crc32c, file_io
from tfsaver.tensor_bundle import region_pieces, strings, variants
from tfsaver.tensor_bundle.entry import BundleEntry

Array: TypeAlias = "np.ndarray[Any, Any]"


def fill(
    file: file_io.RandomAccessFile, entry: BundleEntry, byte_order: str, region: TensorSlice, out: Array, *, verify: bool
) -> None:
    """Fills an array with a resolved region of an entry's tensor.

    Raises:
        DataLossError: With `verify`, the bytes are not those that were written; some are missing.
    """
    if not entry.dtype.has_fixed_size:
        values = np.empty(num_elements(entry.shape), object)
        values[:] = elements(file, entry, byte_order)
        out[...] = values.reshape(entry.shape)[region.indices]
        return
    crc = 0
    if region.shape == entry.shape and out.flags.c_contiguous:
        raw = out.reshape(-1).view(np.uint8)
        crc = _read_into(file, entry.offset, raw, crc)
        _as_numpy(entry, byte_order, raw)
    else:
        buffer = np.empty(min(entry.size, region_pieces.MAX_PIECE_SIZE), np.uint8)
        for piece in region_pieces.iterate_pieces(entry.shape, entry.dtype, region, only_wanted=not verify):
            raw = buffer[: piece.size]
            crc = _read_into(file, entry.offset + piece.offset, raw, crc)
            if piece.is_wanted:
                _as_numpy(entry, byte_order, raw)
                out[piece.target] = raw.view(entry.dtype.numpy).reshape(piece.shape)[piece.source]
    if verify:
        check_crc(entry, crc, file.path)


def verified(file: file_io.RandomAccessFile, entry: BundleEntry) -> Iterator[int]:
    """Reads the bytes of a fixed-size type in bounded memory and checks them; yields how many were read, piece by piece.

    Raises:
        DataLossError: They are not those that were written, or some are missing.
    """
    buffer = np.empty(min(entry.size, array_chunks.CHUNK_SIZE), np.uint8)
    crc = 0
    for start in range(0, entry.size, array_chunks.CHUNK_SIZE):
        raw = buffer[: min(array_chunks.CHUNK_SIZE, entry.size - start)]
        crc = _read_into(file, entry.offset + start, raw, crc)
        yield len(raw)
    check_crc(entry, crc, file.path)


def elements(file: file_io.RandomAccessFile, entry: BundleEntry, byte_order: str) -> list[bytes]:
    """The elements of a type whose elements differ in size; always checked.

    Raises:
        DataLossError: They are not those that were written, or some are missing.
        UnimplementedError: Nobody says what they look like.
    """
    data = memoryview(file_io.read_exactly(file, entry.offset, entry.size, str(entry.dtype)))
    count = num_elements(entry.shape)
    found: list[bytes]
    try:
        if entry.dtype is dtypes.STRING:
            found, crc = strings.decode(data, count, byte_order)
        elif entry.dtype is dtypes.VARIANT:
            if byte_order != "little":
                raise UnimplementedError(f"{file.path}: variants in a big-endian bundle have no defined form")
            decoded, crc = variants.decode(data, count)
            found = list(decoded)
        else:
            raise UnimplementedError(f"{file.path}: {entry.dtype} tensors cannot be stored, and cannot be read")
    except DataLossError as error:
        error.add_context(f"bytes {entry.offset} to {entry.offset + entry.size} of {file.path}")
        raise
    check_crc(entry, crc, file.path)
    return found


def check_crc(entry: BundleEntry, crc: int, path: str) -> None:
    """Compares the checksum of an entry's bytes with the one that the index has.

    Raises:
        ChecksumError: They differ.
    """
    stored = crc32c.unmask(entry.crc32c)
    if stored != crc:
        raise ChecksumError(f"bytes {entry.offset} to {entry.offset + entry.size} of {path}", stored=stored, computed=crc)


def _read_into(file: file_io.RandomAccessFile, offset: int, raw: Array, crc: int) -> int:
    """Fills a uint8 array from the file; returns the checksum extended by its bytes."""
    for start in range(0, len(raw), array_chunks.CHUNK_SIZE):
        chunk = raw[start : start + array_chunks.CHUNK_SIZE].data
        count = file.readinto(offset + start, chunk)
        if count != len(chunk):
            raise TruncatedError(f"bytes at {offset + start} of {file.path}", wanted=len(chunk), available=count)
        crc = crc32c.extend(crc, chunk)
    return crc


def _as_numpy(entry: BundleEntry, byte_order: str, raw: Array) -> None:
    """Makes a file's bytes what numpy expects, in place."""
    if byte_order != sys.byteorder:
        array_chunks.swap_bytes(raw, entry.dtype)
    entry.dtype.unpacked_bits(raw)
