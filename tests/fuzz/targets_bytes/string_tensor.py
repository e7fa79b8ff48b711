"""String and variant tensors, with their checksums as they are and made right; and the varints that sizes are spelled in.

The first byte is how many elements there are (6 bits), whether they are variants, and whether the file is big-endian.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz import checksums
from tfsaver.framework import varint_array
from tfsaver.lib import coding
from tfsaver.tensor_bundle import strings, variants

NAME = "string_tensor"
MAX_SIZE = 128


_MAX_COUNT = 63
_VARIANTS = 64
_BIG_ENDIAN = 128


def seeds() -> Iterator[bytes]:
    yield b""
    for elements in ([], [b""], [b"hi", b"", b"\0" * 90], [b"x"] * 30):
        for flag, order in ((0, "little"), (_BIG_ENDIAN, "big")):
            yield bytes((len(elements) | flag,)) + strings.encode_sizes(elements, order)[0] + b"".join(elements)
        encoded = b"".join(part for part, _ in variants.encode(elements))
        yield bytes((len(elements) | _VARIANTS,)) + encoded
    yield b"\x03" + b"\xff" * 9 + b"\x01" * 3


def run(data: bytes) -> None:
    first, body = data[0] if data else 0, data[1:]
    count = first & _MAX_COUNT
    if first & _VARIANTS:
        found, crc = variants.decode(memoryview(checksums.right_variants(body, count)), count)
        assert len(found) == count
        encoded = list(variants.encode(found))
        assert not encoded or encoded[-1][1] == crc
        return
    _check_varints(body, count)
    order = "big" if first & _BIG_ENDIAN else "little"
    elements, _ = strings.decode(memoryview(checksums.right_strings(body, count, order)), count, order)
    assert len(elements) == count
    again = strings.encode_sizes(elements, order)[0] + b"".join(elements)
    assert strings.decode(memoryview(again), count, order)[0] == elements


def _check_varints(body: bytes, count: int) -> None:
    values, size = varint_array.decode(memoryview(body), count)
    position = 0
    for value in values.tolist():
        expected, position = coding.read_varint(body, position)
        assert value == expected
    assert position == size
    encoded = varint_array.encode(values)
    assert int(varint_array.sizes(values).sum()) == len(encoded) <= size
    assert varint_array.decode(memoryview(encoded), count)[0].tolist() == values.tolist()
