"""String and variant tensors, with their checksums as they are and made right; and the varints that sizes are spelled in.

The first byte is how many elements there are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.fuzz import checksums
from tfsaver.errors import SaverError
from tfsaver.framework import varint_array
from tfsaver.lib import coding
from tfsaver.tensor_bundle import strings, variants

NAME = "string_tensor"
MAX_SIZE = 128


def seeds() -> Iterator[bytes]:
    yield b""
    for elements in ([], [b""], [b"hi", b"", b"\0" * 200], [b"x"] * 30):
        for order in ("little", "big"):
            yield bytes((len(elements),)) + strings.encode_sizes(elements, order)[0] + b"".join(elements)
        yield bytes((len(elements),)) + b"".join(encoded for encoded, _ in variants.encode(elements))
    yield b"\x03" + b"\xff" * 9 + b"\x01" * 3


def run(data: bytes) -> None:
    count, body = data[0] if data else 0, data[1:]
    try:
        values, size = varint_array.decode(memoryview(body), count)
    except SaverError:
        pass
    else:
        position = 0
        for value in values.tolist():
            expected, position = coding.read_varint(body, position)
            assert value == expected
        assert position == size
        assert varint_array.decode(memoryview(varint_array.encode(values)), count)[0].tolist() == values.tolist()
        assert int(varint_array.sizes(values).sum()) <= size or not np.any(values)
    for order in ("little", "big"):
        for raw in (body, checksums.right_strings(body, count, order)):
            try:
                elements, _ = strings.decode(memoryview(raw), count, order)
            except SaverError:
                continue
            assert len(elements) == count
            again = strings.encode_sizes(elements, order)[0] + b"".join(elements)
            assert strings.decode(memoryview(again), count, order)[0] == elements
    for raw in (body, checksums.right_variants(body, count)):
        try:
            found, crc = variants.decode(memoryview(raw), count)
        except SaverError:
            continue
        assert len(found) == count
        encoded = list(variants.encode(found))
        assert not encoded or encoded[-1][1] == crc
