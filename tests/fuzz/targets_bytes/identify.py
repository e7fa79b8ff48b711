"""What `identify` says of any file, under any name: of the file itself, as an index, as data, and as a state file."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator

from tests.fuzz import seeds as files
from tests.fuzz.memory_files import mount
from tfsaver.checkpoint.identify import identify
from tfsaver.checkpoint.state_text import decode_state_text, mended_state_text

NAME = "identify"
MAX_SIZE = 2000
_NAMES = ("m", "m.index", "m.meta", "d/checkpoint", "d/m.data-00000-of-00001", "s/saved_model.pb", "v/x")


def seeds() -> Iterator[bytes]:
    own = files.own_files()
    yield from own.values()
    yield b'model_checkpoint_path: "m"\n'
    yield "\ufeffmodel_checkpoint_path: “m”".encode("utf-16-le")
    yield b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    yield b"<!doctype html><title>Sign in</title>"
    yield gzip.compress(own["v1"])
    for name in ("w.npy", "archive/data.pkl", "model.weights.h5", "saved_model.pb"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(name, b"\x93NUMPY")
        yield buffer.getvalue()
    yield (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}'.ljust(60) + bytes(4)
    yield b"\x08\x08\x12\x04onnx\x3a\x02\x0a\x00\x42\x02\x10\x01"
    yield b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    yield from files.case_files("**/*.pb")


def run(data: bytes) -> None:
    for name in _NAMES:
        folder = mount({name: data})
        found = identify(f"{folder}/{name}")
        assert found.kind and found.description and found.command and str(found).isprintable()
        identify(f"{folder}/{name}".rpartition("/")[0])
    try:
        mended_state_text(decode_state_text(data))
    except UnicodeDecodeError:
        pass
