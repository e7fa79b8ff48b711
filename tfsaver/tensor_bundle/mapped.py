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
from tfsaver.tensor_bundle.bundle_files import BundleFiles, Span
from tfsaver.tensor_bundle.bundle_index import BundleIndex
from tfsaver.tensor_bundle.entry import BundleEntry

Array: TypeAlias = "np.ndarray[Any, Any]"


def map_tensor(index: BundleIndex, files: BundleFiles, name: str, *, verify: bool = True) -> Array:
    """A tensor as a read-only array on its file's own pages.

    Args:
        index: The open index.
        files: Its data files; the array outlives them.
        name: The tensor's name.
        verify: Whether the bytes must match their checksum, for which all of them are looked at; those of a doubtful data
            file (see `bundle_files`) must in any case.

    Raises:
        TensorNotFoundError: There is no such tensor.
        DataLossError: The bytes are not those that were written, or some are missing.
        CheckpointReplacedError: They are those of another checkpoint that has the name now.
        UnimplementedError: They do not lie in one local file as they do in memory; `read` reads such a tensor.
    """
    entry = index.entry(name)
    _check_form(name, entry, files.byte_order)
    try:
        files.promise(hash(name), entry)
        files.check_present(entry)
        data = files.map(Span(entry.shard_id, entry.offset, entry.size))
        if verify or files.is_doubtful(entry.shard_id):
            files.check(entry, files.hash_mapped(data))
    except DataLossError as error:
        files.explain(error)
        error.add_context(f"tensor {name!r}")
        raise
    except UnimplementedError as error:
        raise UnimplementedError(f"tensor {name!r}: {error}; read() reads it") from error
    array: Array = np.ndarray(entry.shape, entry.dtype.numpy, data)
    return array


def _check_form(name: str, entry: BundleEntry, byte_order: str) -> None:
    dtype = entry.dtype
    why = None
    if entry.is_sliced:
        why = f"is stored in {len(entry.slices)} slices"
    elif not dtype.has_fixed_size:
        why = f"has elements of different sizes ({dtype})"
    elif dtype.num_bits < 8 * dtype.size:
        why = f"may have bits beyond the {dtype.num_bits} of an element of {dtype}"
    elif dtype.swap > 1 and byte_order != sys.byteorder:
        why = f"is stored {byte_order}-endian"
    if why is not None:
        raise UnimplementedError(f"tensor {name!r} {why}, and cannot be mapped into memory; read() reads it")

