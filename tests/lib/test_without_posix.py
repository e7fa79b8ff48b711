"""Reading, saving, editing, converting and the Saver where the system has none of POSIX's extras, as on Windows."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from tfsaver.lib import local_file_system

_ROOT = pathlib.Path(__file__).parents[2]

FILES = """
import numpy as np
import tfsaver
from tfsaver.errors import DataLossError, NoSpaceError

names = lambda directory: sorted(os.listdir(directory))
values = {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "w/Adam": np.ones((3, 4), np.float32), "words": ["a", "b"]}
for format in ("V1", "V2"):
    for _ in range(2):  # the second replaces the first
        prefix = tfsaver.save_checkpoint(values, f"{format}/model", format=format, num_shards=2)
    with tfsaver.load_checkpoint(prefix) as reader:
        assert (reader["w"] == values["w"]).all() and reader["words"].tolist() == [b"a", b"b"]
        assert (reader.read("w", np.s_[1, 1:3]) == [5, 6]).all()
        assert format == "V1" or (np.asarray(reader.map("w")) == values["w"]).all()
    assert tfsaver.verify(prefix)
    tfsaver.strip(prefix, f"{format}/small")
    tfsaver.rename(f"{format}/small", f"{format}/renamed", [("w$", "kernel")])
    tfsaver.cast(f"{format}/renamed", f"{format}/half", "float16", select=["kernel"])
    assert (tfsaver.load_variable(f"{format}/half", "kernel") == values["w"]).all()
    assert not [name for name in names(format) if "tmp" in name], names(format)
for target in ("w.npz", "w.safetensors", "w.npz", "w.safetensors"):
    tfsaver.convert("V2/renamed", target, select=["kernel"], overwrite=True)
    assert (tfsaver.load_checkpoint(target)["kernel"] == values["w"]).all()
tfsaver.report("V2/model", "report.html")
assert tfsaver.latest_checkpoint("V2") is None
with open("V2/model.data-00000-of-00002", "r+b") as file:
    byte = file.read(1)
    file.seek(0)
    file.write(bytes([byte[0] ^ 1]))
assert not tfsaver.verify("V2/model")

# A state file as a program on Windows writes it: backslashes, CRLF.
os.mkdir("run")
tfsaver.save_checkpoint(values, "run/model.ckpt-7")
for recorded in ("C:\\\\\\\\jobs\\\\\\\\run\\\\\\\\model.ckpt-7", "run\\\\\\\\model.ckpt-7", ".\\\\\\\\model.ckpt-7", "C:\\\\jobs\\\\run\\\\model.ckpt-7"):
    with open("run/checkpoint", "wb") as file:
        line = f'"{recorded}"\\r\\n'
        file.write(f"model_checkpoint_path: {line}all_model_checkpoint_paths: {line}".encode())
    assert tfsaver.latest_checkpoint("run") == os.path.join("run", "model.ckpt-7"), recorded
    assert tfsaver.diagnose("run").newest_sound is not None
"""

SAVER = """
import threading

import tensorflow as tf
import tfsaver

with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    weights = tf.compat.v1.get_variable("weights", initializer=tf.ones([3, 4]))
    session.run(weights.initializer)
    saver = tfsaver.Saver(max_to_keep=2)
    for step in (1, 2, 3):
        path = saver.save(session, "run/model.ckpt", global_step=step)
    saver.save(session, "run/model.ckpt", global_step=3)
    saver.save(session, "run/model.ckpt", global_step=4, blocking=False)
    saver.wait()
    threads = [
        threading.Thread(target=tfsaver.Saver([weights]).save, args=(session, "two/model"), kwargs={"global_step": step})
        for step in (1, 2)
    ]
    os.mkdir("two")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.run(weights.assign(tf.zeros([3, 4])))
    assert saver.restore_latest(session, "run") == os.path.join("run", "model.ckpt-4")
    assert (session.run(weights) == 1).all()
    tfsaver.export_saved_model(session, "export", outputs=[tf.identity(weights, name="out")])
assert tfsaver.load_saved_model("export").variables["weights"].sum() == 12
kept = {name.split(".")[1] for name in os.listdir("run") if name.startswith("model.ckpt")}
assert kept == {"ckpt-3", "ckpt-4"}, os.listdir("run")
assert tfsaver.latest_checkpoint("two") is not None
"""


def run(code: str, directory: pathlib.Path) -> None:
    # filelock says that it has no better lock here; on Windows it has one.
    head = "import warnings; warnings.filterwarnings('ignore', 'only soft file lock')\n"
    head += "from tests.lib import windows; windows.hide()\nimport os\n"
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": ""}
    process = subprocess.run(
        [sys.executable, "-c", head + code], cwd=directory, capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert process.returncode == 0, process.stderr[-4000:]


def test_files_are_written_read_edited_and_converted_without_posix(tmp_path):
    pytest.importorskip("safetensors")
    pytest.importorskip("filelock")
    run(FILES, tmp_path)


def test_files_are_written_without_any_lock(tmp_path):
    run(
        "import sys; sys.modules['filelock'] = None\n"
        "import numpy as np, tfsaver\n"
        "for _ in range(2): tfsaver.save_checkpoint({'w': np.ones(3)}, 'model')\n"
        "assert not [name for name in os.listdir() if 'tmp' in name or 'lock' in name], os.listdir()\n"
        "assert tfsaver.verify('model')\n",
        tmp_path,
    )


def test_saver_saves_and_restores_without_posix(tmp_path):
    pytest.importorskip("tensorflow")
    pytest.importorskip("filelock")
    run(SAVER, tmp_path)


def test_macos_is_asked_to_flush_the_disks_own_memory(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(local_file_system, "F_FULLFSYNC", 51)
    monkeypatch.setattr(local_file_system, "fcntl", lambda descriptor, command: asked.append(command), raising=False)
    monkeypatch.setattr(local_file_system.os, "fsync", lambda descriptor: asked.append("fsync"))
    (tmp_path / "file").write_bytes(b"x")
    local_file_system.sync_file(str(tmp_path / "file"), "file")
    local_file_system.sync_directory(str(tmp_path), "directory")
    assert asked == [51, 51]


def test_a_mount_that_lacks_the_full_sync_is_synced(tmp_path, monkeypatch):
    asked = []

    def refuse(descriptor: int, command: int) -> None:
        raise OSError(45, "Operation not supported")

    monkeypatch.setattr(local_file_system, "F_FULLFSYNC", 51)
    monkeypatch.setattr(local_file_system, "fcntl", refuse, raising=False)
    monkeypatch.setattr(local_file_system.os, "fsync", lambda descriptor: asked.append("fsync"))
    (tmp_path / "file").write_bytes(b"x")
    local_file_system.sync_file(str(tmp_path / "file"), "file")
    assert asked == ["fsync"]
