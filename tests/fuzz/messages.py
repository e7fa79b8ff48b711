"""Other protocol buffers made of one: a field somewhere inside is changed, doubled, dropped or exchanged, and every length
around it is right again. Changed blindly, hardly any message is still one.
"""

from __future__ import annotations

import random

from tests.fuzz.harness import MutateBytes
from tfsaver.errors import SaverError
from tfsaver.framework import wire_format
from tfsaver.lib import coding

_MAX_DEPTH = 40


def mutate(data: bytes, mutate_bytes: MutateBytes, random: random.Random, depth: int = 0) -> bytes:
    """A message that differs from this one in one place; now and then any bytes."""
    fields = _fields(data)
    if not fields or random.randrange(40) == 0:
        return mutate_bytes(data)
    index = random.randrange(len(fields))
    number, wire_type, payload = fields[index]
    choice = random.randrange(16)
    if choice == 0:
        fields.insert(random.randrange(len(fields) + 1), fields[index])
    elif choice == 1:
        del fields[index]
    elif choice == 2:
        other = random.randrange(len(fields))
        fields[index], fields[other] = fields[other], fields[index]
    elif choice == 3:
        # The same content elsewhere: names that other places have, a message in the place of another.
        fields[index] = (number, wire_type, random.choice([each for each in fields if each[1] == wire_type])[2])
    elif choice == 4:
        fields[index] = (random.randrange(1, 20), wire_type, payload)
    elif wire_type != wire_format.LENGTH_DELIMITED:
        fields[index] = (number, wire_type, _number(wire_type, random))
    elif depth < _MAX_DEPTH and _fields(payload) and random.randrange(8):
        fields[index] = (number, wire_type, mutate(payload, mutate_bytes, random, depth + 1))
    else:
        fields[index] = (number, wire_type, mutate_bytes(payload))
    return b"".join(_encode(*field) for field in fields)


def _fields(data: bytes) -> list[tuple[int, int, bytes]]:
    """The fields of a message; none of what is no message."""
    try:
        return [(number, kind, bytes(payload)) for number, kind, payload in wire_format.iterate_fields(memoryview(data))]
    except SaverError:
        return []


def _number(wire_type: int, random: random.Random) -> bytes:
    value = random.choice([0, 1, 2, 3, 7, 20, 100, 101, 1 << 31, (1 << 63) - 1, (1 << 64) - 1, random.getrandbits(10)])
    if wire_type == wire_format.VARINT:
        return coding.encode_varint(value)
    return value.to_bytes(8, "little")[: 8 if wire_type == wire_format.FIXED64 else 4]


def _encode(number: int, wire_type: int, payload: bytes) -> bytes:
    if wire_type == wire_format.LENGTH_DELIMITED:
        return wire_format.length_delimited_header(number, len(payload)) + payload
    return coding.encode_varint(number << 3 | wire_type) + payload
