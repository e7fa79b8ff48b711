"""A slice of a tensor: one extent a dimension, the form in which partitioned variables are stored.

    extent          (start, length), or everything, which is kept apart from (0, size): keys spell the two differently
    text            "10 6 0,4:-"     the full shape, then start,length or - for each dimension, joined by colons
    proto           TensorSliceProto.Extent with start and length; with neither for everything
    key in a table  00 | name | rank | start, length ...    in ordered code; everything is 0, -1

The text is what a graph's SaveV2 and RestoreV2 nodes carry; an empty text is the whole tensor.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError
from tfsaver.framework.tensor_shape import Shape
from tfsaver.lib import ordered_code

EVERYTHING = (0, -1)

# No number of a shape has more than 19 digits.
_SHAPE_AND_SLICE = re.compile(r"([0-9]{1,19} )+(-|[0-9]{1,19},[0-9]{1,19})(:(-|[0-9]{1,19},[0-9]{1,19}))*")


@dataclass(frozen=True, slots=True)
class TensorSlice:
    """Part of a tensor: for each dimension a start and a length, or `EVERYTHING`."""

    extents: tuple[tuple[int, int], ...]

    @staticmethod
    def full(rank: int) -> TensorSlice:
        """The slice that is everything in each of `rank` dimensions."""
        return TensorSlice((EVERYTHING,) * rank)

    @property
    def rank(self) -> int:
        return len(self.extents)

    @property
    def is_full(self) -> bool:
        """Whether every extent is `EVERYTHING`."""
        return all(extent == EVERYTHING for extent in self.extents)

    def resolve(self, shape: Sequence[int], name: str = "tensor slice") -> TensorSlice:
        """The same slice of a tensor of that shape with `EVERYTHING` spelled out.

        Raises:
            InvalidArgumentError: Another rank, or an extent that leaves the shape.
        """
        if len(shape) != self.rank:
            raise InvalidArgumentError(f"{name}: slice {self} has rank {self.rank}, the tensor has shape {list(shape)}")
        extents = tuple(
            (0, size) if extent == EVERYTHING else extent for extent, size in zip(self.extents, shape, strict=True)
        )
        for (start, length), size in zip(extents, shape, strict=True):
            if start < 0 or length < 0 or start + length > size:
                raise InvalidArgumentError(f"{name}: slice {self} leaves the shape {list(shape)}")
        return TensorSlice(extents)

    @property
    def shape(self) -> Shape:
        """The lengths of a resolved slice."""
        return tuple(length for _, length in self.extents)

    @property
    def indices(self) -> tuple[slice, ...]:
        """A resolved slice as numpy takes it."""
        return tuple(slice(start, start + length) for start, length in self.extents)

    def intersect(self, other: TensorSlice) -> TensorSlice | None:
        """What two resolved slices have in common; None where they have nothing."""
        extents = []
        for (start, length), (other_start, other_length) in zip(self.extents, other.extents, strict=True):
            first = max(start, other_start)
            size = min(start + length, other_start + other_length) - first
            if size <= 0:
                return None
            extents.append((first, size))
        return TensorSlice(tuple(extents))

    def relative_to(self, outer: TensorSlice) -> TensorSlice:
        """This resolved slice as a slice of the tensor that `outer` is."""
        return TensorSlice(
            tuple(
                (start - outer_start, length)
                for (start, length), (outer_start, _) in zip(self.extents, outer.extents, strict=True)
            )
        )

    def __str__(self) -> str:
        return ":".join("-" if extent == EVERYTHING else f"{extent[0]},{extent[1]}" for extent in self.extents)


def from_proto(proto: Any, what: str = "tensor slice") -> TensorSlice:
    """The slice in a TensorSliceProto.

    Raises:
        DataLossError: An extent with a start but no length, or negative, or past 2**63.
    """
    extents = []
    for extent in proto.extent:
        if not extent.HasField("length"):
            if extent.start:
                raise DataLossError(f"{what}: an extent starts at {extent.start} and has no length")
            extents.append(EVERYTHING)
            continue
        if extent.start < 0 or extent.length < 0 or extent.start + extent.length >= 1 << 63:
            raise DataLossError(f"{what}: extent {extent.start},{extent.length} is none that a tensor can have")
        extents.append((extent.start, extent.length))
    return TensorSlice(tuple(extents))


def to_proto(tensor_slice: TensorSlice) -> Any:
    """The TensorSliceProto of a slice."""
    proto = schemas.TensorSliceProto()
    for start, length in tensor_slice.extents:
        extent = proto.extent.add()
        if (start, length) != EVERYTHING:
            extent.start = start
            extent.length = length
    return proto


def encode_key(name: bytes, tensor_slice: TensorSlice) -> bytes:
    """The table key under which a slice of the tensor `name` is stored."""
    parts = [ordered_code.encode_unsigned(0), ordered_code.encode_string(name)]
    parts.append(ordered_code.encode_unsigned(tensor_slice.rank))
    for start, length in tensor_slice.extents:
        parts += (ordered_code.encode_signed(start), ordered_code.encode_signed(length))
    return b"".join(parts)


def decode_key(key: bytes) -> tuple[bytes, TensorSlice]:
    """The name and the slice that a table key spells.

    Raises:
        DataLossError: The key is not of that form.
    """
    zero, position = ordered_code.read_unsigned(key, 0)
    if zero:
        raise DataLossError(f"slice key {key!r}: starts with {zero}, not 0")
    name, position = ordered_code.read_string(key, position)
    rank, position = ordered_code.read_unsigned(key, position)
    if rank > len(key):
        raise DataLossError(f"slice key {key!r}: rank {rank} does not fit")
    extents = []
    for _ in range(rank):
        start, position = ordered_code.read_signed(key, position)
        length, position = ordered_code.read_signed(key, position)
        extents.append((start, length))
    if position != len(key):
        raise DataLossError(f"slice key {key!r}: {len(key) - position} bytes behind the last extent")
    return name, TensorSlice(tuple(extents))


def readable_key(key: bytes) -> str:
    """A table key as text: the tensor's name, with the slice where the key is that of one."""
    if key.startswith(b"\0"):
        with contextlib.suppress(DataLossError):
            name, stored = decode_key(key)
            return f"{name.decode('utf-8', 'surrogateescape')} {stored}"
    return key.decode("utf-8", "surrogateescape")


def parse_shape_and_slice(text: str) -> tuple[Shape, TensorSlice]:
    """The full shape and the slice in a text such as ``10 6 0,4:-``.

    Raises:
        InvalidArgumentError: Not of that form, or the slice does not fit the shape.
    """
    if not _SHAPE_AND_SLICE.fullmatch(text):
        raise InvalidArgumentError(f"{text!r} is no shape and slice; the form is '10 6 0,4:-'")
    *dims, last = text.split(" ")
    shape = tuple(map(int, dims))
    extents = []
    for part in last.split(":"):
        if part == "-":
            extents.append(EVERYTHING)
            continue
        start, length = part.split(",")
        extents.append((int(start), int(length)))
    tensor_slice = TensorSlice(tuple(extents))
    tensor_slice.resolve(shape, repr(text))
    return shape, tensor_slice


def format_shape_and_slice(shape: Sequence[int], tensor_slice: TensorSlice) -> str:
    """The text that `parse_shape_and_slice` reads."""
    return " ".join([*map(str, shape), str(tensor_slice)])
