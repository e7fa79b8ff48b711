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
# Ten bytes of seven each.
_MAX_VARINT_BITS = 70
_MAX_INT32 = (1 << 31) - 1
_MAX_INT64 = (1 << 63) - 1


class Beginning(NamedTuple):
    """What entries of one type and shape have in common: the first two fields, and the number of bytes of the tensor."""

    dtype: DType
    shape: Shape
    size: int

class KnownBeginnings:
    """The beginnings of entries that were found sound, by their bytes and the other way round."""

    def __init__(self) -> None:
        # With the field of the size, which they have in common too.
        self._by_bytes: dict[bytes, tuple[Beginning, bytes]] = {}
        self._bytes: dict[tuple[int, Shape], bytes] = {}

    def add(self, value: bytes, beginning: Beginning) -> None:
        """Notes how an entry begins that is put in the usual way."""
        data = value[: _size_of_beginning(value)]
        if data and len(self._by_bytes) < _MAX_KNOWN:
            self._by_bytes[data] = beginning, _SIZE_TAG + coding.encode_varint(beginning.size) if beginning.size else b""
            self._bytes[beginning.dtype.data_type, beginning.shape] = data

    def decode(self, value: bytes) -> tuple[Beginning, int, int, int] | None:
        """How an entry in an index begins, its shard, offset and checksum; None for whoever can say more of it."""
        position = _size_of_beginning(value)
        known = self._by_bytes.get(value[:position])
        end = len(value) - _CRC32C_SIZE
        if known is None or position > end or value[end] != _CRC32C:
            return None
        beginning, size_field = known
        shard_id = offset = shift = 0
        try:
            if value[position] == _SHARD_ID:
                shard_id, position = coding.read_varint(value, position + 1)
            if value[position] == _OFFSET:
                # As `read_varint` has it: a call for each tensor of a model is a third of the time.
                position += 1
                byte = value[position]
                offset, shift = byte & 0x7F, 7
                while byte & 0x80:
                    position += 1
                    byte = value[position]
                    offset |= (byte & 0x7F) << shift
                    shift += 7
                position += 1
        except (DataLossError, IndexError):
            return None
        if value[position:end] != size_field or shard_id > _MAX_INT32 or offset > _MAX_INT64 or shift > _MAX_VARINT_BITS:
            return None
        return beginning, shard_id, offset, int.from_bytes(value[end + 1 :], "little")

    def encode(self, data_type: int, shape: Shape, shard_id: int, offset: int, size: int, crc: int) -> bytes | None:
        """The bytes of an entry; None where none of that type and shape is known."""
        data = self._bytes.get((data_type, shape))
        if data is None or not crc:
            return None
        encode_varint = coding.encode_varint
        if shard_id:
            data += _SHARD_ID_TAG + encode_varint(shard_id)
        if offset:
            data += _OFFSET_TAG + encode_varint(offset)
        if size:
            data += _SIZE_TAG + encode_varint(size)
        return data + _CRC32C_TAG + coding.encode_fixed32(crc)


def _size_of_beginning(value: bytes) -> int:
    """The bytes of the first two fields; 0 where they are not these, or not spelled in one byte each."""
    if len(value) < 4 or value[0] != _DTYPE or value[2] != _SHAPE or (value[1] | value[3]) >= 0x80:
        return 0
    return 4 + value[3]
