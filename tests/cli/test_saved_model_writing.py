"""tfsaver saved-model export, freeze and unfreeze."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.saved_model.graphs import BIAS, KERNEL, VALUES, dense
from tfsaver import schemas
from tfsaver.cli.main import main
from tfsaver.graph.save_restore import with_saver
from tfsaver.graph.variables import find_variables
from tfsaver.saved_model.loader import load_saved_model

SAVED = {"export": ["y"], "freeze": ["y"], "unfreeze": ["y", "--saved-model"]}
# Reference variables keep the names of their nodes when they are frozen again.
REFERENCE = ("--kind", "reference")


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """A checkpoint with its .meta file."""
    path = str(tmp_path / "model.ckpt")
    tfsaver.save_checkpoint(VALUES, path)
    meta_graph = schemas.MetaGraphDef(graph_def=dense())
    Path(f"{path}.meta").write_bytes(with_saver(meta_graph, find_variables(meta_graph)).SerializeToString())
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = main(["saved-model", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_export_writes_what_was_asked_for(prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(tmp_path / "export")
    words = ("export", prefix, target, "--output", "y=layer/y", "--input", "images=x:0")
    code, document = run(capsys, *words, "--dry-run")
    assert code == 0 and document["report"] == {"source": prefix, "target": None, "dry_run": True}
    assert not os.path.exists(target)
    code, document = run(capsys, *words)
    assert code == 0 and document["report"]["target"] == target
    with load_saved_model(target) as model:
        signature = model.signatures["serving_default"]
        assert list(signature.inputs) == ["images"] and list(signature.outputs) == ["y"]
        assert np.array_equal(model.variables["kernel"], KERNEL)
    code, document = run(capsys, *words, "--dry-run")
    assert code == 3 and document["error"]["class"] == "AlreadyExistsError"


def test_export_without_outputs_offers_the_likely_ones(prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = run(capsys, "export", prefix, str(tmp_path / "export"))
    assert code == 3 and "layer/y" in document["error"]["message"] and "export_saved_model(" in document["error"]["message"]
    with pytest.raises(SystemExit, match="2"):
        main(["saved-model", "export", prefix, "x", "--output", "y=layer/y", "--output", "scaled"])


def test_export_makes_versions_and_fixes_inputs(prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "models" / "20250101120000").mkdir(parents=True)
    words = ("--versioned", "--output", "scaled", "--fix", "rate=0.5", "--text", "--tags", "serve,gpu")
    code, document = run(capsys, "export", prefix, str(tmp_path / "models"), *words)
    assert code == 0 and os.path.basename(document["report"]["target"]) == "20250101120001"
    with load_saved_model(tmp_path / "models") as model:
        assert model.meta_graphs[0].tags == ("gpu", "serve") and model.file.endswith(".pbtxt")
        assert list(model.meta_graphs[0].signatures["serving_default"].inputs) == ["x"]


def test_freeze_and_unfreeze_give_the_values_back(prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frozen = str(tmp_path / "frozen.pb")
    code, document = run(capsys, "freeze", prefix, frozen, "--output", "layer/y", "--dry-run")
    assert code == 0 and document["report"]["target"] is None and not os.path.exists(frozen)
    code, document = run(capsys, "freeze", prefix, frozen, "--output", "layer/y")
    assert code == 0 and document["report"]["num_bytes"] == os.path.getsize(frozen)
    assert run(capsys, "freeze", prefix, frozen, "--output", "layer/y")[0] == 3
    assert run(capsys, "freeze", prefix, frozen, "--output", "layer/y", "--overwrite")[0] == 0

    again = str(tmp_path / "again.ckpt")
    code, document = run(capsys, "unfreeze", frozen, again)
    assert code == 0 and {each["name"] for each in document["report"]["variables"]} == {"kernel", "bias"}
    with tfsaver.load_checkpoint(again) as reader:
        assert np.array_equal(reader["kernel"], KERNEL) and np.array_equal(reader["bias"], BIAS)
    assert run(capsys, "export", again, str(tmp_path / "export"), "--output", "layer/y")[0] == 0

    served = str(tmp_path / "served")
    assert run(capsys, "unfreeze", frozen, served, "--saved-model", "--output", "layer/y", *REFERENCE)[0] == 0
    with load_saved_model(served) as model:
        assert np.array_equal(model.variables["bias"], BIAS)
    text = str(tmp_path / "frozen.pbtxt")
    assert run(capsys, "freeze", served, text)[0] == 0
    assert tfsaver.diff(text, {"kernel": KERNEL, "bias": BIAS}).equal


def test_unfreeze_of_a_graph_without_weights_is_an_error(prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "g.pb").write_bytes(dense().SerializeToString())
    code, document = run(capsys, "unfreeze", str(tmp_path / "g.pb"), str(tmp_path / "out"))
    assert code == 1 and "no constants that are weights" in document["error"]["message"]
    with pytest.raises(SystemExit, match="2"):
        main(["saved-model", "unfreeze", prefix, "out", "--output", "y"])


@pytest.mark.parametrize("verb", ["export", "freeze", "unfreeze"])
def test_a_missing_source_is_3_and_a_file_without_a_graph_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    (tmp_path / "text.pb").write_text("no graph")
    code, document = run(capsys, verb, str(tmp_path / "missing"), str(tmp_path / "out"), "--output", *SAVED[verb])
    assert code == 3 and document["error"]["class"] == "CheckpointNotFoundError"
    code, document = run(capsys, verb, str(tmp_path / "text.pb"), str(tmp_path / "out"), "--output", *SAVED[verb])
    assert code == 1 and "no graph" in document["error"]["message"]
    assert not (tmp_path / "out").exists()
