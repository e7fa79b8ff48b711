"""Whole arrays of varints at once.

String tensors keep their lengths as varints, V1 checkpoints and TensorProtos their integers; one call of numpy on a
million of them takes what Python takes for a few thousand. A negative number is spelled as its 64-bit two's complement,
in 10 bytes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from tfsaver.errors import DataLossError, TruncatedError

UInt64Array: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"

# Values decoded in one go: bounds the temporary arrays to a few MiB.
_BATCH = 1 << 18
_MAX_VARINT64_BYTES = 10


def decode(data: memoryview, count: int) -> tuple[UInt64Array, int]:
    """The first `count` varints in `data`, and how many bytes they take.

    Raises:
        TruncatedError: `data` ends before the last of them.
        DataLossError: One has more than 64 bits.
    """
    if count > len(data):
        raise TruncatedError("varints", wanted=count, available=len(data))
    values = np.empty(count, np.uint64)
    raw = np.frombuffer(data, np.uint8)
    position = done = 0
    while done < count:
        batch = min(_BATCH, count - done)
        window = raw[position : position + batch * _MAX_VARINT64_BYTES]
        ends = np.flatnonzero(window < 0x80)[:batch]
        if len(ends) < batch:
            raise _unfinished(window, ends, batch)
        _decode_window(window, ends, values[done : done + batch])
        done += batch
        position += int(ends[-1]) + 1
    return values, position


def _unfinished(window: np.ndarray[Any, Any], ends: np.ndarray[Any, Any], batch: int) -> DataLossError:
    last_end = int(ends[-1]) + 1 if len(ends) else 0
    if len(window) - last_end >= _MAX_VARINT64_BYTES:
        return DataLossError("varint longer than 64 bits")
    return TruncatedError("varints", wanted=batch, available=len(ends))


def _decode_window(window: np.ndarray[Any, Any], ends: np.ndarray[Any, Any], values: UInt64Array) -> None:
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    sizes = ends - starts + 1
    longest = int(sizes.max())
    if longest > _MAX_VARINT64_BYTES or (longest == _MAX_VARINT64_BYTES and (window[ends[sizes == longest]] > 1).any()):
        raise DataLossError("varint longer than 64 bits")
    values[:] = window[starts] & 0x7F
    for index in range(1, longest):
        longer = np.flatnonzero(sizes > index)
        group = (window[starts[longer] + index] & 0x7F).astype(np.uint64)
        values[longer] |= group << np.uint64(7 * index)


def sizes(values: UInt64Array) -> np.ndarray[Any, np.dtype[np.intp]]:
    """How many bytes each value takes."""
    counts = np.ones(len(values), np.intp)
    for index in range(1, _MAX_VARINT64_BYTES):
        longer = values >= np.uint64(1 << 7 * index)
        if not longer.any():
            break
        counts += longer
    return counts


def encode(values: UInt64Array) -> bytes:
    """The values as varints, one behind the other."""
    counts = sizes(values)
    ends = np.cumsum(counts)
    starts = ends - counts
    encoded = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    for index in range(int(counts.max()) if len(counts) else 0):
        having = np.flatnonzero(counts > index)
        group = ((values[having] >> np.uint64(7 * index)) & np.uint64(0x7F)).astype(np.uint8)
        group[counts[having] > index + 1] |= 0x80
        encoded[starts[having] + index] = group
    return encoded.tobytes()
