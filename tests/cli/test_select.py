"""``tfsaver select`` keeps what patterns say."""

from __future__ import annotations

import json
import pathlib

import pytest

import tfsaver
from tfsaver.cli.main import main


def test_patterns_and_slots(trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main(["select", trained, out, "--select", "^dense/", "--exclude", "Average", "--without-optimizer", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["report"]
    assert document["after"] == {"num_tensors": 2, "num_bytes": 64}
    assert [name for name, _ in tfsaver.list_variables(out)] == ["dense/bias", "dense/kernel"]


def test_without_patterns_everything_is_kept(trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["select", trained, str(tmp_path / "out"), "--format", "v1"]) == 0
    assert "after:     8 tensors" in capsys.readouterr().out
    assert tfsaver.diff(trained, tmp_path / "out").ok


def test_pattern_without_a_name_is_an_error(trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["select", trained, str(tmp_path / "out"), "--select", "dnse/kernel"]) == 1
    assert "did you mean 'dense/kernel'" in capsys.readouterr().err
