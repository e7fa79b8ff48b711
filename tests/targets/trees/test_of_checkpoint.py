"""Checkpoints that know nothing of trees are trees of their objects, or of their names."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver import schemas
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY, key_of
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder
from tfsaver.errors import DataLossError
from tfsaver.targets.trees.structure import MAX_DEPTH


def load_objects(builder: ObjectGraphBuilder, directory: pathlib.Path, **others: Any) -> Any:
    """A checkpoint of objects, each variable the number of its key in the order of keys."""
    graph = builder.build()
    keys = sorted({attribute.key for attribute in graph.attributes} - set(others.get("stems", ())))
    tensors = {key: np.float32(index) for index, key in enumerate(keys)}
    tensors.update(others.get("tensors", {}))
    prefix = tfsaver.save_checkpoint({**tensors, OBJECT_GRAPH_KEY: graph.serialize()}, directory / "objects")
    return tfsaver.load(prefix)


def test_names_are_a_dict(tmp_path: pathlib.Path) -> None:
    tensors = {"dense/kernel": np.ones((2, 3), np.float32), "dense/kernel/Adam": np.zeros(2), "labels": [b"a"]}
    for form in ("V1", "V2"):
        loaded = tfsaver.load(tfsaver.save_checkpoint(tensors, tmp_path / form, format=form))
        assert list(loaded) == sorted(tensors)
        np.testing.assert_array_equal(loaded["dense/kernel"], tensors["dense/kernel"], strict=True)


def test_objects_are_dicts_and_lists(tmp_path: pathlib.Path) -> None:
    builder = ObjectGraphBuilder()
    builder.variable(("net", "layers", "0", "w"))
    builder.variable(("net", "layers", "1", "w"))
    builder.variable(("net", "a/b.c"))
    builder.link(("net", "tied"), ("net", "layers", "0", "w"))
    builder.node(("net", "empty"))
    builder.link(("net", "again"), ("net", "layers"))
    builder.link(("net", "layers", "1", "parent"), ("net",))
    builder.variable(("save_counter",))
    loaded = load_objects(builder, tmp_path)
    assert list(loaded) == ["net"]
    net = loaded["net"]
    assert list(net) == ["layers", "a/b.c", "tied", "empty"]
    assert isinstance(net["layers"], list) and net["layers"][0]["w"] is net["tied"]
    assert net["layers"][1] == {"w": 1} and net["empty"] == {}


def test_optimizer_keeps_its_slots(tmp_path: pathlib.Path) -> None:
    builder = ObjectGraphBuilder()
    builder.variable(("net", "w"))
    builder.variable(("opt", "lr"))
    for name in ("m", "v"):
        builder.slot(("opt",), ("net", "w"), name)
    loaded = load_objects(builder, tmp_path)
    assert loaded == {"net": {"w": 0}, "opt": {"lr": 3, ".OPTIMIZER_SLOT": {"m": {"net/w": 1}, "v": {"net/w": 2}}}}


def test_table_and_iterator_have_what_begins_with_their_key(tmp_path: pathlib.Path) -> None:
    builder = ObjectGraphBuilder()
    builder.attribute(("table",), "table")
    builder.attribute(("data",), "ITERATOR")
    stems = [key_of(("table",), "table"), key_of(("data",), "ITERATOR")]
    tensors = {f"{stems[0]}-keys": [b"a"], f"{stems[0]}-values": [1.0], f"{stems[1]}_STATE": b"s", "other": np.int32(9)}
    loaded = load_objects(builder, tmp_path, stems=stems, tensors=tensors)
    assert loaded["table"]["table-keys"].tolist() == [b"a"] and loaded["table"]["table-values"].tolist() == [1.0]
    assert loaded["data"]["ITERATOR_STATE"].item() == b"s"
    assert loaded["other"] == 9, "a tensor of no object is at the root"


def test_root_may_be_the_variable(tmp_path: pathlib.Path) -> None:
    builder = ObjectGraphBuilder()
    builder.variable(())
    assert load_objects(builder, tmp_path) == 0
    builder = ObjectGraphBuilder()
    builder.variable(("VARIABLE_VALUE",))
    assert load_objects(builder, tmp_path) == {"VARIABLE_VALUE": 0}


def test_objects_without_end_are_data_loss(tmp_path: pathlib.Path) -> None:
    graph = schemas.TrackableObjectGraph()
    for index in range(MAX_DEPTH + 2):
        graph.nodes.add().children.add(local_name="x", node_id=index + 1)
    graph.nodes.add()
    tfsaver.save_checkpoint({OBJECT_GRAPH_KEY: graph.SerializeToString()}, tmp_path / "deep")
    with pytest.raises(DataLossError, match="nested deeper"):
        tfsaver.load(tmp_path / "deep")


def test_include_and_mapping_work_on_checkpoints_of_others(tmp_path: pathlib.Path) -> None:
    builder = ObjectGraphBuilder()
    for index in range(3):
        builder.variable(("layers", str(index), "w"))
    load_objects(builder, tmp_path)
    loaded = tfsaver.load(tmp_path / "objects", select="layers/[02]", mapping=[(r"layers/(\d)/", r"block\1.")])
    assert loaded == {"block0.w": 0, "block2.w": 2}


def _arrays(tree: Any) -> list[Any]:
    found = []
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict | list):
            waiting += item.values() if isinstance(item, dict) else item
        else:
            found.append(item)
    return found


@pytest.mark.parametrize("case", ["gen_tf2_*", "gen_dtypes_*", "gen_partitioned_*"])
def test_every_tensor_of_a_real_checkpoint_is_in_its_tree(case: str, cases: pathlib.Path) -> None:
    prefixes = sorted(str(path)[: -len(".index")] for path in cases.glob(f"{case}/**/*.index"))
    for prefix in prefixes:
        with tfsaver.load_checkpoint(prefix) as reader:
            names = [name for name in reader if name != OBJECT_GRAPH_KEY and not name.startswith("save_counter/")]
        loaded = tfsaver.load(prefix)
        assert len({id(array) for array in _arrays(loaded)}) == len(names), prefix
