"""What a file or a directory is, by its content, and what to type next.

People open what lies there under the name of a checkpoint: an archive, a login page, a Git LFS pointer, weights of another
program. `identify` is the one place that tells these apart; the first line of ``tfsaver inspect`` and the errors about files
that a verb cannot take come from it. What it looks at:

    the first 48 KiB, and the last 48 bytes for a table's magic number
    a protocol buffer's first fields, see `graph_form`
    the directory of a zip archive; the first 64 KiB of what gzip unpacks
    a directory's names, and the first 2 KiB of some of its files

Nothing is unpickled and no library of another program is imported; nor is numpy, and protobuf only for what may be a graph:
a shell may call it in a loop.
The name matters for what has no content to go by: a V2 data file is bytes whose names are in the index.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from tfsaver.checkpoint.state_text import decode_state_text, looks_like_state, mended_state_text
from tfsaver.errors import CheckpointNotFoundError, DataLossError, SaverError, nearest_names
from tfsaver.lib import coding, file_io
from tfsaver.lib.confinement import Confinement
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.table import magic
from tfsaver.tensor_bundle import naming

STATE_FILE_NAME = "checkpoint"
SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")
ORBAX_FILES = frozenset({"_CHECKPOINT_METADATA", "_METADATA", "manifest.ocdbt"})
# Ends of the names of files that are not TensorFlow's checkpoints.
FOREIGN_SUFFIXES = (".safetensors", ".npz", ".pt", ".pth", ".h5", ".hdf5", ".keras", ".orbax")

_BUDGET = 64 << 10
_HEAD = 48 << 10
# Of each file in a directory, of which so many are looked into.
_HEAD_OF_CHILD = 2 << 10
_MAX_CHILDREN = 20
_MAX_UNPACKED = 64 << 10
_MAX_ZIP_DIRECTORY = 4 << 20
_MAX_SAFETENSORS_HEADER = 100_000_000
_MAX_TITLE = 60
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_PLACES = (0, 512, 1024, 2048)
_RIEGELI = b"\x83\xaf\x70\xd1\x0d\x88\x4a\x3f"
# torch.save of before torch 1.6: a pickle of this number comes first.
_TORCH_LEGACY = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_LFS = re.compile(rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v\d")
_LFS_SIZE = re.compile(rb"^size (\d{1,18})\s*$", re.MULTILINE)
_HTML = re.compile(rb"(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|script|title)\b", re.I | re.S)
_TITLE = re.compile(rb"<title[^>]*>\s*(.*?)\s*</title", re.I | re.S)
_XML = re.compile(rb"<\?xml|<Error>")
_META = re.compile(r"(.+)\.meta\Z", re.DOTALL)
_V1_SHARD = re.compile(r"(.+)-(\d{5,})-of-(\d{5,})\Z", re.DOTALL)
# Fields of ONNX's ModelProto and their wire types: ir_version, producer and the like, graph, opset_import, metadata.
_BYTES = 2
_ONNX_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
# How the text form of a message begins, after comments.
_WORD = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s|#[^\n]*\n)*"
    rb"(?:node|library|versions?|saved_model_schema_version|meta_graphs|[a-z]+_(?:[a-z]+_)?def)\s*[:{<]"
)

# First bytes that say it all: what they are, and what it is called.
_MAGIC = (
    (b"\x93NUMPY", "npy", "npy file of NumPy, one array without a name"),
    (b"GGUF", "gguf", "GGUF file of llama.cpp"),
    (b"\xfd7zXZ\0", "xz", "file compressed with xz"),
    (b"BZh", "bz2", "file compressed with bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd", "file compressed with zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z", "7z archive"),
    (b"Rar!\x1a\x07", "rar", "RAR archive"),
    (b"\x89PNG\r\n\x1a\n", "png", "PNG image"),
    (b"\xff\xd8\xff", "jpeg", "JPEG image"),
    (b"GIF8", "gif", "GIF image"),
    (b"%PDF-", "pdf", "PDF document"),
    (b"\x7fELF", "elf", "program or shared library (ELF)"),
)
# Which formats of `tfsaver.formats` open which kind.
_FORMATS = {
    "V2": "V2",
    "V2 index": "V2",
    "V2 data": "V2",
    "V1": "V1",
    "state file": "V2",
    "SavedModel": "V2",
    "MetaGraphDef": "V2",
    "checkpoints": "V2",
    "safetensors": "safetensors",
    "npz": "npz",
    "torch": "torch",
    "legacy torch": "torch",
    "keras": "keras",
    "weights.h5": "keras",
    "h5": "keras",
    "orbax": "orbax",
    "hf": "hf",
}
# What stands where a file should be that was never fetched, or never written.
_STAND_INS = frozenset({"lfs", "html", "xml", "empty", "zip", "gzip", "tar", "xz", "bz2", "zstd", "7z", "rar"})


class Identity(NamedTuple):
    """What a path is.

    Attributes:
        path: The path.
        kind: A word for programs: ``V2``, ``V2 index``, ``V2 data``, ``V1``, ``state file``, ``checkpoints`` (a directory of
            these), ``SavedModel``, ``MetaGraphDef``, ``GraphDef``, ``safetensors``, ``npz``, ``npy``, ``torch``,
            ``legacy torch``, ``torchscript``, ``pickle``, ``keras``, ``weights.h5``, ``h5``, ``orbax``, ``hf``, ``dcp``,
            ``tflite``, ``onnx``, ``gguf``, ``events``, ``lfs``, ``html``, ``xml``, ``json``, ``text``, ``zip``, ``gzip``,
            ``tar``, ``xz``, ``bz2``, ``zstd``, ``7z``, ``rar``, ``png``, ``jpeg``, ``gif``, ``pdf``, ``elf``, ``empty``,
            ``directory``, ``unknown``.
        description: What it is in words.
        command: What to type next.
    """

    path: str
    kind: str
    description: str
    command: str

    @property
    def format(self) -> str | None:
        """The format that `tfsaver.convert` reads it as; None for what no verb opens."""
        return _FORMATS.get(self.kind)

    @property
    def is_stand_in(self) -> bool:
        """Whether something else lies where the file should be: a pointer to it, a web page, an archive of it, nothing."""
        return self.kind in _STAND_INS

    @property
    def is_nothing(self) -> bool:
        """Whether it is a directory in which nothing was recognized."""
        return self.description in ("directory without checkpoints", "empty directory")

    @property
    def advice(self) -> str:
        """What an error about the file adds to what it knows."""
        return f"{self.path} is {_article(self.description)}; next: {self.command}"

    def __str__(self) -> str:
        return f"{self.path}: {self.description}; next: {self.command}"


@takes_storage_options("path")
def identify(
    path: file_io.PathLike,
    *,
    trusted: bool = True,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> Identity:
    """Says what a path is and what to type next, by content and whatever the name.

    A few kilobytes are read, nothing is unpickled, and no other program's library is imported.

    Args:
        path: A file, a directory, or a checkpoint's prefix.
        trusted: If false, a symbolic link that leads out of the directory that the path is in is an error.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        CheckpointNotFoundError: Nothing is there; names what is near.
        UntrustedPathError: It is not trusted, and leads out of its directory.
        OSError: The system does not let it be read.

    Example:
        >>> print(tfsaver.identify("model.ckpt"))  # doctest: +SKIP
        model.ckpt: Git LFS pointer to a file of 438,064,459 bytes, which was not fetched; next: git lfs pull
    """
    text = file_io.as_path(path)
    Confinement.around(text, trusted).check(text)
    is_file = file_io.exists(text) and not file_io.is_directory(text)
    # A file that is named in full comes before a checkpoint of that prefix, but what has no suffix of its own does not.
    if file_io.exists(naming.index_path(text)) and not (is_file and text.lower().endswith(FOREIGN_SUFFIXES)):
        return _of_prefix(text, trusted)
    if is_file:
        return identify_file(text)
    if file_io.is_directory(text):
        return identify_directory(text, trusted=trusted)
    return _of_missing(text)


def identify_file(path: str) -> Identity:
    """Says what a local or remote file is; see `identify`, which knows prefixes and directories too."""
    return _of_file(path, _HEAD)


def identify_directory(directory: str, *, trusted: bool) -> Identity:
    """Says what a directory is.

    Args:
        directory: The directory.
        trusted: Whether files in it are looked into that are symbolic links out of it.
    """
    names = file_io.list_directory(directory)
    kind, description, command = (
        _of_known_directory(directory, set(names), trusted)
        or _of_checkpoints(directory, names)
        or _of_versions(directory, names)
        or _of_children(directory, names, trusted)
    )
    return Identity(directory, kind, description, command)


@contextlib.contextmanager
def identified(path: str) -> Iterator[None]:
    """Adds to a DataLossError in the block what its file, or the file at `path`, is, where that is not what it should be."""
    try:
        yield
    except DataLossError as error:
        if not error.advice:
            error.advice = advice_on(error.path or path)
        raise


def advice_on(path: str) -> str:
    """What to add to an error about a file that cannot be read as what it should be; empty where it is not known."""
    found = identity_of_wrong(path)
    return "" if found is None else found.advice


def identity_of_wrong(path: str) -> Identity | None:
    """What a file is that cannot be read as what its place says; None where it is just damaged, or cannot be looked into."""
    try:
        if not file_io.exists(path) or file_io.is_directory(path):
            return None
        found = identify_file(path)
    except (SaverError, OSError):
        return None
    is_right = found.kind in ("V1", "V2 data") or (found.kind == "V2 index" and naming.INDEX_NAME.match(path) is not None)
    # Where a state file leads is for the caller to say, who has been there.
    return None if is_right or found.kind in ("unknown", "state file") else found


class _File:
    """A file of which no more is read than the budget."""

    def __init__(self, file: file_io.RandomAccessFile, path: str, head: int) -> None:
        self._file = file
        self.path = path
        self.size = file.size
        self.head = file.read(0, min(head, file.size))
        self._left = max(0, (_BUDGET if head == _HEAD else 2 * head) - len(self.head))

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; none beyond the budget."""
        if offset + size <= len(self.head) or (offset < len(self.head) and len(self.head) == self.size):
            return self.head[offset : offset + size]
        size = min(size, self._left, max(0, self.size - offset))
        if size <= 0:
            return b""
        self._left -= size
        return self._file.read(offset, size)

    def zip_names(self) -> list[str] | None:
        """The names in a zip archive; None where its directory cannot be read, or is too large."""
        import zipfile  # noqa: PLC0415 - it imports much, and most files are not archives

        try:
            with zipfile.ZipFile(_Limited(self._file, _MAX_ZIP_DIRECTORY)) as archive:
                return archive.namelist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError, struct.error, SaverError):
            return None


class _Limited(io.RawIOBase):
    """A file for `zipfile`, of which so many bytes may be read."""

    def __init__(self, file: file_io.RandomAccessFile, limit: int) -> None:
        self._file = file
        self._left = limit
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + (0, self._position, self._file.size)[whence]
        if position < 0:
            raise OSError("before the beginning")
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        wanted = max(0, self._file.size - self._position)
        wanted = wanted if size is None or size < 0 else min(size, wanted)
        self._left -= wanted
        if self._left < 0:
            raise OSError("the directory is too large")
        data = self._file.read(self._position, wanted)
        self._position += len(data)
        return data


def _of_file(path: str, head: int) -> Identity:
    with contextlib.closing(file_io.open_for_reading(path)) as opened:
        file = _File(opened, path, head)
        found = _of_content(file)
        name = _of_name(file) if found is None or found[0] == "text" else None
        # A data file's first tensor may begin like anything.
        if found is not None and naming.DATA_NAME.match(path) and found[0] not in ("lfs", "html", "empty"):
            name, found = _of_name(file), None
        kind, description, command = name or found or ("unknown", _unknown(file), _look_around(path))
        return Identity(path, kind, description, command)


_Found = tuple[str, str, str]


def _of_content(file: _File) -> _Found | None:
    path, head = file.path, file.head
    if not file.size:
        return "empty", "empty file, which a save or a download left that was stopped", _look_around(path)
    if _LFS.match(head):
        size = _LFS_SIZE.search(head[:1000])
        what = f"a file of {int(size[1]):,} bytes" if size else "a file"
        return "lfs", f"Git LFS pointer to {what}, which was not fetched", "git lfs pull"
    return (
        _of_table(file)
        or _of_archive(file)
        or _of_weights(file)
        or next(((kind, what, _command_for(kind, path)) for first, kind, what in _MAGIC if head.startswith(first)), None)
        or _of_text(file)
        or _of_message(file)
    )


def _of_table(file: _File) -> _Found | None:
    """A V1 checkpoint or the index of a V2 checkpoint: both are tables, and the first record says which."""
    if file.size < magic.FOOTER_SIZE:
        return None
    tail = file.read(file.size - 8, 8)
    if len(tail) < 8 or coding.read_fixed64(tail, 0) != magic.MAGIC:
        return None
    first = _first_value(file.head)
    is_index = naming.INDEX_NAME.match(file.path) is not None if first is None else first == 0x08
    if not is_index:
        match = _V1_SHARD.match(file.path)
        of = f", file {int(match[2]) + 1} of {int(match[3])}" if match else ""
        return "V1", f"V1 checkpoint{of}", _inspect(file.path)
    if match := naming.INDEX_NAME.match(file.path):
        return "V2 index", "index of a V2 checkpoint", _inspect(match[1] or file.path)
    # What TensorFlow and tfsaver look for is the name.
    renamed = f"mv {_quoted(file.path)} {_quoted(file.path + '.index')}"
    return "V2 index", "index of a V2 checkpoint whose name does not end in .index", renamed


def _first_value(head: bytes) -> int | None:
    """The first byte of a table's first value, whose key is empty: 0x08 in a bundle's header, 0x0a in a V1 checkpoint.

    A block begins: shared bytes of the key (0), its other bytes (0), the value's size; Snappy puts the size of the block and
    a literal's tag before these.
    """
    for start in range(8):
        if head[start : start + 2] == b"\0\0":
            try:
                size, position = coding.read_varint(head, start + 2)
            except SaverError:
                continue
            if size and head[position : position + 1] in (b"\x08", b"\x0a"):
                return head[position]
    return None


def _of_archive(file: _File) -> _Found | None:
    path, head = file.path, file.head
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _of_zip(file)
    if head[257:262] == b"ustar":
        return "tar", "tar archive", f"tar -xf {_quoted(path)}"
    if head.startswith(b"\x1f\x8b"):
        inner = b""
        with contextlib.suppress(zlib.error):
            inner = zlib.decompressobj(wbits=31).decompress(head, _MAX_UNPACKED)
        if inner[257:262] == b"ustar":
            return "gzip", "tar archive compressed with gzip", f"tar -xf {_quoted(path)}"
        return "gzip", f"file compressed with gzip{_inside(inner)}", _unpack("gunzip", ".gz", path)
    return None


def _of_zip(file: _File) -> _Found:
    path = file.path
    names = file.zip_names()
    extract = f"unzip {_quoted(path)} -d {_quoted(path + '.unpacked')}"
    if names is None:
        return "zip", "zip archive whose directory cannot be read: it is cut short or damaged", f"unzip -t {_quoted(path)}"
    if "model.weights.h5" in names:
        return "keras", "Keras model (.keras)", _inspect(path)
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
            code = f"import torch; print(torch.jit.load({path!r}, map_location='cpu').code)"
            return "torchscript", "TorchScript program of torch", _python(code)
        return "torch", "file of torch", _inspect(path)
    if names and all(name.endswith(".npy") for name in names):
        return "npz", f"npz file, {_counted(len(names), 'array')}", _inspect(path)
    what = f" with {_listed(names)}" if names else " without any file"
    return "zip", f"zip archive{what}", extract


def _of_weights(file: _File) -> _Found | None:
    path, head = file.path, file.head
    if any(head[place : place + 8] == _HDF5 for place in _HDF5_PLACES):
        if path.lower().endswith(".weights.h5") or (b"vars" in head and b"layer_names" not in head):
            return "weights.h5", "Keras weights file (.weights.h5)", _inspect(path)
        what = "Keras model or weights in HDF5 (.h5)" if b"layer_names" in head or b"keras_version" in head else "HDF5 file"
        return "h5", what, _inspect(path)
    if len(head) > 10 and head[8:9] == b"{":
        length = int.from_bytes(head[:8], "little")
        if 2 <= length <= min(_MAX_SAFETENSORS_HEADER, file.size - 8):
            return _of_safetensors(file, length)
    if head[4:8] == b"TFL3":
        code = f"import tensorflow as tf; tf.lite.experimental.Analyzer.analyze(model_path={path!r})"
        return "tflite", "TensorFlow Lite model", _python(code)
    if head.startswith(_RIEGELI):
        return "SavedModel", "SavedModel in chunks (.cpb)", _show(path)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        if _TORCH_LEGACY in head[:40]:
            return "legacy torch", "file of torch, from before torch 1.6", _inspect(path)
        what = "Python pickle, which is not opened, since that would run its code"
        return "pickle", what, f"python -m pickletools {_quoted(path)}"
    if head[12:16] == b"\x1a\x0b\x09\x00" or b"brain.Event:" in head[:64]:
        return "events", "TensorBoard event file", f"tensorboard --logdir {_quoted(_parent(path))}"
    return None


def _of_safetensors(file: _File, length: int) -> _Found | None:
    header = file.head[8 : 8 + length]
    if len(header) == length:
        try:
            names = json.loads(header)
        except (ValueError, RecursionError):
            return None
        if not isinstance(names, dict):
            return None
        tensors = [name for name in names if name != "__metadata__"]
        return "safetensors", f"safetensors file, {_counted(len(tensors), 'tensor')}", _inspect(file.path)
    if b'"data_offsets"' in header or b'"__metadata__"' in header[:40]:
        return "safetensors", "safetensors file", _inspect(file.path)
    return None


def _of_message(file: _File) -> _Found | None:
    if _is_onnx(file):
        code = f"import onnx; print(onnx.helper.printable_graph(onnx.load({file.path!r}).graph))"
        return "onnx", "ONNX model", _python(code)
    # The first fields of all three, and letters with which their text forms begin.
    if file.head[:1] not in (b"\x08", b"\x0a", b"\x12", b"\x1a", b"\x22", b"\x2a") and not _WORD.match(file.head):
        return None
    # Imported here because the schemas cost more than all the rest.
    from tfsaver.framework import graph_form  # noqa: PLC0415

    found = graph_form.recognize_graph(file.head)
    return None if found is None else _graph(found.kind, file.path, " in text form" if found.is_text else "")


def _is_onnx(file: _File) -> bool:
    """Whether the fields of a file are those of ONNX's ModelProto: a version, and a graph that may be gigabytes."""
    seen: set[int] = set()
    position = 0
    try:
        while position < file.size and len(seen) < len(_ONNX_FIELDS):
            head = file.read(position, 20)
            tag, offset = coding.read_varint(head, 0)
            value, offset = coding.read_varint(head, offset)
            if _ONNX_FIELDS.get(tag >> 3) != tag & 7:
                return False
            seen.add(tag >> 3)
            position += offset + (value if tag & 7 == _BYTES else 0)
    except SaverError:
        return False
    return {1, 7} <= seen and position <= file.size


def _graph(kind: str, path: str, form: str = "") -> _Found:
    if kind == "SavedModel":
        return kind, f"SavedModel{form}", _show(path)
    if kind == "MetaGraphDef":
        match = _META.match(path)
        prefix = path[: match.end(1)] if match else ""
        if prefix and _has_checkpoint(prefix):
            return kind, f"meta graph{form} of the checkpoint {prefix}", _inspect(prefix)
        return kind, f"meta graph{form} (MetaGraphDef), without weights next to it", _show(path)
    return kind, f"graph{form} (GraphDef)", _show(path)


def _of_text(file: _File) -> _Found | None:
    path, head = file.path, file.head
    start = head[:2000].lstrip(b"\xef\xbb\xbf \t\r\n")
    if _HTML.match(start):
        title = _TITLE.search(head[:8000])
        words = " ".join(title[1].decode("utf-8", "replace").split()) if title else ""
        shown = f" titled {_printable(words)[:_MAX_TITLE]!r}" if words else ""
        return "html", f"web page (HTML){shown}, which a server sent instead of the file", _look_around(path)
    if _XML.match(start):
        return "xml", "XML text, which may be what a store answered instead of the file", _look_around(path)
    try:
        text = decode_state_text(head[: len(head) - len(head) % 2] if len(head) < file.size else head)
    except UnicodeDecodeError as error:
        # The last character may have been cut.
        if len(head) == file.size or error.start < len(head) - 8:
            return None
        text = head[: error.start].decode("utf-8", "replace")
    if any(character < " " and character not in "\t\r\n\f\x1b" for character in text[:2000]):
        return None
    if looks_like_state(text):
        return "state file", _state(path, text), _inspect(path)
    if (graph := _of_message(file)) is not None:
        return graph
    if start[:1] in (b"{", b"["):
        return "json", "JSON text", f"python -m json.tool {_quoted(path)}"
    return "text", f"text that begins {_printable(text.strip()[:40])!r}", _look_around(path)


def _state(path: str, text: str) -> str:
    match = re.search(r"(?<!all_)model_checkpoint_path\s*:\s*[\"']([^\"'\n]*)", mended_state_text(text))
    if match is None:
        return "state file of a directory of checkpoints, which names no checkpoint as the newest"
    name = _printable(match[1].replace("\\\\", "\\"))[:100]
    return f"state file of a directory of checkpoints, which names '{name}'"


def _of_name(file: _File) -> _Found | None:
    """What only the name tells."""
    if match := naming.DATA_NAME.match(file.path):
        prefix = file.path[: match.end(1)]
        if file_io.exists(naming.index_path(prefix)):
            return "V2 data", f"data of the V2 checkpoint {prefix}", _inspect(prefix or file.path)
        what = f"data of a V2 checkpoint whose index {naming.index_path(prefix)} is not there, which holds all names"
        return "V2 data", what, f"tfsaver doctor {_quoted(_parent(file.path))}"
    return None


def _of_prefix(path: str, trusted: bool) -> Identity:
    hidden = ""
    if file_io.exists(path) and not file_io.is_directory(path):
        with contextlib.suppress(SaverError, OSError):
            other = _of_file(path, _HEAD_OF_CHILD)
            hidden = f" ({_article(other.description)} has the same name, and is hidden by the index)"
    index = naming.index_path(path)
    wrong = identity_of_wrong(index)
    if wrong is not None and trusted:
        return Identity(path, wrong.kind, f"V2 checkpoint whose index is {_article(wrong.description)}", wrong.command)
    return Identity(path, "V2", f"V2 checkpoint{hidden}", _inspect(path))


def _of_missing(path: str) -> Identity:
    directory, base = file_io.split(path)
    names = file_io.list_directory(directory)
    shards = [name for name in names if (match := _V1_SHARD.match(name)) and match[1] == base]
    if shards:
        return Identity(path, "V1", f"V1 checkpoint in {_counted(len(shards), 'file')}", _inspect(path))
    if any((match := naming.DATA_NAME.match(name)) and match[1] == base for name in names):
        what = f"data of a V2 checkpoint whose index {naming.index_path(path)} is not there, which holds all names"
        return Identity(path, "V2 data", what, f"tfsaver doctor {_quoted(directory or '.')}")
    near = nearest_names(base, names)
    found = f"nothing of that name is there{f', but {_listed(list(near))}' if near else ''}"
    raise CheckpointNotFoundError(path, looked_for=[naming.index_path(path), path], found=found)


def _of_known_directory(directory: str, names: set[str], trusted: bool) -> _Found | None:
    if graph := next((name for name in SAVED_MODEL_FILES if name in names), None):
        found = identity_of_wrong(file_io.join(directory, graph)) if trusted else None
        if found is not None and found.kind != "SavedModel":
            return found.kind, f"SavedModel whose {graph} is {_article(found.description)}", found.command
        return "SavedModel", "SavedModel", _show(directory)
    if not ORBAX_FILES.isdisjoint(names):
        return "orbax", "Orbax checkpoint", _inspect(directory)
    if "model.safetensors.index.json" in names or {"model.safetensors", "config.json"} <= names:
        return "hf", "directory for transformers", _inspect(directory)
    if ".metadata" in names and any(name.endswith(".distcp") for name in names):
        command = "python -m torch.distributed.checkpoint.format_utils dcp_to_torch"
        made = directory.rstrip("/") + ".pt"
        return "dcp", "distributed checkpoint of torch (DCP)", f"{command} {_quoted(directory)} {_quoted(made)}"
    return None


def _of_checkpoints(directory: str, names: list[str]) -> _Found | None:
    prefixes = [
        match[1] for name in names if (match := naming.INDEX_NAME.match(name)) and not file_io.is_temporary_name(match[1])
    ]
    v1 = [match[1] for name in names if (match := _V1_SHARD.match(name)) and not naming.DATA_NAME.match(name)]
    prefixes = list(dict.fromkeys(prefixes + v1))
    if "variables" in prefixes and saved_model_of(directory) is not None:
        return "V2", "variables of a SavedModel", _inspect(directory)
    state = file_io.join(directory, STATE_FILE_NAME)
    if STATE_FILE_NAME in names and not file_io.is_directory(state):
        found = _of_file(state, _HEAD_OF_CHILD)
        if found.kind == "state file":
            names_what = found.description.partition(", which ")[2]
            return "checkpoints", f"directory of checkpoints with a state file that {names_what}", _inspect(directory)
    if not prefixes:
        return None
    if len(prefixes) == 1 and STATE_FILE_NAME not in names:
        return "checkpoints", f"directory with the checkpoint {prefixes[0]!r}", _inspect(directory)
    one = file_io.join(directory, sorted(prefixes, key=_by_number)[-1])
    return "checkpoints", f"directory of {_counted(len(prefixes), 'checkpoint')} without a sound state file", _inspect(one)


def _of_versions(directory: str, names: list[str]) -> _Found | None:
    for name in sorted((name for name in names if name.isdigit()), key=_by_number, reverse=True)[:_MAX_CHILDREN]:
        inner = file_io.join(directory, name)
        inside = set(file_io.list_directory(inner))
        if not inside.isdisjoint(SAVED_MODEL_FILES):
            return "directory", f"directory of versions of a SavedModel, the newest {name}", _show(inner)
        # A manager of checkpoints puts each item of a step into a folder of its own.
        for step in (*(file_io.join(inner, name) for name in ("default", "state", "params")), inner):
            if not ORBAX_FILES.isdisjoint(file_io.list_directory(step)):
                return "directory", f"directory of steps of Orbax, the newest {name}", _inspect(step)
    return None


def _of_children(directory: str, names: list[str], trusted: bool) -> _Found:
    """A directory of files of other kinds, told from the first of them that a verb opens."""
    kinds: dict[str, list[str]] = {}
    command = ""
    num_looked = 0
    confinement = Confinement(directory, trusted)
    for name in names:
        path = file_io.join(directory, name)
        if num_looked == _MAX_CHILDREN:
            break
        if file_io.is_directory(path) or not confinement.admits(path):
            continue
        num_looked += 1
        try:
            found = _of_file(path, _HEAD_OF_CHILD)
        except (SaverError, OSError):
            continue
        if found.format is not None or found.is_stand_in or found.kind in ("GraphDef", "onnx", "tflite", "gguf", "npy"):
            kinds.setdefault(found.kind, []).append(name)
            if not command or (found.format is not None and len(kinds) > 1 and not _FORMATS.get(next(iter(kinds)))):
                command = found.command
    if not kinds:
        what = "empty directory" if not names else "directory without checkpoints"
        return "directory", what, _look_around(directory)
    parts = [f"{_counted(len(files), 'file')} of the kind {kind} ({_listed(files)})" for kind, files in kinds.items()]
    return "directory", f"directory of {', '.join(parts[:3])}", command


def saved_model_of(variables: str) -> str | None:
    """The directory of the SavedModel whose variables a directory is; None where it is not one's."""
    path = variables.rstrip("/")
    if file_io.split(path)[1] != "variables":
        return None
    parent = file_io.split(path)[0] or "."
    return parent if any(file_io.exists(file_io.join(parent, name)) for name in SAVED_MODEL_FILES) else None


def _has_checkpoint(prefix: str) -> bool:
    if file_io.exists(naming.index_path(prefix)) or (file_io.exists(prefix) and not file_io.is_directory(prefix)):
        return True
    directory, base = file_io.split(prefix)
    return any((match := _V1_SHARD.match(name)) and match[1] == base for name in file_io.list_directory(directory))


def _by_number(name: str) -> tuple[int, str]:
    numbers = re.findall(r"\d{1,18}", name)
    return (int(numbers[-1]) if numbers else -1), name


def _inside(inner: bytes) -> str:
    """What unpacked bytes are, for a description."""
    if inner.startswith(_HDF5):
        return " with an HDF5 file"
    if inner.startswith(b"PK\x03\x04"):
        return " with a zip archive"
    if _HTML.match(inner[:2000].lstrip()):
        return " with a web page (HTML)"
    return ""


def _unknown(file: _File) -> str:
    return f"file of an unknown kind: {file.size:,} bytes that begin {file.head[:8].hex(' ')}"


def _command_for(kind: str, path: str) -> str:
    """The command for a file that is known by its first bytes."""
    if kind == "npy":
        return _python(f"import numpy; print(numpy.load({path!r}))")
    if kind == "gguf":
        return f"gguf-dump {_quoted(path)}"
    if kind in ("xz", "bz2", "zstd"):
        if path.endswith((".tar.xz", ".tar.bz2", ".tar.zst", ".txz", ".tbz2")):
            return f"tar -xf {_quoted(path)}"
        program, suffix = {"xz": ("unxz", ".xz"), "bz2": ("bunzip2", ".bz2"), "zstd": ("unzstd", ".zst")}[kind]
        return _unpack(program, suffix, path)
    return {"7z": f"7z x {_quoted(path)}", "rar": f"unrar x {_quoted(path)}"}.get(kind) or _look_around(path)


def _unpack(program: str, suffix: str, path: str) -> str:
    """Unpacks a file next to it, whatever its name; the file stays."""
    if path.endswith(suffix):
        return f"{program} -k {_quoted(path)}"
    return f"{program} -c < {_quoted(path)} > {_quoted(path + '.unpacked')}"


def _inspect(path: str) -> str:
    return f"tfsaver inspect {_quoted(path)}"


def _show(path: str) -> str:
    return f"tfsaver saved-model show {_quoted(path)}"


def _look_around(path: str) -> str:
    """For what leads nowhere: what lies next to it."""
    place = path if file_io.is_directory(path) else _parent(path)
    return f"ls -l {_quoted(place)}"


def _python(code: str) -> str:
    return f"python -c {shlex.quote(code)}"


def _parent(path: str) -> str:
    return file_io.split(path)[0] or "."


def _quoted(path: str) -> str:
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _article(description: str) -> str:
    if description.startswith(("variables", "data of", "text", "XML text", "JSON text")):
        return description
    # As they are spoken: an npz file, an HDF5 file, an ONNX model, an XZ file; a UTF-8 file.
    is_vowel = description[:1] in "aeioAEIO" or description.startswith(("npz", "npy", "HDF5", "ONNX", "RAR"))
    return f"{'an' if is_vowel else 'a'} {description}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _listed(names: list[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(_printable(repr(name[:80])) for name in names[:limit]) + more
