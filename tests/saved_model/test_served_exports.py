"""What is exported without TensorFlow, each TensorFlow serves: Python's loaders and the C interface give one answer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.interop.guest_process import GuestError
from tests.saved_model.serving import ServingProcess, assert_close, serve_everywhere
from tfsaver import schemas
from tfsaver.compat.export import export_saved_model
from tfsaver.errors import InvalidArgumentError, NotFoundError
from tfsaver.graph.unfreezing import unfreeze_graph
from tfsaver.saved_model.editing import edit_saved_model
from tfsaver.saved_model.freezing import freeze_saved_model
from tfsaver.saved_model.loader import load_saved_model
from tfsaver.saved_model.merging import merge_saved_models
from tfsaver.saved_model.sources import read_graph


def trained(guest: ServingProcess, kind: str, directory: Path) -> dict[str, Any]:
    directory.mkdir()
    answer: dict[str, Any] = guest.ask("train", kind=kind, directory=str(directory))
    return answer


def by_keys(feeds: dict[str, Any]) -> dict[str, Any]:
    return {name.removesuffix(":0").replace("/", "_"): value for name, value in feeds.items()}


KINDS = ("reference", "resource", "partitioned_reference", "partitioned_resource", "control_flow_v1", "local_variable", "devices")


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_with_its_meta_is_served(guest: ServingProcess, tmp_path: Path, kind: str) -> None:
    model = trained(guest, kind, tmp_path / "trained")
    path = export_saved_model(model["prefix"], tmp_path / "export", outputs=model["fetches"])
    serve_everywhere(guest, path, by_keys(model["feeds"]), model["expected"])
    with load_saved_model(path) as exported:
        assert len(exported.meta_graphs[0].graph_def.node) < model["num_nodes"]
        assert not any(node.device for node in exported.meta_graphs[0].graph_def.node if not node.name.startswith("save/"))
        assert not {"global_step", "unused"}.intersection(exported.variables)


def test_what_training_needs_is_left_out(tensorflow_2: ServingProcess, tmp_path: Path) -> None:
    model = trained(tensorflow_2, "reference", tmp_path / "trained")
    path = export_saved_model(model["prefix"], tmp_path / "export", outputs=model["fetches"])
    names = ["hidden/bias", "hidden/kernel", "out/bias", "out/kernel"]
    with load_saved_model(path) as exported, tfsaver.load_checkpoint(model["prefix"]) as checkpoint:
        assert list(exported.variables) == names
        assert all((exported.variables[name] == checkpoint[name]).all() for name in names)
        size, before = (sum(reader.info(name).num_bytes for name in reader) for reader in (exported.variables, checkpoint))
        assert size * 3 <= before
    found = tensorflow_2.ask("variables_v1", path=path, tags=["serve"])
    assert found["variables"] == found["trainable"] == names
    with tfsaver.load_checkpoint(found["saved"]) as again:
        assert again.names == names


def test_nothing_pruned_is_served_too(guest: ServingProcess, tmp_path: Path) -> None:
    model = trained(guest, "resource", tmp_path / "trained")
    path = export_saved_model(model["prefix"], tmp_path / "export", outputs=model["fetches"], prune=False)
    serve_everywhere(guest, path, by_keys(model["feeds"]), model["expected"])
    with load_saved_model(path) as exported:
        assert len(exported.variables) == 15


def test_tables_take_their_files_along(guest: ServingProcess, tmp_path: Path) -> None:
    model = trained(guest, "table", tmp_path / "trained")
    path = export_saved_model(model["prefix"], tmp_path / "export", outputs=model["fetches"])
    shutil.rmtree(tmp_path / "trained")
    serve_everywhere(guest, path, by_keys(model["feeds"]), model["expected"])
    assert [each.name for each in (tmp_path / "export" / "assets").iterdir()] == ["vocab.txt"]
    moved = shutil.move(path, tmp_path / "moved")
    serve_everywhere(guest, str(moved), by_keys(model["feeds"]), model["expected"])
    # Exported again, the files come along again.
    again = export_saved_model(str(moved), tmp_path / "again")
    shutil.rmtree(moved)
    serve_everywhere(guest, again, by_keys(model["feeds"]), model["expected"])


def test_a_file_that_has_moved_is_said(tensorflow_2: ServingProcess, tmp_path: Path) -> None:
    model = trained(tensorflow_2, "table", tmp_path / "trained")
    (tmp_path / "trained" / "vocab.txt").rename(tmp_path / "vocab.txt")
    with pytest.raises(NotFoundError, match=r"no file at .*vocab.txt.*assets=\{tensor: path\}") as caught:
        export_saved_model(model["prefix"], tmp_path / "export", outputs=model["fetches"])
    tensor = str(caught.value).split("asset of ")[1].split(": no file")[0]
    assert not (tmp_path / "export").exists()
    path = export_saved_model(
        model["prefix"], tmp_path / "export", outputs=model["fetches"], assets={tensor: tmp_path / "vocab.txt"}
    )
    serve_everywhere(tensorflow_2, path, by_keys(model["feeds"]), model["expected"])


def test_tables_that_training_fills_are_restored(guest: ServingProcess, tmp_path: Path) -> None:
    model = trained(guest, "mutable_table", tmp_path / "trained")
    path = export_saved_model(model["prefix"], tmp_path / "export", outputs=model["fetches"])
    serve_everywhere(guest, path, by_keys(model["feeds"]), model["expected"])
    with load_saved_model(path) as exported:
        assert set(exported.variables) == {"scale", "counts-keys", "counts-values"}
    with tfsaver.load_checkpoint(guest.ask("variables_v1", path=path, tags=["serve"])["saved"]) as again:
        assert again.names == ["scale"]
    twice = export_saved_model(path, tmp_path / "twice")
    serve_everywhere(guest, twice, by_keys(model["feeds"]), model["expected"])


def test_functions_are_control_flow_too(tensorflow_2: ServingProcess, tmp_path: Path) -> None:
    model = trained(tensorflow_2, "control_flow_v2", tmp_path / "trained")
    path = export_saved_model(model["prefix"], tmp_path / "export", outputs=model["fetches"])
    serve_everywhere(tensorflow_2, path, by_keys(model["feeds"]), model["expected"])
    with load_saved_model(path) as exported:
        assert list(exported.variables) == ["step"]


def test_an_input_pipeline_is_cut_off(guest: ServingProcess, tmp_path: Path) -> None:
    model = trained(guest, "queue", tmp_path / "trained")
    (batch,) = model["feeds"]
    with pytest.raises(InvalidArgumentError, match="need batch:0 from an input pipeline"):
        export_saved_model(model["prefix"], tmp_path / "export", outputs=model["fetches"])
    path = export_saved_model(model["prefix"], tmp_path / "export", inputs={"image": batch}, outputs={"logits": model["fetches"][0]})
    serve_everywhere(guest, path, {"image": model["feeds"][batch]}, model["expected"])
    with load_saved_model(path) as exported:
        ops = {node.op for node in exported.meta_graphs[0].graph_def.node}
        assert "Placeholder" in ops and not ops & {"TextLineReaderV2", "QueueDequeueManyV2", "FIFOQueueV2"}


def test_placeholders_of_training_become_constants_and_averages_are_served(guest: ServingProcess, tmp_path: Path) -> None:
    model = trained(guest, "dropout", tmp_path / "trained")
    fixed = {"keep_prob": 1.0, "is_training": False}
    with pytest.raises(InvalidArgumentError, match=r"need .*keep_prob:0, is_training:0|need .*is_training:0"):
        export_saved_model(model["prefix"], tmp_path / "export", inputs=["x"], outputs=model["fetches"])
    path = export_saved_model(model["prefix"], tmp_path / "export", outputs=model["fetches"], fixed_inputs=fixed)
    serve_everywhere(guest, path, by_keys(model["feeds"]), model["expected"])
    with tfsaver.load_checkpoint(model["prefix"]) as checkpoint:
        averages = {name: checkpoint[f"{name}/ExponentialMovingAverage"] for name in ("out/kernel", "out/bias")}
        assert (averages["out/kernel"] != checkpoint["out/kernel"]).any()
    averaged = export_saved_model(
        read_graph(model["prefix"] + ".meta"), tmp_path / "averaged", outputs=model["fetches"], fixed_inputs=fixed, variables=averages
    )
    (x,) = (value for value in model["feeds"].values())
    expected = np.array(x[2], x[0]).reshape(x[1]) @ averages["out/kernel"] + averages["out/bias"]
    serve_everywhere(guest, averaged, by_keys(model["feeds"]), [["float32", list(expected.shape), expected.ravel().tolist()]])




@pytest.mark.parametrize("name", ["sm_tf_half_plus_two/00000123", "sm_tf_half_plus_two_v2/00000123", "sm_serving_tf2_cpu/00000123"])
def test_an_exported_saved_model_is_served_as_before(tensorflow_2: ServingProcess, cases: Path, tmp_path: Path, name: str) -> None:
    shape = [1] if "tf2" in name else [2, 1]
    inputs: dict[str, Any] = {"x": ["float32", shape, [1.0, 3.0][: shape[0]]]}
    before = tensorflow_2.ask("run_v2", path=str(cases / name), tags=["serve"], key="serving_default", inputs=inputs)
    path = export_saved_model(cases / name, tmp_path / "export")
    expected = [before["outputs"]["y"]]
    assert_close(expected, [["float32", shape, [2.5, 3.5][: shape[0]]]])
    serve_everywhere(tensorflow_2, path, inputs, expected)


def test_a_function_of_a_model_becomes_a_signature(tensorflow_2: ServingProcess, cases: Path, tmp_path: Path) -> None:
    # The second captures variables.
    for name, function, keys in (
        ("sm_tf_x_plus_y_v2_debuginfo", "some_function", "xy"),
        ("sm_tf_VarsAndArithmeticObjectGraph", {"function": "compute"}, "ab"),
    ):
        model = cases / name
        inputs: dict[str, Any] = {key: ["float32", [], [value]] for key, value in zip(keys, (2.0, 3.0), strict=True)}
        before = tensorflow_2.ask("run_v2", path=str(model), tags=["serve"], key="serving_default", inputs=inputs)
        path = export_saved_model(model, tmp_path / name, signatures={"serving_default": function})
        serve_everywhere(tensorflow_2, path, inputs, list(before["outputs"].values()))
    model = cases / "sm_tf_x_plus_y_v2_debuginfo"
    with pytest.raises(NotFoundError, match="no function 'some_functoin': there is 'some_function'"):
        export_saved_model(model, tmp_path / "no", signatures={"serving_default": "some_functoin"})
    with pytest.raises(InvalidArgumentError, match="has 4 traces, one must be named"):
        export_saved_model(cases / "sm_keras_python_func_model", tmp_path / "no", signatures={"s": "__call__"})


@pytest.mark.parametrize("kind", ["sparse", "ragged"])
def test_inputs_and_outputs_of_several_tensors(guest: ServingProcess, tmp_path: Path, kind: str) -> None:
    model = trained(guest, kind, tmp_path / "trained")
    signature = schemas.SignatureDef.FromString(model["signature"].encode("latin-1"))
    path = export_saved_model(model["prefix"], tmp_path / "export", signatures={"serving_default": signature})
    with load_saved_model(path) as exported:
        read = exported.signatures["serving_default"]
        assert set(model["feeds"]) == set(read.inputs["x"].names)
        assert read.inputs["x"].kind == {"sparse": "sparse", "ragged": "RaggedTensorSpec"}[kind]
    request = {"path": path, "tags": ["serve"], "feeds": model["feeds"], "fetches": model["fetches"]}
    assert_close(guest.ask("run_v1", **request), model["expected"])
    assert_close(guest.c_interface.ask("run", **request), model["expected"])
    if not guest.is_tensorflow_1:
        parts = {name.split("/")[-1].removesuffix(":0"): value for name, value in model["feeds"].items()}
        if kind == "sparse":
            inputs = {f"x_{part}": parts[name] for part, name in (("indices", "indices"), ("values", "values"), ("dense_shape", "shape"))}
        else:
            inputs = {f"x_component_{number}": model["feeds"][name] for number, name in enumerate(read.inputs["x"].names)}
        by_v2 = guest.ask("run_v2", path=path, tags=["serve"], key="serving_default", inputs=inputs)
        assert_close([by_v2["outputs"]["y"]], model["expected"][:1])


@pytest.mark.parametrize("kind", ["reference", "resource", "partitioned_resource", "table", "control_flow_v1", "dropout"])
def test_what_a_new_tensorflow_trained_an_old_one_serves(
    tensorflow_1: ServingProcess, tensorflow_2: ServingProcess, tmp_path: Path, kind: str
) -> None:
    model = trained(tensorflow_2, kind, tmp_path / "trained")
    fixed = {"keep_prob": 1.0, "is_training": False} if kind == "dropout" else None
    path = export_saved_model(model["prefix"], tmp_path / "export", outputs=model["fetches"], fixed_inputs=fixed)
    serve_everywhere(tensorflow_1, path, by_keys(model["feeds"]), model["expected"])


def test_graphs_of_two_signatures_and_tags_share_variables(guest: ServingProcess, tmp_path: Path) -> None:
    model = trained(guest, "resource", tmp_path / "trained")
    first = export_saved_model(model["prefix"], tmp_path / "first", outputs=model["fetches"])
    hidden = {"hidden": {"outputs": {"h": "hidden/logits"}}, "all": {"outputs": model["fetches"]}}
    second = export_saved_model(model["prefix"], tmp_path / "second", signatures=hidden, tags=["serve", "gpu"])
    path = merge_saved_models([first, second], tmp_path / "merged")
    (x,) = model["feeds"]
    for tags, key in ((["serve"], "serving_default"), (["gpu", "serve"], "all")):
        with load_saved_model(path) as merged:
            (fetch,) = (tensor.names[0] for tensor in merged.meta_graph(tags).signatures[key].outputs.values())
        request = {"path": path, "tags": tags, "feeds": model["feeds"], "fetches": [fetch]}
        assert_close(guest.ask("run_v1", **request), model["expected"])
        assert_close(guest.c_interface.ask("run", **request), model["expected"])
        if not guest.is_tensorflow_1:
            found = guest.ask("run_v2", path=path, tags=tags, key=key, inputs={"x": model["feeds"][x]})
            assert_close(list(found["outputs"].values()), model["expected"])


def test_a_frozen_graph_is_served(guest: ServingProcess, tmp_path: Path) -> None:
    model = trained(guest, "resource", tmp_path / "trained")
    path = export_saved_model(model["prefix"], tmp_path / "export", outputs=model["fetches"])
    outputs = [name.removesuffix(":0") for name in model["fetches"]]
    (tmp_path / "frozen.pb").write_bytes(guest.ask("freeze", path=path, tags=["serve"], outputs=outputs).encode("latin-1"))
    again = export_saved_model(tmp_path / "frozen.pb", tmp_path / "again", outputs=model["fetches"])
    serve_everywhere(guest, again, by_keys(model["feeds"]), model["expected"])
    with load_saved_model(again) as frozen:
        assert not frozen.variables


def test_a_model_is_frozen_and_its_constants_become_variables_again(tensorflow_2: ServingProcess, tmp_path: Path) -> None:
    model = trained(tensorflow_2, "reference", tmp_path / "trained")
    path = export_saved_model(model["prefix"], tmp_path / "export", outputs=model["fetches"])
    frozen = freeze_saved_model(path)
    assert not any(node.op in ("VariableV2", "VarHandleOp") for node in frozen.node)
    constant = export_saved_model(frozen, tmp_path / "constant", outputs=model["fetches"])
    unfrozen = unfreeze_graph(frozen, min_size=16)
    again = export_saved_model(unfrozen.meta_graph, tmp_path / "again", outputs=model["fetches"], variables=unfrozen.values)
    with load_saved_model(constant) as without, load_saved_model(again) as with_variables:
        assert not without.variables and list(with_variables.variables) == ["hidden/bias", "hidden/kernel", "out/bias", "out/kernel"]
    for each in (constant, again):
        request = {"path": each, "tags": ["serve"], "feeds": model["feeds"], "fetches": model["fetches"]}
        assert_close(tensorflow_2.c_interface.ask("run", **request), model["expected"])


def test_an_edited_model_of_objects_is_served_with_its_new_names(tensorflow_2: ServingProcess, cases: Path, tmp_path: Path) -> None:
    source = cases / "sm_serving_tf2_cpu" / "00000123"
    with edit_saved_model(source) as edit:
        edit.rename_signature("serving_default", "predict")
        edit.remove_signature("regress_x_to_y")
        edit.replace_variables({"a": np.float32(3.0)})
        path = edit.save(tmp_path / "edited")
    serve_everywhere(tensorflow_2, path, {"x": ["float32", [1], [1.0]]}, [["float32", [1], [5.0]]], key="predict")
    signatures = tensorflow_2.ask("infer_v2", path=path)["signatures"]
    assert "predict" in signatures and not {"serving_default", "regress_x_to_y"} & set(signatures)
    with edit_saved_model(path) as edit:
        edit.prune()
        edit.rename_output("predict", "y", "z")
        pruned = edit.save(tmp_path / "pruned")
    serve_everywhere(tensorflow_2, pruned, {"x": ["float32", [1], [1.0]]}, [["float32", [1], [5.0]]], key="predict")
    with load_saved_model(pruned) as model:
        assert model.meta_graphs[0].object_graph is None and list(model.signatures["predict"].outputs) == ["z"]


def test_a_model_that_tensorflow_cannot_load_is_served_once_exported(
    tensorflow_2: ServingProcess, cases: Path, tmp_path: Path
) -> None:
    source = cases / "sm_tf_OptimizerSlotVariableModule"
    with pytest.raises(GuestError, match="add_slot"):
        tensorflow_2.ask("infer_v2", path=str(source))
    path = export_saved_model(source, tmp_path / "export", outputs={"slot": "Adam/Variable/m/Read/ReadVariableOp"})
    with load_saved_model(source) as model:
        value = model.variables["v/.OPTIMIZER_SLOT/opt/m"]
    serve_everywhere(tensorflow_2, path, {}, [[value.dtype.name, list(value.shape), value.ravel().tolist()]])
    with load_saved_model(path) as exported:
        assert list(exported.variables) == ["Adam/Variable/m"]
