"""``tfsaver split`` writes a checkpoint for each part."""

from __future__ import annotations

import json
import pathlib

import pytest

import tfsaver
from tfsaver.cli.main import main


def test_parts_and_rest(trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    slots, dense, rest = (str(tmp_path / name) for name in ("slots", "dense", "rest"))
    arguments = ["--part", slots, "Adam", "--part", slots, "_power$", "--part", dense, "^dense/"]
    assert main(["split", trained, *arguments]) == 3
    assert "2 tensors belong to no part" in capsys.readouterr().err
    assert main(["split", trained, *arguments, "--rest", rest, "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)["report"]["parts"]
    assert [(part["target"], part["after"]["num_tensors"]) for part in parts] == [(slots, 3), (dense, 3), (rest, 2)]
    assert [name for name, _ in tfsaver.list_variables(rest)] == ["global_step", "labels"]
    assert main(["split", trained, *arguments, "--rest", rest, "--overwrite"]) == 0
    assert capsys.readouterr().out.count("split: wrote") == 3


def test_json_names_the_parts(trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "dense")
    assert main(["split", trained, "--part", out, ".", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["report"]
    assert [part["target"] for part in document["parts"]] == [out]


def test_parts_are_needed(trained: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["split", trained])
    assert stop.value.code == 2
