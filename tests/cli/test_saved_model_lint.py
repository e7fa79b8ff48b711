"""`tfsaver saved-model lint`: findings with codes, and when they count."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

import tfsaver
from tests.cli.saved_model_files import model_proto, write_meta_graph, write_model
from tests.cli.test_saved_model_show import graph_paths
from tfsaver import schemas
from tfsaver.cli.main import main


def lint(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str]]:
    status = main(["saved-model", "lint", *map(str, arguments)])
    shown = capsys.readouterr()
    assert shown.err == ""
    return status, shown.out.splitlines()


def sound_proto() -> schemas.SavedModel:
    """The graph for serving alone, without the signature that names nothing."""
    model = model_proto()
    del model.meta_graphs[1:]
    graph = model.meta_graphs[0]
    del graph.signature_def["sparse"]
    graph.graph_def.library.Clear()
    return model


def findings_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, dict[str, object]]:
    """By their codes."""
    _, lines = lint(capsys, "--json", *arguments)
    return {finding["code"]: finding for finding in json.loads("\n".join(lines))["report"]["findings"]}


def test_a_sound_model_is_ok(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_model(tmp_path / "model", sound_proto())
    status, lines = lint(capsys, directory)
    assert status == 0 and lines[-1].startswith(f"{directory}: OK")
    assert lint(capsys, directory, "--quiet") == (0, [])


def test_a_signature_that_names_nothing_is_an_error(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = sound_proto()
    model.meta_graphs[0].signature_def["serving_default"].outputs["y"].name = "gone:0"
    directory = write_model(tmp_path / "model", model)
    status, lines = lint(capsys, directory, "-q")
    assert status == 1
    assert len(lines) == 2 and lines[0].startswith(f"{directory}: error: ") and "'gone:0'" in lines[0]
    assert lines[1].startswith(f"{directory}: WRONG, 1 error")
    code = lines[0].rpartition("[")[2].rstrip("]")
    assert lint(capsys, directory, "--ignore", code)[0] == 0


def test_json_holds_everything(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = sound_proto()
    model.meta_graphs[0].graph_def.node.add(name="broken", op="Identity", input=["nowhere"])
    directory = write_model(tmp_path / "model", model)
    status, lines = lint(capsys, directory, "--json")
    document = json.loads("\n".join(lines))["report"]
    assert (status, document["ok"], document["path"]) == (1, False, str(directory))
    found = next(finding for finding in document["findings"] if finding["place"] == "broken")
    assert list(found) == ["tags", "code", "severity", "place", "sentence", "refused_by", "unsure"]
    assert (found["tags"], found["severity"]) == (["serve"], "error")
    assert "nowhere" in found["sentence"]


def test_warnings_count_when_they_shall(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = sound_proto()
    model.meta_graphs.add().CopyFrom(model.meta_graphs[0])
    directory = write_model(tmp_path / "model", model)
    status, lines = lint(capsys, directory, "-q")
    assert (status, len(lines)) == (0, 1)
    assert lines[0].endswith("{serve}: are the tags of 2 graphs; loaders find the first alone [duplicate-tags]")
    assert lint(capsys, directory, "--strict")[0] == 1
    assert lint(capsys, directory, "--strict", "--ignore", "duplicate-tags")[0] == 0


def test_a_missing_asset_is_an_error(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_model(tmp_path / "model", sound_proto())
    (directory / "assets" / "vocab.txt").unlink()
    assert lint(capsys, directory)[0] == 1
    assert findings_of(capsys, directory)["missing-asset"]["severity"] == "error"
    # A graph alone has no place for files.
    path = write_meta_graph(tmp_path / "graph", sound_proto().meta_graphs[0])
    assert lint(capsys, path)[0] == 0


def test_a_damaged_checkpoint_is_an_error(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_model(tmp_path / "model", sound_proto())
    index = directory / "variables" / "variables.index"
    index.write_bytes(index.read_bytes()[:-1])
    assert findings_of(capsys, directory)["damaged-checkpoint"]["severity"] == "error"


def test_a_model_without_graphs_is_wrong(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_model(tmp_path / "model", schemas.SavedModel(saved_model_schema_version=2))
    assert lint(capsys, directory, "-q")[1] == [
        f"{directory}: warning: saved_model_schema_version: is 2, programs write 1 [schema-version]",
        f"{directory}: error: saved_model.pb: holds no graph [no-graph]",
        f"{directory}: WRONG, 1 error, 1 warning; refused by every loader",
    ]


def test_variables_without_values_are_found(
    cases: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = shutil.copytree(cases / "sm_tf_half_plus_two_v2" / "00000123", tmp_path / "model")
    assert lint(capsys, directory)[0] == 0
    for path in (directory / "variables").iterdir():
        path.unlink()
    found = findings_of(capsys, directory)
    assert found["no-value"]["severity"] == "error"
    tfsaver.save_checkpoint({"a": [0.5, 1.0], "b": 2.0, "c": 3.0}, directory / "variables" / "variables", durable=False)
    assert lint(capsys, directory)[0] == 1


def test_every_model_and_graph_is_linted(cases: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = set()
    for path in graph_paths(cases):
        status, lines = lint(capsys, path)
        assert (": OK" in lines[-1]) == (status == 0)
        if status:
            wrong.add(path.relative_to(cases).parts[0])
    assert {
        "sm_fuzz_bad_node_attr",
        "sm_fuzz_const_with_no_value",
        "sm_capi_UninitializedVariable",
        "sm_tf_bert1_graph",
    } <= wrong
    assert "sm_tf_OptimizerSlotVariableModule" not in wrong and "v2_tiny_bert_keras_bert" not in wrong
    assert len(wrong) < 10
