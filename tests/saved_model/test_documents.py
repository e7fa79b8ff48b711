"""The examples of docs/saved_models.md, as far as they are commands or calls of edits: they run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import tfsaver
from tests.saved_model.graphs import VALUES, dense
from tfsaver import schemas
from tfsaver.cli.main import main
from tfsaver.cli.saved_model import VERBS
from tfsaver.graph.freezing import freeze_graph

_TEXT = (Path(__file__).parents[2] / "docs" / "saved_models.md").read_text("utf-8")


def test_every_verb_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"tfsaver saved-model (\w+)", _TEXT))
    assert named <= set(VERBS) and {"export", "freeze", "unfreeze", "show", "lint", "scan"} <= named


def test_every_function_that_the_page_names_is_there() -> None:
    for name in set(re.findall(r"tfsaver\.(\w+)\(", _TEXT)):
        assert hasattr(tfsaver, name), name


def test_the_commands_for_frozen_graphs_and_the_edits_run(tmp_path: Path) -> None:
    def run(*words: str) -> int:
        return main(["saved-model", *(word.replace("@", str(tmp_path)) for word in words), "-q"])

    frozen = freeze_graph(dense(), VALUES, ["layer/y"])
    (tmp_path / "frozen.pb").write_bytes(frozen.SerializeToString())
    assert run("unfreeze", "@/frozen.pb", "@/model.ckpt") == 0
    assert run("unfreeze", "@/frozen.pb", "@/export", "--saved-model", "--output", "layer/y") == 0
    assert run("freeze", "@/export", "@/again.pb") == 0
    with tfsaver.edit_saved_model(tmp_path / "export") as editor:
        editor.rename_signature("serving_default", "predict")
        editor.rename_output("predict", "layer_y", "scores")
        editor.save(tmp_path / "edited")
    tfsaver.merge_saved_models(
        [tmp_path / "export", tmp_path / "edited"], tmp_path / "both", tags=["serve", ["serve", "gpu"]]
    )
    with tfsaver.load_saved_model(tmp_path / "both") as model:
        assert [graph.tags for graph in model.meta_graphs] == [("serve",), ("gpu", "serve")]
        assert np.array_equal(model.variables["kernel"], VALUES["kernel"])
    assert isinstance(tfsaver.freeze_saved_model(tmp_path / "export"), schemas.GraphDef)
