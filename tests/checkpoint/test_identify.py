"""Files of every kind: what `identify` calls them, that its command works, and what the verbs say of them.

`recorded` has the files as their programs wrote them once, and needs none of them; `folder` has what the programs write now.
"""

from __future__ import annotations

import builtins
import io
import os
import pickle
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.checkpoint.recorded_kinds import record
from tests.checkpoint.recorded_kinds.kinds import BY_NAME, ELSEWHERE, KINDS, ONLY_RECORDED, POINTER, add_others, unpack
from tests.plugins.tensorflow_programs import TensorFlowPrograms
from tfsaver.checkpoint import identify as module
from tfsaver.cli.main import main
from tfsaver.errors import CheckpointNotFoundError, UntrustedPathError
from tfsaver.lib import file_io

# Files that verbs open under a name that says nothing.
COPIES = {
    "net.keras": "keras.ckpt",
    "net.h5": "h5.ckpt",
    "m.safetensors": "safe.bin",
    "m.npz": "npz.ckpt",
    "m.pt": "torch.ckpt",
}


@pytest.fixture(scope="module")
def folder(
    tensorflow_programs: Callable[[str], TensorFlowPrograms], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    for program in ("torch", "safetensors.numpy", "h5py", "orbax.checkpoint", "torch.distributed.checkpoint", "gguf"):
        pytest.importorskip(program)
    root = tmp_path_factory.mktemp("kinds")
    done = tensorflow_programs(sys.executable).run(record.__file__, ["make", "tensorflow"], cwd=root)
    assert done.status == 0, done.stderr
    for program in ("torch", "safetensors", "orbax", "gguf"):
        record.make(program, root)
    add_others(root)
    for name, copy in COPIES.items():
        shutil.copy(root / name, root / copy)
    return root


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recorded")
    unpack(root)
    add_others(root)
    return root


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_named_with_a_command(name: str, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recorded)
    KINDS[name].check(name, tfsaver.identify(name))


@pytest.mark.parametrize("name", [name for name in KINDS if name not in BY_NAME])
def test_kind_does_not_depend_on_the_name(
    name: str, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = "far away/model.ckpt"
    os.mkdir("far away")
    (shutil.copytree if (recorded / name).is_dir() else shutil.copy)(recorded / name, path)
    ELSEWHERE.get(name, KINDS[name]).check(path, tfsaver.identify(path))


def test_every_kind_of_the_docstring_is_in_the_table() -> None:
    text = (module.Identity.__doc__ or "").partition("kind: ")[2].partition("description: ")[0]
    assert set(re.findall("``(.+?)``", text)) == {kind.kind for kind in KINDS.values()}


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ONLY_RECORDED])
def test_line_names_the_kind_and_a_command_that_works(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    # Where the programs of packages are, as in the environment of somebody who has such a file.
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    found = tfsaver.identify(name)
    KINDS[name].check(name, found)
    run(found.command)


def run(command: str) -> None:
    words = shlex.split(command)
    if words[0] == "tfsaver":
        assert main(words[1:]) == 0
        return
    # Git has no pointer to fetch here, unrar no archive, TensorBoard would serve until it is stopped, and TensorFlow Lite
    # takes seconds to say what TensorFlow has written.
    if words[0] in ("git", "unrar", "tensorboard") or "tf.lite" in command:
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


def test_every_file_that_a_verb_opens_is_what_convert_opens(folder: Path, tmp_path: Path) -> None:
    opened = [name for name, kind in KINDS.items() if kind.format is not None and kind.command.startswith("tfsaver inspect")]
    for name in (*opened, *COPIES.values()):
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
        found = {name: value.tolist() for name, value in source.items()}
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            # A variable has the name that it has in the model, which the file numbers.
            kernel, bias = (file[f"layers/dense/vars/{number}"][()].tolist() for number in range(2))
            others: dict[str, Any] = {}
            file.visititems(lambda name, item: others.update({name: item[()].tolist()} if hasattr(item, "dtype") else {}))
    others = {name: value for name, value in others.items() if not name.startswith("layers/")}
    assert found == {"d/kernel": kernel, "d/bias": bias, **others}


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
    verb: str, name: str, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.replace("PATH", str(recorded / name)).replace("OUT", str(tmp_path / "out")) for word in VERBS[verb]]
    # The file is of another kind, which no verb opens.
    assert main(words) == 3
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


def test_little_is_read_and_nothing_is_unpickled(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    with zipfile.ZipFile(recorded / "z.zip") as archive:
        assert archive.namelist()
    for name in KINDS:
        read = 0
        kind = module.identify(recorded / name).kind
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


def test_command_line_prints_the_line_and_json(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["identify", str(recorded / "m.npz"), str(recorded / "lfs")]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tfsaver.identify(recorded / name)) for name in ("m.npz", "lfs")]
    assert main(["identify", str(recorded / "missing")]) == 3
    capsys.readouterr()
    assert main(["identify", "--json", str(recorded / "m.npz")]) == 0
    assert '"kind": "npz"' in capsys.readouterr().out


@pytest.mark.parametrize("name", ["net.keras", "m.safetensors", "m.pt", "orb"])
def test_inspect_begins_with_what_it_is_and_lists_tensors(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(folder / name)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{folder / name}: {tfsaver.identify(folder / name).description}"
    assert any(line.startswith(("a ", "d/kernel ")) for line in lines)


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
