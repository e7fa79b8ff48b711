"""``tfsaver strip`` says what went, why, and what that saved."""

from __future__ import annotations

import json
import pathlib

import pytest

import tfsaver
from tfsaver.cli.main import main


def test_report_names_reasons_tensors_and_bytes(
    trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["strip", trained, str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"strip: wrote {tmp_path / 'out'}",
        "before:    8 tensors, 738 bytes",
        "after:     5 tensors, 638 bytes",
        "saved:     100 bytes (13.6%)",
        "left out:  3 tensors, 100 bytes",
        "  state of the optimizer Adam: 3 tensors, 100 bytes",
        "    beta1_power",
        "    dense/kernel/Adam",
        "    dense/kernel/Adam_1",
        "told from: names alone",
    ]
    names = [name for name, _ in tfsaver.list_variables(tmp_path / "out")]
    assert names == ["dense/bias", "dense/kernel", "dense/kernel/ExponentialMovingAverage", "global_step", "labels"]


def test_options_reach_the_edit(trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["strip", trained, str(tmp_path / "out"), "--without-global-step", "--exclude", "Average$", "--keep", "Adam_1"]
    assert main([*arguments, "--json", "--shards", "2", "--no-meta"]) == 0
    document = json.loads(capsys.readouterr().out)["report"]
    assert document["verb"] == "strip"
    assert {item["name"]: item["reason"] for item in document["left_out"]} == {
        "beta1_power": "state of the optimizer Adam",
        "dense/kernel/Adam": "state of the optimizer Adam",
        "dense/kernel/ExponentialMovingAverage": "excluded by 'Average$'",
        "global_step": "the global step",
    }
    assert document["num_bytes_saved"] == 48 + 48 + 4 + 8
    assert len(list(tmp_path.glob("out.data-*-of-00002"))) == 2


def test_dry_run_and_quiet(trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strip", trained, str(tmp_path / "out"), "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("strip: nothing written (dry run)\n")
    assert not list(tmp_path.iterdir())
    assert main(["strip", trained, str(tmp_path / "out"), "-q"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["strip", trained, str(tmp_path / "out"), "-q"]) == 3
    assert "overwriting it was not asked for" in capsys.readouterr().err
    assert main(["strip", trained, str(tmp_path / "out"), "-q", "--overwrite"]) == 0


def test_source_is_not_written_over(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strip", trained, trained, "--overwrite"]) == 3
    assert "is the checkpoint that is read" in capsys.readouterr().err
    assert tfsaver.verify(trained).ok


def test_verbose_names_every_tensor(cases: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = str(cases / "v2_tiny_bert_keras_bert" / "bert_model.ckpt")
    assert main(["strip", case, str(tmp_path / "out"), "--dry-run"]) == 0
    assert "    and 88 more" in capsys.readouterr().out.splitlines()
    assert main(["strip", case, str(tmp_path / "out"), "-v"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("/adam_" in line for line in lines) == 92
    assert "after:     47 tensors, 2,812 bytes" in lines


@pytest.mark.parametrize("arguments", [["a"], [], ["a", "b", "--exclude", "("], ["a", "b", "--shards", "0"], ["a", "b", "--format", "v3"]])
def test_arguments_without_sense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["strip", *arguments])
    assert stop.value.code == 2
    assert "usage: tfsaver strip" in capsys.readouterr().err
