"""Directories of strangers: nothing outside of them is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.checkpoint_management import latest_checkpoint, latest_verified_checkpoint
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME, get_checkpoint_state
from tfsaver.checkpoint.untrusted import confined_checkpoint
from tfsaver.errors import DataLossError, InvalidArgumentError, MissingExtraError, SaverError
from tfsaver.lib import file_io


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A directory with one checkpoint, beside another one with one."""
    for name in ("run", "other"):
        (tmp_path / name).mkdir()
        tfsaver.save_checkpoint({"w": np.arange(3)}, tmp_path / name / "model-1")
    return tmp_path / "run"


def write_state(run: Path, *entries: str) -> None:
    lines = [f'model_checkpoint_path: "{entries[-1]}"', *(f'all_model_checkpoint_paths: "{entry}"' for entry in entries)]
    (run / STATE_FILE_NAME).write_text("\n".join(lines), "utf-8")


def read(run: Path) -> Any:
    with tfsaver.load_checkpoint(run, trusted=False) as reader:
        return reader["w"].tolist()


@pytest.mark.parametrize("entry", ["model-1", "./model-1", "model-?"])
def test_what_is_in_the_directory_is_read(run: Path, entry: str) -> None:
    write_state(run, entry)
    found = latest_checkpoint(run, trusted=False)
    assert found is not None and Path(found).parent == run
    assert read(run) == [0, 1, 2]
    assert confined_checkpoint(run / "model-1") == str(run / "model-1")


@pytest.mark.parametrize(
    "entry", ["{other}/model-1", "../other/model-1", "x/../model-1", "gs://bucket/model-1", "C:\\\\model-1", "\\\\model-1"]
)
def test_an_entry_that_leads_out_is_named(run: Path, entry: str) -> None:
    entry = entry.format(other=run.parent / "other")
    for entries in ([entry], [entry, "model-1"]):
        write_state(run, *entries)
        name = entry.replace("\\\\", "\\")
        for act in (get_checkpoint_state, latest_checkpoint, tfsaver.load_checkpoint):
            with pytest.raises(InvalidArgumentError, match="entry .* leads out of the directory, which is not trusted") as caught:
                act(run, trusted=False)
            assert repr(name) in str(caught.value)


def test_an_entry_that_leads_out_is_followed_where_the_directory_is_trusted(run: Path) -> None:
    write_state(run, str(run.parent / "other" / "model-1"))
    assert latest_checkpoint(run) == str(run.parent / "other" / "model-1")
    with tfsaver.load_checkpoint(run) as reader:
        assert reader.prefix.startswith(str(run.parent / "other"))


def test_a_newest_sound_checkpoint_is_one_of_the_directory(run: Path) -> None:
    outside = str(run.parent / "other" / "model-1")
    write_state(run, outside)
    assert latest_verified_checkpoint(run).prefix == outside
    assert latest_verified_checkpoint(run, trusted=False).prefix == str(run / "model-1")
    write_state(run, f"{outside}0")
    latest = latest_verified_checkpoint(run, trusted=False)
    assert latest.prefix == str(run / "model-1")
    assert latest.skipped[0].prefix == f"{outside}0" and "not trusted" in latest.skipped[0].reason


def test_no_other_machine_is_asked(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> Any:
        raise AssertionError(path) if "://" in path else None

    original = file_io.file_system
    monkeypatch.setattr(file_io, "file_system", lambda path: refuse(path) if "://" in path else original(path))
    write_state(run, "gs://bucket/model-1")
    assert latest_checkpoint(run, verified=True, trusted=False) == str(run / "model-1")
    with pytest.raises(InvalidArgumentError, match="gs://bucket/model-1"):
        latest_checkpoint(run, trusted=False)


def test_a_store_whose_package_is_missing_is_not_there(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> Any:
        raise MissingExtraError("fsspec", extra="remote", purpose=f"reading {path}")

    original = file_io.file_system
    monkeypatch.setattr(file_io, "file_system", lambda path: refuse(path) if "://" in path else original(path))
    write_state(run, "gs://bucket/model-1", "model-1")
    assert latest_checkpoint(run, verified=True) == str(run / "model-1")


@pytest.mark.parametrize("name", ["model-1.index", "model-1.data-00000-of-00001"])
def test_a_link_that_leads_out_is_refused(run: Path, name: str) -> None:
    os.replace(run / name, run.parent / "moved")
    os.symlink(run.parent / "moved", run / name)
    write_state(run, "model-1")
    assert tfsaver.load_checkpoint(run)["w"].tolist() == [0, 1, 2]
    for path in (run, run / "model-1", run / name, run / STATE_FILE_NAME):
        with pytest.raises(InvalidArgumentError, match=r"model-1.* leads out of .*, which is not trusted"):
            tfsaver.load_checkpoint(path, trusted=False)
    with pytest.raises(InvalidArgumentError, match="not trusted"):
        latest_checkpoint(run, trusted=False)
    assert latest_checkpoint(run, verified=True, trusted=False) is None


def test_a_link_of_another_checkpoint_is_none_of_this(run: Path) -> None:
    os.symlink(run.parent / "other" / "model-1.index", run / "model-10.index")
    write_state(run, "model-1")
    assert read(run) == [0, 1, 2]


def test_a_link_inside_and_a_directory_that_is_one_are_no_way_out(run: Path) -> None:
    os.replace(run / "model-1.index", run / "kept")
    os.symlink("kept", run / "model-1.index")
    os.symlink(run, run.parent / "latest")
    write_state(run, "model-1")
    assert read(run.parent / "latest") == [0, 1, 2]


def test_a_directory_on_the_way_that_is_a_link_leads_out(run: Path) -> None:
    os.symlink(run.parent / "other", run / "sub")
    write_state(run, "sub/model-1")
    assert tfsaver.load_checkpoint(run)["w"].tolist() == [0, 1, 2]
    with pytest.raises(InvalidArgumentError, match="entry 'sub/model-1' leads out"):
        tfsaver.load_checkpoint(run, trusted=False)


def test_a_state_file_that_is_a_link_is_refused(run: Path) -> None:
    write_state(run, "model-1")
    os.replace(run / STATE_FILE_NAME, run.parent / "state")
    os.symlink(run.parent / "state", run / STATE_FILE_NAME)
    with pytest.raises(InvalidArgumentError, match="checkpoint leads out of"):
        latest_checkpoint(run, trusted=False)


@pytest.mark.parametrize("name", ["model-1.index", "model-1.data-00000-of-00001", STATE_FILE_NAME])
def test_a_pipe_is_no_file_and_nobody_waits_for_it(run: Path, name: str) -> None:
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    with pytest.raises(DataLossError, match="is not a file: a pipe"):
        file_io.read_file(str(run / name))
    with pytest.raises(SaverError):
        tfsaver.load_checkpoint(run)["w"]
