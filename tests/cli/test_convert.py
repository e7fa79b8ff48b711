"""`tfsaver convert`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import tfsaver
from tests.cli.conftest import TRAINED
from tests.cli.process import run_in_terminal, run_process
from tfsaver.cli.main import main


def convert(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], str]:
    status = main(["convert", *map(str, arguments)])
    shown = capsys.readouterr()
    return status, shown.out.splitlines(), shown.err


def test_what_was_converted_is_printed(trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "x.npz"
    options = ["--essential", "--exclude", "labels", "--map", "dense/kernel=fc.weight", "--map", "global_step="]
    status, lines, errors = convert(capsys, trained, target, *options)
    assert (status, errors) == (0, "")
    assert lines == [
        f"{trained} (V2 checkpoint) -> {target} (npz file)",
        "written:   3 tensors, 112 bytes; 1 renamed",
        "left out:  5 tensors, 626 bytes",
        "  state of the optimizer Adam: 3 tensors, 100 bytes",
        "    beta1_power",
        "    dense/kernel/Adam",
        "    dense/kernel/Adam_1",
        "  excluded by 'labels': 1 tensor, 518 bytes",
        "    labels",
        "  left out by the mapping: 1 tensor, 8 bytes",
        "    global_step",
        "note: names: 2 of 4 names",
    ]
    with np.load(target) as loaded:
        assert sorted(loaded.files) == ["dense/bias", "dense/kernel/ExponentialMovingAverage", "fc.weight"]


def test_there_and_back(trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(capsys, trained, tmp_path / "x.npz", "-q", "--exclude", "labels") == (0, [], "")
    assert convert(capsys, tmp_path / "x.npz", tmp_path / "v1", "-q", "--to", "v1", "--shards", "2") == (0, [], "")
    assert convert(capsys, tmp_path / "v1", tmp_path / "v2", "-q", "--rule", "^dense/", "fc/")[0] == 0
    with tfsaver.load_checkpoint(tmp_path / "v2") as reader:
        assert reader.names == sorted({name.replace("dense/", "fc/") for name in TRAINED} - {"labels"})
        assert reader["fc/kernel"].tobytes() == TRAINED["dense/kernel"].tobytes()
    status, _, errors = convert(capsys, tmp_path / "x.npz", tmp_path / "v2")
    assert status == 3 and "there is a checkpoint already" in errors
    assert convert(capsys, tmp_path / "x.npz", tmp_path / "v2", "--overwrite")[0] == 0


def test_what_cannot_go_is_all_named_and_nothing_is_written(
    trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("h5py")
    status, lines, errors = convert(capsys, trained, tmp_path / "x.weights.h5")
    assert (status, lines) == (3, [])
    assert errors.startswith("tfsaver: error: a .weights.h5 file cannot hold 5 of 8 tensors, and nothing was written:")
    for name in ("labels", "dense/kernel", "dense/kernel/Adam", "dense/kernel/Adam_1"):
        assert repr(name) in errors
    assert os.listdir(tmp_path) == []


def test_json_holds_everything(trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--json", "--select", "dense/", "--dtype", "bfloat16", "--to", "npz"]
    status, lines, _ = convert(capsys, trained, tmp_path / "x", *options)
    document = json.loads("\n".join(lines))["report"]
    assert status == 0
    assert (document["sources"], document["target"], document["format"]) == ([trained], str(tmp_path / "x"), "npz file")
    assert document["num_bytes"] == (4 + 4 * 12) * 2
    assert [item["dtype"] for item in document["tensors"]] == ["bfloat16"] * 5
    assert {item["name"] for item in document["left_out"]} == {"beta1_power", "global_step", "labels"}
    assert {item["name"] for item in document["losses"]} == {item["name"] for item in document["tensors"]}
    assert (document["ok"], document["after"]) == (True, {"num_tensors": 5, "num_bytes": document["num_bytes"]})


def test_verbose_names_every_tensor(trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, lines, _ = convert(capsys, trained, tmp_path / "x.npz", "-v", "--map", "dense/bias=b", "--exclude", "labels")
    assert "  dense/bias -> b float32 [4]" in lines
    assert "  dense/kernel float32 [3, 4]" in lines


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: OLD, NEW"),
        (["a", "b", "--to", "onnx"], "invalid choice: 'onnx'"),
        (["a", "b", "--select", "("], "is not a regular expression"),
        (["a", "b", "--metadata", "pt"], "'pt' is not of the form KEY=TEXT"),
        (["a", ""], "a path must not be empty"),
    ],
)
def test_arguments_that_make_no_sense(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["convert", *arguments])
    assert error.value.code == 2
    assert words in capsys.readouterr().err


def test_missing_files_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, errors = convert(capsys, tmp_path / "missing", tmp_path / "x.npz")
    assert status == 3 and errors.startswith("tfsaver: error: no checkpoint at ")
    status, _, errors = convert(capsys, tmp_path / "missing.npz", tmp_path / "x")
    assert status == 3 and "No such file" in errors
    assert os.listdir(tmp_path) == []


def test_help_names_every_format() -> None:
    done = run_process("convert", "--help")
    assert done.returncode == 0
    for name in (b"V1", b"object", b".safetensors", b".npz", b".pth", b".weights.h5", b".orbax", b"bert-to-pytorch"):
        assert name in done.stdout


def test_terminal_shows_the_report(trained: str, tmp_path: Path) -> None:
    pytest.importorskip("rich")
    status, shown = run_in_terminal("convert", trained, str(tmp_path / "x.npz"), "--exclude", "labels")
    assert status == 0
    assert "written:   7 tensors" in shown


def test_refusal_has_lines_and_names_no_line_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\ntfsaver: error: all is well\x1b[2J"
    path = tfsaver.save_checkpoint({hostile: np.ones(2, np.float32), "z": np.ones(2, np.float32)}, tmp_path / "x")
    (tmp_path / "names.toml").write_text('[names]\nlost = "w"\ngone = "v"\n')
    status, lines, errors = convert(capsys, path, tmp_path / "y.npz", "--map", tmp_path / "names.toml")
    assert (status, lines) == (3, [])
    first, *rest = errors.splitlines()
    assert first.startswith("tfsaver: error: the mapping does not fit the names: 2 problems (allow_unmatched=True")
    assert [line.split(" names")[0] for line in rest] == ["    'lost'", "    'gone'"]
    status, _, errors = convert(capsys, path, tmp_path / "y.npz", "--map", f"{hostile}=same", "--map", "z=same")
    assert status == 3 and errors.count("\n") == 1 and "\x1b" not in errors
