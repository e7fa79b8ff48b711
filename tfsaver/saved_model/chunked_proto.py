"""A message too large for one buffer, put together from the chunks it was cut into.

The last record of the file is a ChunkMetadata. Its `chunks` say where each chunk is; its `message` is a plan:

    ChunkedMessage   chunk_index      the chunk that is the message, but for what follows
                     chunked_fields   what is missing, each with the path to it: a field's number, then, where that field
                                      is a map or repeated, a key or an index; and so on

A path without steps means the message itself, whose repeated fields then grow. The chunk at the end of a path is a message,
or the bytes of a field. Paths are followed from the shallow to the deep, in the order of their numbers.

A plan may name one chunk any number of times, and lead through messages in messages without end; neither is what a writer
does. So all that is put together has at most as many bytes as there are in the records, and a bounded depth.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.errors import DataLossError, UnimplementedError
from tfsaver.saved_model import riegeli

# What this code knows how to join.
_JOIN_VERSION = 1
# Protocol buffers are read and written a hundred messages deep. The way to a chunk goes through ten at the most, and the
# rest is for what is in it.
_MAX_DEPTH = 100
_MAX_PATH = 32


def read_chunked(path: str, message: Any) -> None:
    """Fills `message` from a chunked file.

    Raises:
        DataLossError: The file or its plan is damaged, or the plan is one for another message.
        UnimplementedError: It asks for a newer reader.
    """
    records = riegeli.read_records(path)
    try:
        if not records:
            raise DataLossError("no records")
        metadata = schemas.proto_splitter.ChunkMetadata.FromString(records[max(records)])
        if metadata.version.join_version > _JOIN_VERSION or _JOIN_VERSION in metadata.version.bad_consumers:
            raise UnimplementedError(f"chunks to be joined by version {metadata.version.join_version}")
        chunks = _Chunks(records, metadata.chunks)
        _merge(message, metadata.message, chunks, 0)
    except DecodeError as error:
        raise DataLossError(f"{path}: a chunk is not the message that it should be: {error}") from error
    except (DataLossError, UnimplementedError) as error:
        error.add_context(path)
        raise


class _Chunks:
    """The chunks by their numbers, handed out as long as there is something to hand out."""

    def __init__(self, records: dict[int, bytes], infos: Any) -> None:
        self._chunks = [_chunk(records, info, number) for number, info in enumerate(infos)]
        self._left = sum(map(len, records.values()))

    def take(self, index: int) -> bytes:
        if index >= len(self._chunks):
            raise DataLossError(f"chunk {index} is referred to, there are {len(self._chunks)}")
        chunk = self._chunks[index]
        self._left -= len(chunk)
        if self._left < 0:
            raise DataLossError(f"chunk {index}: the plan uses more bytes than all records have")
        return chunk


def _chunk(records: dict[int, bytes], info: Any, number: int) -> bytes:
    chunk = records.get(info.offset)
    if chunk is None or len(chunk) != info.size:
        raise DataLossError(f"chunk {number}: {info.size} bytes at position {info.offset} are not among the records")
    return chunk


def _merge(message: Any, plan: Any, chunks: _Chunks, depth: int) -> None:
    """Fills a message in `depth` others as a plan says."""
    if plan.HasField("chunk_index"):
        chunk = chunks.take(plan.chunk_index)
        message.MergeFromString(chunk)
        # protobuf has counted from this message on.
        if depth and _depth_of(type(message).FromString(chunk)) > _MAX_DEPTH - depth:
            raise DataLossError(f"chunk {plan.chunk_index}: its messages are nested more than {_MAX_DEPTH} deep")
    for field in sorted(plan.chunked_fields, key=_order):
        _merge_field(message, field, chunks, depth)


def _depth_of(message: Any) -> int:
    """How many messages are inside of each other, this one with them."""
    deepest, waiting = 0, [(message, 1)]
    while waiting:
        each, depth = waiting.pop()
        deepest = max(deepest, depth)
        for field, value in each.ListFields():
            if field.message_type is None:
                continue
            if not _is_repeated(field):
                waiting.append((value, depth + 1))
            elif not field.message_type.GetOptions().map_entry:
                waiting += ((item, depth + 1) for item in value)
            elif field.message_type.fields_by_name["value"].message_type is not None:
                # An entry of a map is a message too.
                waiting += ((item, depth + 2) for item in value.values())
    return deepest


def _order(field: Any) -> tuple[int, list[tuple[int, Any]], int]:
    return len(field.field_tag), [_step_order(step) for step in field.field_tag], field.message.chunk_index


def _step_order(step: Any) -> tuple[int, Any]:
    kind = step.WhichOneof("kind")
    if kind == "map_key":
        key = step.map_key.WhichOneof("type")
        return 1, str(getattr(step.map_key, key)) if key else ""
    return 0, getattr(step, kind) if kind else 0


def _merge_field(message: Any, field: Any, chunks: _Chunks, depth: int) -> None:
    if depth + len(field.field_tag) > _MAX_PATH:
        raise DataLossError(f"the way to a chunk has more than {_MAX_PATH} steps")
    steps = list(field.field_tag)
    while steps:
        descriptor = _field(message, steps.pop(0))
        depth += 1
        if _is_repeated(descriptor):
            message = _element(message, descriptor, steps)
            # An entry of a map is a message too.
            depth += 1
        elif descriptor.message_type is not None:
            message = getattr(message, descriptor.name)
            message.SetInParent()
        else:
            if steps:
                raise DataLossError(f"{descriptor.full_name} has nothing inside")
            _set(message, descriptor, chunks.take(field.message.chunk_index))
            return
    _merge(message, field.message, chunks, depth)


def _field(message: Any, step: Any) -> FieldDescriptor:
    number = step.field if step.WhichOneof("kind") == "field" else 0
    descriptor: FieldDescriptor | None = message.DESCRIPTOR.fields_by_number.get(number)
    if descriptor is None:
        raise DataLossError(f"{message.DESCRIPTOR.full_name} has no field {number}")
    return descriptor


def _is_repeated(descriptor: Any) -> bool:
    # `label` is deprecated in protobuf 6, `is_repeated` is not there before 6.
    return bool(descriptor.is_repeated if hasattr(descriptor, "is_repeated") else descriptor.label == 3)


def _element(message: Any, descriptor: FieldDescriptor, steps: list[Any]) -> Any:
    """The message in a map or a repeated field that the next step leads to; a new one at the end of the repeated field."""
    values = getattr(message, descriptor.name)
    step = steps.pop(0) if steps else None
    kind = step.WhichOneof("kind") if step is not None else None
    inner = descriptor.message_type
    if inner is not None and inner.GetOptions().map_entry and kind == "map_key":
        assert step is not None  # noqa: S101 - kind says so
        value = step.map_key
        if inner.fields_by_name["value"].message_type is None:
            raise UnimplementedError(f"{descriptor.full_name}: a chunk in a map without messages")
        try:
            return values[getattr(value, value.WhichOneof("type") or "s")]
        except (TypeError, ValueError) as error:
            raise DataLossError(f"{descriptor.full_name}: no key of the map: {error}") from error
    if inner is None or inner.GetOptions().map_entry or kind != "index":
        raise DataLossError(f"{descriptor.full_name}: the path to a chunk does not fit the field")
    index = step.index  # type: ignore[union-attr]
    if index > len(values):
        raise DataLossError(f"{descriptor.full_name}: element {index} of {len(values)}")
    return values[index] if index < len(values) else values.add()


def _set(message: Any, descriptor: FieldDescriptor, chunk: bytes) -> None:
    if descriptor.type == FieldDescriptor.TYPE_BYTES:
        setattr(message, descriptor.name, chunk)
    elif descriptor.type == FieldDescriptor.TYPE_STRING:
        try:
            setattr(message, descriptor.name, chunk.decode())
        except UnicodeDecodeError as error:
            raise DataLossError(f"{descriptor.full_name}: {error}") from error
    else:
        raise DataLossError(f"{descriptor.full_name}: a chunk cannot be a number")
