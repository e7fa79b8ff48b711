"""One tensor of a bundle as it lies in its file: mapped into memory, checked, and not copied.

    model.data-00000-of-00001    ...[ bytes of the tensor ]...
                                     |
    ndarray, read-only              [ the same pages, as far as somebody looks at them ]

That works for what lies in the file as it does in memory. The format pads nothing, so that a tensor begins at any byte:
numpy takes an array that is not aligned as it is, a little slower where it computes; what needs more looks at
``array.flags.aligned``.
"""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np

from tfsaver.errors import DataLossError, UnimplementedError
from tfsaver.lib import crc32c, file_io
from tfsaver.tensor_bundle.bulk_reader import run_tasks
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.reader import BundleReader

Array: TypeAlias = "np.ndarray[Any, Any]"

# Large enough that a task's cost vanishes, small enough that the threads end together.
_PIECE_SIZE = 8 << 20


def map_tensor(reader: BundleReader, name: str, *, verify: bool = True) -> Array:
    """A tensor as a read-only array on its file's own pages.

    Args:
        reader: The open bundle; the array outlives it.
        name: The tensor's name.
        verify: Whether the bytes must match their checksum, for which all of them are looked at; those of a doubtful data
            file (see `data_files`) must in any case.

    Raises:
        TensorNotFoundError: There is no such tensor.
        DataLossError: The bytes are not those that were written, or some are missing.
        CheckpointReplacedError: They are those of another checkpoint that has the name now.
        UnimplementedError: They do not lie in one local file as they do in memory; `read` reads such a tensor.
    """
    entry = reader.entry(name)
    _check_form(reader, name, entry)
    try:
        with reader.located(entry):
            data = file_io.map_exactly(reader.data_file(entry), entry.offset, entry.size, str(entry.dtype))
            if verify or reader.is_doubtful(entry):
                reader.check_crc(entry, _checksum(data))
                reader.prove(entry)
    except DataLossError as error:
        error.add_context(f"tensor {name!r}")
        raise
    except UnimplementedError as error:
        raise UnimplementedError(f"tensor {name!r}: {error}; read() reads it") from error
    array: Array = np.ndarray(entry.shape, entry.dtype.numpy, data)
    return array


def _check_form(reader: BundleReader, name: str, entry: BundleEntry) -> None:
    dtype = entry.dtype
    why = None
    if entry.is_sliced:
        why = f"is stored in {len(entry.slices)} slices"
    elif not dtype.has_fixed_size:
        why = f"has elements of different sizes ({dtype})"
    elif dtype.num_bits < 8 * dtype.size:
        why = f"may have bits beyond the {dtype.num_bits} of an element of {dtype}"
    elif dtype.swap > 1 and reader.header.byte_order != sys.byteorder:
        why = f"is stored {reader.header.byte_order}-endian"
    if why is not None:
        raise UnimplementedError(f"tensor {name!r} {why}, and cannot be mapped into memory; read() reads it")


def _checksum(data: memoryview) -> int:
    starts = range(0, len(data), _PIECE_SIZE)
    checksums = [0] * len(starts)

    def hash_piece(number: int) -> None:
        checksums[number] = crc32c.value(data[starts[number] : starts[number] + _PIECE_SIZE])

    run_tasks([lambda number=number: hash_piece(number) for number in range(len(starts))])  # type: ignore[misc]
    crc = 0
    for number, start in enumerate(starts):
        crc = crc32c.combine(crc, checksums[number], min(_PIECE_SIZE, len(data) - start))
    return crc
