"""`--untrusted`: the verbs read nothing outside of the directory that they are given."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import tfsaver
from tests.fuzz.graph_models import object_model
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME
from tfsaver.cli.main import main


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A directory whose state file names a checkpoint in another one."""
    for name in ("run", "other"):
        (tmp_path / name).mkdir()
        tfsaver.save_checkpoint({"w": np.arange(3)}, tmp_path / name / "model-1")
    (tmp_path / "run" / STATE_FILE_NAME).write_text(f'model_checkpoint_path: "{tmp_path}/other/model-1"\n', "utf-8")
    return tmp_path / "run"


@pytest.mark.parametrize(
    "arguments", [["inspect", "{run}"], ["verify", "{run}"], ["convert", "{run}", "{out}"], ["doctor", "{run}"]]
)
def test_an_entry_that_leads_out_is_an_error_of_every_verb(
    run: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [each.format(run=run, out=run.parent / "out.npz") for each in arguments]
    assert main([*arguments, "--untrusted"]) == 3
    error = capsys.readouterr().err
    assert f"entry '{run.parent}/other/model-1' leads out of the directory, which is not trusted" in error
    assert not (run.parent / "out.npz").exists()
    main(arguments)
    assert "trusted" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["inspect"], ["verify"], ["doctor"], ["doctor", "--salvage"]])
def test_a_link_that_leads_out_is_an_error_of_every_verb(
    run: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (run / STATE_FILE_NAME).write_text('model_checkpoint_path: "model-1"\n', "utf-8")
    name = "model-1.data-00000-of-00001"
    os.replace(run / name, run.parent / "moved")
    os.symlink(run.parent / "moved", run / name)
    path = [str(run / "model-1"), "--out", str(run.parent / "saved")] if "--salvage" in arguments else [str(run)]
    assert main([*arguments, *path, "--untrusted"]) == 3
    assert f"{name} leads out of" in capsys.readouterr().err
    assert main([*arguments, *path]) == 0


def test_a_sound_directory_is_none_the_worse(run: Path) -> None:
    (run / STATE_FILE_NAME).write_text('model_checkpoint_path: "model-1"\n', "utf-8")
    for verb in ("inspect", "verify", "doctor"):
        assert main([verb, str(run), "--untrusted"]) == 0
    assert main(["convert", str(run), str(run.parent / "out.npz"), "--untrusted"]) == 0
    assert np.load(run.parent / "out.npz")["w"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("verb", ["show", "lint", "scan"])
def test_a_saved_model_that_is_a_link_is_an_error(
    tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept.pb").write_bytes(object_model().SerializeToString())
    (tmp_path / "export").mkdir()
    os.symlink(tmp_path / "kept.pb", tmp_path / "export" / "saved_model.pb")
    main(["saved-model", verb, str(tmp_path / "export")])
    assert "not trusted" not in capsys.readouterr().err
    assert main(["saved-model", verb, str(tmp_path / "export"), "--untrusted"]) == 3
    assert "saved_model.pb leads out of" in capsys.readouterr().err


def test_one_trace_of_a_thousand_functions_is_shown_a_few_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = object_model()
    objects = model.meta_graphs[0].object_graph_def
    for number in range(1000):
        objects.nodes[0].children.add(node_id=3, local_name=f"f{number}")
    arguments = objects.concrete_functions["__inference_read_12"].canonicalized_input_signature
    for _ in range(1000):
        arguments.list_value.values.add(string_value="text")
    data = model.SerializeToString()
    (tmp_path / "saved_model.pb").write_bytes(data)
    for option in ("--json", "--verbose"):
        assert main(["saved-model", "show", str(tmp_path), option]) == 0
        shown = capsys.readouterr().out
        assert "['text', 'text'" in shown and "..." in shown
        assert len(shown) < 40 * len(data)


def test_links_of_a_directory_to_itself_are_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "saved_model.pb").write_bytes(object_model().SerializeToString())
    for number in range(30):
        os.symlink(".", tmp_path / f"link{number}")
    assert main(["saved-model", "show", str(tmp_path), "--verbose"]) == 0
    assert capsys.readouterr().out.count("saved_model.pb") < 5
