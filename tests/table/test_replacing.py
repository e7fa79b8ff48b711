"""A table with another first value is the table that is built with it, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.table.stores import MemoryFile, build, with_snappy
from tfsaver.errors import DataLossError
from tfsaver.table.replacing import copy_with_first_value


def replaced(data: bytes, value: bytes) -> bytes | None:
    target = MemoryFile()
    if not copy_with_first_value(MemoryFile(data), target, value):
        assert not target.data
        return None
    return bytes(target.data)


@given(
    model=st.dictionaries(st.binary(max_size=5), st.binary(max_size=300), min_size=1, max_size=40),
    block_size=st.sampled_from([1, 50, 262144]),
    new=st.binary(max_size=300),
)
def test_table_is_that_which_is_built_with_the_value(model: dict[bytes, bytes], block_size: int, new: bytes) -> None:
    first = min(model)
    new = new.ljust(len(model[first]), b"n")[: len(model[first])]
    data = build(sorted(model.items()), block_size=block_size)
    assert replaced(data, new) == build(sorted((model | {first: new}).items()), block_size=block_size)


def test_large_table_is_copied_whole() -> None:
    model = {b"": b"\x08\x01"} | {b"%06d" % number: bytes(100) for number in range(100_000)}
    assert replaced(build(model.items()), b"\x08\x02") == build((model | {b"": b"\x08\x02"}).items())


@pytest.mark.parametrize("value", [b"", b"ab", b"abcd"])
def test_value_of_another_size_is_not_written(value: bytes) -> None:
    assert replaced(build([(b"key", b"abc")]), value) is None


def test_table_without_entries_or_with_a_compressed_block_is_left_to_the_builder() -> None:
    assert replaced(build([]), b"") is None
    assert replaced(with_snappy(build([(b"key", b"abc" * 100)])), b"abd" * 100) is None


def test_damaged_block_is_not_copied() -> None:
    data = bytearray(build([(b"key", b"abc")]))
    data[5] ^= 1
    with pytest.raises(DataLossError):
        replaced(bytes(data), b"abd")
