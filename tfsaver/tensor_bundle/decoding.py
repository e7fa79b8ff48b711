"""From the bytes of an entry, as they lie in a data file, to the elements that numpy has."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np

from tfsaver.errors import UnimplementedError
from tfsaver.framework import array_chunks, dtypes
from tfsaver.framework.tensor_shape import num_elements
from tfsaver.tensor_bundle import strings, variants
from tfsaver.tensor_bundle.entry import BundleEntry

Array: TypeAlias = "np.ndarray[Any, Any]"


def decode(entry: BundleEntry, raw: Array, byte_order: str) -> None:
    """Turns stored bytes of a fixed-size type into those of numpy's elements, in place.

    Args:
        entry: What they are of.
        raw: A whole number of elements, as a one-dimensional array of uint8.
        byte_order: That of the bundle.
    """
    dtype = entry.dtype
    if byte_order != sys.byteorder:
        array_chunks.swap_bytes(raw, dtype)
    # Wider types use all of their bits.
    if dtype.size == 1:
        dtype.unpacked_bits(raw)


def decode_elements(entry: BundleEntry, data: memoryview, byte_order: str) -> tuple[list[bytes], int]:
    """The elements of a type whose elements differ in size, and the checksum that their entry must have.

    The checksum of such an entry is not that of its bytes: sizes are hashed as numbers, see `strings` and `variants`.

    Raises:
        DataLossError: The bytes are not those that were written, or some are missing.
        UnimplementedError: The format does not say how such elements are stored.
    """
    count = num_elements(entry.shape)
    if entry.dtype is dtypes.STRING:
        return strings.decode(data, count, byte_order)
    if entry.dtype is not dtypes.VARIANT:
        raise UnimplementedError(f"{entry.dtype} tensors cannot be stored, and cannot be read")
    if byte_order != "little":
        raise UnimplementedError("variants in a big-endian bundle have no defined form")
    found, crc = variants.decode(data, count)
    return list(found), crc

