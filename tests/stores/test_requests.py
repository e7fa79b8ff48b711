"""What checkpoints in an object store cost in requests: each one takes the time of a megabyte or more."""

from __future__ import annotations

import numpy as np
import pytest

import tfsaver
from tests.stores.s3_server import Request, S3Server

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
    assert len(ranges) == 5 and len(set(ranges)) == 5
    # So that it takes the time of one request, as a plain copy does.
    assert server.most_at_once == 5


def test_upload_in_parts_appears_when_its_index_does(server: S3Server, bucket: str) -> None:
    large = {"large": np.arange(9 << 20, dtype=np.float32)}
    with server.counted() as requests:
        tfsaver.save_checkpoint(large, f"{bucket}/model")
    puts = [request for request in requests if request.method == "PUT"]
    assert all("partNumber" in request.query for request in puts[:-1]) and puts[-1].path.endswith("model.index")


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
