"""A bucket for each test, on one server for all of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stores.s3_server import S3Server


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    server = S3Server()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield server
    server.close()


@pytest.fixture
def bucket(server: S3Server) -> Iterator[str]:
    import fsspec

    system: Any = fsspec.filesystem("s3", use_listings_cache=False)
    name = f"b{uuid.uuid4().hex}"
    system.mkdir(name)
    server.latency, server.fault = 0.0, None
    yield f"s3://{name}"
    server.latency, server.fault = 0.0, None
