"""The verb ``doctor``: what it prints, what it does, and its exit codes."""

from __future__ import annotations

import json
import os
import pathlib

import numpy as np
import pytest

from tests.checkpoint.test_latest_verified import DATA, flip, save
from tfsaver import latest_checkpoint, load_checkpoint, save_checkpoint
from tfsaver.cli.main import main


def doctor(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], str]:
    status = main(["doctor", *map(str, arguments)])
    shown = capsys.readouterr()
    return status, shown.out.splitlines(), shown.err


@pytest.fixture
def run(tmp_path: pathlib.Path) -> pathlib.Path:
    """A directory that was moved, with a damaged newest checkpoint and a leftover."""
    save(tmp_path / "before", 1, 2, 3)
    (tmp_path / "before").rename(tmp_path / "run")
    flip(f"{tmp_path / 'run' / 'model.ckpt-3'}{DATA}")
    leftover = tmp_path / "run" / "model.ckpt-4.index.tempstate12"
    leftover.write_bytes(b"12345")
    os.utime(leftover, (1e9, 1e9))
    return tmp_path / "run"


def test_sound_directory_is_0(tmp_path, capsys):
    save(tmp_path, 1, 2)
    status, lines, errors = doctor(capsys, tmp_path)
    assert (status, errors) == (0, "")
    assert lines[0].split() == ["checkpoint", "format", "step", "written", "size", "meta", "state"]
    assert lines[1].split()[:3] == ["model.ckpt-1", "V2", "1"] and lines[1].endswith("not read")
    assert lines[2].endswith("sound") and lines[-1] == f"{tmp_path}: 2 checkpoints, 0 problems; the newest sound one is model.ckpt-2"
    status, lines, _ = doctor(capsys, tmp_path, "--all")
    assert status == 0 and lines[1].endswith("sound")


def test_everything_that_is_wrong_is_said_and_nothing_is_changed(run, capsys):
    before = {path: path.read_bytes() for path in run.iterdir()}
    status, lines, errors = doctor(capsys, run)
    assert (status, errors) == (1, "")
    text = "\n".join(lines)
    assert f"PROBLEM: {run}/checkpoint: names '{run.parent}/before/model.ckpt-3' as the newest, which is not there" in text
    assert f"bytes 8 to 4008 of {run}/model.ckpt-3{DATA}: stored CRC32C" in text and "lost with it: 'w'" in text
    assert f"left by a killed save: {run}/model.ckpt-4.index.tempstate12, 5 B" in lines
    assert "--clean removes 1 leftover, 5 B" in lines
    assert f"{run}: 3 checkpoints, 4 problems; the newest sound one is model.ckpt-2" in lines
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_fix_and_clean(run, capsys):
    status, lines, errors = doctor(capsys, run, "--fix", "--clean")
    assert (status, errors) == (0, "")
    assert f"removed: {run}/model.ckpt-4.index.tempstate12, 5 B" in lines
    assert (
        f"{run}/checkpoint is rewritten: {run}/model.ckpt-2 is the newest of 2; the old one is {run}/checkpoint.old" in lines
    )
    assert f"  no longer listed: {run.parent}/before/model.ckpt-3" in lines
    assert latest_checkpoint(run) == str(run / "model.ckpt-2")
    assert not list(run.glob("*.tempstate*")) and (run / f"model.ckpt-3{DATA}").exists()
    status, lines, _ = doctor(capsys, run, "--fix")
    assert status == 0 and f"{run}/checkpoint is right already" in lines
    # The damaged checkpoint is still there.
    assert doctor(capsys, run)[0] == 1


def test_leftover_of_a_moment_ago_stays(run, capsys):
    os.utime(run / "model.ckpt-4.index.tempstate12")
    _, lines, _ = doctor(capsys, run, "--clean")
    assert any(line.startswith("left by a save, and kept: ") and "may be at work still" in line for line in lines)
    assert list(run.glob("*.tempstate*"))
    doctor(capsys, run, "--clean", "--min-age", 0)
    assert not list(run.glob("*.tempstate*"))


def test_checkpoints_in_no_list_are_listed_when_it_is_asked_for(tmp_path, capsys):
    save(tmp_path, 1, 2, state=False)
    _, lines, _ = doctor(capsys, tmp_path, "--fix")
    assert "1 checkpoint in no list, left alone: --list-all adds them" in lines[-1]
    _, lines, _ = doctor(capsys, tmp_path, "--fix", "--list-all")
    assert "is the newest of 2" in lines[-1]


def test_nothing_sound_cannot_be_fixed(tmp_path, capsys):
    [path] = save(tmp_path, 1, state=False)
    flip(f"{path}{DATA}")
    status, lines, errors = doctor(capsys, tmp_path, "--fix")
    assert status == 1 and lines[-1].endswith("; none is sound")
    assert errors == f"tfsaver: error: no checkpoint in {tmp_path} is sound: there is none to name as the latest\n"


def test_json_holds_everything(run, capsys):
    status = main(["doctor", str(run), "--json", "--fix"])
    document = json.loads(capsys.readouterr().out)["report"]
    assert status == 0 and document["ok"] and document["newest_sound"] == str(run / "model.ckpt-2")
    assert document["newest"].endswith("before/model.ckpt-3") and document["state_file"] == str(run / "checkpoint")
    newest = document["checkpoints"][-1]
    assert (newest["state"], newest["step"], newest["format"], newest["num_tensors"]) == ("damaged", 3, "V2", 2)
    [damage] = newest["damage"]
    assert (damage["file"], damage["offset"], damage["size"]) == (f"{run}/model.ckpt-3{DATA}", 8, 4000)
    assert damage["tensors"] == ["w"]
    assert [each["state"] for each in document["checkpoints"]] == ["not read", "sound", "damaged"]
    assert {each["kind"] for each in document["findings"]} == {"entry-moved", "damaged", "leftover"}
    [leftover] = document["leftovers"]
    assert (leftover["num_bytes"], leftover["removed"]) == (5, False)
    assert document["fix"]["listed"] == [str(run / "model.ckpt-1"), str(run / "model.ckpt-2")]
    assert document["fix"]["kept_as"] == str(run / "checkpoint.old") and document["fix"]["changed"]
    assert main(["doctor", str(run), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["report"]["fix"] is None


def test_salvage_writes_what_is_left_and_lists_the_rest(run, capsys):
    out = run / "saved" / "m"
    status, lines, errors = doctor(capsys, "--salvage", run / "model.ckpt-3", "--out", out)
    assert (status, errors) == (1, "")
    assert lines[0].startswith(f"lost: w: bytes 8 to 4008 of {run}/model.ckpt-3{DATA}: stored CRC32C")
    assert lines[-1] == f"{run}/model.ckpt-3: 1 tensor saved to {out}, 8 B; 1 tensor lost"
    with load_checkpoint(out) as reader:
        assert reader["step"] == 3
    status, lines, errors = doctor(capsys, "--salvage", run / "model.ckpt-3", "--out", out)
    assert (status, lines) == (3, []) and "is there already" in errors


def test_salvage_of_a_sound_checkpoint_is_0(tmp_path, capsys):
    save_checkpoint({"a": np.ones(3)}, tmp_path / "m", durable=False)
    status, lines, _ = doctor(capsys, "--salvage", tmp_path / "m", "--out", tmp_path / "o")
    assert status == 0 and lines[-1].endswith("no tensor known to be lost")


def test_salvage_as_json(run, capsys):
    assert main(["doctor", "--salvage", str(run / "model.ckpt-3"), "--out", str(run / "o"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)["report"]
    assert (document["ok"], [each["name"] for each in document["tensors"]], list(document["lost"])) == (False, ["step"], ["w"])
    assert document["target"] == str(run / "o") and document["num_bytes"] == 8


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a", "--salvage", "b", "--out", "c"],
        ["--salvage", "b"],
        ["a", "--out", "c"],
        ["--salvage", "b", "--out", "c", "--fix"],
        ["a", "--partial"],
        ["a", "--list-all"],
        ["a", "--clean", "--min-age", "-1"],
        ["a", "--clean", "--min-age", "soon"],
    ],
)
def test_arguments_that_make_no_sense_are_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["doctor", *arguments])
    assert stop.value.code == 2
    assert "usage: tfsaver" in capsys.readouterr().err


def test_missing_directory_is_3(tmp_path, capsys):
    status, lines, errors = doctor(capsys, tmp_path / "nowhere")
    assert (status, lines) == (3, []) and errors == f"tfsaver: error: no directory '{tmp_path}/nowhere'\n"
