"""The entry under the empty key: which bundles may be read, and bytes that are no header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.table.stores import build
from tfsaver import schemas
from tfsaver.errors import CheckpointNotFoundError, DataLossError, UnimplementedError
from tfsaver.tensor_bundle.header import BundleHeader, decode_header
from tfsaver.tensor_bundle.reader import BundleReader


def encoded(**fields: Any) -> bytes:
    version = {name: fields.pop(name) for name in ("producer", "min_consumer", "bad_consumers") if name in fields}
    return bytes(schemas.BundleHeaderProto(version=schemas.VersionDef(**version), **fields).SerializeToString())


def test_header_is_the_bytes_of_tensorflow() -> None:
    assert BundleHeader().encode() == bytes.fromhex("08 01 1a 02 08 01")
    assert BundleHeader(3, "big").encode() == bytes.fromhex("08 03 10 01 1a 02 08 01")
    for header in (BundleHeader(), BundleHeader(100_000, "big"), BundleHeader(0)):
        assert decode_header(header.encode(), "model.index") == header


@pytest.mark.parametrize(
    "fields", [{"producer": 99}, {"producer": 5, "min_consumer": 1}, {"bad_consumers": [2, 3]}, {"min_consumer": -1}, {}]
)
def test_versions_that_may_be_read(fields: dict[str, Any]) -> None:
    assert decode_header(encoded(num_shards=2, **fields), "x").num_shards == 2


@pytest.mark.parametrize("fields", [{"min_consumer": 2}, {"producer": 9, "bad_consumers": [1]}, {"min_consumer": 1 << 30}])
def test_versions_for_newer_readers_are_unimplemented(fields: dict[str, Any]) -> None:
    with pytest.raises(UnimplementedError, match=r"model\.index was written by version \d .* tfsaver is version 1"):
        decode_header(encoded(**fields), "model.index")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "has no bundle header: it is a table, but no V2 checkpoint's index"),
        (b"\xff\xff", "bundle header: "),
        (encoded(num_shards=-1), "-1 shards"),
        (encoded(num_shards=(1 << 31) - 1), "2147483647 shards"),
        (encoded(num_shards=100_001), "100001 shards"),
        (encoded(endianness=2), "byte order 2 is neither"),
    ],
    ids=["none", "no message", "negative", "more than there are", "more than five digits", "byte order"],
)
def test_header_that_is_none_is_data_loss(value: bytes | None, sentence: str) -> None:
    with pytest.raises(DataLossError, match=rf"model\.index.*{sentence}"):
        decode_header(value, "model.index")


def test_table_without_a_header_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "model.index").write_bytes(build([(b"a", b"1")]))
    with pytest.raises(DataLossError, match="no bundle header"):
        BundleReader(tmp_path / "model")


def test_missing_index_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError, match=r"no checkpoint at '.*model': looked for .*model\.index; nothing is"):
        BundleReader(tmp_path / "model")
