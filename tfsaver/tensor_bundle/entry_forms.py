"""The dtypes and shapes of all entries of an index, as a column of numbers.

    entry     08 dtype | 12 size shape | [18 shard_id] | [20 offset] | [28 size] | 35 crc32c (fixed32)
              `----------------------'
               the form: all tensors of a model have few different ones

Decoding an entry takes a microsecond, and an index may have millions. The column takes two bytes for each: the number of the
bytes that the entry begins with, which are decoded once for all entries that have them. An entry that is put in another way,
as those of partitioned tensors are, has the number 0 and is left to `entry`.
"""

from __future__ import annotations

import array
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.errors import SaverError
from tfsaver.framework import dtypes, tensor_shape
from tfsaver.framework.tensor_info import TensorForm

_DTYPE, _SHAPE, _CRC32C = 0x08, 0x12, 0x35
# shard_id, offset and size: varints, each of which is left out where it is zero.
_VARINTS = (0x18, 0x20, 0x28)
_CRC32C_SIZE = 5
_CONTINUED = 0x80
# As many as the numbers of the column can tell apart.
_MAX_FORMS = (1 << 16) - 1


class EntryForms:
    """The forms of entries, in the order in which they were added."""

    def __init__(self) -> None:
        self._numbers = array.array("H")
        self._numbers_of: dict[bytes, int] = {b"": 0}
        self._forms: list[TensorForm | None] = []

    def add(self, values: Sequence[bytes]) -> None:
        """Adds the forms of entries, given as the index has them."""
        beginnings = _beginnings(values)
        for beginning in dict.fromkeys(beginnings):
            if len(self._numbers_of) <= _MAX_FORMS:
                self._numbers_of.setdefault(beginning, len(self._numbers_of))
        self._numbers.extend(map(self._numbers_of.get, beginnings, itertools.repeat(0)))

    def of(self, positions: Iterable[int]) -> list[TensorForm | None]:
        """The forms of the entries at some positions; None where only `entry` can tell, and for a position of -1."""
        forms = self._forms
        if len(forms) < len(self._numbers_of):
            # A dict has its keys in the order of their numbers.
            forms = self._forms = [_decode(beginning) for beginning in self._numbers_of]
        numbers = self._numbers
        return [forms[numbers[position]] if position >= 0 else None for position in positions]


def _beginnings(values: Sequence[bytes]) -> list[bytes]:
    """The dtype and the shape of each entry, as bytes; none of an entry that is not put in the usual way."""
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    stops = lengths.cumsum()
    starts = stops - lengths
    # What is looked at behind the last entry is not part of any.
    data = np.frombuffer(b"".join(values) + bytes(_CRC32C_SIZE), np.uint8)
    shape_sizes = data[starts + 3]
    is_usual = (
        (lengths >= 4 + _CRC32C_SIZE)
        & (data[starts] == _DTYPE)
        & (data[starts + 1] < _CONTINUED)
        & (data[starts + 2] == _SHAPE)
        & (shape_sizes < _CONTINUED)
    )
    ends = np.where(is_usual, 4 + shape_sizes.astype(np.int64), 0)
    last = stops - _CRC32C_SIZE
    is_usual &= starts + ends <= last
    position = np.where(is_usual, starts + ends, 0)
    for tag in _VARINTS:
        is_there = (position < last) & (data[position] == tag)
        position += is_there
        # The zeros at the end stop a varint that does not end.
        while (is_continued := is_there & (data[position] >= _CONTINUED)).any():
            position += is_continued
        position += is_there
    is_usual &= (position == last) & (data[np.maximum(last, 0)] == _CRC32C)
    ends[~is_usual] = 0
    return [value[:end] for value, end in zip(values, ends.tolist(), strict=True)]


def _decode(beginning: bytes) -> TensorForm | None:
    if not beginning:
        return None
    try:
        proto = schemas.BundleEntryProto.FromString(beginning)
        return TensorForm(dtypes.from_data_type(proto.dtype), tensor_shape.from_proto(proto.shape))
    except (DecodeError, SaverError):
        # The entry says what is wrong, by name.
        return None
