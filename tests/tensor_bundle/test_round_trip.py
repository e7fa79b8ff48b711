"""What a bundle's writer takes, its reader gives back: every type, shape, layout, byte order and number of shards."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.table.stores import with_snappy
from tests.tensor_bundle.tensors import FIXED, SHAPES, STORABLE, assert_equal, listing, random_array
from tfsaver.errors import InvalidArgumentError, ShapeMismatchError, TensorNotFoundError, UnimplementedError
from tfsaver.framework import array_chunks, dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import crc32c, file_io
from tfsaver.table import format as table_format
from tfsaver.table.block import Block
from tfsaver.tensor_bundle import region_pieces
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.header import BundleHeader
from tfsaver.tensor_bundle.placement import write_index
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.writer import BundleWriter

BYTE_ORDERS = ["little", "big"]
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "C order": lambda a: a,
    "Fortran order": np.asfortranarray,
    "transposed": lambda a: a.T,
    "every other": lambda a: a[..., ::2],
    "backwards": lambda a: a[::-1],
    "broadcast": lambda a: np.broadcast_to(a, (3, *a.shape)),
}


def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_chunks, "CHUNK_SIZE", 64)
    monkeypatch.setattr(region_pieces, "MAX_PIECE_SIZE", 64)


@pytest.mark.parametrize("byte_order", BYTE_ORDERS)
@pytest.mark.parametrize("chunks", ["large", "small"])
@pytest.mark.parametrize("dtype", STORABLE, ids=str)
def test_every_type_and_shape(
    dtype: DType, chunks: str, byte_order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dtype is dtypes.VARIANT and byte_order == "big":
        pytest.skip("variants have no form in a big-endian bundle")
    if chunks == "small":
        small_chunks(monkeypatch)
    arrays = {f"w{number}": random_array(dtype, shape) for number, shape in enumerate(SHAPES)}
    if dtype is dtypes.VARIANT:
        # Without an element there is nothing that says variant.
        arrays = {name: array for name, array in arrays.items() if array.size}
    with BundleWriter(tmp_path / "model", byte_order=byte_order) as writer:
        for name, array in arrays.items():
            writer.add(name, array)
    assert listing(tmp_path) == ["model.data-00000-of-00001", "model.index"]
    with BundleReader(tmp_path / "model") as reader:
        assert reader.header.byte_order == byte_order
        assert reader.names == sorted(arrays)
        for name, array in arrays.items():
            assert reader.entry(name).dtype is dtype and reader.entry(name).shape == array.shape
            assert_equal(reader.read(name), array)
            reader.read_many({name: None}, verify_only=True)


@pytest.mark.parametrize("byte_order", BYTE_ORDERS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [*FIXED, dtypes.STRING], ids=str)
def test_every_layout_is_the_same_tensor(
    dtype: DType, layout: str, byte_order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch)
    array = LAYOUTS[layout](random_array(dtype, (6, 5, 4)))
    with BundleWriter(tmp_path / "model", byte_order=byte_order) as writer:
        writer.add("w", array)
        writer.add("same", np.array(array, order="C"))
    with BundleReader(tmp_path / "model") as reader:
        assert_equal(reader.read("w"), array)
        assert reader.entry("w").crc32c == reader.entry("same").crc32c
        out = np.empty(array.shape, array.dtype, order="F")
        assert_equal(reader.read("w", out=out), array)
        assert_equal(out, array)


@pytest.mark.parametrize("dtype", [dtype for dtype in FIXED if dtype.swap > 1 and dtype.numpy.kind in "iufc"], ids=str)
def test_arrays_of_the_other_byte_order_are_the_same_tensor(dtype: DType, tmp_path: Path) -> None:
    array = random_array(dtype, (3, 4))
    if dtype.numpy.newbyteorder() == dtype.numpy:
        pytest.skip(f"numpy knows no other byte order of {dtype}")
    with BundleWriter(tmp_path / "model") as writer:
        writer.add("w", array.astype(dtype.numpy.newbyteorder()))
    with BundleReader(tmp_path / "model") as reader:
        assert_equal(reader.read("w"), array)
        assert reader.read("w").dtype.isnative


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (np.array([1, 2], np.int16), "00 01 00 02"),
        (np.array([1.5], np.float32), "3f c0 00 00"),
        (np.array([1 + 2j], np.complex64), "3f 80 00 00 40 00 00 00"),
        (np.array([1], np.int64), "00 00 00 00 00 00 00 01"),
        (np.array([7], [("qint32", "<i4")]), "00 00 00 07"),
        (np.array([1, 2], np.int8), "01 02"),
        # Size 2, then the masked CRC of 00 00 00 02, then the bytes.
        ("hi", None),
    ],
    ids=["int16", "float32", "complex64", "int64", "qint32", "int8", "string"],
)
def test_big_endian_bytes(value: Any, data: str | None, tmp_path: Path) -> None:

    if data is None:
        expected = b"\x02" + crc32c.mask(crc32c.value(b"\0\0\0\2")).to_bytes(4, "big") + b"hi"
    else:
        expected = bytes.fromhex(data)
    with BundleWriter(tmp_path / "model", byte_order="big") as writer:
        writer.add("w", value)
    assert (tmp_path / "model.data-00000-of-00001").read_bytes() == expected
    # Header: shards 1, endianness 1, version.
    assert bytes.fromhex("08 01 10 01 1a 02 08 01") in (tmp_path / "model.index").read_bytes()


def test_upper_bits_that_another_writer_left_are_ignored(tmp_path: Path) -> None:

    int4 = dtypes.from_name("int4")
    with BundleWriter(tmp_path / "model") as writer:
        writer.add("w", np.array([-8, 7], np.int8).astype(int4.numpy))
    data = tmp_path / "model.data-00000-of-00001"
    assert data.read_bytes() == b"\xf8\x07"
    # -8 as 08, and 7 with a bit above it; the checksum in the index is that of the bytes as they are.
    data.write_bytes(b"\x08\x17")
    index = tmp_path / "model.index"
    old, new = (crc32c.mask(crc32c.value(raw)).to_bytes(4, "little") for raw in (b"\xf8\x07", b"\x08\x17"))
    rewritten = _with_block_checksums(index.read_bytes().replace(old, new))
    index.write_bytes(rewritten)
    with BundleReader(tmp_path / "model") as reader:
        assert reader.read("w").astype(int).tolist() == [-8, 7]


def _with_block_checksums(table: bytes) -> bytes:
    """A table of one data block with the block's checksum made right."""

    footer = table_format.decode_footer(table[-48:], "table")
    index = Block(table[footer.index_handle.offset :][: footer.index_handle.size], "index")
    handle, _ = table_format.read_block_handle(index.values[0])
    contents = table[handle.offset : handle.offset + handle.size]
    return contents + table_format.block_trailer(contents) + table[handle.size + 5 :]


def test_strings_keep_every_byte(tmp_path: Path) -> None:
    strings = ["", "a", "nul\0\0", b"\0", b"\xff\xfe", "grün 🌳", "x" * 1_000_000, b"", "y" * 127, "z" * 128]
    expected = [item.encode() if isinstance(item, str) else item for item in strings]
    with BundleWriter(tmp_path / "model") as writer:
        writer.add("list", strings)
        writer.add("array", np.array(strings, object).reshape(2, 5))
        writer.add("scalar", "nul\0")
        writer.add("empty", np.empty((0, 4), object))
        writer.add("fixed width", np.array(["a", "ü"]))
    with BundleReader(tmp_path / "model") as reader:
        assert reader.read("list").tolist() == expected
        assert reader.read("array").reshape(-1).tolist() == expected
        assert reader.read("scalar").shape == () and reader.read("scalar")[()] == b"nul\0"
        assert reader.read("empty").shape == (0, 4) and reader.entry("empty").size == 4
        assert reader.read("fixed width").tolist() == [b"a", "ü".encode()]
        assert reader.read("array", TensorSlice(((1, 1), (2, 2)))).tolist() == [expected[7:9]]


def test_names_of_any_bytes_come_back(tmp_path: Path) -> None:
    names = ["a", "scope/kernel:0", "ünï", "\0zero", "\udcff", "very " * 200, "tab\t", "a\0b", "\x7f"]
    with BundleWriter(tmp_path / "model") as writer:
        for number, name in enumerate(names):
            writer.add(name, np.int32(number))
    with BundleReader(tmp_path / "model") as reader:
        assert sorted(reader.names) == sorted(names)
        assert reader.names == sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))
        for number, name in enumerate(names):
            assert name in reader and reader.read(name) == number


def test_tensors_lie_in_the_order_and_shard_that_the_writer_was_told(tmp_path: Path) -> None:
    arrays = {f"w{number}": random_array(dtypes.from_name("float32"), (number, 3)) for number in range(7)}
    with BundleWriter(tmp_path / "model", num_shards=3) as writer:
        for number, (name, array) in enumerate(reversed(arrays.items())):
            writer.add(name, array, shard_id=number % 3)
    assert listing(tmp_path) == [*(f"model.data-0000{shard}-of-00003" for shard in range(3)), "model.index"]
    with BundleReader(tmp_path / "model") as reader:
        assert reader.header.num_shards == 3
        assert [reader.entry(f"w{number}").shard_id for number in range(7)] == [0, 2, 1, 0, 2, 1, 0]
        assert reader.entry("w6").offset == 0 and reader.entry("w3").offset == reader.entry("w6").size
        for name, array in arrays.items():
            assert_equal(reader.read(name), array)


def test_shard_without_tensors_is_an_empty_file(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "model", num_shards=2) as writer:
        writer.add("w", 1.0, shard_id=1)
    assert (tmp_path / "model.data-00000-of-00002").read_bytes() == b""
    assert len((tmp_path / "model.data-00001-of-00002").read_bytes()) == 8


def test_bundle_without_tensors_has_no_names(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "model"):
        pass
    with BundleReader(tmp_path / "model") as reader:
        assert reader.names == []


def test_index_of_many_blocks_finds_every_name(tmp_path: Path) -> None:
    count = 6000
    with BundleWriter(tmp_path / "model", durable=False) as writer:
        for number in range(count):
            writer.add(f"{number * 7919 % count:05d}/a/long/name/that/it/shares/with/no/other/{number:05d}", np.int32(number))
    with BundleReader(tmp_path / "model") as reader:
        assert reader.index.num_blocks > 1
        assert len(reader.names) == count
        for name in reader.names[::97]:
            assert reader.read(name) == int(name[-5:])


def test_snappy_index_of_another_build_is_read(tmp_path: Path) -> None:

    arrays = {f"layer_{number}/kernel": random_array(dtypes.from_name("float32"), (3,), number) for number in range(50)}
    with BundleWriter(tmp_path / "model") as writer:
        for name, array in arrays.items():
            writer.add(name, array)
    index = tmp_path / "model.index"
    plain = index.read_bytes()
    index.write_bytes(with_snappy(plain))
    assert len(index.read_bytes()) < len(plain) * 0.8
    with BundleReader(tmp_path / "model") as reader:
        reader.verify_index()
        assert reader.names == sorted(arrays)
        for name, array in arrays.items():
            assert_equal(reader.read(name), array)


def test_threads_read_from_one_reader(tmp_path: Path) -> None:
    arrays = {f"w{number}": random_array(dtypes.from_name("int64"), (50, 40), number) for number in range(40)}
    with BundleWriter(tmp_path / "model", num_shards=4, durable=False) as writer:
        for number, (name, array) in enumerate(arrays.items()):
            writer.add(name, array, shard_id=number % 4)
    with BundleReader(tmp_path / "model") as reader, ThreadPoolExecutor(8) as pool:
        for name, found in pool.map(lambda name: (name, reader.read(name)), [*arrays] * 5):
            assert_equal(found, arrays[name])
        assert reader.files.num_open == 4


def test_out_is_filled_and_checked(tmp_path: Path) -> None:
    array = random_array(dtypes.from_name("float32"), (4, 6))
    with BundleWriter(tmp_path / "model") as writer:
        writer.add("w", array)
    with BundleReader(tmp_path / "model") as reader:
        out = np.zeros((4, 6), np.float32)
        assert reader.read("w", out=out) is out
        assert_equal(out, array)
        # Part of a larger array, not contiguous.
        large = np.zeros((8, 20), np.float32)
        reader.read("w", out=large[2:6, 3:15:2])
        assert_equal(large[2:6, 3:15:2], array)
        assert np.count_nonzero(large) == np.count_nonzero(array)
        with pytest.raises(ShapeMismatchError, match=r"out for w.* has shape \[6, 4\], expected \[4, 6\]"):
            reader.read("w", out=np.zeros((6, 4), np.float32))
        with pytest.raises(InvalidArgumentError, match="out for 'w' has dtype float64, the tensor float32"):
            reader.read("w", out=np.zeros((4, 6)))
        with pytest.raises(InvalidArgumentError, match="dtype >f4"):
            reader.read("w", out=np.zeros((4, 6), ">f4"))
        read_only = np.zeros((4, 6), np.float32)
        read_only.flags.writeable = False
        with pytest.raises(InvalidArgumentError, match="out for 'w' is read-only"):
            reader.read("w", out=read_only)


class CountingFile:
    """A file that keeps count of what is read from it."""

    def __init__(self, file: file_io.RandomAccessFile) -> None:
        self._file = file
        self.path, self.size = file.path, file.size
        self.num_bytes = 0
        self.num_reads = 0

    def read(self, offset: int, size: int) -> bytes:
        self.num_bytes += size
        self.num_reads += 1
        return self._file.read(offset, size)

    def readinto(self, offset: int, buffer: memoryview) -> int:
        self.num_bytes += len(buffer)
        self.num_reads += 1
        return self._file.readinto(offset, buffer)

    def close(self) -> None:
        self._file.close()


@pytest.fixture
def data_files(monkeypatch: pytest.MonkeyPatch) -> list[CountingFile]:
    """The data files that are opened, counted."""
    opened: list[CountingFile] = []
    open_for_reading = file_io.open_for_reading

    def counting(path: str, *options: Any) -> file_io.RandomAccessFile:
        file = open_for_reading(path, *options)
        if ".data-" not in path:
            return file
        opened.append(CountingFile(file))
        return opened[-1]

    monkeypatch.setattr(file_io, "open_for_reading", counting)
    return opened


REGIONS = [
    # A region, and the most that is read for it in a tensor of 1000 times 64 KiB.
    pytest.param(((10, 1), (0, 16384)), 65536, id="a row"),
    pytest.param(((10, 20), (0, 16384)), 20 * 65536, id="rows"),
    pytest.param(((500, 2), (100, 5)), 2 * 65536, id="part of rows"),
    pytest.param(((0, 0), (0, 16384)), 0, id="nothing"),
]


@pytest.mark.parametrize(("extents", "most"), REGIONS)
def test_region_without_verification_reads_its_own_bytes(
    extents: tuple[tuple[int, int], ...], most: int, tmp_path: Path, data_files: list[CountingFile]
) -> None:
    array = np.arange(1000 * 16384, dtype=np.int32).reshape(1000, 16384)
    with BundleWriter(tmp_path / "model", durable=False) as writer:
        writer.add("before", np.zeros(1000))
        writer.add("w", array)
    region = TensorSlice(extents)
    with BundleReader(tmp_path / "model") as reader:
        assert reader.entry("w").shape == (1000, 16384) and not data_files
        assert_equal(reader.read("w", region, verify=False), array[region.indices])
        assert data_files[0].num_bytes <= most
        before = data_files[0].num_bytes
        assert_equal(reader.read("w", region), array[region.indices])
        assert data_files[0].num_bytes - before == array.nbytes


def test_one_tensor_reads_its_range_alone(tmp_path: Path, data_files: list[CountingFile]) -> None:
    with BundleWriter(tmp_path / "model", num_shards=2) as writer:
        for number in range(10):
            writer.add(f"w{number}", np.full(100, number, np.float32), shard_id=number % 2)
    with BundleReader(tmp_path / "model") as reader:
        reader.read("w3")
    assert [file.num_bytes for file in data_files] == [400]


def test_missing_name_says_which_are_near(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "model") as writer:
        writer.add("dense/kernel", 1.0)
        writer.add("dense/bias", 1.0)
    with BundleReader(tmp_path / "model") as reader:
        assert "dense/kernels" not in reader and "" not in reader and None not in reader and 3 not in reader
        with pytest.raises(TensorNotFoundError, match="did you mean 'dense/kernel'") as caught:
            reader.read("dense/kernels")
        assert caught.value.name == "dense/kernels" and caught.value.near[0] == "dense/kernel"
        for name in ("", "\ud800"):
            with pytest.raises(TensorNotFoundError):
                reader.entry(name)
        assert "\ud800" not in reader


def test_resource_is_unimplemented(tmp_path: Path) -> None:
    (tmp_path / "model.data-00000-of-00001").write_bytes(b"handle")
    write_index(str(tmp_path / "model"), BundleHeader(), [([b"r"], [BundleEntry(dtypes.RESOURCE, (), size=6).encode()])])
    with BundleReader(tmp_path / "model") as reader:
        assert reader.names == ["r"]
        with pytest.raises(UnimplementedError, match="resource tensors cannot be stored"):
            reader.read("r")
