"""A variant's value as opaque bytes.

A DT_VARIANT element (a TensorList, an iterator's state) is a serialized VariantTensorDataProto whose meaning only the
program that wrote it knows. It is carried as the very bytes of the file, in a type of its own so that an array of them is
not mistaken for an array of strings.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.errors import DataLossError


class Variant(bytes):
    """The bytes of one VariantTensorDataProto."""

    __slots__ = ()

    def to_proto(self) -> Any:
        """The parsed message: `type_name`, `metadata` and the `tensors` inside.

        Raises:
            DataLossError: The bytes are no such message, or it is nested too deeply.
        """
        try:
            return schemas.VariantTensorDataProto.FromString(bytes(self))
        except DecodeError as error:
            raise DataLossError(f"variant of {len(self)} bytes: {error}") from error

    def __repr__(self) -> str:
        return f"Variant({bytes(self)!r})"
