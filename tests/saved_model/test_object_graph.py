"""A SavedModel's own list of objects gives the keys that its checkpoint has, even where the checkpoint is gone."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from tfsaver import load_checkpoint, save_checkpoint, schemas
from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.checkpoint.objects.object_graph_like import SAVE_COUNTER_KEY
from tfsaver.errors import CheckpointNotFoundError, DataLossError, InvalidArgumentError
from tfsaver.saved_model.loader import load_saved_model
from tfsaver.saved_model.object_graph import object_graph_like, object_graph_of_saved_model

CASES = [
    "sm_capi_SimpleWhileLoop",
    "sm_keras_python_func_model",
    "sm_keras_simple_model_from_auto_compile",
    "sm_rust_regression",
    "sm_tf_OptimizerSlotVariableModule",
    "sm_tf_VarsAndArithmeticObjectGraph",
]


@pytest.mark.parametrize("case", CASES)
def test_objects_are_the_same_with_and_without_the_variables(
    cases: pathlib.Path, tmp_path: pathlib.Path, case: str
) -> None:
    (path,) = {path.parent for path in (cases / case).rglob("saved_model.pb")}
    with_variables = object_graph_like(path)
    shutil.copy(path / "saved_model.pb", tmp_path)
    alone = object_graph_like(tmp_path)
    with load_checkpoint(path) as reader:
        stored = read_object_graph(reader)
        assert stored is not None
        there = {attribute.key: reader.info(attribute.key) for attribute in stored.attributes if attribute.key in reader}
    assert with_variables.tensors.keys() == alone.tensors.keys() == {*there, SAVE_COUNTER_KEY}
    for key, info in there.items():
        for graph in (with_variables, alone):
            assert (graph.tensors[key].dtype, graph.tensors[key].shape) == (info.dtype, tuple(info.shape))
    names = stored.full_names_of_keys()
    assert {key: names[key] for key in there} == {
        key: name for key, name in alone.full_names_of_keys().items() if key != SAVE_COUNTER_KEY
    }


def test_root_may_become_a_child(cases: pathlib.Path) -> None:
    graph = object_graph_like(cases / "sm_tf_OptimizerSlotVariableModule", under=("model",))
    slot = "model/v/.OPTIMIZER_SLOT/model/opt/m/.ATTRIBUTES/VARIABLE_VALUE"
    assert graph.full_names_of_keys()[slot] == "Adam/Variable/m"
    assert SAVE_COUNTER_KEY in graph.tensors


def test_graph_without_weights_says_its_variables(cases: pathlib.Path) -> None:
    (path,) = {path.parent for path in (cases / "sm_tf_bert1_graph").rglob("saved_model.pb")}
    graph = object_graph_like(path)
    assert len(graph.nodes) > 700
    assert all(tensor.shape is not None for tensor in graph.tensors.values())


def test_other_checkpoints_are_taken_too(tmp_path: pathlib.Path) -> None:
    prefix = save_checkpoint({"w": 1}, tmp_path / "objects", object_graph={"a": "w"})
    assert set(object_graph_like(prefix).tensors) == {"a/.ATTRIBUTES/VARIABLE_VALUE", SAVE_COUNTER_KEY}


def test_what_has_no_objects_is_refused(cases: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (path,) = {path.parent for path in (cases / "sm_tf_SimpleV1Model").rglob("saved_model.pb")}
    with pytest.raises(InvalidArgumentError, match="says nothing of any objects"):
        object_graph_like(path)
    shutil.copy(path / "saved_model.pb", tmp_path)
    with pytest.raises(InvalidArgumentError, match="TensorFlow 1"):
        object_graph_like(tmp_path)
    with pytest.raises(CheckpointNotFoundError):
        object_graph_like(tmp_path / "nothing")


@pytest.mark.parametrize("field", ["children", "slot_variables"])
def test_edge_that_leads_nowhere_is_data_loss(cases: pathlib.Path, field: str) -> None:
    saved = load_saved_model(cases / "sm_tf_OptimizerSlotVariableModule").meta_graph().object_graph
    assert saved is not None
    damaged = schemas.SavedObjectGraph()
    damaged.CopyFrom(saved)
    for node in damaged.nodes:
        for edge in getattr(node, field):
            if field == "children":
                edge.node_id = 99
            else:
                edge.slot_variable_node_id = -1
    with pytest.raises(DataLossError, match="is referred to, there are"):
        object_graph_of_saved_model(damaged)
