"""Files of every kind, made by the programs whose kinds they are: what `identify` calls them, and that its command works."""

from __future__ import annotations

import builtins
import gzip
import io
import lzma
import os
import pickle
import runpy
import shlex
import shutil
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.plugins.tensorflow_programs import TensorFlowPrograms
from tfsaver.checkpoint import identify as module
from tfsaver.cli.main import main
from tfsaver.errors import CheckpointNotFoundError, UntrustedPathError
from tfsaver.lib import file_io

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"7a" * 32 + b"\nsize 160392557\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>\n Sign  in</title></head></html>"

_OF_TENSORFLOW = """
import os
os.mkdir("v1")
import tensorflow as tf
v1 = tf.compat.v1
with tf.Graph().as_default() as graph, v1.Session() as session:
    w = v1.get_variable("w", [4, 4])
    y = tf.nn.relu(v1.placeholder(tf.float32, [None, 4], name="x") @ w, name="y")
    session.run(v1.global_variables_initializer())
    v1.train.Saver().save(session, "v2/model", global_step=5)
    v1.train.Saver(write_version=v1.train.SaverDef.V1).save(session, "v1/old")
    frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["y"])
    tf.io.write_graph(frozen, ".", "frozen.pb", as_text=False)
    tf.io.write_graph(frozen, ".", "frozen.pbtxt")
    v1.train.export_meta_graph("alone.meta", graph=graph)
module = tf.Module()
module.w = tf.Variable([1.0, 2.0])
module.f = tf.function(lambda x: x * module.w, input_signature=[tf.TensorSpec([2])])
tf.saved_model.save(module, "export")
with open("m.tflite", "wb") as file:
    file.write(tf.lite.TFLiteConverter.from_concrete_functions([module.f.get_concrete_function()], module).convert())


import keras
model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="d")])
model.save("net.keras")
model.save_weights("net.weights.h5")
model.save("net.h5")
"""

# What each file is called, the kind that it is, a word of the line, and a word of the command.
KINDS = {
    "v2/model-5": ("V2", "V2 checkpoint", "tfsaver inspect"),
    "v2/model-5.index": ("V2 index", "index", "tfsaver inspect"),
    "v2/model-5.data-00000-of-00001": ("V2 data", "data of", "tfsaver inspect"),
    "v2/model-5.meta": ("MetaGraphDef", "meta graph", "tfsaver inspect"),
    "v2/checkpoint": ("state file", "state file", "tfsaver inspect"),
    "v2": ("checkpoints", "state file", "tfsaver inspect"),
    "v1/old": ("V1", "V1 checkpoint", "tfsaver inspect"),
    "renamed/index": ("V2 index", "index", "mv "),
    "alone.meta": ("MetaGraphDef", "meta graph", "tfsaver saved-model show"),
    "frozen.pb": ("GraphDef", "GraphDef", "tfsaver saved-model show"),
    "frozen.pbtxt": ("GraphDef", "text form", "tfsaver saved-model show"),
    "export": ("SavedModel", "SavedModel", "tfsaver saved-model show"),
    "export/saved_model.pb": ("SavedModel", "SavedModel", "tfsaver saved-model show"),
    "export/variables": ("V2", "variables of a SavedModel", "tfsaver inspect"),
    "versions": ("directory", "versions of a SavedModel", "tfsaver saved-model show"),
    "net.keras": ("keras", "Keras", "tfsaver inspect"),
    "keras.ckpt": ("keras", "Keras", "tfsaver inspect"),
    "net.weights.h5": ("weights.h5", "Keras weights", "tfsaver inspect"),
    "net.h5": ("h5", "HDF5", "tfsaver inspect"),
    "h5.ckpt": ("h5", "HDF5", "tfsaver inspect"),
    "m.tflite": ("tflite", "TensorFlow Lite", "python -c"),
    "m.safetensors": ("safetensors", "safetensors", "tfsaver inspect"),
    "safe.bin": ("safetensors", "safetensors", "tfsaver inspect"),
    "m.npz": ("npz", "npz", "tfsaver inspect"),
    "npz.ckpt": ("npz", "npz", "tfsaver inspect"),
    "m.npy": ("npy", "NumPy", "python -c"),
    "m.pt": ("torch", "torch", "tfsaver inspect"),
    "torch.ckpt": ("torch", "torch", "tfsaver inspect"),
    "legacy.pt": ("legacy torch", "torch", "tfsaver inspect"),
    "script.pt": ("torchscript", "TorchScript", "python -c"),
    "p.pkl": ("pickle", "pickle", "python -m pickletools"),
    "orb": ("orbax", "Orbax", "tfsaver inspect"),
    "dcp": ("dcp", "DCP", "python -m torch.distributed"),
    "weights": ("directory", "safetensors", "tfsaver inspect"),
    "lfs": ("lfs", "LFS pointer to a file of 160,392,557 bytes", "git lfs pull"),
    "page": ("html", "'Sign in'", "ls -l"),
    "empty": ("empty", "empty", "ls -l"),
    "a.tar": ("tar", "tar archive", "tar -xf"),
    "a.ckpt": ("gzip", "tar archive compressed with gzip", "tar -xf"),
    "g.gz": ("gzip", "gzip", "gunzip"),
    "g.ckpt": ("gzip", "gzip", "gunzip"),
    "x.xz": ("xz", "xz", "unxz"),
    "z.zip": ("zip", "'v2/model-5.index'", "unzip"),
    "i.png": ("png", "PNG", "ls -l"),
    "nothing": ("directory", "empty directory", "ls -l"),
}


@pytest.fixture(scope="module")
def folder(
    tensorflow_programs: Callable[[str], TensorFlowPrograms], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.numpy")
    pytest.importorskip("h5py")
    ocp = pytest.importorskip("orbax.checkpoint")
    dcp = pytest.importorskip("torch.distributed.checkpoint")

    root = tmp_path_factory.mktemp("kinds")
    done = tensorflow_programs(sys.executable).run_code(_OF_TENSORFLOW, cwd=root)
    assert done.status == 0, done.stderr
    array = np.ones(3, np.float32)
    safetensors.save_file({"a": array}, root / "m.safetensors")
    np.savez(root / "m.npz", a=array)
    np.save(root / "m.npy", array)
    with warnings.catch_warnings():
        # What torch is giving up is still in people's files.
        warnings.simplefilter("ignore")
        torch.save({"a": torch.ones(3), "name": "net"}, root / "m.pt")
        torch.save({"a": torch.ones(3)}, root / "legacy.pt", _use_new_zipfile_serialization=False)
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), root / "script.pt")
        dcp.save({"a": torch.ones(3)}, checkpoint_id=root / "dcp", no_dist=True)
    (root / "p.pkl").write_bytes(pickle.dumps({"a": list(range(99))}))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(root / "orb", {"a": array})
    for name, mode in (("a.tar", "w"), ("a.ckpt", "w:gz")):
        with tarfile.open(root / name, mode) as archive:  # type: ignore[call-overload]
            archive.add(root / "m.npz", "inside.npz")
    for name in ("g.gz", "g.ckpt"):
        (root / name).write_bytes(gzip.compress((root / "m.npz").read_bytes()))
    (root / "x.xz").write_bytes(lzma.compress(b"abc"))
    with zipfile.ZipFile(root / "z.zip", "w") as zipped:
        zipped.write(root / "v2/model-5.index", "v2/model-5.index")
    for name, data in {"lfs": POINTER, "page": PAGE, "empty": b"", "i.png": b"\x89PNG\r\n\x1a\n" + bytes(50)}.items():
        (root / name).write_bytes(data)
    (root / "renamed").mkdir()
    (root / "nothing").mkdir()
    (root / "weights").mkdir()
    for source, copy in {
        "net.keras": "keras.ckpt",
        "net.h5": "h5.ckpt",
        "m.safetensors": "safe.bin",
        "m.npz": "npz.ckpt",
        "m.pt": "torch.ckpt",
        "v2/model-5.index": "renamed/index",
    }.items():
        shutil.copy(root / source, root / copy)
    shutil.copy(root / "m.safetensors", root / "weights/model-00001-of-00002.safetensors")
    shutil.copytree(root / "export", root / "versions/7")
    return root


@pytest.mark.parametrize(("name", "expected"), KINDS.items(), ids=KINDS)
def test_line_names_the_kind_and_a_command_that_works(
    name: str, expected: tuple[str, str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    kind, word, command = expected
    found = tfsaver.identify(name)
    assert found.kind == kind
    line = str(found)
    assert line.startswith(f"{name}: ") and word in found.description and f"; next: {command}" in line
    assert "\n" not in line
    run(found.command)


def run(command: str) -> None:
    words = shlex.split(command)
    if words[0] == "tfsaver":
        assert main(words[1:]) == 0
        return
    # Git has no pointer to fetch here, and TensorFlow Lite takes seconds to say what TensorFlow has written.
    if words[0] == "git" or "tf.lite" in command:
        return
    if words[:2] == ["python", "-c"]:
        # Here, since torch takes seconds to be imported.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(words[2], {})
        return
    if words[0] == "python" and "torch" in words[2]:
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setattr(sys, "argv", words[2:])
            runpy.run_module(words[2], run_name="__main__")
        return
    if words[0] == "python":
        command = command.replace("python", shlex.quote(sys.executable), 1)
    if shutil.which(shlex.split(command)[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_gguf_of_its_own_writer_is_named_and_dumped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = pytest.importorskip("gguf")
    monkeypatch.chdir(tmp_path)
    # Where the package's program is, as in the environment of somebody who has such a file.
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    writer = gguf.GGUFWriter("weights.bin", "llama")
    writer.add_tensor("blk.0.attn_q.weight", np.ones((2, 3), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = tfsaver.identify("weights.bin")
    assert (found.kind, found.format, found.command) == ("gguf", None, "gguf-dump weights.bin")
    run(found.command)


def test_every_file_that_a_verb_opens_is_what_convert_opens(folder: Path, tmp_path: Path) -> None:
    for name, (_, _, command) in KINDS.items():
        if command != "tfsaver inspect" or name == "weights":
            continue
        with tfsaver.load_checkpoint(folder / name) as source:
            names = [each for each in source if not each.endswith("OBJECT_GRAPH")]
            assert names
            assert source.has_tensor(names[0]) and set(source.get_variable_to_shape_map()) == set(source) - {"name"}
        written = tmp_path / name.replace("/", "_").replace(".", "_")
        tfsaver.convert(folder / name, written, select=["^(?!name$)"], durable=False)
        assert set(tfsaver.load_checkpoint(written)) <= set(source.names) | {each.rpartition("/.ATTR")[0] for each in names}


def test_keras_archive_has_the_weights_of_the_weights_file(folder: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with tfsaver.load_checkpoint(folder / "net.keras") as source, zipfile.ZipFile(folder / "net.keras") as archive:
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            found: dict[str, Any] = {}
            file.visititems(lambda name, item: found.update({name: item[()]} if hasattr(item, "dtype") else {}))
        assert {name: value.tolist() for name, value in source.items()} == {name: v.tolist() for name, v in found.items()}


VERDICTS = {
    "v2/model-5": 0,
    "export": 0,
    "net.keras": 0,
    "m.npz": 0,
    "npz.ckpt": 0,
    "m.pt": 0,
    "m.safetensors": 3,
    "net.h5": 3,
    "legacy.pt": 3,
    "orb": 3,
    "m.npy": 3,
    "frozen.pb": 3,
    "p.pkl": 3,
    "page": 3,
    "lfs": 3,
    "a.tar": 3,
    "m.tflite": 3,
}


@pytest.mark.parametrize(("name", "status"), VERDICTS.items())
def test_verify_says_of_a_sound_file_that_it_is_sound_or_that_nobody_can_tell(
    name: str, status: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(folder / name)]) == status
    said = capsys.readouterr().out
    assert "DAMAGED" not in said and ("not verified" in said) == (status == 3)


@pytest.mark.parametrize("name", ["net.keras", "m.npz", "m.pt"])
def test_verify_finds_a_flipped_bit_in_an_archive(name: str, folder: Path, tmp_path: Path) -> None:
    data = bytearray((folder / name).read_bytes())
    place = data.rindex(np.ones(1, np.float32).tobytes()) if name != "net.keras" else len(data) // 2
    data[place] ^= 1
    (tmp_path / name).write_bytes(data)
    report = tfsaver.verify(tmp_path / name)
    assert report.problems and not report.ok and report.unverified is None


def test_verify_finds_that_a_safetensors_file_is_cut_short(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes((folder / "m.safetensors").read_bytes()[:-1])
    assert main(["verify", str(tmp_path / "m.safetensors")]) == 1


# The file that is not there, under a name that a verb takes; and what the verb is called with.
STAND_INS = {"lfs": "LFS", "page": "web page", "empty": "empty", "a.ckpt": "tar archive", "p.pkl": "pickle", "m.npy": "NumPy"}
VERBS: dict[str, list[str]] = {
    "inspect": ["inspect", "PATH"],
    "strip": ["strip", "PATH", "OUT"],
    "cast": ["cast", "PATH", "OUT", "--to", "bfloat16"],
    "convert": ["convert", "PATH", "OUT.npz"],
    "diff": ["diff", "PATH", "PATH"],
    "reshard": ["reshard", "PATH", "OUT"],
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", STAND_INS)
def test_error_of_every_verb_says_what_the_file_is(
    verb: str, name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.replace("PATH", str(folder / name)).replace("OUT", str(tmp_path / "out")) for word in VERBS[verb]]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert STAND_INS[name] in said and "; next: " in said
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_pointer_in_place_of_a_checkpoints_file_is_one_problem(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = tfsaver.save_checkpoint({f"w{number}": np.ones(9) for number in range(30)}, tmp_path / "m", durable=False)
    Path(prefix + suffix).write_bytes(POINTER)
    assert main(["verify", prefix]) == 1
    said = capsys.readouterr().out
    assert "160,392,557 bytes" in said and len(said.splitlines()) == 2


def test_data_file_that_begins_like_a_picture_is_data(tmp_path: Path) -> None:
    prefix = tfsaver.save_checkpoint({"a": np.frombuffer(b"\x89PNG\r\n\x1a\n", np.uint8)}, tmp_path / "m", durable=False)
    assert tfsaver.identify(f"{prefix}.data-00000-of-00001").kind == "V2 data"


def test_v1_checkpoint_behind_a_v2_checkpoint_is_named(tmp_path: Path) -> None:
    tfsaver.save_checkpoint({"a": 1.0}, tmp_path / "m", format="V1", durable=False)
    tfsaver.save_checkpoint({"b": 1.0}, tmp_path / "m", durable=False)
    assert "V1 checkpoint has the same name" in tfsaver.identify(tmp_path / "m").description


def test_what_is_not_there_is_an_error_that_names_what_is_near(tmp_path: Path) -> None:
    (tmp_path / "model.npz").touch()
    with pytest.raises(CheckpointNotFoundError, match=r"model\.npz"):
        tfsaver.identify(tmp_path / "modle.npz")


def test_link_out_of_the_directory_is_refused_unless_trusted(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(POINTER)
    (tmp_path / "given").mkdir()
    link = tmp_path / "given" / "link"
    link.symlink_to(tmp_path / "secret")
    assert tfsaver.identify(link).kind == "lfs"
    with pytest.raises(UntrustedPathError):
        tfsaver.identify(link, trusted=False)
    assert "lfs" not in module.identify_directory(str(tmp_path / "given"), trusted=False).description


def test_little_is_read_and_nothing_is_unpickled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    original = file_io.open_for_reading

    class Counted:
        def __init__(self, file: Any) -> None:
            self._file, self.size, self.path = file, file.size, file.path

        def read(self, offset: int, size: int) -> bytes:
            nonlocal read
            data: bytes = self._file.read(offset, size)
            read += len(data)
            return data

        def close(self) -> None:
            self._file.close()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickle, "Unpickler", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(builtins, "eval", refuse)
    monkeypatch.setattr(file_io, "open_for_reading", lambda path: Counted(original(path)))
    with zipfile.ZipFile(folder / "z.zip") as archive:
        assert archive.namelist()
    for name in KINDS:
        read = 0
        kind = module.identify(folder / name).kind
        # The directory of a zip archive, and its end.
        assert read <= (64 << 10) + (70 << 10 if kind in ("zip", "npz", "torch", "keras", "torchscript") else 0), name


def test_large_file_is_known_by_its_beginning_and_its_end(tmp_path: Path) -> None:
    with open(tmp_path / "big.safetensors", "wb") as file:
        file.write((20).to_bytes(8, "little") + b'{"__metadata__":{}  ')
        file.truncate(1 << 40)
    assert tfsaver.identify(tmp_path / "big.safetensors").kind in ("safetensors", "unknown")


def test_import_is_light(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", a=np.ones(3))
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "m"')
    look = f"tfsaver.identify({str(tmp_path)!r}); tfsaver.identify({str(tmp_path / 'm.npz')!r})"
    code = f"import sys, tfsaver; {look}; print({{'numpy', 'google.protobuf', 'h5py', 'torch'}} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(Path(tfsaver.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "set()"


def test_command_line_prints_the_line_and_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["identify", str(folder / "m.npz"), str(folder / "lfs")]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tfsaver.identify(folder / name)) for name in ("m.npz", "lfs")]
    assert main(["identify", str(folder / "missing")]) == 3
    capsys.readouterr()
    assert main(["identify", "--json", str(folder / "m.npz")]) == 0
    assert '"kind": "npz"' in capsys.readouterr().out


@pytest.mark.parametrize("name", ["net.keras", "m.safetensors", "m.pt", "orb"])
def test_inspect_begins_with_what_it_is_and_lists_tensors(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(folder / name)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{folder / name}: {tfsaver.identify(folder / name).description}"
    assert any(line.startswith(("a ", "layers/")) for line in lines)


@pytest.mark.parametrize("name", ["x.gguf", "small.safetensors", "net.keras", "m.npzz", "graph.pb"])
def test_suffix_of_another_format_is_a_question(name: str, tmp_path: Path) -> None:
    prefix = tfsaver.save_checkpoint({"w": np.ones(3)}, tmp_path / "m", durable=False)
    target = tmp_path / "out" / name
    for write in (tfsaver.strip, lambda _, path: tfsaver.save_checkpoint({"w": 1.0}, path), tfsaver.reshard):
        with pytest.raises(tfsaver.errors.InvalidArgumentError, match="suffix"):
            write(prefix, target)
    if name != "small.safetensors":
        with pytest.raises(tfsaver.errors.InvalidArgumentError, match="suffix"):
            tfsaver.convert(prefix, target)
    assert not (tmp_path / "out").exists()
    tfsaver.convert(prefix, target, format="V2", durable=False)
    # It is a checkpoint's name now.
    tfsaver.save_checkpoint({"w": 2.0}, target, durable=False)
    assert tfsaver.load_checkpoint(target)["w"] == 2.0
