"""Entries that are read and written without a message object say what the message says, and nothing more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfsaver import schemas
from tfsaver.errors import SaverError
from tfsaver.framework import dtypes, tensor_shape
from tfsaver.framework.dtypes import DType
from tfsaver.tensor_bundle import entry as entry_module
from tfsaver.tensor_bundle.entry import BundleEntry, decode_entry
from tfsaver.tensor_bundle.plain_entry import Beginning, KnownBeginnings

FLOAT = dtypes.from_name("float32")
INT8 = dtypes.from_name("int8")

fixed = st.sampled_from([dtype for dtype in dtypes.ALL if dtype.has_fixed_size])
shapes = st.lists(st.integers(0, 300), max_size=5).map(tuple)
numbers = st.sampled_from([0, 1, 127, 128, 300, 1 << 20, (1 << 31) - 1])


def of_message(value: bytes) -> BundleEntry:
    proto = schemas.BundleEntryProto.FromString(value)
    dtype, shape = dtypes.from_data_type(proto.dtype), tensor_shape.from_proto(proto.shape)
    return BundleEntry(dtype, shape, proto.shard_id, proto.offset, proto.size, proto.crc32c)


def message(entry: BundleEntry, **changes: Any) -> Any:
    fields = {**entry._asdict(), "dtype": entry.dtype.data_type, "shape": tensor_shape.to_proto(entry.shape), **changes}
    return schemas.BundleEntryProto(**fields)


def entry_of(dtype: DType, shape: tuple[int, ...], shard_id: int, offset: int, crc: int) -> BundleEntry:
    return BundleEntry(dtype, shape, shard_id, offset, tensor_shape.num_elements(shape) * dtype.size, crc)


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_module, "_known", KnownBeginnings())


@given(dtype=fixed, shape=shapes, shard_id=numbers, offset=numbers, crc=numbers)
@example(dtype=FLOAT, shape=(), shard_id=0, offset=0, crc=0)
@example(dtype=FLOAT, shape=(0,), shard_id=1, offset=5, crc=0xA282EAD8)
def test_bytes_are_those_of_the_message_however_often(
    dtype: DType, shape: tuple[int, ...], shard_id: int, offset: int, crc: int
) -> None:
    entry = entry_of(dtype, shape, shard_id, offset, crc)
    for each in (entry, entry._replace(offset=offset + 1000), entry._replace(shard_id=3, crc32c=7)):
        data = message(each).SerializeToString()
        for _ in range(2):
            assert each.encode() == data
            assert decode_entry(data, "it") == each == of_message(data)


@pytest.mark.parametrize("offset", [0, 1, 127, 128, 255, 1 << 14, (1 << 35) + 5, (1 << 63) - 1])
@pytest.mark.parametrize("shard_id", [0, 1, 127, 128, 300, (1 << 31) - 1])
def test_entry_of_a_known_type_and_shape_needs_no_message(shard_id: int, offset: int) -> None:
    known = KnownBeginnings()
    for shape in ((3, 4), (0, 4), ()):
        entry = entry_of(FLOAT, shape, shard_id, offset, 0x01020304)
        data = message(entry).SerializeToString()
        assert known.decode(data) is None
        beginning = Beginning(FLOAT, shape, entry.size)
        known.add(data, beginning)
        assert known.decode(data) == (beginning, shard_id, offset, 0x01020304)
        assert known.encode(FLOAT.data_type, shape, shard_id, offset, entry.size, 0x01020304) == data


def test_bytes_that_cannot_begin_an_entry_are_not_noted() -> None:
    known = KnownBeginnings()
    data = message(entry_of(FLOAT, (3, 4), 0, 0, 1)).SerializeToString()
    for other in (data[:3], data[2:], b"\x08\x81\x12\x02" + data[4:], data[:3] + b"\x80\x01" + data[4:]):
        known.add(other, Beginning(FLOAT, (3, 4), 48))
        assert known.decode(other) is None


@pytest.mark.parametrize(
    "rest",
    [b"\x18" + b"\xff" * 12 + b"\x35\1\2\3\4", b"\x18\xff\x35\x20\xff\xff\xff", b"\x20\xff\x35\1\2\3\4"],
    ids=["endless shard", "offset out of the end", "offset into the checksum"],
)
def test_numbers_that_run_over_their_end_are_left_to_the_message(rest: bytes) -> None:
    known = KnownBeginnings()
    data = message(entry_of(FLOAT, (), 0, 0, 1)).SerializeToString()
    known.add(data, Beginning(FLOAT, (), 4))
    assert known.decode(data) == (Beginning(FLOAT, (), 4), 0, 0, 1)
    assert known.decode(data[: data.index(b"\x28")] + rest) is None


# What protobuf takes for the same message, or for another one: each must be what protobuf says, or an error.
VARIANTS = {
    "type again": lambda data: data + b"\x08\x03",
    "shape again": lambda data: data + b"\x12\x02\x12\x00",
    "offset again": lambda data: data + b"\x20\x09",
    "crc first": lambda data: data[-5:] + data[:-5],
    "long size": lambda data: data.replace(b"\x28\x30", b"\x28\xb0\x00"),
    "other size": lambda data: data.replace(b"\x28\x30", b"\x28\x31"),
    "no size": lambda data: data.replace(b"\x28\x30", b""),
    "no crc": lambda data: data[:-5],
    "half a crc": lambda data: data[:-2],
    "unknown field": lambda data: data[:-5] + b"\x50\x01" + data[-5:],
    "negative shard": lambda data: data[:-9] + b"\x18" + b"\xff" * 9 + b"\x01" + data[-9:],
    "large shard": lambda data: data[:-9] + b"\x18\xff\xff\xff\xff\x0f" + data[-9:],
    "negative offset": lambda data: data[:-9] + b"\x20" + b"\xff" * 9 + b"\x01" + data[-7:],
    "endless varint": lambda data: data[:-9] + b"\x20" + b"\xff" * 12 + data[-7:],
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_bytes_are_read_as_without_knowing_their_beginning(variant: str) -> None:
    sound = message(entry_of(FLOAT, (3, 4), 0, 5, 0x01020304)).SerializeToString()
    assert sound[-9:-5] == b"\x20\x05\x28\x30"
    changed = VARIANTS[variant](sound)
    assert changed != sound
    assert outcome(changed) == outcome_after(sound, changed)
    # Nor does the changed one spoil what comes after it.
    assert decode_entry(sound, "it") == of_message(sound)


@given(data=st.binary(max_size=40), cut=st.integers(0, 40))
def test_any_bytes_are_read_as_without_knowing_their_beginning(data: bytes, cut: int) -> None:
    sound = message(entry_of(FLOAT, (3, 4), 300, 5, 0x01020304)).SerializeToString()
    changed = sound[:cut] + data
    assert outcome(changed) == outcome_after(sound, changed)


def outcome(value: bytes) -> Any:
    """What reading says to whom nothing is known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry_module, "_known", KnownBeginnings())
        try:
            return decode_entry(value, "it")
        except SaverError as error:
            return type(error), str(error)


def outcome_after(sound: bytes, value: bytes) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry_module, "_known", KnownBeginnings())
        decode_entry(sound, "it")
        try:
            return decode_entry(value, "it")
        except SaverError as error:
            return type(error), str(error)


def test_no_more_beginnings_are_kept_than_some_thousands() -> None:
    for size in range(5000):
        entry = entry_of(INT8, (size,), 0, 0, 1)
        assert entry.encode() == message(entry).SerializeToString()
    assert len(entry_module._known._by_bytes) == 4096
