"""The newest checkpoint that is sound, whatever the state file says."""

from __future__ import annotations

import logging
import os
import pathlib
import shutil

import numpy as np
import pytest

from tfsaver import save_checkpoint
from tfsaver.checkpoint.checkpoint_management import (
    latest_checkpoint,
    latest_verified_checkpoint,
    update_checkpoint_state,
)
from tfsaver.checkpoint.verify import verify_checkpoint

DATA = ".data-00000-of-00001"


def save(directory: pathlib.Path, *steps: int, version: str = "V2", state: bool = True, name: str = "model.ckpt") -> list[str]:
    """Checkpoints whose times are their steps in minutes, and a state file."""
    paths = []
    for step in steps:
        path = directory / f"{name}-{step}"
        save_checkpoint({"w": np.full(1000, step, np.float32), "step": step}, path, format=version, durable=False)
        for file in directory.glob(f"{path.name}*"):
            os.utime(file, (60 * step + 1e9, 60 * step + 1e9))
        paths.append(str(path))
    if state:
        update_checkpoint_state(directory, paths[-1], paths, durable=False)
    return paths


def flip(path: str, position: int = 100) -> None:
    data = bytearray(pathlib.Path(path).read_bytes())
    data[position] ^= 1
    pathlib.Path(path).write_bytes(data)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_sound_checkpoint_that_the_state_file_names_is_taken(tmp_path, version, caplog):
    one, two = save(tmp_path, 1, 2, version=version)
    assert latest_verified_checkpoint(tmp_path) == (two, [])
    assert latest_checkpoint(tmp_path, verified=True) == two
    update_checkpoint_state(tmp_path, one, [two, one], durable=False)
    assert latest_checkpoint(tmp_path, verified=True) == one
    assert not caplog.records


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_damaged_one_is_skipped_and_the_log_says_why(tmp_path, version, caplog):
    caplog.set_level(logging.WARNING, "tfsaver")
    one, two, three = save(tmp_path, 1, 2, 3, version=version)
    victims = [f"{path}{DATA}" if version == "V2" else path for path in (two, three)]
    flip(victims[0], 200)
    os.truncate(victims[1], 50)
    assert latest_checkpoint(tmp_path) == three
    assert latest_checkpoint(tmp_path, verified=True) == one
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith(f"{three} is skipped: ") and victims[1] in messages[0]
    assert messages[1].startswith(f"{two} is skipped: ") and "stored CRC32C" in messages[1]
    assert messages[2] == f"{one} is the newest checkpoint that is whole"


def test_reason_names_file_bytes_and_tensors(tmp_path):
    _, two = save(tmp_path, 1, 2)
    flip(f"{two}{DATA}")
    [(prefix, reason)] = latest_verified_checkpoint(tmp_path).skipped
    assert prefix == two
    assert reason.startswith(f"bytes 8 to 4008 of {two}{DATA}: stored CRC32C 0x") and reason.endswith("; lost with it: 'w'")


def test_missing_shard_is_skipped(tmp_path):
    one, two = save(tmp_path, 1, 2)
    os.remove(f"{two}{DATA}")
    latest = latest_verified_checkpoint(tmp_path)
    assert latest.prefix == one and f"{two}{DATA} is missing" in latest.skipped[0].reason


def test_checkpoint_that_is_gone_is_skipped(tmp_path):
    one, two = save(tmp_path, 1, 2)
    os.remove(f"{two}.index")
    assert latest_checkpoint(tmp_path) is None
    latest = latest_verified_checkpoint(tmp_path)
    assert latest.prefix == one
    assert latest.skipped[0].prefix == two and "no checkpoint at" in latest.skipped[0].reason


@pytest.mark.parametrize("content", [None, b"", b"\xff\xff", b"model_checkpoint_path: \"model.ck"])
def test_without_a_readable_state_file_the_directory_is_looked_through(tmp_path, content):
    # As numbers, not as text.
    *_, nine, ten = save(tmp_path, 1, 9, 10, state=False)
    if content is not None:
        (tmp_path / "checkpoint").write_bytes(content)
    assert latest_checkpoint(tmp_path, verified=True) == ten
    flip(f"{ten}{DATA}")
    assert latest_checkpoint(tmp_path, verified=True) == nine


def test_steps_decide_where_copying_has_changed_the_times(tmp_path):
    save(tmp_path / "a", 1, 9, 10, state=False)
    for number, path in enumerate(sorted((tmp_path / "a").iterdir(), reverse=True)):
        os.utime(path, (1e9 + number, 1e9 + number))
    assert latest_checkpoint(tmp_path / "a", verified=True) == str(tmp_path / "a" / "model.ckpt-10")


def test_series_that_was_written_last_is_the_newest(tmp_path):
    save(tmp_path, 500, state=False, name="old")
    [path] = save(tmp_path, 600, state=False, name="new")
    save(tmp_path, 3, state=False, name="test")
    assert latest_checkpoint(tmp_path, verified=True) == path


def test_old_checkpoints_of_a_training_that_was_started_anew_are_no_newer(tmp_path):
    save(tmp_path, 5000, state=False)
    os.utime(tmp_path / "model.ckpt-5000.index", (1, 1))
    one, two = save(tmp_path, 100, 200)
    flip(f"{two}{DATA}")
    assert latest_checkpoint(tmp_path, verified=True) == one


def test_complete_save_that_the_state_file_does_not_know_yet_is_the_next_choice(tmp_path):
    one, two = save(tmp_path, 1, 2)
    [three] = save(tmp_path, 3, state=False)
    assert latest_checkpoint(tmp_path, verified=True) == two
    flip(f"{two}{DATA}")
    assert latest_checkpoint(tmp_path, verified=True) == three
    assert one


def test_moved_directory_gives_the_checkpoints_that_moved_with_it(tmp_path):
    one, two = save(tmp_path / "before", 1, 2)
    (tmp_path / "before").rename(tmp_path / "after")
    assert latest_checkpoint(tmp_path / "after", verified=True) == two.replace("before", "after")
    flip(f"{two.replace('before', 'after')}{DATA}")
    assert latest_checkpoint(tmp_path / "after", verified=True) == one.replace("before", "after")


def test_copied_directory_whose_state_file_names_the_original_gives_the_original_as_without_verifying(tmp_path):
    _, two = save(tmp_path / "old", 1, 2)
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    assert latest_checkpoint(tmp_path / "new", verified=True) == two == latest_checkpoint(tmp_path / "new")
    flip(f"{two}{DATA}")
    # The original is damaged: its copy in this directory is the next choice.
    assert latest_checkpoint(tmp_path / "new", verified=True) == str(tmp_path / "new" / "model.ckpt-2")


def test_v1_checkpoint_in_several_files_is_found_by_its_pattern(tmp_path):
    path = save_checkpoint({"a": np.ones(9), "b": np.ones(9)}, tmp_path / "m-1", format="V1", num_shards=2, durable=False)
    assert latest_checkpoint(tmp_path, verified=True) == path == str(tmp_path / "m-1-?????-of-00002")
    os.remove(tmp_path / "m-1-00000-of-00002")
    latest = latest_verified_checkpoint(tmp_path)
    assert latest.prefix is None and "m-1-00000-of-00002" in latest.skipped[0].reason


def test_nothing_sound_is_none_and_nothing_at_all_is_no_error(tmp_path, monkeypatch):
    assert latest_verified_checkpoint(tmp_path) == (None, [])
    assert latest_verified_checkpoint(tmp_path / "nowhere") == (None, [])
    [one] = save(tmp_path, 1)
    flip(f"{one}.index", 0)
    assert latest_checkpoint(tmp_path, verified=True) is None
    monkeypatch.chdir(tmp_path)
    [two] = save(pathlib.Path(), 2)
    assert latest_checkpoint("", verified=True) == two == "model.ckpt-2"


def test_other_state_file_is_asked_when_it_is_named(tmp_path):
    one, two = save(tmp_path, 1, 2)
    update_checkpoint_state(tmp_path, one, latest_filename="best", durable=False)
    assert latest_checkpoint(tmp_path, "best", verified=True) == one
    assert latest_checkpoint(tmp_path, verified=True) == two


def test_other_files_are_no_checkpoints(tmp_path):
    (tmp_path / "train-00000-of-00002").write_bytes(b"records" * 100)
    (tmp_path / "events.out.tfevents.1").write_bytes(b"events")
    (tmp_path / "notes").write_text("lr 0.1")
    (tmp_path / "folder").mkdir()
    assert latest_verified_checkpoint(tmp_path) == (None, [])


def test_progress_says_what_is_read(tmp_path):
    _, two = save(tmp_path, 1, 2)
    calls: list[tuple[str, int, int]] = []
    latest_verified_checkpoint(tmp_path, progress=lambda *call: calls.append(call))
    assert calls[-1] == (two, 4008, 4008)


def test_real_directories_give_what_their_state_files_name(cases):
    for state in sorted(cases.glob("*/checkpoint")):
        latest = latest_verified_checkpoint(state.parent)
        assert latest.skipped == [] and latest.prefix is not None
        assert verify_checkpoint(latest.prefix).ok
        assert latest.prefix == latest_checkpoint(state.parent)
    assert latest_checkpoint(cases / "v1_bad_half_plus_two" / "00000123", verified=True) == str(
        cases / "v1_bad_half_plus_two" / "00000123" / "export"
    )
