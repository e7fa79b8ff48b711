"""``tfsaver average`` takes checkpoints, or the newest of a directory."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

import tfsaver
from tfsaver.cli.main import main


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> list[str]:
    return [
        tfsaver.save_checkpoint({"w": np.float32([step]), "step": np.int64(step)}, tmp_path / f"m-{step}", durable=False)
        for step in (1, 2, 6)
    ]


def test_mean_of_checkpoints(runs: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main(["average", *runs, out]) == 0
    assert (tfsaver.load_variable(out, "w").tolist(), tfsaver.load_variable(out, "step")) == ([3.0], 6)
    printed = capsys.readouterr().out
    assert "averaged:  1 tensor, 4 bytes, of 3 checkpoints" in printed
    assert f"from the last one, {runs[-1]}: step" in printed
    assert main(["average", *runs, out, "--weights", "1,0,1", "--overwrite", "-q"]) == 0
    assert tfsaver.load_variable(out, "w").tolist() == [3.5]


def test_newest_of_a_directory(cases: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(cases / "v2_tfx_estimator_ckpt")
    assert main(["average", directory, str(tmp_path / "out"), "--last", "2", "--with-meta"]) == 0
    assert "of 2 checkpoints" in capsys.readouterr().out
    assert (tmp_path / "out.meta").is_file()
    assert main(["average", directory, str(tmp_path / "other"), "--last", "9"]) == 3
    assert "names 3 checkpoints that are there, not 9" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["average", directory, directory, str(tmp_path / "other"), "--last", "2"])
    assert stop.value.code == 2
    assert "--last takes one directory" in capsys.readouterr().err


def test_different_checkpoints_are_an_error(
    runs: list[str], trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["average", runs[0], trained, str(tmp_path / "out")]) == 3
    assert "the checkpoints cannot be averaged: 10 problems" in capsys.readouterr().err


def test_weights_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["average", "a", "b", "--weights", "1,x"])
    assert stop.value.code == 2
