"""Chunked messages: a file as its bytes are, or one that is made of records so that they fit each other.

The parts of an input: what it is (0 the file itself, else the compression), the plan, the chunks.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

from google.protobuf.message import DecodeError

from tests.fuzz import graph_models, messages, pieces
from tests.fuzz import seeds as files
from tests.fuzz.harness import MutateBytes
from tests.fuzz.memory_files import mount
from tests.saved_model.riegeli_files import SIGNATURE, chunk
from tfsaver import schemas
from tfsaver.errors import SaverError
from tfsaver.saved_model import chunked_proto, riegeli

NAME = "chunked_proto"
_COMPRESSIONS = (b"", b"\0", b"b", b"z", b"s")
_Metadata = schemas.proto_splitter.ChunkMetadata
_Step = schemas.proto_splitter.FieldIndex


def seeds() -> Iterator[bytes]:
    for path in files.case_paths("*.cpb"):
        data = path.read_bytes()
        yield pieces.pack([b"\0", data])
        with contextlib.suppress(SaverError, DecodeError):
            records = list(riegeli.read_records(str(path)).values())
            yield pieces.pack([b"\1", records[-1], *records[:-1]])
    model = schemas.SavedModel(meta_graphs=[graph_models.function_calls()])
    library = model.meta_graphs[0].graph_def.library.SerializeToString()
    model.meta_graphs[0].graph_def.ClearField("library")
    plan = schemas.proto_splitter.ChunkedMessage(chunk_index=0)
    field = plan.chunked_fields.add(field_tag=[_Step(field=2), _Step(index=0), _Step(field=2), _Step(field=2)])
    field.message.chunk_index = 1
    for kind in range(1, len(_COMPRESSIONS)):
        yield pieces.pack([bytes((kind,)), _Metadata(message=plan).SerializeToString(), model.SerializeToString(), library])


def run(data: bytes) -> None:
    kind, *rest = pieces.unpack(data)
    compression = _COMPRESSIONS[kind[0] % len(_COMPRESSIONS)] if kind else b""
    content = b"".join(rest[:1]) if not compression else _file(rest, compression)
    folder = mount({"saved_model.cpb": content})
    message = schemas.SavedModel()
    chunked_proto.read_chunked(f"{folder}/saved_model.cpb", message)
    assert schemas.SavedModel.FromString(message.SerializeToString()) == message


def mutate(data: bytes, mutate_bytes: MutateBytes, random: random.Random) -> bytes:
    parts = pieces.unpack(data)
    # The plan is what leads through the message.
    if len(parts) > 2 and parts[0] > b"\0" and random.randrange(2):
        parts[1] = messages.mutate(parts[1], mutate_bytes, random)
        return pieces.pack(parts)
    return pieces.mutate(data, mutate_bytes, random)


def _file(parts: list[bytes], compression: bytes) -> bytes:
    """A file of these chunks, and a plan that says where they are."""
    plan, *chunks = parts or [b""]
    with contextlib.suppress(DecodeError):
        metadata = _Metadata.FromString(plan)
        del metadata.chunks[:]
        for number, each in enumerate(chunks):
            metadata.chunks.add(type=1, size=len(each), offset=len(SIGNATURE) + number)
        plan = metadata.SerializeToString()
    return SIGNATURE + chunk(chunks, compression) + chunk([plan], compression)
