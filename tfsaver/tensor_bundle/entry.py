"""What an index says of one tensor: a BundleEntryProto, checked.

dtype, shape                      of the tensor
shard_id, offset, size, crc32c    where its bytes are
slices                            of a partitioned tensor; each is stored under a key of its own, and the entry
                                  under the tensor's name then says nothing of bytes
"""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError, UnimplementedError
from tfsaver.framework import dtypes, tensor_shape, tensor_slice
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.tensor_bundle.plain_entry import Beginning, KnownBeginnings

_known = KnownBeginnings()


class BundleEntry(NamedTuple):
    """Where one tensor, or one slice, lies; `crc32c` is masked, as it is stored."""

    dtype: DType
    shape: Shape
    shard_id: int = 0
    offset: int = 0
    size: int = 0
    crc32c: int = 0
    slices: tuple[TensorSlice, ...] = ()

    @property
    def is_sliced(self) -> bool:
        return bool(self.slices)

    def encode(self) -> bytes:
        """The BundleEntryProto's bytes."""
        if not self.slices:
            plain = _known.encode(self.dtype.data_type, self.shape, self.shard_id, self.offset, self.size, self.crc32c)
            if plain is not None:
                return plain
        proto = schemas.BundleEntryProto(
            dtype=self.dtype.data_type,
            shape=tensor_shape.to_proto(self.shape),
            shard_id=self.shard_id,
            offset=self.offset,
            size=self.size,
            crc32c=self.crc32c,
            slices=map(tensor_slice.to_proto, self.slices),
        )
        data = bytes(proto.SerializeToString())
        _note(data, self)
        return data


def known_entry(value: bytes) -> BundleEntry | None:
    """The entry in an index's value, if it begins as a sound one did; None for `decode_entry`."""
    if (plain := _known.decode(value)) is None:
        return None
    (dtype, shape, size), shard_id, offset, crc = plain
    return BundleEntry(dtype, shape, shard_id, offset, size, crc)


def decode_entry(value: bytes, what: str) -> BundleEntry:
    """The entry in an index's value.

    Raises:
        DataLossError: Not a BundleEntryProto, or one that contradicts itself.
        UnimplementedError: A type that tfsaver does not know.
    """
    if (known := known_entry(value)) is not None:
        return known
    try:
        proto = schemas.BundleEntryProto.FromString(value)
    except DecodeError as error:
        raise DataLossError(f"{what}: {error}") from error
    try:
        dtype = dtypes.from_data_type(proto.dtype)
    except UnimplementedError as error:
        error.add_context(what)
        raise
    entry = BundleEntry(
        dtype=dtype,
        shape=tensor_shape.from_proto(proto.shape, what),
        shard_id=proto.shard_id,
        offset=proto.offset,
        size=proto.size,
        crc32c=proto.crc32c,
        slices=tuple([tensor_slice.from_proto(item, what) for item in proto.slices]),
    )
    _check(entry, what)
    if proto.SerializeToString() == value:
        _note(value, entry)
    return entry


def _note(value: bytes, entry: BundleEntry) -> None:
    """Notes how a sound entry of a whole tensor begins, whose bytes are as every writer puts them."""
    if entry.slices or not entry.dtype.has_fixed_size:
        return
    size = tensor_shape.num_elements(entry.shape) * entry.dtype.size
    if size == entry.size:
        _known.add(value, Beginning(entry.dtype, entry.shape, size))


def _check(entry: BundleEntry, what: str) -> None:
    if entry.shard_id < 0 or entry.offset < 0 or entry.size < 0:
        raise DataLossError(f"{what}: shard {entry.shard_id}, offset {entry.offset}, size {entry.size}")
    if entry.is_sliced:
        try:
            for stored in entry.slices:
                stored.resolve(entry.shape, what)
        except InvalidArgumentError as error:
            raise DataLossError(str(error)) from None
        return
    num_elements = tensor_shape.num_elements(entry.shape)
    if not entry.dtype.has_fixed_size:
        # The shortest string takes one byte.
        if num_elements > entry.size:
            raise DataLossError(f"{what}: {entry.size} bytes are too few for {entry.dtype} of shape {list(entry.shape)}")
    elif entry.size != num_elements * entry.dtype.size:
        needed = num_elements * entry.dtype.size
        raise DataLossError(
            f"{what}: {entry.size} bytes stored, {needed} needed for {entry.dtype} of shape {list(entry.shape)}"
        )
