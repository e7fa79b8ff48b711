"""Inputs of several parts: each behind its length in two bytes, the last without. Any bytes are such an input."""

from __future__ import annotations

import random

from tests.fuzz.harness import MutateBytes

_MAX_PIECES = 16


def pack(pieces: list[bytes]) -> bytes:
    """The input that has these parts."""
    *heads, last = pieces
    return b"".join(len(piece[:0xFFFF]).to_bytes(2, "little") + piece[:0xFFFF] for piece in heads) + last


def unpack(data: bytes, count: int = _MAX_PIECES) -> list[bytes]:
    """The parts of an input: `count` at most, with whatever is left in the last."""
    pieces = []
    position = 0
    while len(pieces) < count - 1 and position + 2 <= len(data):
        size = int.from_bytes(data[position : position + 2], "little")
        if position + 2 + size > len(data):
            break
        pieces.append(data[position + 2 : position + 2 + size])
        position += 2 + size
    return [*pieces, data[position:]]


def mutate(data: bytes, mutate_bytes: MutateBytes, random: random.Random) -> bytes:
    """Changes one part, or which there are and in what order."""
    pieces = unpack(data)
    index = random.randrange(len(pieces))
    choice = random.randrange(12)
    if choice == 0:
        pieces.insert(index, pieces[random.randrange(len(pieces))])
    elif choice == 1 and len(pieces) > 1:
        del pieces[index]
    elif choice == 2:
        other = random.randrange(len(pieces))
        pieces[index], pieces[other] = pieces[other], pieces[index]
    else:
        pieces[index] = mutate_bytes(pieces[index])
    return pack(pieces)
