"""The entry under the empty key: how many shards there are, in which byte order, for which readers.

A reader of version v may read a bundle unless `min_consumer` is above v or v is one of `bad_consumers`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.errors import DataLossError, UnimplementedError
from tfsaver.framework import wire_format

HEADER_KEY = b""
VERSION = 1
_BYTE_ORDERS = ("little", "big")
# Whoever lists a checkpoint's files lists that many names, for a few bytes: the most that their five digits can count.
_MAX_SHARDS = 100_000
# The field of a save by several processes; to every other reader it is one that it does not know.
_SAVE = 15_022


@dataclass(frozen=True)
class BundleHeader:
    """What holds for a whole bundle.

    Attributes:
        num_shards: The number of its data files.
        byte_order: ``little`` or ``big``.
        save_id: Of a bundle that several processes have written, what their save was called; empty for any other.
        replaced: The number of data files of the bundle that was there before; None where there was none.
    """

    num_shards: int = 1
    byte_order: str = "little"
    save_id: str = ""
    replaced: int | None = None

    def encode(self) -> bytes:
        proto = schemas.BundleHeaderProto(
            num_shards=self.num_shards,
            endianness=_BYTE_ORDERS.index(self.byte_order),
            version=schemas.VersionDef(producer=VERSION),
        )
        data = bytes(proto.SerializeToString())
        if self.save_id:
            save = json.dumps({"save_id": self.save_id, "replaced": self.replaced}).encode()
            data += wire_format.length_delimited_header(_SAVE, len(save)) + save
        return data


def decode_header(value: bytes | None, path: str) -> BundleHeader:
    """The header in the value that an index holds under the empty key.

    Raises:
        DataLossError: There is none, or it is damaged.
        UnimplementedError: The bundle is for newer readers.
    """
    if value is None:
        raise DataLossError(f"{path} has no bundle header: it is a table, but no V2 checkpoint's index")
    try:
        proto = schemas.BundleHeaderProto.FromString(value)
    except DecodeError as error:
        raise DataLossError(f"{path}: bundle header: {error}") from error
    check_version(proto.version, path)
    if not 0 <= proto.num_shards <= _MAX_SHARDS:
        raise DataLossError(f"{path}: bundle header: {proto.num_shards} shards")
    if proto.endianness not in (0, 1):
        raise DataLossError(f"{path}: bundle header: byte order {proto.endianness} is neither 0 (little) nor 1 (big)")
    return BundleHeader(proto.num_shards, _BYTE_ORDERS[proto.endianness], *_decode_save(value, path))


def _decode_save(value: bytes, path: str) -> tuple[str, int | None]:
    for number, wire_type, payload in wire_format.iterate_fields(memoryview(value)):
        if number == _SAVE and wire_type == wire_format.LENGTH_DELIMITED:
            try:
                save = json.loads(bytes(payload))
                replaced = save["replaced"]
                return str(save["save_id"]), None if replaced is None else int(replaced)
            except (ValueError, KeyError, TypeError) as error:
                raise DataLossError(f"{path}: bundle header: its save: {error!r}") from error
    return "", None


def check_version(version: schemas.VersionDef, path: str) -> None:
    """Whether a reader of version 1, which tfsaver is for both generations of checkpoints, may read a file.

    Raises:
        UnimplementedError: It may not.
    """
    if version.min_consumer > VERSION or VERSION in version.bad_consumers:
        raise UnimplementedError(
            f"{path} was written by version {version.producer} for readers of version {version.min_consumer} and later"
            f"{f' other than {list(version.bad_consumers)}' if version.bad_consumers else ''}; tfsaver is version {VERSION}"
        )
