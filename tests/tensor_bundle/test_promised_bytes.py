"""What entries promise of a file is no more than it has; what lies behind its end, and the same key again, do not count."""

from __future__ import annotations

import pytest

from tests.table.stores import MemoryFile
from tfsaver.errors import DataLossError
from tfsaver.framework import dtypes
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.promised_bytes import PromisedBytes

UINT8 = dtypes.from_name("uint8")
FILE = MemoryFile(bytes(10), "model.data-00000-of-00001")


def entry(offset: int, size: int, shard_id: int = 0) -> BundleEntry:
    return BundleEntry(UINT8, (size,), shard_id, offset, size)


def test_file_that_is_filled_to_its_end_is_right() -> None:
    promised = PromisedBytes()
    promised.add(b"a", entry(0, 4))
    promised.check(0, FILE)
    promised.add(b"b", entry(4, 6))
    promised.add(b"empty", entry(10, 0))
    promised.check(0, FILE)
    promised.check(0, FILE)


def test_one_byte_twice_is_data_loss_from_then_on() -> None:
    promised = PromisedBytes()
    promised.add(b"a", entry(0, 10))
    promised.check(0, FILE)
    promised.add(b"b", entry(9, 1))
    for _ in range(2):
        with pytest.raises(DataLossError, match="model.data-00000-of-00001: tensors of 11 bytes are to be in its 10"):
            promised.check(0, FILE)


def test_key_that_is_asked_for_again_counts_once() -> None:
    promised = PromisedBytes()
    for _ in range(3):
        promised.add(b"a", entry(0, 10))
        promised.check(0, FILE)


def test_each_file_is_counted_by_itself_and_only_what_lies_in_it() -> None:
    promised = PromisedBytes()
    promised.add(b"a", entry(0, 10))
    promised.add(b"b", entry(0, 10, shard_id=1))
    promised.add(b"c", entry(5, 10))
    promised.add(b"d", entry((1 << 63) - 1, (1 << 63) - 1))
    promised.check(0, FILE)
    promised.check(1, FILE)
