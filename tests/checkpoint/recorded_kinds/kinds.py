"""The table of what `identify` says of files of every kind, and the files: recorded ones, and what needs no other program."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import pickle
import shlex
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tfsaver
from tests.checkpoint.recorded_kinds import record

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"7a" * 32 + b"\nsize 160392557\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>\n Sign  in</title></head></html>"
TORCH = "import torch; print(torch.jit.load('{path}', map_location='cpu').code)"
TFLITE = "import tensorflow as tf; tf.lite.experimental.Analyzer.analyze(model_path='{path}')"
NPY = "import numpy; print(numpy.load('{path}'))"
ONNX = "import onnx; print(onnx.helper.printable_graph(onnx.load('{path}').graph))"
DCP = "python -m torch.distributed.checkpoint.format_utils dcp_to_torch {path} {path}.pt"
INSPECT, SHOW, LOOK = "tfsaver inspect {path}", "tfsaver saved-model show {path}", "ls -l {parent}"
UNZIP = "unzip {path} -d {path}.unpacked"


class Kind(NamedTuple):
    """What `identify` says of a path.

    Attributes:
        command: Its words, with the path and its directory in braces; Python's code alone, which is one word.
    """

    kind: str
    description: str
    command: str
    format: str | None = None
    is_stand_in: bool = False

    def check(self, path: str, found: tfsaver.Identity) -> None:
        """Asserts that this was found at a path."""
        assert found[:3] == (path, self.kind, self.description)
        words = ["python", "-c", self.command] if self.command.startswith("import ") else self.command.split(" ")
        places = {"path": path, "parent": os.path.dirname(path) or "."}
        assert shlex.split(found.command) == [word.format(**places) for word in words]
        assert (found.format, found.is_stand_in) == (self.format, self.is_stand_in)
        assert str(found) == f"{path}: {self.description}; next: {found.command}"
        assert not found.is_nothing or self.kind == "directory"


_META_ALONE = Kind("MetaGraphDef", "meta graph (MetaGraphDef), without weights next to it", SHOW, "V2")

KINDS = {
    "v2/model-5": Kind("V2", "V2 checkpoint", INSPECT, "V2"),
    "v2/model-5.index": Kind("V2 index", "index of a V2 checkpoint", "tfsaver inspect v2/model-5", "V2"),
    "v2/model-5.data-00000-of-00001": Kind(
        "V2 data", "data of the V2 checkpoint v2/model-5", "tfsaver inspect v2/model-5", "V2"
    ),
    "v2/model-5.meta": Kind("MetaGraphDef", "meta graph of the checkpoint v2/model-5", "tfsaver inspect v2/model-5", "V2"),
    "v2/checkpoint": Kind("state file", "state file of a directory of checkpoints, which names 'model-5'", INSPECT, "V2"),
    "v2": Kind("checkpoints", "directory of checkpoints with a state file that names 'model-5'", INSPECT, "V2"),
    "v1/old": Kind("V1", "V1 checkpoint", INSPECT, "V1"),
    "v1/old.meta": Kind("MetaGraphDef", "meta graph of the checkpoint v1/old", "tfsaver inspect v1/old", "V2"),
    "renamed/index": Kind(
        "V2 index", "index of a V2 checkpoint whose name does not end in .index", "mv {path} {path}.index", "V2"
    ),
    "alone.meta": _META_ALONE,
    "frozen.pb": Kind("GraphDef", "graph (GraphDef)", SHOW),
    "frozen.pbtxt": Kind("GraphDef", "graph in text form (GraphDef)", SHOW),
    "export": Kind("SavedModel", "SavedModel", SHOW, "V2"),
    "export/saved_model.pb": Kind("SavedModel", "SavedModel", SHOW, "V2"),
    "export/variables": Kind("V2", "variables of a SavedModel", INSPECT, "V2"),
    "versions": Kind(
        "directory", "directory of versions of a SavedModel, the newest 10", "tfsaver saved-model show versions/10"
    ),
    "logs/events.out.tfevents.1": Kind("events", "TensorBoard event file", "tensorboard --logdir {parent}"),
    "net.keras": Kind("keras", "Keras model (.keras)", INSPECT, "keras"),
    "net.weights.h5": Kind("weights.h5", "Keras weights file (.weights.h5)", INSPECT, "keras"),
    "net.h5": Kind("h5", "Keras model or weights in HDF5 (.h5)", INSPECT, "keras"),
    "m.tflite": Kind("tflite", "TensorFlow Lite model", TFLITE),
    "m.safetensors": Kind("safetensors", "safetensors file, 1 tensor", INSPECT, "safetensors"),
    "m.npz": Kind("npz", "npz file, 1 array", INSPECT, "npz"),
    "m.npy": Kind("npy", "npy file of NumPy, one array without a name", NPY),
    "m.pt": Kind("torch", "file of torch", INSPECT, "torch"),
    "legacy.pt": Kind("legacy torch", "file of torch, from before torch 1.6", INSPECT, "torch"),
    "script.pt": Kind("torchscript", "TorchScript program of torch", TORCH),
    "p.pkl": Kind(
        "pickle", "Python pickle, which is not opened, since that would run its code", "python -m pickletools {path}"
    ),
    "orb": Kind("orbax", "Orbax checkpoint", INSPECT, "orbax"),
    "steps": Kind("directory", "directory of steps of Orbax, the newest 10", "tfsaver inspect steps/10/default"),
    "dcp": Kind("dcp", "distributed checkpoint of torch (DCP)", DCP),
    "hf": Kind("hf", "directory for transformers", INSPECT, "hf"),
    "weights": Kind(
        "directory",
        "directory of 2 files of the kind safetensors ('model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors')",
        "tfsaver inspect weights/model-00001-of-00002.safetensors",
    ),
    "m.gguf": Kind("gguf", "GGUF file of llama.cpp", "gguf-dump {path}"),
    "m.onnx": Kind("onnx", "ONNX model", ONNX),
    "lfs": Kind(
        "lfs", "Git LFS pointer to a file of 160,392,557 bytes, which was not fetched", "git lfs pull", None, True
    ),
    "page": Kind("html", "web page (HTML) titled 'Sign in', which a server sent instead of the file", LOOK, None, True),
    "error.xml": Kind("xml", "XML text, which may be what a store answered instead of the file", LOOK, None, True),
    "empty": Kind("empty", "empty file, which a save or a download left that was stopped", LOOK, None, True),
    "config.json": Kind("json", "JSON text", "python -m json.tool {path}"),
    "notes.txt": Kind("text", "text that begins 'Trained on the 5th.'", LOOK),
    "a.tar": Kind("tar", "tar archive", "tar -xf {path}", None, True),
    "a.ckpt": Kind("gzip", "tar archive compressed with gzip", "tar -xf {path}", None, True),
    "g.gz": Kind("gzip", "file compressed with gzip with a zip archive", "gunzip -k {path}", None, True),
    "x.xz": Kind("xz", "file compressed with xz", "unxz -k {path}", None, True),
    "b.bz2": Kind("bz2", "file compressed with bzip2", "bunzip2 -k {path}", None, True),
    "z.zst": Kind("zstd", "file compressed with zstd", "unzstd -k {path}", None, True),
    "z.zip": Kind("zip", "zip archive with 'v2/model-5.index'", UNZIP, None, True),
    "a.7z": Kind("7z", "7z archive", "7z x {path}", None, True),
    "a.rar": Kind("rar", "RAR archive", "unrar x {path}", None, True),
    "i.png": Kind("png", "PNG image", LOOK),
    "i.jpeg": Kind("jpeg", "JPEG image", LOOK),
    "i.gif": Kind("gif", "GIF image", LOOK),
    "d.pdf": Kind("pdf", "PDF document", LOOK),
    "lib.so": Kind("elf", "program or shared library (ELF)", LOOK),
    "bytes": Kind("unknown", "file of an unknown kind: 11 bytes that begin 01 02 03 04 05 06 07 08", LOOK),
    "nothing": Kind("directory", "empty directory", "ls -l {path}"),
}
# Made by programs that the other tests do not ask for.
ONLY_RECORDED = ("m.onnx", "a.7z", "z.zst")
# Where a file is another, or has another command, under a name that says nothing.
ELSEWHERE = {
    "v2/model-5.index": KINDS["renamed/index"],
    "v2/model-5.meta": _META_ALONE,
    "v1/old.meta": _META_ALONE,
    "g.gz": KINDS["g.gz"]._replace(command="gunzip -c < {path} > {path}.unpacked"),
    "x.xz": KINDS["x.xz"]._replace(command="unxz -c < {path} > {path}.unpacked"),
    "b.bz2": KINDS["b.bz2"]._replace(command="bunzip2 -c < {path} > {path}.unpacked"),
    "z.zst": KINDS["z.zst"]._replace(command="unzstd -c < {path} > {path}.unpacked"),
    "versions": KINDS["versions"]._replace(command="tfsaver saved-model show {path}/10"),
    "steps": KINDS["steps"]._replace(command="tfsaver inspect {path}/10/default"),
    "weights": KINDS["weights"]._replace(command="tfsaver inspect {path}/model-00001-of-00002.safetensors"),
}
# What only its name tells: other files say it, and a directory.
BY_NAME = ("v2/model-5", "v2/model-5.data-00000-of-00001", "export/variables", "renamed/index")


def unpack(root: Path) -> None:
    """Unpacks the recorded files into a directory."""
    with tarfile.open(record.ARCHIVE) as packed:
        # Python 3.10.0 to 3.10.11 have no filters, which newer ones want to be chosen.
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        packed.extractall(root)


def add_others(root: Path) -> None:
    """Adds what needs no other program, and copies, to the files of programs."""
    np.savez(root / "m.npz", a=np.ones(3, np.float32))
    np.save(root / "m.npy", np.ones(3, np.float32))
    (root / "p.pkl").write_bytes(pickle.dumps({"a": list(range(99))}))
    for name, mode in (("a.tar", "w"), ("a.ckpt", "w:gz")):
        with tarfile.open(root / name, mode) as archive:  # type: ignore[call-overload]
            archive.add(root / "m.npz", "inside.npz")
    (root / "g.gz").write_bytes(gzip.compress((root / "m.npz").read_bytes()))
    (root / "x.xz").write_bytes(lzma.compress(b"abc"))
    (root / "b.bz2").write_bytes(bz2.compress(b"abc"))
    with zipfile.ZipFile(root / "z.zip", "w") as zipped:
        zipped.writestr("v2/model-5.index", (root / "v2/model-5.index").read_bytes())
    contents = {
        "lfs": POINTER,
        "page": PAGE,
        "error.xml": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "empty": b"",
        "config.json": json.dumps({"hidden_size": 8}).encode(),
        "notes.txt": b"\n Trained on the 5th.\n",
        "a.rar": b"Rar!\x1a\x07\x01\0" + bytes(50),
        "i.png": b"\x89PNG\r\n\x1a\n" + bytes(50),
        "i.jpeg": b"\xff\xd8\xff\xe0" + bytes(50),
        "i.gif": b"GIF89a" + bytes(50),
        "d.pdf": b"%PDF-1.7\n" + bytes(50),
        "lib.so": b"\x7fELF\x02" + bytes(50),
        "bytes": bytes(range(1, 12)),
    }
    for name, data in contents.items():
        (root / name).write_bytes(data)
    for name in ("renamed", "nothing", "weights", "hf"):
        (root / name).mkdir()
    shutil.copy(root / "v2/model-5.index", root / "renamed/index")
    for number in (1, 2):
        shutil.copy(root / "m.safetensors", root / f"weights/model-0000{number}-of-00002.safetensors")
    shutil.copy(root / "m.safetensors", root / "hf/model.safetensors")
    (root / "hf/config.json").write_text('{"model_type": "bert"}')
    for version in ("9", "10"):
        shutil.copytree(root / "export", root / "versions" / version)
