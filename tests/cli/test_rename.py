"""``tfsaver rename`` takes names, files, tables and rules, in the order in which they are given."""

from __future__ import annotations

import json
import pathlib

import pytest

import tfsaver
from tfsaver.cli.main import main


def names(prefix: pathlib.Path) -> list[str]:
    return [name for name, _ in tfsaver.list_variables(prefix)]


def test_names_and_rules_in_order(trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["--rule", "^dense/", "layer/", "--map", "layer/kernel=w", "--map", "labels=", "--rule", "/kernel", "/weights"]
    assert main(["rename", trained, str(out), *arguments]) == 0
    assert names(out) == [
        "beta1_power",
        "global_step",
        "layer/bias",
        "layer/weights/Adam",
        "layer/weights/Adam_1",
        "layer/weights/ExponentialMovingAverage",
        "w",
    ]
    lines = capsys.readouterr().out.splitlines()
    assert "    dense/kernel -> w" in lines
    assert any(line.startswith("  the mapping says so: 1 tensor, ") for line in lines)


def test_names_side_by_side_change_places(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = tfsaver.save_checkpoint({"a": [1], "b": [2]}, tmp_path / "m", durable=False)
    assert main(["rename", prefix, str(tmp_path / "out"), "--map", "a=b", "--map", "b=a", "-q"]) == 0
    assert tfsaver.load_variable(tmp_path / "out", "a").tolist() == [2]


def test_files_and_tables(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = tfsaver.save_checkpoint({"old": [1], "x": [2]}, tmp_path / "m", durable=False)
    (tmp_path / "names.json").write_text(json.dumps({"names": {"old": "new"}}))
    assert main(["rename", prefix, str(tmp_path / "out"), "--map", str(tmp_path / "names.json")]) == 0
    assert names(tmp_path / "out") == ["new", "x"]
    with pytest.raises(SystemExit) as stop:
        main(["rename", prefix, str(tmp_path / "other"), "--map", "rnn-cels"])
    assert stop.value.code == 2
    assert "did you mean 'rnn-cells'" in capsys.readouterr().err


def test_everything_wrong_is_one_error(trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--map", "nothing=x", "--map", "dense/kernel=y", "--map", "dense/bias=y"]
    assert main(["rename", trained, str(tmp_path / "out"), *arguments]) == 3
    errors = capsys.readouterr().err
    assert "'nothing' names nothing" in errors
    assert "both become 'y'" in errors
    assert not list(tmp_path.iterdir())
