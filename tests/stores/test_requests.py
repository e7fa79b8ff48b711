"""What checkpoints in an object store cost in requests: each one takes the time of a megabyte or more."""

from __future__ import annotations

import itertools
import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.stores.s3_server import Request, S3Server
from tfsaver.framework import dtypes
from tfsaver.lib import file_io
from tfsaver.tensor_bundle import index_file, rank_parts
from tfsaver.tensor_bundle.bundle_files import BundleFiles
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.header import BundleHeader
from tfsaver.tensor_bundle.placement import write_index

SMALL = {f"layer_{number:04}": np.full((1000,), number, np.float32) for number in range(1000)}


def _methods(requests: list[Request]) -> list[str]:
    return [request.method for request in requests]


def test_save_of_two_files_takes_three_requests_and_no_copy(server: S3Server, bucket: str) -> None:
    with server.counted() as requests:
        tfsaver.save_checkpoint(SMALL, f"{bucket}/run/model")
    assert _methods(requests) == ["GET", "PUT", "PUT"]
    assert [request.path.rpartition("/")[2] for request in requests[1:]] == ["model.data-00000-of-00001", "model.index"]


def test_opening_and_one_small_tensor_take_two_requests_each(server: S3Server, bucket: str) -> None:
    prefix = tfsaver.save_checkpoint(SMALL, f"{bucket}/model")
    with server.counted() as requests:
        reader = tfsaver.load_checkpoint(prefix)
    assert _methods(requests) == ["HEAD", "GET"]
    with server.counted() as requests:
        assert (reader["layer_0500"] == 500).all()
    assert _methods(requests) == ["HEAD", "GET"]
    with server.counted() as requests:
        assert (reader["layer_0501"] == 501).all()
    assert len(requests) <= 1


def test_all_small_tensors_take_few_requests_by_every_route(server: S3Server, bucket: str) -> None:
    prefix = tfsaver.save_checkpoint(SMALL, f"{bucket}/model")
    routes = {
        "one after the other": lambda: dict(tfsaver.load_checkpoint(prefix)),
        "together": lambda: tfsaver.load_checkpoint(prefix).read_tensors(),
    }
    for route, read in routes.items():
        with server.counted() as requests:
            values = read()
        assert len(requests) <= 16, route
        assert all((values[name] == value).all() for name, value in SMALL.items()), route
    with server.counted() as requests:
        assert tfsaver.verify(prefix).ok
    assert len(requests) <= 8
    with server.counted() as requests:
        tfsaver.rename(prefix, f"{bucket}/renamed", [("^layer_", "block/")])
    assert len(requests) <= 24


def test_large_tensor_is_read_in_pieces_that_are_asked_for_together(server: S3Server, bucket: str) -> None:
    large = np.arange(9 << 20, dtype=np.float32)
    prefix = tfsaver.save_checkpoint({"large": large}, f"{bucket}/model")
    reader = tfsaver.load_checkpoint(prefix)
    server.latency = 0.05
    with server.counted() as requests:
        assert (reader["large"] == large).all()
    ranges = [request.range for request in requests if request.method == "GET"]
    assert len(ranges) == 3 and len(set(ranges)) == 3
    # So that it takes the time of one request, as a plain copy does.
    assert server.most_at_once == 3


def test_upload_in_parts_appears_when_its_index_does(server: S3Server, bucket: str) -> None:
    large = {"large": np.arange(9 << 20, dtype=np.float32)}
    with server.counted() as requests:
        tfsaver.save_checkpoint(large, f"{bucket}/model")
    puts = [request for request in requests if request.method == "PUT"]
    assert all("partNumber" in request.query for request in puts[:-1]) and puts[-1].path.endswith("model.index")


def test_upload_needs_little_memory_whatever_its_size() -> None:
    """Of a file system that takes parts and keeps none: what is in memory is the writer's."""
    from fsspec.implementations.memory import MemoryFileSystem
    from fsspec.spec import AbstractBufferedFile

    sizes = []

    class Upload(AbstractBufferedFile):  # type: ignore[misc]
        def _upload_chunk(self, final: bool = False) -> None:
            self.buffer.seek(0)
            sizes.append(len(self.buffer.read()))

    class Store(MemoryFileSystem):  # type: ignore[misc]
        protocol = "parts"
        cachable = False

        def open(self, path: str, mode: str, block_size: int, **options: object) -> Upload:
            return Upload(self, path, "wb", block_size=block_size)

    values = np.ones(8 << 20, np.float32)
    tracemalloc.start()
    try:
        with tfsaver.BundleWriter(tfsaver.StoragePath("parts://bucket/model", fs=Store())) as writer:
            for number in range(13):
                writer.add(str(number), values)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) > 400_000_000 and set(sizes[:50]) == {8 << 20} and peak < 48 << 20


@pytest.mark.parametrize("axis", [0, 1])
def test_parts_of_a_tensor_of_ranks_cost_what_they_need_and_two_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axis: int
) -> None:
    piece = 1 << 18
    monkeypatch.setattr(rank_parts, "_MAX_SLICE_SIZE", piece)
    monkeypatch.setattr(rank_parts, "_MIN_SLICE_SIZE", piece >> 6)
    table = np.arange(1 << 20, dtype=np.float32).reshape(1024, 1024)
    for rank in range(4):
        rows = slice(256 * rank, 256 * rank + 256)
        with tfsaver.ShardWriter(tmp_path / "m", rank=rank, world_size=4, save_id=1, durable=False) as shard:
            shard.add_slice("t", table.shape, np.s_[rows], table[rows])
    tfsaver.commit(tmp_path / "m", world_size=4, save_id=1, durable=False)
    fetched = [0]
    read = BundleFiles._read

    def counted(self: BundleFiles, file: Any, span: Any, start: int, buffer: memoryview) -> None:
        fetched[0] += len(buffer)
        read(self, file, span, start, buffer)

    monkeypatch.setattr(BundleFiles, "_read", counted)
    for world_size in (1, 3, 8):
        edges = [1024 * number // world_size for number in range(world_size + 1)]
        for start, stop in itertools.pairwise(edges):
            region = (slice(start, stop), slice(None))[:: 1 - 2 * axis]
            fetched[0] = 0
            found = tfsaver.load_slices(tmp_path / "m", {"t": region})["t"]
            assert (found == table[region]).all()
            assert fetched[0] <= found.nbytes + 2 * piece


def test_large_index_is_read_by_its_blocks(server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "_MAX_CONTENT", 1 << 20)
    # Entries of some 170 bytes, of which 150 are the name's own.
    keys = [f"model/{number:06}".encode() for number in range(20_000)]
    entry = BundleEntry(dtypes.from_name("float32"), (2, 3), 0, 0, 24, 1).encode()
    names = [key + bytes(random.Random(number).choices(b"abcdefgh", k=150)) for number, key in enumerate(keys)]
    write_index(f"{bucket}/model", BundleHeader(1), [(names, [entry] * len(names))], durable=False)
    size = file_io.files_beginning(f"{bucket}/model.index")[f"{bucket}/model.index"]
    assert size > 3_000_000
    with server.counted() as requests:
        reader = tfsaver.load_checkpoint(f"{bucket}/model")
        assert reader.info(names[10_000].decode()).shape == (2, 3)
    ranges = [request.range.partition("=")[2].split("-") for request in requests if request.range]
    assert sum(int(stop) - int(start) + 1 for start, stop in ranges) < size / 4 and len(requests) <= 6


def test_index_is_never_taken_from_a_stale_listing(bucket: str) -> None:
    import fsspec

    system = fsspec.filesystem("s3")
    system.ls(bucket)
    with pytest.raises(tfsaver.SaverError):
        tfsaver.load_checkpoint(f"{bucket}/model")
    tfsaver.save_checkpoint({"w": np.ones(2)}, f"{bucket}/model")
    assert (tfsaver.load_checkpoint(f"{bucket}/model")["w"] == 1).all()


def _write_parts(prefix: str, num_parts: int, save_id: str) -> None:
    for rank in range(num_parts):
        with tfsaver.ShardWriter(prefix, rank=rank, world_size=num_parts, save_id=save_id) as shard:
            shard.add(f"w{rank}", np.full((3,), rank))
            shard.add("step", 1, replicated=True)


def test_commit_of_parts_takes_three_requests_more_than_parts(server: S3Server, bucket: str) -> None:
    prefix = f"{bucket}/run/model"
    _write_parts(prefix, 8, "1")
    with server.counted() as requests:
        tfsaver.commit(prefix, world_size=8, save_id="1")
    assert len(requests) <= 8 + 3 and not [request for request in requests if request.method == "HEAD"]
    assert tfsaver.verify(prefix).ok and tfsaver.pending(prefix) == []
    with server.counted() as requests:
        tfsaver.commit(prefix, world_size=8, save_id="1")
    assert len(requests) <= 4
    # The next one replaces it: its header is read, and its data are removed.
    _write_parts(prefix, 8, "2")
    with server.counted() as requests:
        tfsaver.commit(prefix, world_size=8, save_id="2")
    assert len(requests) <= 8 + 3 + 3
    assert tfsaver.verify(prefix).ok


def test_part_of_a_rank_is_written_again_in_a_store(bucket: str) -> None:
    for _ in range(2):
        _write_parts(f"{bucket}/model", 2, "1")
    tfsaver.commit(f"{bucket}/model", world_size=2, save_id="1")
    assert tfsaver.verify(f"{bucket}/model").ok


def test_parts_of_a_tensor_are_asked_for_together(server: S3Server, bucket: str) -> None:
    prefix = tfsaver.save_checkpoint({f"w{number}": np.full((1 << 19,), number) for number in range(8)}, f"{bucket}/model")
    regions = {f"w{number}": np.s_[number : number + 2] for number in range(8)}
    server.latency = 0.02
    with server.counted() as requests:
        found = tfsaver.load_slices(prefix, regions)
    assert all(found[f"w{number}"].tolist() == [number] * 2 for number in range(8))
    assert server.most_at_once > 2 and len(requests) <= 20
