"""``tfsaver merge`` refuses conflicts unless it is told whose tensor to take."""

from __future__ import annotations

import json
import pathlib

import pytest

import tfsaver
from tfsaver.cli.main import main


def test_conflicts(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = tfsaver.save_checkpoint({"x": [1], "y": [1], "a": [1]}, tmp_path / "a", durable=False)
    b = tfsaver.save_checkpoint({"x": [1], "y": [2], "b": [1]}, tmp_path / "b", durable=False)
    out = str(tmp_path / "out")
    assert main(["merge", a, b, out]) == 3
    errors = capsys.readouterr().err
    assert "'y' of" in errors and "1 of 1 elements differ" in errors and "'x' of" not in errors
    assert main(["merge", a, b, out, "--on-conflict", "last", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["report"]
    assert (document["sources"], document["after"]["num_tensors"]) == ([a, b], 4)
    assert tfsaver.load_variable(out, "y").tolist() == [2]
