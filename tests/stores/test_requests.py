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
    with server.counted() as requests:
        assert (reader["large"] == large).all()
    ranges = [request.range for request in requests if request.method == "GET"]
    assert len(ranges) == 5 and len(set(ranges)) == 5


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
