"""Messages as the bytes that TensorFlow hashes: fields by number, map entries by key, in ascending order.

A protobuf library writes the entries of a map in an order of its own, and asked to be deterministic in one that depends on
the library: the C implementation under Python's sorts ``Tshape`` before ``T`` and numbers downwards, where C++ sorts both
as one would. Everything else it writes alike. So the library writes, and here the entries of each map are put right in its
bytes.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tfsaver.framework import wire_format
from tfsaver.lib import coding


def serialize(message: Any) -> bytes:
    """The message's bytes, which depend on its content alone."""
    data: bytes = message.SerializeToString(deterministic=True)
    return _sorted(memoryview(data), message.DESCRIPTOR) if _holds_maps(message.DESCRIPTOR) else data


@functools.cache
def _holds_maps(descriptor: Descriptor) -> bool:
    """Whether a map can stand anywhere inside such a message."""
    found = {descriptor.full_name}
    waiting = [descriptor]
    while waiting:
        for field in waiting.pop().fields:
            if _is_map(field):
                return True
            if field.message_type is not None and field.message_type.full_name not in found:
                found.add(field.message_type.full_name)
                waiting.append(field.message_type)
    return False


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


@functools.cache
def _fields_to_sort(descriptor: Descriptor) -> dict[int, tuple[Descriptor, bool, bool]]:
    """By number: the message in a field, whether the field is a map, whether there is anything to sort in it."""
    return {
        field.number: (field.message_type, _is_map(field), _holds_maps(field.message_type))
        for field in descriptor.fields
        if field.message_type is not None and (_is_map(field) or _holds_maps(field.message_type))
    }


def _sorted(data: memoryview, descriptor: Descriptor) -> bytes:
    fields = _fields_to_sort(descriptor)
    parts: list[bytes] = []
    entries: list[tuple[int | bytes, bytes]] = []
    map_number = 0
    for number, wire_type, payload in wire_format.iterate_fields(data):
        if entries and number != map_number:
            parts += [entry for _, entry in sorted(entries)]
            entries = []
        body = bytes(payload)
        if number in fields and wire_type == wire_format.LENGTH_DELIMITED:
            message, is_map, holds_maps = fields[number]
            if holds_maps:
                body = _sorted(payload, message)
            body = wire_format.length_delimited_header(number, len(body)) + body
            if is_map:
                map_number = number
                entries.append((_key(payload, message), body))
                continue
        elif wire_type == wire_format.LENGTH_DELIMITED:
            body = wire_format.length_delimited_header(number, len(body)) + body
        else:
            body = coding.encode_varint(number << 3 | wire_type) + body
        parts.append(body)
    parts += [entry for _, entry in sorted(entries)]
    return b"".join(parts)


def _key(entry: memoryview, descriptor: Descriptor) -> int | bytes:
    """The key of a map's entry, a number or a text; an entry may leave it out, or have unknown fields of its number."""
    is_text = descriptor.fields_by_number[1].cpp_type == FieldDescriptor.CPPTYPE_STRING
    key: int | bytes = b"" if is_text else 0
    for number, wire_type, payload in wire_format.iterate_fields(entry):
        if number == 1 and is_text and wire_type == wire_format.LENGTH_DELIMITED:
            key = bytes(payload)
        elif number == 1 and not is_text and wire_type == wire_format.VARINT:
            key = coding.read_varint(payload, 0)[0]
    return key
