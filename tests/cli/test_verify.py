"""`tfsaver verify`: all that is wrong, and nothing that is not."""

from __future__ import annotations

import json
import pathlib

import pytest

import tfsaver
from tests.cli.process import change_index
from tfsaver.cli.main import main


def verify(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], str]:
    status = main(["verify", *map(str, arguments)])
    shown = capsys.readouterr()
    return status, shown.out.splitlines(), shown.err


def test_sound_checkpoints_are_ok(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"{trained}: OK, 8 tensors, 738 B"
    assert verify(capsys, trained) == (0, [line], "")
    assert verify(capsys, trained, f"{trained}.index") == (0, [line, line], "")


def test_every_problem_is_a_line_with_its_place(damaged: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines, errors = verify(capsys, damaged)
    assert status == 1
    assert errors == ""
    assert len(lines) == 3
    assert lines[0].startswith(f"{damaged}: a: bytes 0 to 4 of {damaged}.data-00000-of-00001: stored CRC32C 0x")
    assert lines[1].startswith(f"{damaged}: c\\x0a: bytes 8 to 12 of ")
    assert lines[2] == f"{damaged}: DAMAGED, 2 problems; 3 tensors read, 4 B of them sound"


def test_damaged_index_is_a_problem(damaged: str, capsys: pytest.CaptureFixture[str]) -> None:
    index = pathlib.Path(f"{damaged}.index")
    index.write_bytes(index.read_bytes()[:-1])
    status, lines, _ = verify(capsys, damaged)
    assert status == 1
    assert lines[-1].startswith(f"{damaged}: DAMAGED, 1 problem; ")
    assert "not an sstable" in lines[0]


def test_missing_data_file_is_a_problem(damaged: str, capsys: pytest.CaptureFixture[str]) -> None:
    pathlib.Path(f"{damaged}.data-00000-of-00001").unlink()
    status, lines, _ = verify(capsys, damaged)
    assert status == 1
    assert all("data-00000-of-00001" in line for line in lines[:-1])


def test_missing_checkpoint_does_not_stop_the_others(
    trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, lines, errors = verify(capsys, tmp_path / "missing", trained)
    assert status == 3
    assert lines == [f"{trained}: OK, 8 tensors, 738 B"]
    assert errors.startswith("tfsaver: error: no checkpoint at ")
    assert errors.count("\n") == 1


def test_quiet_says_nothing_of_sound_checkpoints(trained: str, damaged: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(capsys, "--quiet", trained) == (0, [], "")
    status, lines, _ = verify(capsys, "-q", trained, damaged)
    assert status == 1
    assert len(lines) == 3
    assert all(line.startswith(damaged) for line in lines)


def test_json_holds_everything(
    trained: str, damaged: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing")
    assert main(["verify", "--json", trained, damaged, missing]) == 3
    document = json.loads(capsys.readouterr().out)["report"]
    sound, bad, lost = document["checkpoints"]
    assert list(document) == ["ok", "checkpoints"]
    assert document["ok"] is False
    assert sound == {
        "path": trained,
        "checkpoint": trained,
        "ok": True,
        "num_tensors": 8,
        "num_bytes": 738,
        "is_complete": True,
        "num_unread": 0,
        "num_unread_bytes": 0,
        "unverified": None,
        "problems": [],
        "error": None,
    }
    assert [problem["where"] for problem in bad["problems"]] == ["a", "c\n"]
    assert (bad["ok"], bad["error"], bad["num_bytes"]) == (False, None, 4)
    assert (lost["path"], lost["checkpoint"], lost["ok"]) == (missing, None, False)
    assert lost["error"]["class"] == "CheckpointNotFoundError"


def test_json_of_sound_checkpoints_is_ok(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--json", trained]) == 0
    assert json.loads(capsys.readouterr().out)["report"]["ok"] is True


def test_checkpoint_for_newer_readers_is_an_error(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tfsaver import schemas

    def demand_newer(key: bytes, value: bytes) -> bytes:
        if key:
            return value
        header = schemas.BundleHeaderProto.FromString(value)
        header.version.min_consumer = 99
        return bytes(header.SerializeToString())

    tfsaver.save_checkpoint({"a": 1.0}, tmp_path / "m", durable=False)
    change_index(str(tmp_path / "m"), demand_newer)
    status, lines, errors = verify(capsys, tmp_path / "m")
    assert (status, lines) == (3, [])
    assert errors.startswith("tfsaver: error: ")


def test_v1_checkpoints_are_verified_too(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    tfsaver.save_checkpoint({"a": [1.0, 2.0], "b": "text"}, tmp_path / "old", format="V1", durable=False)
    status, lines, _ = verify(capsys, tmp_path / "old")
    assert status == 0
    assert lines[0].startswith(f"{tmp_path / 'old'}: OK, 2 tensors, ")


def test_real_checkpoints_are_sound(cases: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted(path.with_suffix("") for path in cases.glob("*/*.index"))
    paths += sorted(cases.glob("*/variables"))
    assert len(paths) > 50
    status, lines, errors = verify(capsys, *(path.parent if path.name == "variables" else path for path in paths))
    assert (status, errors) == (0, "")
    assert len(lines) == len(paths)
    assert all(": OK, " in line for line in lines)
