"""The entry of a whole tensor, to bytes and back without a message object in between.

    08 dtype | 12 size shape | [18 shard_id] | [20 offset] | [28 size] | 35 crc32c (fixed32)

is how every writer puts a BundleEntryProto: fields in order, zeros left out, nothing else. All tensors of a model have few
different beginnings, type and shape, so that these are looked up, and an entry takes a third of the time. Anything that is
put in another way, or contradicts itself, is left to protobuf and to `entry`, which say what is wrong.
"""

from __future__ import annotations

from typing import NamedTuple

from tfsaver.errors import DataLossError
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.lib import coding

# Field numbers and wire types of BundleEntryProto.
_DTYPE, _SHAPE, _SHARD_ID, _OFFSET, _SIZE, _CRC32C = 0x08, 0x12, 0x18, 0x20, 0x28, 0x35
_SHARD_ID_TAG, _OFFSET_TAG, _SIZE_TAG, _CRC32C_TAG = (bytes((tag,)) for tag in (_SHARD_ID, _OFFSET, _SIZE, _CRC32C))

_CRC32C_SIZE = 5
_MAX_KNOWN = 4096
_MAX_INT32 = (1 << 31) - 1
_MAX_INT64 = (1 << 63) - 1


class Beginning(NamedTuple):
    """What entries of one type and shape have in common: the first two fields, and the number of bytes of the tensor."""

    dtype: DType
    shape: Shape
    size: int


class Place(NamedTuple):
    """Where the bytes of a tensor are."""

    shard_id: int
    offset: int
    size: int
    crc32c: int


class KnownBeginnings:
    """The beginnings of entries that were found sound, by their bytes and the other way round."""

    def __init__(self) -> None:
        self._by_bytes: dict[bytes, Beginning] = {}
        self._bytes: dict[tuple[int, Shape], bytes] = {}

    def add(self, value: bytes, beginning: Beginning) -> None:
        """Notes how an entry begins that is put in the usual way."""
        data = value[: _size_of_beginning(value)]
        if data and len(self._by_bytes) < _MAX_KNOWN:
            self._by_bytes[data] = beginning
            self._bytes[beginning.dtype.data_type, beginning.shape] = data

    def decode(self, value: bytes) -> tuple[Beginning, Place] | None:
        """The entry in an index's value; None for whoever can say more of it."""
        position = _size_of_beginning(value)
        beginning = self._by_bytes.get(value[:position])
        end = len(value) - _CRC32C_SIZE
        if beginning is None or position > end or value[end] != _CRC32C:
            return None
        shard_id = offset = size = 0
        read_varint = coding.read_varint
        try:
            if value[position] == _SHARD_ID:
                shard_id, position = read_varint(value, position + 1)
            if position < end and value[position] == _OFFSET:
                offset, position = read_varint(value, position + 1)
            if position < end and value[position] == _SIZE:
                size, position = read_varint(value, position + 1)
        except DataLossError:
            return None
        if position != end or size != beginning.size or shard_id > _MAX_INT32 or offset > _MAX_INT64:
            return None
        return beginning, Place(shard_id, offset, size, coding.read_fixed32(value, end + 1))

    def encode(self, data_type: int, shape: Shape, place: Place) -> bytes | None:
        """The bytes of an entry; None where none of that type and shape is known."""
        data = self._bytes.get((data_type, shape))
        if data is None or not place.crc32c:
            return None
        encode_varint = coding.encode_varint
        if place.shard_id:
            data += _SHARD_ID_TAG + encode_varint(place.shard_id)
        if place.offset:
            data += _OFFSET_TAG + encode_varint(place.offset)
        if place.size:
            data += _SIZE_TAG + encode_varint(place.size)
        return data + _CRC32C_TAG + coding.encode_fixed32(place.crc32c)


def _size_of_beginning(value: bytes) -> int:
    """The bytes of the first two fields; 0 where they are not these, or not spelled in one byte each."""
    if len(value) < 4 or value[0] != _DTYPE or value[2] != _SHAPE or (value[1] | value[3]) >= 0x80:
        return 0
    return 4 + value[3]
