"""A V1 checkpoint whose records are the input's parts, in a sound table: the meta record, then key, value, key, value ..."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import message, text_format

from tests.fuzz import checksums, pieces
from tests.fuzz import seeds as files
from tests.fuzz.memory_files import mount
from tests.fuzz.reading import read_everything
from tests.table.stores import open_table
from tfsaver import schemas
from tfsaver.framework import tensor_slice

NAME = "v1_records"
MAX_SIZE = 800
mutate = pieces.mutate


def seeds() -> Iterator[bytes]:
    (_, meta), *records = open_table(files.own_files()["v1"]).items()
    yield pieces.pack([meta, *(part for record in records for part in record)])
    for record in records:
        yield pieces.pack([meta, *record])
    yield pieces.pack([b"", *(part for record in records[:2] for part in record)])
    for path in files.case_paths("v1_reader_fuzz_inputs/*.textproto"):
        yield from _of_text(path.read_text(encoding="utf-8"))


def _of_text(text: str) -> Iterator[bytes]:
    """Descriptions of hostile checkpoints in the words of another program: those of its fields that are ours too."""
    fields = text_format.Parse(text, schemas.SavedTensorSlices(), allow_unknown_field=True)
    yield pieces.pack([fields.SerializeToString()])


def run(data: bytes) -> None:
    meta, *rest = pieces.unpack(data)
    pairs = dict(zip(rest[::2], rest[1::2], strict=False))
    pairs[b""] = meta
    for key, value in _at_their_keys(rest):
        pairs.setdefault(key, value)
    read_everything(mount({"m": checksums.table_of(pairs)}) + "/m", data)


def _at_their_keys(values: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Records under the keys of what they say they are."""
    for value in values:
        try:
            saved: Any = schemas.SavedTensorSlices.FromString(value).data
        except message.DecodeError:
            continue
        if saved.name:
            extents = [(item.start, item.length) if item.HasField("length") else (0, -1) for item in saved.slice.extent]
            yield tensor_slice.encode_key(saved.name.encode(), tensor_slice.TensorSlice(tuple(extents))), value
