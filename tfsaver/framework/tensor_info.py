"""What a checkpoint says of a tensor without its bytes being read."""

from __future__ import annotations

from typing import NamedTuple

from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice


class StoredPiece(NamedTuple):
    """Where a tensor, or one slice of it, is stored.

    Attributes:
        path: The file.
        shard_id: The file's number among the checkpoint's shards.
        offset: Where the bytes begin; None in a V1 checkpoint, whose values are spelled out in records.
        size: How many bytes there are; None in a V1 checkpoint.
        tensor_slice: Which part of the tensor it is; None for all of it.
    """

    path: str
    shard_id: int
    offset: int | None
    size: int | None
    tensor_slice: TensorSlice | None


class TensorForm(NamedTuple):
    """What can be asked of many tensors at once, see `TensorSource.forms`.

    Attributes:
        dtype: The element type.
        shape: The full shape.
        is_sliced: Whether the tensor is stored in slices.
    """

    dtype: DType
    shape: Shape
    is_sliced: bool = False


class TensorInfo(NamedTuple):
    """A tensor's type, shape and places.

    Attributes:
        name: The tensor's name.
        dtype: Its element type, with the numpy one as `dtype.numpy`.
        shape: Its full shape.
        num_bytes: Bytes of its values; of strings and variants, the bytes they take in the data file.
        pieces: Where they are: one piece, or as many as the tensor has slices.
    """

    name: str
    dtype: DType
    shape: Shape
    num_bytes: int
    pieces: tuple[StoredPiece, ...]

    @property
    def slices(self) -> tuple[TensorSlice, ...]:
        """The slices it is stored in; none for a tensor that is stored whole."""
        return tuple([piece.tensor_slice for piece in self.pieces if piece.tensor_slice is not None])

    @property
    def shard_ids(self) -> tuple[int, ...]:
        """The numbers of the files that its bytes are in."""
        return tuple(sorted({piece.shard_id for piece in self.pieces}))
