"""`tfsaver saved-model edit` and `merge`: what Python's editors do, on the command line."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

import tfsaver
from tests.cli.saved_model_files import write_model
from tests.cli.test_saved_model_lint import sound_proto
from tfsaver import schemas
from tfsaver.cli.main import main
from tfsaver.framework import dtypes
from tfsaver.graph.node_builder import array_const
from tfsaver.saved_model.loader import load_saved_model


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    try:
        code = main(["saved-model", *map(str, words)])
    except SystemExit as stop:
        code = int(stop.code or 0)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.fixture
def model(tmp_path: pathlib.Path) -> pathlib.Path:
    return write_model(tmp_path / "model", sound_proto())


def test_signatures_keys_tags_and_values_change(
    model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = np.full((2, 3), 7, np.float32)
    prefix = tfsaver.save_checkpoint({"dense/kernel": kernel}, tmp_path / "new", durable=False)
    changes = [
        "--rename-signature", "serving_default=predict", "--rename-input", "predict:x=images", "--rename-output",
        "predict:y=scores", "--add-output", "again:y=y:0", "--add-input", "again:x=x:0", "--method", "again=custom",
        "--set-tags", "serve,gpu", "--variables", prefix,
    ]  # fmt: skip
    target = tmp_path / "edited"
    code, _, said = run(capsys, "edit", model, target, *changes, "--dry-run")
    assert (code, said, target.exists()) == (0, "", False)
    code, text, said = run(capsys, "edit", model, target, *changes, "--json")
    assert (code, said) == (0, "")
    report = json.loads(text)["report"]
    assert report["replaced"] == ["dense/kernel"] and report["target"] == str(target)
    assert report["graphs"][0]["tags"] == ["gpu", "serve"]
    assert report["graphs"][0]["signatures"]["predict"]["outputs"] == ["scores"]
    with load_saved_model(target) as edited:
        assert list(edited.meta_graphs[0].signatures) == ["again", "predict"]
        assert edited.meta_graphs[0].signature_def["again"].method_name == "custom"
        np.testing.assert_array_equal(edited.variables["dense/kernel"], kernel)
    code, _, said = run(capsys, "edit", target, tmp_path / "less", "--remove-signature", "again", "-v")
    assert (code, said) == (0, "")
    with load_saved_model(tmp_path / "less") as edited:
        assert list(edited.meta_graphs[0].signatures) == ["predict"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--rename-signature", "predict"), "'predict' is not of the form OLD=NEW"),
        (("--rename-input", "x=y"), "'x' is not of the form SIGNATURE:OLD=NEW"),
        (("--add-input", "again:x=x:0"), "--add-output says what the signature computes"),
        (("--remove-signature", "servin_default"), "did you mean 'serving_default'"),
    ],
)
def test_a_change_that_makes_no_sense_writes_nothing(
    model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], message: str
) -> None:
    code, _, said = run(capsys, "edit", model, tmp_path / "edited", *change)
    assert code != 0 and message in said
    assert not (tmp_path / "edited").exists()


def test_a_link_that_leads_out_is_refused_of_an_untrusted_model(
    model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text("secret")
    (model / "assets" / "link").symlink_to(tmp_path / "secret")
    code, _, said = run(capsys, "edit", model, tmp_path / "edited", "--clear-devices", "--untrusted")
    assert code != 0 and "link" in said and not (tmp_path / "edited").exists()
    assert run(capsys, "edit", model, tmp_path / "edited", "--clear-devices")[0] == 0


def test_models_are_merged_under_tags_and_in_one_graph(
    model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = tmp_path / "both"
    code, text, said = run(capsys, "merge", model, model, both, "--tags", "serve", "--tags", "serve,gpu", "--json")
    assert (code, said) == (0, "")
    assert json.loads(text)["report"] == {
        "sources": [str(model)] * 2, "target": str(both), "tags": [["serve"], ["gpu", "serve"]], "dry_run": False,
    }  # fmt: skip
    with load_saved_model(both) as merged:
        assert [graph.tags for graph in merged.meta_graphs] == [("serve",), ("gpu", "serve")]
    chain = ["--prefix", "a", "--prefix", "b", "--connect", "b:x=a:y"]
    code, _, said = run(capsys, "merge", model, model, tmp_path / "chain", *chain, "--dry-run")
    assert (code, said, (tmp_path / "chain").exists()) == (0, "", False)
    assert run(capsys, "merge", model, model, tmp_path / "chain", *chain)[0] == 0
    with load_saved_model(tmp_path / "chain") as merged:
        signature = merged.signatures["serving_default"]
        assert signature.inputs["x"].names == ("a/x:0",) and signature.outputs["y"].names == ("b/y:0",)
    code, _, said = run(capsys, "merge", model, model, tmp_path / "wrong", "--connect", "b=a")
    assert code == 2 and "write MODEL:INPUT=MODEL:OUTPUT" in said


def test_verbs_for_checkpoints_say_that_their_result_is_no_saved_model(
    model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (verb, *options) in enumerate((["cast", "--to", "half"], ["select", "--select", "kernel"], ["reshard"])):
        assert main([verb, str(model), str(tmp_path / f"m-{number}"), *options]) == 0
        said = capsys.readouterr().out
        assert f"note: {model} is a SavedModel, and the result is a bare checkpoint of its variables" in said


def test_a_diff_calls_a_frozen_graph_by_its_file(tmp_path: pathlib.Path) -> None:
    frozen = array_const("w", np.ones(4, np.float32), dtypes.from_name("float32"))
    (tmp_path / "frozen.pb").write_bytes(schemas.GraphDef(node=[frozen]).SerializeToString())
    report = tfsaver.diff(tmp_path / "frozen.pb", {"w": np.zeros(4, np.float32)})
    assert report.checkpoints[0] == str(tmp_path / "frozen.pb")


def test_export_and_freeze_repair_a_graph_that_is_asked_for(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = schemas.GraphDef(versions=schemas.VersionDef(producer=134))
    graph.node.add(name="x", op="Placeholder").attr["dtype"].type = schemas.DT_FLOAT
    for size in (1, 3):
        graph.node[0].attr["shape"].shape.dim.add(size=size)
    graph.node.add(name="y", op="Relu", input=["x"]).attr["T"].type = schemas.DT_FLOAT
    (tmp_path / "graph.pb").write_bytes(graph.SerializeToString())
    code, _, _ = run(capsys, "export", tmp_path / "graph.pb", tmp_path / "export", "--output", "y", "--repair", "batch")
    assert code == 0
    with load_saved_model(tmp_path / "export") as exported:
        assert exported.signatures["serving_default"].inputs["x"].shape == (None, 3)
    frozen = tmp_path / "frozen.pb"
    assert run(capsys, "freeze", tmp_path / "graph.pb", frozen, "--output", "y", "--repair", "batch")[0] == 0
    (x, _) = schemas.GraphDef.FromString(frozen.read_bytes()).node
    assert [dim.size for dim in x.attr["shape"].shape.dim] == [-1, 3]
    code, _, said = run(capsys, "export", tmp_path / "graph.pb", tmp_path / "other", "--output", "y", "--repair", "bach")
    assert code == 2 and "--repair" in said
