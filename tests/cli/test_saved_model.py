"""`tfsaver saved-model` as a whole: its verbs, and the paths that they take."""

from __future__ import annotations

import pathlib

import pytest

import tfsaver
from tests.cli.process import run_in_terminal, run_process
from tests.cli.saved_model_files import model_proto, write_meta_graph, write_model
from tfsaver.cli import saved_model
from tfsaver.cli.main import main

VERBS = sorted(saved_model.VERBS)
WRITING = {"edit", "merge", "export", "freeze", "unfreeze"}


@pytest.mark.parametrize("arguments", [[], *[[verb] for verb in VERBS]])
def test_help_explains_and_is_no_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["saved-model", *arguments, "--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"usage: tfsaver saved-model {' '.join(arguments)}".rstrip() in shown
    assert "DIR" in shown or "SOURCE" in shown or "GRAPH" in shown


@pytest.mark.parametrize("arguments", [["frobnicate"], *[[verb] for verb in VERBS], ["show", "a", "b"], ["show", ""]])
def test_arguments_that_make_no_sense_are_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["saved-model", *arguments])
    assert stop.value.code == 2
    assert "usage: tfsaver" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "saved_model.pb"])
def test_the_directory_or_the_file_may_be_named(
    name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write_model(tmp_path / "model")
    assert main(["saved-model", "show", str(directory / name)]) == 0
    assert capsys.readouterr().out.startswith(f"{directory}: SavedModel, 2 graphs, 4 files of ")


def test_the_highest_version_counts(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    for version in ("9", "10"):
        write_model(tmp_path / version)
    assert main(["saved-model", "show", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / '10'}: ")


@pytest.mark.parametrize("suffix", ["", ".meta"])
def test_a_meta_file_comes_with_its_checkpoint(
    suffix: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = tmp_path / "model.ckpt-7"
    write_meta_graph(prefix, model_proto().meta_graphs[0])
    tfsaver.save_checkpoint({"a": [1.0, 2.0]}, prefix, durable=False)
    assert main(["saved-model", "show", f"{prefix}{suffix}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{prefix}.meta: MetaGraphDef, 3 files of ")
    assert lines[-1] == "1 variable, 2 parameters, 16 B"


def test_a_graph_without_weights_is_a_graph(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_meta_graph(tmp_path / "graph", model_proto().meta_graphs[1])
    assert main(["saved-model", "show", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == ["graph: 1 node", "no signatures", "", "no variables"]


def test_a_missing_path_is_3_and_a_file_without_a_graph_is_1(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.meta").write_text("no graph")
    for verb in set(VERBS) - WRITING - {"run"}:
        assert main(["saved-model", verb, str(tmp_path / "missing")]) == 3
        assert "looked for saved_model.pb" in capsys.readouterr().err
        assert main(["saved-model", verb, str(tmp_path / "text.meta")]) == 1
        assert "text.meta holds no graph" in capsys.readouterr().err


def test_damage_to_the_file_is_1(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_model(tmp_path / "model")
    (directory / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    assert main(["saved-model", "show", str(directory)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"tfsaver: error: {directory}/saved_model.pb: no SavedModel: ")


def test_a_terminal_shows_what_a_pipe_gets(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("rich", reason="needs rich: pip install rich")
    directory = write_model(tmp_path / "m")
    piped = run_process("saved-model", "show", str(directory))
    status, shown = run_in_terminal("saved-model", "show", str(directory))
    assert (piped.returncode, status) == (0, 0)
    assert b"\x1b[" not in piped.stdout and "\x1b[" in shown
    assert "tensorflow/serving/predict" in shown


def test_a_pipe_needs_neither_rich_nor_tensorflow(tmp_path: pathlib.Path) -> None:
    directory = write_model(tmp_path / "m")
    code = """
import sys
sys.modules["tensorflow"] = None
from tfsaver.cli.main import main
status = main(sys.argv[1:])
assert "rich" not in sys.modules
sys.exit(status)
"""
    done = run_process("saved-model", "show", str(directory), code=code)
    assert (done.returncode, done.stderr) == (0, b"")
