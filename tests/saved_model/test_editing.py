"""Changing SavedModels."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.saved_model.graphs import BIAS, KERNEL, VALUES, dense
from tfsaver.compat.export import export_saved_model
from tfsaver.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    ShapeMismatchError,
    UnimplementedError,
)
from tfsaver.graph.findings import Severity
from tfsaver.graph.lint import lint
from tfsaver.graph.variables import find_variables
from tfsaver.saved_model.editing import SavedModelEditor, edit_saved_model
from tfsaver.saved_model.loader import load_saved_model
from tfsaver.saved_model.merging import merge_saved_models


@pytest.fixture
def exported(tmp_path: Path) -> str:
    """A SavedModel with two signatures and an extra file."""
    (tmp_path / "warmup").write_bytes(b"warm")
    return export_saved_model(
        dense(),
        tmp_path / "exported",
        variables={**VALUES, "unused": np.zeros(9, np.float32)},
        signatures={"predict": {"outputs": {"Identity_3": "layer/y"}}, "scale": {"outputs": ["scaled"]}},
        extra_assets={"warmup": tmp_path / "warmup"},
        prune=False,
        durable=False,
    )


def edited(path: str | Path, target: Path, change: Callable[[SavedModelEditor], Any], **options: Any) -> Any:
    with edit_saved_model(path) as edit:
        change(edit)
        return load_saved_model(edit.save(target, durable=False, **options))


def test_signatures_and_keys_are_renamed(exported: str, tmp_path: Path) -> None:
    def change(edit: SavedModelEditor) -> None:
        edit.rename_signature("predict", "serving_default")
        edit.rename_output("serving_default", "Identity_3", "probabilities")
        edit.rename_input("serving_default", "x", "image")
        edit.remove_signature("scale")
        edit.add_signature("both", outputs=["product", "layer/y"])
        edit.remove_output("both", "product")
        edit.set_method_name("both", "custom")
        assert list(edit.signatures) == ["both", "serving_default"]

    before = Path(exported, "saved_model.pb").read_bytes()
    with edited(exported, tmp_path / "edited", change) as model:
        assert list(model.signatures) == ["both", "serving_default"]
        signature = model.signatures["serving_default"]
        assert list(signature.inputs) == ["image"] and signature.inputs["image"].names == ("x:0",)
        assert signature.outputs["probabilities"].names == ("layer/y:0",)
        assert list(model.signatures["both"].outputs) == ["layer_y"] and model.signatures["both"].method_name == "custom"
        assert sorted(os.listdir(model.directory)) == ["assets.extra", "saved_model.pb", "variables"]
        assert list(model.variables) == ["bias", "kernel", "unused"]
    assert Path(exported, "saved_model.pb").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda edit: edit.rename_signature("predct", "x"), NotFoundError, "did you mean 'predict'"),
        (lambda edit: edit.rename_signature("predict", "scale"), InvalidArgumentError, "there already"),
        (lambda edit: edit.rename_signature("predict", "__saved_model_init_op"), InvalidArgumentError, "reserved"),
        (lambda edit: edit.remove_signature("nothing"), NotFoundError, "there is predict, scale"),
        (lambda edit: edit.add_signature("predict", outputs="x"), InvalidArgumentError, "there already"),
        (lambda edit: edit.add_signature("new", outputs="nothing"), NotFoundError, "nothing"),
        (lambda edit: edit.add_signature("new"), InvalidArgumentError, "no outputs"),
        (lambda edit: edit.rename_input("scale", "x", "rate"), InvalidArgumentError, "there already"),
        (lambda edit: edit.rename_output("scale", "x", "y"), NotFoundError, "has no output 'x'"),
        (lambda edit: edit.set_tags("x", tags="train"), NotFoundError, r"\{train\}: there is \{serve\}"),
        (lambda edit: edit.replace_variables({"other": BIAS}), NotFoundError, "none of the 3"),
        (lambda edit: edit.replace_variables({"bias": KERNEL}), ShapeMismatchError, "bias"),
        (lambda edit: edit.replace_variables({"bias": BIAS.astype(int)}), InvalidArgumentError, "is float32, the value"),
    ],
)
def test_what_cannot_be_changed_is_said(
    exported: str, change: Callable[[SavedModelEditor], Any], error: type[Exception], message: str
) -> None:
    with edit_saved_model(exported) as edit, pytest.raises(error, match=message):
        change(edit)


def test_the_old_place_is_not_taken(exported: str) -> None:
    with edit_saved_model(exported) as edit, pytest.raises(AlreadyExistsError):
        edit.save(exported)


def test_variables_are_replaced(exported: str, tmp_path: Path) -> None:
    tfsaver.save_checkpoint({"bias": BIAS + 1, "kernel/Adam": KERNEL}, tmp_path / "new")
    with edited(exported, tmp_path / "a", lambda edit: edit.replace_variables(tmp_path / "new")) as model:
        assert model.variables["bias"].tolist() == [2, 3] and (model.variables["kernel"] == KERNEL).all()
    with edit_saved_model(exported) as edit:
        assert edit.replace_variables({"kernel": KERNEL * 2}) == ["kernel"]


def test_pruning_leaves_what_signatures_need(exported: str, tmp_path: Path) -> None:
    def change(edit: SavedModelEditor) -> None:
        edit.replace_variables({"bias": BIAS + 1})
        edit.remove_signature("scale")
        edit.prune()

    with edited(exported, tmp_path / "pruned", change) as model:
        assert list(model.variables) == ["bias", "kernel"] and model.variables["bias"].tolist() == [2, 3]
        assert not {"rate", "scaled", "unused"} & {node.name for node in model.meta_graphs[0].graph_def.node}
        assert list(model.signatures) == ["predict"]

    def nothing(edit: SavedModelEditor) -> None:
        edit.remove_signature("scale")
        edit.remove_signature("predict")
        edit.prune()

    with pytest.raises(InvalidArgumentError, match="nothing to export|no signatures"):
        edited(exported, tmp_path / "empty", nothing)


def test_tags_text_and_versions(exported: str, tmp_path: Path) -> None:
    with edited(exported, tmp_path / "base", lambda edit: edit.set_tags(["serve", "gpu"]), as_text=True, versioned=True) as model:
        assert model.meta_graphs[0].tags == ("gpu", "serve")
        assert "saved_model.pbtxt" in os.listdir(model.directory) and Path(model.directory).parent == tmp_path / "base"
        with edited(model.directory, tmp_path / "again", lambda edit: None) as again:
            assert again.proto == model.proto and "saved_model.pbtxt" in os.listdir(again.directory)


def test_a_model_of_objects_keeps_its_fingerprint_true(cases: Path, tmp_path: Path) -> None:
    source = cases / "sm_keras_simple_model_from_auto_compile"

    def change(edit: SavedModelEditor) -> None:
        edit.rename_signature("serving_default", "predict")
        with pytest.raises(UnimplementedError, match="forget_objects"):
            edit.rename_output("predict", "dense_1", "y")

    with edited(source, tmp_path / "edited", change) as model:
        assert {"keras_metadata.pb", "fingerprint.pb"} <= set(os.listdir(model.directory))
        found, expected = model.fingerprint, model.compute_fingerprint()
        assert found.signature_def_hash == expected.signature_def_hash and found.checkpoint_hash == expected.checkpoint_hash
        assert [edge.local_name for node in model.proto.meta_graphs[0].object_graph_def.nodes if node.user_object.identifier == "signature_map" for edge in node.children] == ["predict"]


def test_every_case_is_copied_as_it_is(cases: Path, tmp_path: Path) -> None:
    paths = sorted({path.parent for path in cases.rglob("saved_model.*") if "fuzz" not in str(path)})
    for number, path in enumerate(paths):
        with load_saved_model(path) as before, edited(path, tmp_path / str(number), lambda edit: None) as model:
            assert model.proto.SerializeToString(deterministic=True) == before.proto.SerializeToString(deterministic=True)
            assert list(model.variables) == list(before.variables)
            assert all(np.array_equal(value, before.variables[name]) for name, value in model.variables.items())
            for ours, theirs in zip(model.meta_graphs, before.meta_graphs, strict=True):
                assert all(Path(path).exists() == Path(theirs.assets[name]).exists() for name, path in ours.assets.items())
    assert len(paths) >= 30


def test_two_models_become_one(exported: str, tmp_path: Path) -> None:
    with edit_saved_model(exported) as edit:
        edit.set_tags(["serve", "gpu"])
        edit.remove_signature("scale")
        edit.prune()
        other = edit.save(tmp_path / "other")
    with load_saved_model(merge_saved_models([exported, other], tmp_path / "merged")) as model:
        assert [graph.tags for graph in model.meta_graphs] == [("serve",), ("gpu", "serve")]
        assert list(model.variables) == ["bias", "kernel", "unused"]
        assert "scale" in model.meta_graph("serve").signatures and "scale" not in model.meta_graph(["gpu", "serve"]).signatures
    with pytest.raises(InvalidArgumentError, match=r"two graphs have the tags \{serve\}"):
        merge_saved_models([exported, exported], tmp_path / "twice")
    with load_saved_model(merge_saved_models([exported, exported], tmp_path / "twice", tags=["a", ["b", "c"]])) as model:
        assert [graph.tags for graph in model.meta_graphs] == [("a",), ("b", "c")]
    with edit_saved_model(other) as edit:
        edit.replace_variables({"bias": BIAS + 1})
        changed = edit.save(tmp_path / "changed")
    with pytest.raises(InvalidArgumentError, match="'bias' has one value in"):
        merge_saved_models([exported, changed], tmp_path / "no")


def test_prefixes_keep_the_variables_of_two_models_apart(exported: str, tmp_path: Path) -> None:
    with edit_saved_model(exported) as edit:
        edit.set_tags(["serve", "gpu"])
        edit.replace_variables({"bias": BIAS + 1})
        other = edit.save(tmp_path / "other")
    with pytest.raises(InvalidArgumentError, match="2 models, and 1 prefixes"):
        merge_saved_models([exported, other], tmp_path / "no", prefixes=["a"])
    merged = merge_saved_models([exported, other], tmp_path / "merged", prefixes=["a", "b/"])
    with load_saved_model(merged) as model:
        np.testing.assert_array_equal(model.variables["a/bias"], BIAS)
        np.testing.assert_array_equal(model.variables["b/bias"], BIAS + 1)
        for prefix, graph in zip("ab", model.meta_graphs, strict=True):
            found = {each.node: each.name for each in find_variables(graph.proto)}
            assert found["bias"] == f"{prefix}/bias"
            assert [each for each in lint(graph.proto) if each.severity is Severity.ERROR] == []


def test_files_of_one_name_are_both_kept(cases: Path, tmp_path: Path) -> None:
    first = str(cases / "sm_tf_half_plus_two" / "00000123")
    with edit_saved_model(first) as edit:
        edit.set_tags("other")
        second = edit.save(tmp_path / "second")
    Path(second, "assets", "foo.txt").write_text("another content")
    with load_saved_model(merge_saved_models([first, second], tmp_path / "merged")) as model:
        contents = [Path(path).read_text() for graph in model.meta_graphs for path in graph.assets.values()]
        assert contents == ["asset-file-contents", "another content"]


def test_models_of_objects_are_not_merged(cases: Path, exported: str, tmp_path: Path) -> None:
    with pytest.raises(UnimplementedError, match="prune"):
        merge_saved_models([exported, cases / "sm_tf_VarsAndArithmeticObjectGraph"], tmp_path / "x", tags=["a", "b"])
