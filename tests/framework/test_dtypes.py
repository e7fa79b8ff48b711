"""The table of element types, against numpy, ml_dtypes and the schemas; and bytes that only partly carry a value."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tfsaver import schemas
from tfsaver.errors import UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType

OBJECTS = ("string", "variant", "resource")
ROWS = [pytest.param(dtype, id=dtype.name) for dtype in dtypes.ALL]
# TensorFlow's names for the enum where they are not the dtype's own in capitals.
ENUM_NAMES = {"float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF"}


def numpy_of(dtype: DType) -> np.dtype:
    """The row's numpy type; skips where the installed ml_dtypes is older than it."""
    if not (dtype.name in OBJECTS or dtype.name.startswith(("q",)) or hasattr(ml_dtypes, dtype.name)):
        try:
            np.dtype(dtype.name)
        except TypeError:
            pytest.skip(f"ml_dtypes {ml_dtypes.__version__} has no {dtype.name}")
    return dtype.numpy


@pytest.mark.parametrize("dtype", ROWS)
def test_row_has_the_schemas_number(dtype: DType) -> None:
    assert schemas.DataType.Name(dtype.data_type) == ENUM_NAMES.get(dtype.name, f"DT_{dtype.name.upper()}")


@pytest.mark.parametrize("dtype", ROWS)
def test_row_has_numpys_size(dtype: DType) -> None:
    found = numpy_of(dtype)
    if dtype.name in OBJECTS:
        assert not dtype.size and not dtype.has_fixed_size and found.kind == "O"
    else:
        assert dtype.has_fixed_size and found.itemsize == dtype.size


@pytest.mark.parametrize("dtype", ROWS)
def test_row_is_found_by_number_name_and_numpy_type(dtype: DType) -> None:
    assert dtypes.from_data_type(dtype.data_type) is dtype
    assert dtypes.from_name(dtype.name) is dtype
    assert str(dtype) == dtype.name
    if dtype.name not in OBJECTS:
        assert dtypes.from_numpy(numpy_of(dtype)) is dtype


@pytest.mark.parametrize("dtype", ROWS)
def test_row_swaps_as_numpy_does(dtype: DType) -> None:
    found = numpy_of(dtype)
    if dtype.name in OBJECTS:
        return
    plain = found if found.names is None else found[0]
    one = np.arange(1, dtype.size + 1, dtype=np.uint8)
    # The parts of a complex number change places each on their own; numpy knows no other compound.
    expected = one.reshape(-1, dtype.swap)[:, ::-1].reshape(-1)
    if plain.kind in "iufcb":
        assert one.view(plain).byteswap().view(np.uint8).tolist() == expected.tolist()
    assert dtype.size % dtype.swap == 0


@pytest.mark.parametrize("dtype", ROWS)
def test_row_names_a_field_of_tensor_proto(dtype: DType) -> None:
    field = schemas.TensorProto.DESCRIPTOR.fields_by_name[dtype.values]
    assert field.name.endswith("_val")


def test_numbers_are_those_of_the_schemas_and_no_other() -> None:
    known = {number for number in schemas.DataType.values() if 0 < number < 100}
    assert {dtype.data_type for dtype in dtypes.ALL} == known
    assert len({dtype.name for dtype in dtypes.ALL}) == len(dtypes.ALL)


@pytest.mark.parametrize("number", [0, 34, 99, 101, 107, 133, -1, 1 << 31])
def test_other_numbers_are_unimplemented(number: int) -> None:
    with pytest.raises(UnimplementedError, match=f"data type {number} "):
        dtypes.from_data_type(number)


def test_unknown_name_is_unimplemented() -> None:
    with pytest.raises(UnimplementedError, match="unknown dtype 'float33'; did you mean float32 or float64"):
        dtypes.from_name("float33")


@pytest.mark.parametrize(
    "dtype", ["datetime64[s]", "timedelta64[ns]", "O", "V3", [("a", "i4")], [("qint8", "i1"), ("qint16", "i2")], "longdouble"]
)
def test_numpy_types_without_a_row_are_unimplemented(dtype: object) -> None:
    with pytest.raises(UnimplementedError, match="cannot be stored in a checkpoint"):
        dtypes.from_numpy(np.dtype(dtype))  # type: ignore[call-overload]


@pytest.mark.parametrize("dtype", [">f4", "<f4", ">i8", ">c16", ">u2"])
def test_byte_order_of_a_numpy_type_does_not_matter(dtype: str) -> None:
    assert dtypes.from_numpy(np.dtype(dtype)).name == np.dtype(dtype).newbyteorder("=").name


@pytest.mark.parametrize("dtype", ["S3", "U7", "S", "U"])
def test_fixed_width_texts_are_strings(dtype: str) -> None:
    assert dtypes.from_numpy(np.dtype(dtype)) is dtypes.STRING


def test_quantised_types_are_structured_as_tensorflow_has_them() -> None:
    assert dtypes.from_name("qint32").numpy == np.dtype([("qint32", "<i4")])
    assert dtypes.from_name("quint16").numpy == np.dtype([("quint16", "<u2")])


NARROW = {
    # Each of the 256 bytes means what its low bits say.
    "int4": lambda byte: (byte & 15) - (16 if byte & 8 else 0),
    "uint4": lambda byte: byte & 15,
    "int2": lambda byte: (byte & 3) - (4 if byte & 2 else 0),
    "uint2": lambda byte: byte & 3,
    "float4_e2m1fn": lambda byte: (-1 if byte & 8 else 1) * [0, 0.5, 1, 1.5, 2, 3, 4, 6][byte & 7],
}


@pytest.mark.parametrize("name", NARROW)
def test_upper_bits_of_a_narrow_type_are_ignored(name: str) -> None:
    dtype = dtypes.from_name(name)
    found = numpy_of(dtype)
    raw = np.arange(256, dtype=np.uint8)
    dtype.unpacked_bits(raw)
    assert raw.view(found).astype(float).tolist() == [NARROW[name](byte) for byte in range(256)]
    again = raw.copy()
    dtype.unpacked_bits(again)
    assert again.tolist() == raw.tolist()


@pytest.mark.parametrize("dtype", ROWS)
def test_all_bits_of_other_types_stay(dtype: DType) -> None:
    if dtype.name in NARROW:
        assert dtype.num_bits < 8
        return
    raw = np.arange(256, dtype=np.uint8)
    dtype.unpacked_bits(raw)
    assert raw.tolist() == list(range(256))
    assert dtype.num_bits == 8 * dtype.size


def test_type_newer_than_the_installed_ml_dtypes_says_what_to_install() -> None:
    dtype = DType("float8_e9m9", 1000, 1, 1, "float8_val", False)
    with pytest.raises(UnimplementedError, match="dtype float8_e9m9 needs a newer ml_dtypes than the installed"):
        _ = dtype.numpy
