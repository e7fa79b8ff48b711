"""Small files that would cost far more than they are: what they take is bounded by their size.

Time is never measured: what is counted is memory, bytes read, blocks decoded, comparisons made.
"""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cramjam
import numpy as np
import pytest

from tests.table.stores import MemoryFile, block, build, open_table, table_of_blocks
from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.names import renames
from tfsaver.checkpoint.objects.object_graph import Attribute, Node, ObjectGraph, parse_object_graph
from tfsaver.checkpoint.objects.object_matching import match_objects
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import DataLossError, SaverError, UnimplementedError, nearest_names
from tfsaver.framework import dtypes, tensor_shape, tensor_slice, tensor_util
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet
from tfsaver.lib import coding, crc32c
from tfsaver.table import block as table_block
from tfsaver.table import format as table_format
from tfsaver.table.block import Block
from tfsaver.table.block_builder import BlockBuilder
from tfsaver.table.recovery import RecoveredTable, walk_blocks
from tfsaver.table.table import Table
from tfsaver.tensor_bundle.entry import BundleEntry, decode_entry
from tfsaver.tensor_bundle.header import BundleHeader
from tfsaver.tensor_bundle.reader import BundleReader

MIB = 1 << 20
FLOAT = dtypes.from_name("float32")


class CountedSource(ArraySource):
    """Tensors, and how often somebody asked what one is."""

    num_infos = 0

    def info(self, name: str) -> Any:
        self.num_infos += 1
        return super().info(name)


def peak_of(step: Callable[[], Any]) -> int:
    """The most memory that a step has at once; an error of tfsaver's is an answer like any other."""
    tracemalloc.start()
    try:
        try:
            step()
        except SaverError:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all blocks that are decoded."""
    sizes: list[int] = []
    original = Block._decode

    def count(self: Block, contents: bytes, *rest: Any) -> None:
        sizes.append(len(contents))
        original(self, contents, *rest)

    monkeypatch.setattr(table_block.Block, "_decode", count)
    return sizes


def growing_keys(count: int) -> bytes:
    """A block whose entries each share all of the key before them and add a byte."""
    return block((number, b"x", b"") for number in range(count))


def test_keys_that_share_ever_more_do_not_take_the_square_of_their_block() -> None:
    contents = growing_keys(50_000)
    with pytest.raises(DataLossError, match="take far more than the block"):
        Block(contents, "block")
    assert peak_of(lambda: Block(contents, "block")) < 100 * len(contents)


def test_long_names_in_one_scope_are_no_bomb() -> None:
    names = [b"scope/" * 50 + b"layer_%06d/kernel/Adam_1" % number for number in range(5000)]
    assert len(open_table(build([(name, b"x" * 10) for name in names]))._cached_block(0).keys) > 1000
    # Without restarts, as no writer leaves them out.
    builder = BlockBuilder(1 << 30)
    for name in names:
        builder.add(name, b"x" * 10)
    assert Block(builder.finish(), "block").keys == names


def compressed_counter(count: int) -> bytes:
    """A compressed table of one block with a great many keys that take next to no bytes."""
    entries = bytearray()
    for high in range(count // 256):
        entries += bytes((0, 3, 0)) + b"k" + high.to_bytes(2, "big")
        for low in range(1, 256):
            entries += bytes((3, 1, 0, low))
    contents = bytes(entries) + bytes(4) + coding.encode_fixed32(1)
    stored = bytes(cramjam.snappy.compress_raw(contents))
    return table_of_blocks([(b"\xff", stored)], compression=table_format.SNAPPY_COMPRESSION)


def test_compressed_block_of_many_entries_takes_no_more_than_its_stored_size_warrants() -> None:
    data = compressed_counter(250_000)
    assert len(data) < 100_000
    with pytest.raises(DataLossError, match="take far more than the block"):
        list(open_table(data).items())
    assert peak_of(lambda: list(open_table(data).items())) < 200 * len(data)


def test_many_small_compressed_blocks_take_no_more_than_a_large_one() -> None:
    blocks = []
    for number in range(300):
        key = b"%04d" % number + b"k" * 400
        entries = block([(0, key, b""), *((min(404 + each, 500), b"k", b"") for each in range(90))])
        blocks.append((b"%04d" % number + b"l", bytes(cramjam.snappy.compress_raw(entries))))
    data = table_of_blocks(blocks, compression=table_format.SNAPPY_COMPRESSION)
    problems: list[SaverError] = []
    table = open_table(data)
    assert peak_of(lambda: list(table.items(problems.append))) < 200 * len(data)
    assert len(problems) == 300 and "take far more than the block" in str(problems[0])


def table_of_handles(handles: list[table_format.BlockHandle], contents: bytes) -> bytes:
    """A table of one block that the index names as often, and as variously, as there are handles."""
    output = contents + table_format.block_trailer(contents)
    index = BlockBuilder(1)
    for number, handle in enumerate(handles):
        index.add(b"%09d" % number, handle.encode())
    empty, entries = BlockBuilder(16).finish(), index.finish()
    metaindex = table_format.BlockHandle(len(output), len(empty))
    output += empty + table_format.block_trailer(empty)
    place = table_format.BlockHandle(len(output), len(entries))
    return output + entries + table_format.block_trailer(entries) + table_format.Footer(metaindex, place).encode()


def test_block_that_is_named_many_times_is_not_decoded_as_often(decoded: list[int]) -> None:
    contents = block([(0, b"a", b"x" * 100_000)])
    handle = table_format.BlockHandle(0, len(contents))
    data = table_of_handles([handle] * 10_000, contents)
    with pytest.raises(DataLossError, match="block at byte 0 begins before the one before it ends"):
        open_table(data)
    assert sum(decoded) < 2 * len(data)


def test_blocks_that_overlap_are_data_loss() -> None:
    contents = block([(0, b"a", b"x" * 100)])
    handles = [table_format.BlockHandle(0, len(contents)), table_format.BlockHandle(len(contents) + 4, 20)]
    with pytest.raises(DataLossError, match=f"block at byte {len(contents) + 4} begins before"):
        open_table(table_of_handles(handles, contents))


def test_damaged_block_is_looked_at_once_however_many_keys_are_asked_for(decoded: list[int]) -> None:
    data = bytearray(build([(b"%06d" % number, b"x" * 90) for number in range(3000)]))
    data[1000] ^= 1
    file = MemoryFile(bytes(data))
    table = Table(file)
    num_reads = len(file.reads)
    errors = []
    for number in range(50):
        with pytest.raises(DataLossError) as caught:
            table.get(b"%06d" % number)
        caught.value.add_context(f"tensor {number}")
        errors.append(str(caught.value))
    assert len(file.reads) == num_reads + 1
    assert errors[7] == errors[0].replace("tensor 0", "tensor 7")
    assert Table(file).get(b"002999") == b"x" * 90


def tiny_compressed_blocks(size: int) -> bytes:
    """Blocks of one entry each, compressed, that are found by their checksums alone."""
    output = bytearray()
    number = 0
    while len(output) < size:
        stored = bytes(cramjam.snappy.compress_raw(block([(0, b"%06d" % number, b"")])))
        output += stored + table_format.block_trailer(stored, table_format.SNAPPY_COMPRESSION)
        number += 1
    return bytes(output)


@pytest.mark.parametrize(
    "data",
    [tiny_compressed_blocks(50_000), b"\0\1\0a" * 12_000, b"\0\1\0\1" * 12_000, bytes(50_000)],
    ids=["tiny blocks", "entries", "entries that may end a block", "zeros"],
)
def test_search_for_blocks_looks_at_a_small_multiple_of_the_file(data: bytes) -> None:
    file = MemoryFile(data)
    list(walk_blocks(file))
    assert sum(size for _, size in file.reads) < 40 * len(data)


def test_blocks_of_a_compressed_table_are_found_with_few_looks() -> None:
    blocks = []
    for number in range(8):
        entries = [(0, b"%02d/%06d" % (number, each), np.random.default_rng(each).bytes(9)) for each in range(1000)]
        blocks.append((entries[-1][1], bytes(cramjam.snappy.compress_raw(block(entries)))))
    data = table_of_blocks(blocks, compression=table_format.SNAPPY_COMPRESSION)
    file = MemoryFile(data[:-60])
    assert len(list(RecoveredTable(file).items())) == 8000
    assert sum(size for _, size in file.reads) < 20 * len(data)


def write_bundle(prefix: Path, entries: dict[bytes, BundleEntry], data: bytes, *, block_size: int = 1 << 18) -> Path:
    """A bundle of one data file with whatever entries."""
    pairs = {b"": BundleHeader(1).encode(), **{key: entry.encode() for key, entry in entries.items()}}
    prefix.with_name(f"{prefix.name}.index").write_bytes(build(sorted(pairs.items()), block_size=block_size))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    return prefix


@pytest.fixture
def shared(tmp_path: Path) -> BundleReader:
    """A bundle of 1 MiB whose thousand tensors are all the same bytes."""
    data = bytes(range(256)) * 4096
    entry = BundleEntry(FLOAT, (MIB // 4,), 0, 0, MIB, crc32c.mask(crc32c.value(data)))
    return BundleReader(write_bundle(tmp_path / "m", {b"w%04d" % number: entry for number in range(1000)}, data))


def test_entries_for_the_same_bytes_are_data_loss_before_they_take_memory(shared: BundleReader) -> None:
    with shared:
        wanted = dict.fromkeys(shared.names)
        for verify_only in (False, True):
            with pytest.raises(DataLossError, match="have bytes in common"):
                shared.read_many(wanted, verify_only=verify_only)
        assert peak_of(lambda: shared.read_many(wanted)) < 4 * MIB


def test_entries_for_the_same_bytes_are_not_read_one_after_the_other(shared: BundleReader) -> None:
    with shared:
        assert shared.read("w0000").nbytes == MIB
        # The same again is no other.
        assert shared.read("w0000").nbytes == MIB
        with pytest.raises(DataLossError, match="tensors of 2097152 bytes are to be in its 1048576"):
            shared.read("w0001")


def test_verification_tells_entries_for_the_same_bytes(tmp_path: Path, shared: BundleReader) -> None:
    shared.close()
    report = verify_checkpoint(tmp_path / "m")
    assert report.num_bytes == 0 and len(report.problems) == 1000
    assert "have bytes in common" in str(report.problems[0])


def test_slices_of_the_same_bytes_are_data_loss_before_the_tensor_takes_memory(tmp_path: Path) -> None:
    data = bytes(MIB)
    slices = tuple(TensorSlice(((number * MIB // 4, MIB // 4),)) for number in range(1000))
    part = BundleEntry(FLOAT, (MIB // 4,), 0, 0, MIB, crc32c.mask(crc32c.value(data)))
    entries = {tensor_slice.encode_key(b"w", stored): part for stored in slices}
    prefix = write_bundle(tmp_path / "m", {b"w": BundleEntry(FLOAT, (1000 * MIB // 4,), slices=slices), **entries}, data)
    with load_checkpoint(prefix) as reader:
        with pytest.raises(DataLossError, match="have bytes in common"):
            reader["w"]
        assert peak_of(lambda: reader["w"]) < 8 * MIB


def test_damage_behind_a_file_is_not_taken_for_bytes_in_common(tmp_path: Path) -> None:
    data = bytes(8)
    crc = crc32c.mask(crc32c.value(data[:4]))
    entries = {b"a": BundleEntry(FLOAT, (), 0, 0, 4, crc), b"b": BundleEntry(FLOAT, (), 0, 4, 4, crc)}
    cut_off = BundleEntry(FLOAT, (1 << 30,), 0, 8, 4 << 30, crc)
    with BundleReader(write_bundle(tmp_path / "m", {**entries, b"c": cut_off}, data)) as reader:
        assert [reader.entry(name).size for name in "abc"] == [4, 4, 4 << 30]
        assert reader.read("a") == 0 == reader.read("b")
        with pytest.raises(DataLossError, match="4294967296 bytes wanted, 0 available"):
            reader.read("c")


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("float32", (1 << 62, 0), 0),
        ("float32", (0, 1 << 62), 0),
        ("string", (1 << 40,), 0),
        ("string", (1 << 62, 0), 0),
        ("string", (1 << 20, 1 << 20), 100),
        ("variant", (1 << 40,), 10),
        ("float32", (1 << 31, 1 << 31, 1 << 31), 4),
        ("float32", (1 << 28,), 1 << 30),
        ("float32", (), 1 << 62),
    ],
)
def test_promises_of_a_shape_take_no_memory(tmp_path: Path, dtype: str, shape: tuple[int, ...], size: int) -> None:
    entry = BundleEntry(dtypes.from_name(dtype), shape, 0, 0, size, 0)
    with load_checkpoint(write_bundle(tmp_path / "m", {b"w": entry}, bytes(100))) as reader:
        for step in (lambda: reader["w"], lambda: reader.read("w", verify=False), lambda: reader.read_tensors(["w"])):
            with pytest.raises(DataLossError):
                step()
            assert peak_of(step) < 200_000


@pytest.mark.parametrize("dtype", ["float32", "string", "variant"])
def test_nothing_of_a_huge_shape_is_nothing(tmp_path: Path, dtype: str) -> None:
    shape = (1 << 40, 0, 1 << 10)
    entry = BundleEntry(dtypes.from_name(dtype), shape, 0, 0, 0, crc32c.mask(0))
    with load_checkpoint(write_bundle(tmp_path / "m", {b"w": entry}, b"")) as reader:
        assert reader["w"].shape == shape
        assert peak_of(lambda: (reader["w"], reader.read("w", np.s_[:5]), reader.read_tensors())) < 300_000
    assert peak_of(lambda: verify_checkpoint(tmp_path / "m")) < 300_000


def grid(num_rows: int, num_columns: int) -> list[TensorSlice]:
    return [TensorSlice(((row, 1), (column, 1))) for row in range(num_rows) for column in range(num_columns)]


def pinwheels(count: int) -> list[TensorSlice]:
    """Windmills of four slices around a fifth, one behind the other: nothing can be cut apart inside of one."""
    wheel = [((0, 2), (0, 1)), ((0, 1), (1, 2)), ((1, 2), (2, 1)), ((2, 1), (0, 2)), ((1, 1), (1, 1))]
    return [TensorSlice((rows, (3 * number + columns[0], columns[1]))) for number in range(count) for rows, columns in wheel]


@pytest.mark.parametrize(
    ("shape", "slices"),
    [
        ((4, 20_000), [TensorSlice((EVERYTHING, (column, 1))) for column in range(20_000)]),
        ((20_000, 4), [TensorSlice(((row, 1), EVERYTHING)) for row in range(20_000)]),
        ((100, 200), grid(100, 200)),
        ((3, 9000), pinwheels(3000)),
    ],
    ids=["columns", "rows", "grid", "pinwheels"],
)
def test_many_slices_are_found_apart_without_comparing_them_all(
    shape: tuple[int, ...], slices: list[TensorSlice], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    from tfsaver.framework import tensor_slice_set

    original = tensor_slice_set._find_pair

    def count(name: str, starts: Any, ends: Any) -> Any:
        compared.append(len(starts) ** 2)
        return original(name, starts, ends)

    monkeypatch.setattr(tensor_slice_set, "_find_pair", count)
    TensorSliceSet("w", shape, slices)
    assert sum(compared) <= 5 * len(slices)
    # One too many is found among as many.
    with pytest.raises(DataLossError, match="overlap"):
        TensorSliceSet("w", shape, [*slices, slices[len(slices) // 2]])


def test_slices_that_take_too_long_to_compare_are_refused() -> None:
    # Only the outermost can ever be cut off.
    rows = [TensorSlice(((number, 1), (0, number + 1))) for number in range(8000)]
    columns = [TensorSlice(((0, number + 1), (number + 1, 1))) for number in range(8000)]
    TensorSliceSet("w", (8000, 8001), [*rows[:500], *columns[:500]])
    with pytest.raises(UnimplementedError, match="whether they overlap would take too long to tell"):
        TensorSliceSet("w", (8000, 8001), [*rows, *columns])


def test_gap_in_many_slices_is_told_in_one_line() -> None:
    slices = TensorSliceSet("w", (5000,), [TensorSlice(((number, 1),)) for number in range(4000)])
    with pytest.raises(SaverError, match="4000 of 5000 elements are stored, in 0,1, .* and 3980 more") as caught:
        slices.check_coverage()
    assert len(str(caught.value)) < 500


def nodes(protos: Iterator[Any]) -> bytes:
    return bytes(schemas.TrackableObjectGraph(nodes=list(protos)).SerializeToString())


def chain(count: int) -> Iterator[Any]:
    node = schemas.TrackableObjectGraph.TrackableObject
    for number in range(count):
        yield node(children=[{"local_name": "next", "node_id": (number + 1) % count}, {"local_name": "last", "node_id": count - 1}])


def test_paths_of_a_chain_of_objects_do_not_take_its_square() -> None:
    serialized = nodes(chain(5000))
    graph = parse_object_graph(serialized)
    assert peak_of(lambda: parse_object_graph(serialized).paths()) < 100 * len(serialized)
    assert len(graph.paths()[4000]) == 4000
    assert sum(map(len, graph.lines())) < 100 * len(serialized)


def test_long_path_is_told_by_its_end() -> None:
    node = schemas.TrackableObjectGraph.TrackableObject

    def lines(*names: str) -> list[str]:
        """The lines of a chain of objects, whose last one is also the root's child ``zz``."""
        protos = [node(children=[{"local_name": name, "node_id": number + 1}]) for number, name in enumerate(names)]
        end = node(children=[{"local_name": "back", "node_id": len(names) - 1}, {"local_name": "up", "node_id": len(names)}])
        return list(parse_object_graph(nodes(iter((*protos, end)))).lines())

    assert lines("a", "b", "c")[-2:] == ["        back = a/b", "        up = a/b/c"]
    assert lines("a" * 399, "b")[-1] == f"      up = ...{'a' * 398}/b"
    assert lines("a" * 398, "b")[-1] == f"      up = {'a' * 398}/b"
    assert lines("x" * 5000)[-1] == f"    up = ...{'x' * 400}"
    assert lines(*"abcdefghij" * 5)[-1].endswith("up = ..." + "/".join("abcdefghij" * 4))


def test_node_that_many_slots_are_is_shown_with_its_values_once() -> None:
    node = schemas.TrackableObjectGraph.TrackableObject
    slots = [{"slot_name": str(number), "original_variable_node_id": 1, "slot_variable_node_id": 2} for number in range(2000)]
    values = [{"name": f"v{number}", "checkpoint_key": f"k{number}"} for number in range(2000)]
    serialized = nodes(
        iter((node(children=[{"local_name": "v", "node_id": 1}], slot_variables=slots), node(), node(attributes=values)))
    )
    lines = list(parse_object_graph(serialized).lines())
    assert len(lines) == 2002
    assert sum(map(len, lines)) < 10 * len(serialized)


@pytest.mark.parametrize(
    ("fields", "dtype"),
    [
        (b"\x2a\x04" + bytes(4), "float32"),
        (b"\x2d" + bytes(4), "float32"),
        (b"\x2a\0", "float32"),
        (b"\x38\x05", "int32"),
        (b"\x3a\x01\x05", "int32"),
        (b"\x42\0", "string"),
    ],
)
def test_values_in_many_small_fields_take_little_more_than_they_are(fields: bytes, dtype: str) -> None:
    serialized = fields * 20_000
    decode = functools.partial(tensor_util.decode_values, memoryview(serialized), dtypes.from_name(dtype), "w")
    assert peak_of(decode) < 30 * len(serialized)


def test_one_value_fills_a_shape_without_memory() -> None:
    proto = schemas.TensorProto(dtype=1, tensor_shape=tensor_shape.to_proto((1 << 20, 1 << 20)), float_val=[2.5])
    assert peak_of(lambda: tensor_util.make_ndarray(proto)) < 100_000
    array = tensor_util.make_ndarray(proto)
    assert array.shape == (1 << 20, 1 << 20) and array[5, 7] == 2.5


def test_entry_of_many_slices_takes_little_more_than_it_is() -> None:
    slices = tuple(TensorSlice(((number, 1),)) for number in range(20_000))
    value = BundleEntry(FLOAT, (20_000,), slices=slices).encode()
    assert peak_of(lambda: decode_entry(value, "entry")) < 100 * len(value)


def test_nearest_of_very_long_names_is_not_looked_for() -> None:
    names = ["a" * 5000 + str(number) for number in range(100)]
    assert nearest_names("a" * 5000, names) == ()
    assert nearest_names("kernal", [*names, "kernel"]) == ("kernel",)


def test_most_likely_of_names_of_many_words_takes_no_square() -> None:
    names = {f"{'a/' * 20_000}{number}": f"{'a/' * 20_000}{number}" for number in range(3)}
    wanted = {f"b/{name}": names for name in names}
    found: list[Any] = []
    assert peak_of(lambda: found.append(renames.most_likely(wanted))) < 40 * 7 * 40_000
    assert len(found) == 1
    assert renames.most_likely({"scope/dense/kernel": {"dense/kernel": "dense/kernel", **names}}).all == {
        "scope/dense/kernel": "dense/kernel"
    }


def test_values_whose_keys_begin_with_each_other_look_at_each_tensor_once() -> None:
    names = {"a" * 200 + str(number): np.float32(number) for number in range(300)}
    values = tuple(Attribute("table", "", "a" * size) for size in range(1, 200) for _ in range(2))
    graph = ObjectGraph((Node({}, values),))
    source = CountedSource(names, "the tensors")
    match = match_objects(source, graph)
    assert {item.key for item in match.report.matched} == names.keys() and not match.dropped
    assert source.num_infos <= 2 * len(names)


def scattered(count: int) -> list[TensorSlice]:
    """Slices of one dimension, listed so that neighbours are far from each other."""
    return [TensorSlice(((number * 7919 % count, 1),)) for number in range(count)]


def test_slices_of_a_bundle_that_are_listed_in_no_order_are_looked_up_in_theirs(tmp_path: Path, decoded: list[int]) -> None:
    slices = scattered(1000)
    parts = {
        tensor_slice.encode_key(b"w", stored): BundleEntry(FLOAT, (1,), 0, 4 * number, 4, crc32c.mask(crc32c.value(bytes(4))))
        for number, stored in enumerate(slices)
    }
    entries = {b"w": BundleEntry(FLOAT, (1000,), slices=tuple(slices)), **parts}
    with load_checkpoint(write_bundle(tmp_path / "m", entries, bytes(4000), block_size=1000)) as reader:
        assert reader.implementation.index.num_blocks > 20
        decoded.clear()
        assert not reader["w"].any()
        assert len(decoded) < 2 * reader.implementation.index.num_blocks


def write_v1(path: Path, shape: tuple[int, ...], stored: dict[TensorSlice, Any], *, block_size: int = 1 << 18) -> Path:
    """A V1 checkpoint of one tensor with whatever records."""
    meta = schemas.SavedTensorSlices()
    meta.meta.tensor.add(name="w", shape=tensor_shape.to_proto(shape), type=1, slice=map(tensor_slice.to_proto, stored))
    pairs = {b"": meta.SerializeToString()}
    for each, values in stored.items():
        record = schemas.SavedTensorSlices()
        record.data.name = "w"
        record.data.slice.CopyFrom(tensor_slice.to_proto(each))
        record.data.data.float_val.extend(values)
        pairs[tensor_slice.encode_key(b"w", each)] = record.SerializeToString()
    path.write_bytes(build(sorted(pairs.items()), block_size=block_size))
    return path


def test_slices_of_a_v1_checkpoint_are_looked_up_in_the_order_of_their_keys(tmp_path: Path, decoded: list[int]) -> None:
    path = write_v1(tmp_path / "m", (500,), {stored: [1.5] for stored in scattered(500)}, block_size=500)
    with load_checkpoint(path) as reader:
        num_blocks = reader.implementation._tables[0].num_blocks
        assert num_blocks > 20
        decoded.clear()
        assert (reader["w"] == 1.5).all()
        assert len(decoded) < 2 * num_blocks


@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 30, 1 << 28), (1 << 62, 0), ()])
def test_promises_of_a_v1_shape_take_no_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = write_v1(tmp_path / "m", shape, {TensorSlice.full(len(shape)): [1.0, 2.0]})

    def read() -> None:
        with load_checkpoint(path) as reader:
            reader["w"]

    with pytest.raises(DataLossError):
        read()
    assert peak_of(read) < 300_000
