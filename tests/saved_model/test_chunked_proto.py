"""Chunked SavedModels and the container they are in."""

from __future__ import annotations

import contextlib
import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import cramjam
import pytest

from tests.saved_model.riegeli_files import BLOCK, SIGNATURE, chunk, write
from tfsaver import schemas
from tfsaver.errors import DataLossError, SaverError, UnimplementedError
from tfsaver.lib import coding
from tfsaver.saved_model import chunked_proto, riegeli, saved_model_file

Plan = schemas.proto_splitter.ChunkedMessage
Step = schemas.proto_splitter.FieldIndex


@pytest.mark.parametrize("compression", [b"\0", b"b", b"z", b"s"])
def test_records_are_read_at_their_positions(tmp_path: Path, compression: bytes) -> None:
    first, second = [b"one", b"", b"three" * 100], [b"x" * 10]
    begins = write(tmp_path / "f", chunk(first, compression), chunk(second, compression))
    expected = {begins[0]: b"one", begins[0] + 1: b"", begins[0] + 2: b"three" * 100, begins[1]: b"x" * 10}
    assert riegeli.read_records(str(tmp_path / "f")) == expected


@pytest.mark.parametrize("size", [BLOCK - 64 - 40 - 30, BLOCK - 64 - 47, BLOCK, 3 * BLOCK + 5])
def test_headers_of_blocks_are_no_content(tmp_path: Path, size: int) -> None:
    data = hashlib.shake_128(b"seed").digest(size)
    for shift in range(0, 60, 7):
        begins = write(tmp_path / "f", chunk([data[: size - shift]]), chunk([b"next"]))
        records = riegeli.read_records(str(tmp_path / "f"))
        assert records[begins[0]] == data[: size - shift]
        assert list(records.values())[1] == b"next"


def test_a_damaged_container_is_our_error(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write(path, chunk([b"one", b"two"], b"b"), chunk([b"three"]))
    sound = path.read_bytes()
    for position in range(len(sound)):
        path.write_bytes(sound[:position] + bytes([sound[position] ^ 0x41]) + sound[position + 1 :])
        with contextlib.suppress(SaverError):
            riegeli.read_records(str(path))
    for size in range(len(sound)):
        path.write_bytes(sound[:size])
        try:
            records = riegeli.read_records(str(path))
        except DataLossError:
            continue
        assert len(records) < 3


def test_what_is_not_read_says_so(tmp_path: Path) -> None:
    transposed = bytearray(chunk([b"one"]))
    transposed[24:25] = b"t"
    write(tmp_path / "f", bytes(transposed))
    with pytest.raises(UnimplementedError, match="transposed"):
        riegeli.read_records(str(tmp_path / "f"))
    write(tmp_path / "f", chunk([b"one"], b"?"))
    with pytest.raises(UnimplementedError, match="compression"):
        riegeli.read_records(str(tmp_path / "f"))


def write_plan(path: Path, plan: Any, chunks: list[bytes], **version: Any) -> None:
    begin = len(SIGNATURE)
    infos = [schemas.proto_splitter.ChunkInfo(type=1, size=len(each), offset=begin + i) for i, each in enumerate(chunks)]
    metadata = schemas.proto_splitter.ChunkMetadata(chunks=infos, message=plan)
    for name, value in version.items():
        setattr(metadata.version, name, value)
    write(path, chunk(chunks), chunk([metadata.SerializeToString()]))


def path_of(*steps: Any) -> list[Any]:
    made = []
    for step in steps:
        if isinstance(step, str):
            made.append(Step(map_key=Step.MapKey(s=step)))
        else:
            made.append(Step(index=step[0]) if isinstance(step, tuple) else Step(field=step))
    return made


def test_a_plan_puts_a_message_together(tmp_path: Path) -> None:
    base = schemas.GraphDef(node=[schemas.NodeDef(name="a", op="Const")], versions={"producer": 27})
    more = schemas.GraphDef(node=[schemas.NodeDef(name="b")])
    plan = Plan(chunk_index=0)
    # Deep before shallow: order is the reader's business.
    plan.chunked_fields.add(field_tag=path_of(1, (0,), 5, "value", 8, 4), message=Plan(chunk_index=2))
    plan.chunked_fields.add(field_tag=path_of(1, (2,)), message=Plan(chunk_index=3))
    plan.chunked_fields.add(message=Plan(chunk_index=1))
    chunks = [base.SerializeToString(), more.SerializeToString(), b"\1\2\3", schemas.NodeDef(name="c").SerializeToString()]
    write_plan(tmp_path / "g", plan, chunks)
    graph = schemas.GraphDef()
    chunked_proto.read_chunked(str(tmp_path / "g"), graph)
    assert [node.name for node in graph.node] == ["a", "b", "c"]
    assert graph.node[0].attr["value"].tensor.tensor_content == b"\1\2\3" and graph.versions.producer == 27


@pytest.mark.parametrize(
    "steps",
    [(99,), (1,), (1, (5,)), (1, "x"), (4, 1), (4, 1, 1), (1, (0,), 5), (1, (0,), 5, (0,)), (1, (0,), 1, 1), (1, (0,), 3, (0,))],
    ids=str,
)
def test_a_plan_for_another_message_is_data_loss(tmp_path: Path, steps: tuple[Any, ...]) -> None:
    graph = schemas.GraphDef(node=[schemas.NodeDef(name="a", input=["b"])])
    plan = Plan(chunk_index=0)
    plan.chunked_fields.add(field_tag=path_of(*steps), message=Plan(chunk_index=1))
    write_plan(tmp_path / "g", plan, [graph.SerializeToString(), b"\xff\xff"])
    with pytest.raises(DataLossError, match="g"):
        chunked_proto.read_chunked(str(tmp_path / "g"), schemas.GraphDef())


def test_a_chunk_that_is_not_there_is_data_loss(tmp_path: Path) -> None:
    write_plan(tmp_path / "g", Plan(chunk_index=7), [b""])
    with pytest.raises(DataLossError, match="chunk 7"):
        chunked_proto.read_chunked(str(tmp_path / "g"), schemas.GraphDef())


def test_a_plan_of_a_newer_writer_is_refused(tmp_path: Path) -> None:
    write_plan(tmp_path / "g", Plan(chunk_index=0), [b""], join_version=9)
    with pytest.raises(UnimplementedError, match="version 9"):
        chunked_proto.read_chunked(str(tmp_path / "g"), schemas.GraphDef())


SAMPLES = {
    "split-large-constant": schemas.GraphDef,
    "split-large-nodes": schemas.GraphDef,
    "split-lots-nodes": schemas.GraphDef,
    "split-standard": schemas.SavedModel,
}


@pytest.mark.parametrize("name", SAMPLES)
def test_chunks_of_tensorflows_splitter_make_the_whole(cases: Path, name: str) -> None:
    folder = cases / "proto_splitter_chunks"
    joined, expected = SAMPLES[name](), SAMPLES[name]()
    chunked_proto.read_chunked(str(folder / f"{name}.cpb"), joined)
    saved_model_file.parse(expected, (folder / f"{name}.pbtxt").read_bytes(), name, as_text=True)
    assert joined == expected and joined.ByteSize() > 100


def test_a_chunked_saved_model_is_its_twin(cases: Path) -> None:
    joined = schemas.SavedModel()
    chunked_proto.read_chunked(str(cases / "sm_tf_chunked" / "chunked_model" / "saved_model.cpb"), joined)
    assert joined == saved_model_file.read_saved_model(str(cases / "sm_tf_chunked" / "non_chunked_model"))


def test_a_few_compressed_bytes_are_not_made_gigabytes(tmp_path: Path) -> None:
    for codec, kind in ((cramjam.brotli, b"b"), (cramjam.zstd, b"z")):
        stream = bytes(codec.compress(bytes(64 << 20)))
        for declared in (64 << 20, 1000):
            sizes = coding.encode_varint(declared)
            values = coding.encode_varint(declared) + stream
            data = kind + coding.encode_varint(len(packed(codec, sizes))) + packed(codec, sizes) + values
            header = bytes(8) + coding.encode_fixed64(len(data)) + bytes(8) + b"r" + (1).to_bytes(7, "little")
            write(tmp_path / "f", header + coding.encode_fixed64(declared) + data)
            tracemalloc.start()
            with pytest.raises(DataLossError, match=f"declare {declared}|compressed bytes"):
                riegeli.read_records(str(tmp_path / "f"))
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
            tracemalloc.stop()


def packed(codec: Any, data: bytes) -> bytes:
    return coding.encode_varint(len(data)) + bytes(codec.compress(data))


def test_more_records_than_a_file_has_room_for_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "f", chunk([b""] * 3000, b"z"))
    with pytest.raises(DataLossError, match="3000 records in a file of"):
        riegeli.read_records(str(tmp_path / "f"))


def test_a_plan_does_not_use_a_chunk_again_and_again(tmp_path: Path) -> None:
    plan = Plan()
    for _ in range(1000):
        plan.chunked_fields.add().message.chunk_index = 0
    write_plan(tmp_path / "f", plan, [schemas.GraphDef(node=[schemas.NodeDef(name="n" * 5000)]).SerializeToString()])
    with pytest.raises(DataLossError, match="the plan uses more bytes than all records have"):
        chunked_proto.read_chunked(str(tmp_path / "f"), schemas.GraphDef())


def test_a_plan_does_not_lead_deeper_than_a_message_may_be(tmp_path: Path) -> None:
    # attr["k"].func.attr["k"].func ...
    steps = [step for _ in range(1000) for step in (2, "k", 10)]
    plan = Plan()
    plan.chunked_fields.add(field_tag=path_of(*steps)).message.chunk_index = 0
    write_plan(tmp_path / "f", plan, [b""])
    with pytest.raises(DataLossError, match="more than 32 steps"):
        chunked_proto.read_chunked(str(tmp_path / "f"), schemas.NameAttrList())
    value = schemas.AttrValue(i=1)
    for _ in range(30):
        value = schemas.AttrValue(func=schemas.NameAttrList(name="f", attr={"k": value}))
    plan = Plan()
    plan.chunked_fields.add(field_tag=path_of(*[2, "k", 10] * 5)).message.chunk_index = 0
    write_plan(tmp_path / "f", plan, [value.func.SerializeToString()])
    with pytest.raises(DataLossError, match="nested more than 100 deep"):
        chunked_proto.read_chunked(str(tmp_path / "f"), schemas.NameAttrList())


def test_what_a_chunked_file_gives_can_be_written(tmp_path: Path) -> None:
    value = schemas.AttrValue(i=1)
    for _ in range(25):
        value = schemas.AttrValue(func=schemas.NameAttrList(name="f", attr={"k": value}))
    plan = Plan()
    plan.chunked_fields.add(field_tag=path_of(2, "k", 10)).message.chunk_index = 0
    write_plan(tmp_path / "f", plan, [value.func.SerializeToString()])
    message = schemas.NameAttrList()
    chunked_proto.read_chunked(str(tmp_path / "f"), message)
    assert schemas.NameAttrList.FromString(message.SerializeToString()) == message


def test_a_large_chunk_is_put_together_in_one_go(tmp_path: Path) -> None:
    data = hashlib.shake_128(b"x").digest(100 * BLOCK)
    write(tmp_path / "f", chunk([data]))
    tracemalloc.start()
    (record,) = riegeli.read_records(str(tmp_path / "f")).values()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert record == data and peak < 4 * len(data)
