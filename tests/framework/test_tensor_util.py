"""Values as arrays, and TensorProtos both ways: every type, every form in which a proto keeps its values."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

from tests.framework.test_dtypes import numpy_of
from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError, UnimplementedError
from tfsaver.framework import dtypes, tensor_shape, tensor_util, wire_format
from tfsaver.framework.dtypes import DType
from tfsaver.framework.variant import Variant

FIXED = [pytest.param(dtype, id=dtype.name) for dtype in dtypes.ALL if dtype.has_fixed_size]
IN_V1 = [pytest.param(dtype, id=dtype.name) for dtype in dtypes.ALL if dtype.in_v1]
SHAPE = (2, 3)


def values_of(dtype: DType, count: int = 6) -> Any:
    """Values with every byte different, as far as the type can have them."""
    if not dtype.has_fixed_size:
        values = np.empty(count, object)
        values[:] = [b"", b"a\0", b"\xff", b"x" * 200, b"\0", b"abc"][:count]
        return values
    raw = (np.arange(count * dtype.size, dtype=np.int64) * 37 + 129).astype(np.uint8)
    if dtype.name == "bool":
        raw &= 1
    dtype.unpacked_bits(raw)
    return raw.view(numpy_of(dtype))


def as_bits(array: Any) -> list[Any]:
    """What compares equal exactly for equal bits, NaNs included."""
    return array.tolist() if array.dtype == object else np.ascontiguousarray(array).reshape(-1).view(np.uint8).tolist()


def proto_of(dtype: DType, shape: tuple[int, ...] = SHAPE, **fields: Any) -> Any:
    return schemas.TensorProto(dtype=dtype.data_type, tensor_shape=tensor_shape.to_proto(shape), **fields)


# A V1 record's values.


@pytest.mark.parametrize("count", [0, 1, 6])
@pytest.mark.parametrize("dtype", IN_V1)
def test_values_are_read_back_from_their_field(dtype: DType, count: int) -> None:
    values = values_of(dtype)[:count]
    encoded = b"".join(tensor_util.encode_values(values, dtype))
    assert len(encoded) == tensor_util.encoded_values_size(values, dtype)
    decoded = tensor_util.decode_values(memoryview(encoded), dtype, "w")
    assert decoded.dtype == values.dtype and as_bits(decoded) == as_bits(values)
    # The schema's own parser finds one number an element there, or two in a complex one.
    found = schemas.TensorProto.FromString(encoded)
    assert len(getattr(found, dtype.values)) == count * (2 if dtype.name.startswith("complex") else 1)


@pytest.mark.parametrize("dtype", IN_V1)
def test_values_in_any_layout_and_many_pieces_are_the_same_bytes(dtype: DType, monkeypatch: pytest.MonkeyPatch) -> None:
    values = values_of(dtype)
    plain = b"".join(tensor_util.encode_values(values, dtype))
    monkeypatch.setattr(tensor_util.array_chunks, "CHUNK_SIZE", 16)
    monkeypatch.setattr(tensor_util, "_BATCH", 2)
    fortran = np.asfortranarray(values.reshape(2, 3))
    assert b"".join(tensor_util.encode_values(fortran, dtype)) == plain
    assert tensor_util.encoded_values_size(fortran, dtype) == len(plain)


@pytest.mark.parametrize("dtype", IN_V1)
def test_unpacked_values_are_read_in_their_order(dtype: DType) -> None:
    if not dtype.has_fixed_size:
        return
    values = values_of(dtype)
    field = schemas.TensorProto.DESCRIPTOR.fields_by_name[dtype.values]
    halves = []
    for half in (values[:3], values[3:]):
        packed = schemas.TensorProto.FromString(b"".join(tensor_util.encode_values(half, dtype)))
        halves.append((packed.SerializeToString(), list(getattr(packed, dtype.values))))
    _, wire_type = tensor_util._PACKED[dtype.values]
    tag = tensor_util.wire_format.coding.encode_varint(field.number << 3 | wire_type)

    def unpacked(numbers: list[Any]) -> bytes:
        if wire_type == 0:
            encoded = [tensor_util.wire_format.coding.encode_varint(int(number) & (1 << 64) - 1) for number in numbers]
        else:
            encoded = [np.array(number, "<f4" if wire_type == 5 else "<f8").tobytes() for number in numbers]
        return b"".join(tag + item for item in encoded)

    for first_packed in (True, False):
        for second_packed in (True, False):
            data = (halves[0][0] if first_packed else unpacked(halves[0][1])) + (
                halves[1][0] if second_packed else unpacked(halves[1][1])
            )
            decoded = tensor_util.decode_values(memoryview(data), dtype, "w")
            assert as_bits(decoded) == as_bits(values), (first_packed, second_packed)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("float32", "2a 03 00 00 00"),
        ("complex64", "4a 04 00 00 00 00"),
        ("int32", "3a 02 80 80"),
        ("int32", "3a 0b ff ff ff ff ff ff ff ff ff ff 01"),
        ("int32", "3d 00 00 00 00"),
        ("float32", "28 01"),
        ("string", "40 01"),
        ("float32", "2a 05 00 00"),
        ("float32", "2f"),
        ("float32", "02 00"),
        ("float32", "22 03 00 00 00"),
    ],
    ids=["a float of 3 bytes", "half a complex", "varint cut off", "varint too long", "int_val of fixed width", "float_val as a "
         "varint", "string_val as a varint", "longer than it is", "unknown wire type", "field 0", "content of 3 bytes"],
)  # fmt: skip
def test_values_that_are_none_are_data_loss(name: str, data: str) -> None:
    with pytest.raises(DataLossError):
        tensor_util.decode_values(memoryview(bytes.fromhex(data)), dtypes.from_name(name), "w")


# TensorProtos.


@pytest.mark.parametrize("dtype", FIXED)
def test_content_is_the_arrays_bytes(dtype: DType) -> None:
    values = values_of(dtype)
    array = tensor_util.make_ndarray(proto_of(dtype, tensor_content=values.tobytes()))
    assert array.shape == SHAPE and array.dtype == values.dtype and as_bits(array) == as_bits(values)


@pytest.mark.parametrize("dtype", [pytest.param(dtype, id=dtype.name) for dtype in dtypes.ALL])
def test_proto_without_values_is_zeros(dtype: DType) -> None:
    if dtype is dtypes.RESOURCE:
        return
    numpy_of(dtype)
    array = tensor_util.make_ndarray(proto_of(dtype))
    assert array.shape == SHAPE
    assert as_bits(array) == as_bits(np.zeros(SHAPE, array.dtype) if dtype.has_fixed_size else np.full(SHAPE, b"", object))


@pytest.mark.parametrize("dtype", IN_V1)
def test_last_value_fills_the_rest(dtype: DType) -> None:
    values = values_of(dtype)
    proto = proto_of(dtype)
    proto.MergeFromString(b"".join(tensor_util.encode_values(values[:2], dtype)))
    expected = values.copy()
    expected[2:] = expected[1]
    assert as_bits(tensor_util.make_ndarray(proto).reshape(-1)) == as_bits(expected)


@pytest.mark.parametrize("size", [4, 20, 28])
def test_content_of_another_size_is_data_loss(size: int) -> None:
    with pytest.raises(DataLossError, match=rf"TensorProto: {size // 4} values for the 6 elements of shape \[2, 3\]"):
        tensor_util.make_ndarray(proto_of(dtypes.from_name("float32"), tensor_content=bytes(size)))


def test_more_values_than_elements_are_data_loss() -> None:
    with pytest.raises(DataLossError, match="7 values for the 6 elements"):
        tensor_util.make_ndarray(proto_of(dtypes.from_name("float32"), float_val=[1.0] * 7))


def test_variants_are_their_bytes() -> None:
    inner = schemas.VariantTensorDataProto(type_name="mine", metadata=b"\0\1")
    array = tensor_util.make_ndarray(proto_of(dtypes.VARIANT, (1,), variant_val=[inner]))
    assert isinstance(array[0], Variant) and array[0].to_proto() == inner
    assert repr(array[0]).startswith("Variant(b'")


def test_half_of_a_complex_number_in_a_field_of_its_own_is_data_loss() -> None:
    field = schemas.TensorProto.DESCRIPTOR.fields_by_name["scomplex_val"].number << 3 | wire_format.FIXED32
    one = bytes((field,)) + np.float32(1).tobytes()
    values = tensor_util.decode_values(memoryview(2 * one), dtypes.from_name("complex64"), "w")
    assert values.tolist() == [1 + 1j]
    for count in (1, 3):
        with pytest.raises(DataLossError, match=f"{4 * count} bytes of scomplex_val are no whole number of complex64"):
            tensor_util.decode_values(memoryview(count * one), dtypes.from_name("complex64"), "w")


def test_variant_that_is_no_message_or_nested_too_deeply_is_data_loss() -> None:
    nested = b""
    for _ in range(1000):
        tensor = schemas.TensorProto.DESCRIPTOR.fields_by_name["variant_val"].number
        inner = wire_format.length_delimited_header(tensor, len(nested)) + nested
        nested = wire_format.length_delimited_header(3, len(inner)) + inner
    for data in (b"\xff", nested):
        with pytest.raises(DataLossError, match=f"variant of {len(data)} bytes"):
            Variant(data).to_proto()


def test_proto_of_an_unknown_type_is_unimplemented() -> None:
    with pytest.raises(UnimplementedError, match="data type 101"):
        tensor_util.make_ndarray(schemas.TensorProto(dtype=101))


# Prints what TensorFlow makes of each type: the proto, and the bytes it reads from it.
TENSORFLOW = """
import base64, json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf

def forms(name, shape):
    dtype = tf.as_dtype(name)
    numpy_type = np.dtype(dtype.as_numpy_dtype)
    count = int(np.prod(shape))
    if dtype == tf.string:
        values = np.array([b"v%d" % i for i in range(count)], object).reshape(shape)
    else:
        numbers = np.arange(count) % (2 if name in ("bool", "int2") else 4)
        values = numbers.astype(numpy_type[0] if numpy_type.names else numpy_type).view(numpy_type).reshape(shape)
    yield tf.make_tensor_proto(values, dtype=dtype, shape=shape)
    if count > 1 and not numpy_type.names:
        yield tf.make_tensor_proto(np.full(shape, values.reshape(-1)[1]), dtype=dtype, shape=shape)
        yield tf.make_tensor_proto(values.reshape(-1)[1], dtype=dtype, shape=shape)

made, refused = [], []
for name in sys.argv[1:]:
    try:
        for shape in [(), (1,), (2, 3), (0,), (2, 0, 3), (5,)]:
            for proto in forms(name, shape):
                theirs = tf.make_ndarray(proto)
                strings = name == "string" and [base64.b64encode(item).decode() for item in theirs.reshape(-1)]
                made.append([name, list(shape), proto.SerializeToString().hex(), strings or theirs.tobytes().hex()])
    except TypeError:
        refused.append(name)
print(json.dumps([made, refused]))
"""


def is_installed(dtype: DType) -> bool:
    try:
        return dtype.numpy is not None
    except UnimplementedError:
        return False


def test_protos_of_tensorflow_are_read_as_tensorflow_reads_them() -> None:
    pytest.importorskip("tensorflow")
    names = [dtype.name for dtype in dtypes.ALL if dtype.has_fixed_size and is_installed(dtype)] + ["string"]
    done = subprocess.run(
        [sys.executable, "-c", TENSORFLOW, *names], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    made, refused = json.loads(done.stdout.splitlines()[-1])
    # TensorFlow's own make_tensor_proto knows neither all of the narrow types nor, in older versions, any of them.
    assert all(name.startswith(("float8", "float4", "int4", "uint4", "int2", "uint2")) for name in refused), refused
    assert {name for name, *_ in made} | set(refused) == set(names)
    for name, shape, data, theirs in made:
        array = tensor_util.make_ndarray(schemas.TensorProto.FromString(bytes.fromhex(data)))
        assert list(array.shape) == shape, (name, shape)
        if name == "string" and array.size:
            assert [base64.b64encode(value).decode() for value in array.reshape(-1)] == theirs
        else:
            assert array.tobytes().hex() == theirs, (name, shape)


# What callers pass.


def test_array_is_taken_as_it_is() -> None:
    array = np.zeros((3, 4), np.float32, order="F")
    found, dtype = tensor_util.as_tensor(array)
    assert found is array and dtype.name == "float32"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("é", "é".encode()),
        (b"\xff\0\0", b"\xff\0\0"),
        (np.bytes_(b"a\0"), b"a\0"),
        (np.str_("a\0"), b"a\0"),
        (["a\0", b"bc\0\0"], [b"a\0", b"bc\0\0"]),
        ([["a"], ["b"]], [[b"a"], [b"b"]]),
        (("x", "y"), [b"x", b"y"]),
        (np.array(["a", "ü"]), [b"a", "ü".encode()]),
        (np.array([b"a", b"bb"]), [b"a", b"bb"]),
        (np.array(["a", b"b"], object), [b"a", b"b"]),
        ("\udcff", b"\xff"),
        (np.array([], "S3"), []),
        (np.array([], object), []),
    ],
)
def test_strings_become_objects_with_all_their_bytes(value: Any, expected: Any) -> None:
    array, dtype = tensor_util.as_tensor(value)
    assert dtype is dtypes.STRING and array.dtype == object
    assert array.tolist() == expected


def test_one_long_string_does_not_make_room_for_the_others() -> None:
    strings = ["short"] * 2000 + ["x" * 200_000]
    tracemalloc.start()
    try:
        array, _ = tensor_util.as_tensor(strings)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert array.shape == (2001,) and len(array[-1]) == 200_000


@pytest.mark.parametrize(
    ("value", "name"), [(1.5, "float64"), (True, "bool"), ([1, 2], "int64"), ([], "float64"), (2j, "complex128"),
                        (np.float32(1), "float32"), (range(3), "int64")]
)  # fmt: skip
def test_numbers_become_what_numpy_makes_of_them(value: Any, name: str) -> None:
    array, dtype = tensor_util.as_tensor(value)
    assert dtype.name == name and array.tolist() == (list(value) if isinstance(value, range) else value)


def test_variants_stay_variants() -> None:
    array, dtype = tensor_util.as_tensor([Variant(b"a"), Variant(b"")])
    assert dtype is dtypes.VARIANT and all(isinstance(element, Variant) for element in array)
    array, dtype = tensor_util.as_tensor(Variant(b"a\0"))
    assert dtype is dtypes.VARIANT and array[()] == b"a\0"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([[1, 2], [3]], "'w' cannot be made an array"),
        ([["a"], ["b", "c"]], "'w' holds a list; an array of objects must hold strings"),
        (["a", 1], "'w' holds a int"),
        ([None], "'w' holds a NoneType"),
        ({"a": 1}, "'w' holds a dict"),
        (np.array([1, "a"], object), "'w' holds a int"),
        ([Variant(b""), b""], "'w' mixes strings and variants"),
        ("\ud800", "'w' holds a text that has no UTF-8 form"),
    ],
    ids=["ragged numbers", "ragged strings", "text and number", "None", "dict", "objects", "variants and strings", "surrogate"],
)
def test_what_is_no_tensor_is_an_invalid_argument(value: Any, sentence: str) -> None:
    with pytest.raises(InvalidArgumentError, match=sentence):
        tensor_util.as_tensor(value, "w")


@pytest.mark.parametrize("dtype", ["datetime64[s]", "V4"])
def test_dtype_that_no_checkpoint_holds_is_unimplemented(dtype: str) -> None:
    with pytest.raises(UnimplementedError):
        tensor_util.as_tensor(np.zeros(2, dtype), "w")


def test_few_bytes_that_say_a_huge_shape_take_no_memory():
    shape = schemas.TensorShapeProto(dim=[schemas.TensorShapeProto.Dim(size=1 << 31)])
    splat = tensor_util.make_ndarray(schemas.TensorProto(dtype=schemas.DT_STRING, tensor_shape=shape, string_val=[b"a"]))
    assert splat.shape == (1 << 31,) and splat[12345] == b"a" and splat.strides == (0,)
    zeros = tensor_util.make_ndarray(schemas.TensorProto(dtype=schemas.DT_FLOAT, tensor_shape=shape))
    assert zeros[-1] == 0 and zeros.strides == (0,)
    with pytest.raises(DataLossError, match="2 values are to fill the 2147483648 elements"):
        tensor_util.make_ndarray(schemas.TensorProto(dtype=schemas.DT_FLOAT, tensor_shape=shape, float_val=[1, 2]))
