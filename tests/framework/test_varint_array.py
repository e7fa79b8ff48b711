"""Arrays of varints: one call does what `coding` does number by number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfsaver.errors import DataLossError, TruncatedError
from tfsaver.framework import varint_array
from tfsaver.lib import coding

numbers = st.one_of(
    st.integers(0, 300),
    st.integers(0, (1 << 64) - 1),
    st.builds(lambda bits, delta: max(0, min((1 << 64) - 1, (1 << bits) + delta)), st.integers(0, 64), st.integers(-1, 1)),
)


@given(st.lists(numbers, max_size=60), st.binary(max_size=5))
def test_array_is_coded_as_its_numbers(values: list[int], behind: bytes) -> None:
    array = np.array(values, np.uint64)
    encoded = b"".join(map(coding.encode_varint, values))
    assert varint_array.encode(array) == encoded
    assert varint_array.sizes(array).tolist() == [len(coding.encode_varint(value)) for value in values]
    decoded, used = varint_array.decode(memoryview(encoded + behind), len(values))
    assert decoded.tolist() == values and decoded.dtype == np.uint64
    assert used == len(encoded)


@given(st.lists(numbers, min_size=1, max_size=30))
def test_array_longer_than_a_batch_is_the_same(values: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(varint_array, "_BATCH", 4)
        decoded, used = varint_array.decode(memoryview(b"".join(map(coding.encode_varint, values))), len(values))
    assert decoded.tolist() == values and used == sum(len(coding.encode_varint(value)) for value in values)


@given(st.binary(max_size=40), st.integers(0, 12))
@example(b"\xff" * 9 + b"\x02", 1)
@example(b"\x80" * 11 + b"\x01", 1)
@example(b"\x80" * 12, 1)
def test_any_bytes_decode_as_number_by_number(data: bytes, count: int) -> None:
    position = 0
    values = []
    try:
        for _ in range(count):
            value, position = coding.read_varint(data, position)
            values.append(value)
    except DataLossError:
        with pytest.raises(DataLossError):
            varint_array.decode(memoryview(data), count)
        return
    decoded, used = varint_array.decode(memoryview(data), count)
    assert decoded.tolist() == values and used == position


@pytest.mark.parametrize("count", [5, 1 << 40, 1 << 62])
def test_count_beyond_the_bytes_is_truncated_before_memory_is_taken(count: int) -> None:
    with pytest.raises(TruncatedError, match=f"varints: {count} bytes wanted, 4 available"):
        varint_array.decode(memoryview(b"\1\2\3\4"), count)
