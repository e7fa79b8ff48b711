"""What an index says of a tensor: bytes as TensorFlow has them, and entries that contradict themselves."""

from __future__ import annotations

from typing import Any

import pytest

from tfsaver import schemas
from tfsaver.errors import DataLossError, UnimplementedError
from tfsaver.framework import dtypes, tensor_shape
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice
from tfsaver.tensor_bundle.entry import BundleEntry, decode_entry

FLOAT = dtypes.from_name("float32")
FLOAT_TYPE = FLOAT.data_type


def proto(shape: tuple[int, ...] = (2,), **fields: Any) -> bytes:
    made = schemas.BundleEntryProto(shape=tensor_shape.to_proto(shape), **{"dtype": FLOAT_TYPE, "size": 8, **fields})
    return bytes(made.SerializeToString())


@pytest.mark.parametrize(
    ("entry", "data"),
    [
        (BundleEntry(FLOAT, (), size=4, crc32c=0xA7E12F5E), "08 01 12 00 28 04 35 5e 2f e1 a7"),
        (BundleEntry(dtypes.STRING, (2,), offset=4, size=8, crc32c=1), "08 07 12 04 12 02 08 02 20 04 28 08 35 01 00 00 00"),
        (BundleEntry(FLOAT, (0,), shard_id=1, crc32c=0xA282EAD8), "08 01 12 04 12 02 08 00 18 01 35 d8 ea 82 a2"),
        (
            BundleEntry(FLOAT, (2, 3), slices=(TensorSlice(((0, 1), EVERYTHING)),)),
            "08 01 12 08 12 02 08 02 12 02 08 03 3a 06 0a 02 10 01 0a 00",
        ),
    ],
    ids=["scalar", "strings", "empty", "sliced"],
)
def test_entry_is_the_bytes_of_tensorflow(entry: BundleEntry, data: str) -> None:
    # A dimension of 0 is left out by a serializer: its message is empty.
    expected = bytes.fromhex(data.replace("12 04 12 02 08 00", "12 02 12 00"))
    assert entry.encode() == expected
    assert decode_entry(expected, "here") == entry


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xff\xff",
        proto(shard_id=-1),
        proto(offset=-1),
        proto(size=-1),
        proto(size=7),
        proto(size=9),
        proto(shape=(-1,)),
        proto(shape=(1 << 62, 4)),
        proto(dtype=dtypes.STRING.data_type, shape=(9,)),
        proto(dtype=dtypes.STRING.data_type, shape=(1 << 57,)),
        proto(dtype=dtypes.VARIANT.data_type, shape=(9,)),
        proto(slices=[schemas.TensorSliceProto(extent=[schemas.TensorSliceProto.Extent(start=1)])]),
        proto(slices=[schemas.TensorSliceProto()]),
    ],
    ids=["no message", "negative shard", "negative offset", "negative size", "too few bytes", "too many bytes", "negative shape",
         "huge shape", "more strings than bytes", "many more", "more variants than bytes", "start alone", "slice of another rank"],
)  # fmt: skip
def test_entry_that_contradicts_itself_is_data_loss(value: bytes) -> None:
    with pytest.raises(DataLossError):
        decode_entry(value, "entry of 'w'")


@pytest.mark.parametrize("data_type", [0, 101, 200])
def test_unknown_type_is_unimplemented(data_type: int) -> None:
    with pytest.raises(UnimplementedError, match=f"entry of 'w': data type {data_type}"):
        decode_entry(proto(dtype=data_type), "entry of 'w'")
