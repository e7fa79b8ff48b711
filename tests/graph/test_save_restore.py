"""The Saver's nodes are those that TensorFlow makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.graph.conftest import Models
from tests.plugins.exhaustive import is_exhaustive
from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.save_restore import saver_nodes, with_saver
from tfsaver.graph.variables import find_variables


def variable(name: str, **fields: Any) -> GraphVariable:
    whole: dict[str, Any] = {"node": name, "dtype": dtypes.from_name("float32"), "shape": (2,), "is_resource": True}
    return GraphVariable(name=name, **{**whole, **fields})


def split(meta_graph: Any) -> tuple[Any, dict[str, Any]]:
    """A graph without its Saver, and the Saver's nodes without the shapes of what they give."""
    bare = schemas.MetaGraphDef()
    bare.CopyFrom(meta_graph)
    bare.ClearField("saver_def")
    del bare.graph_def.node[:]
    nodes = {}
    for node in meta_graph.graph_def.node:
        if not node.name.startswith("save/"):
            bare.graph_def.node.append(node)
            continue
        copy = schemas.NodeDef()
        copy.CopyFrom(node)
        copy.attr.pop("_output_shapes", None)
        nodes[copy.name] = copy
    return bare, nodes


def test_every_node_is_the_one_that_tensorflow_makes(savers: tuple[str, Path]) -> None:
    version, folder = savers
    paths = sorted(folder.glob("*.meta"))
    assert len(paths) == (72 if is_exhaustive() else 24)
    for path in paths:
        meta_graph = schemas.MetaGraphDef.FromString(path.read_bytes())
        bare, theirs = split(meta_graph)
        _, _, sharded, reshape, format_ = path.stem.split("-")
        # TensorFlow 1.15 names the shards by a random number.
        random = theirs.get("save/StringJoin/inputs_1")
        nodes, saver_def = saver_nodes(
            find_variables(bare),
            flavour=version,
            format=format_,
            sharded=sharded == "sharded",
            reshape=reshape == "reshape",
            max_to_keep=3,
            sharded_names=random.attr["value"].tensor.string_val[0].decode() if random else "_temp/part",
        )
        assert [node.name for node in nodes] == list(theirs), path.stem
        for node in nodes:
            assert node == theirs[node.name], path.stem
        assert saver_def == meta_graph.saver_def


def test_variables_are_the_same_with_and_without_the_savers_nodes(savers: tuple[str, Path]) -> None:
    _, folder = savers
    for path in folder.glob("*.meta"):
        meta_graph = schemas.MetaGraphDef.FromString(path.read_bytes())
        bare, _ = split(meta_graph)
        assert find_variables(meta_graph) == find_variables(bare)
        without_definitions = find_variables(meta_graph.graph_def)
        assert [(each.name, each.shape_and_slice) for each in without_definitions] == [
            (each.name, each.shape_and_slice) for each in find_variables(bare)
        ]


def test_names_are_sorted_and_parts_stay_in_order() -> None:
    parts = [
        variable("b", node=f"b/part_{at}", full_shape=(4,), tensor_slice=TensorSlice(((2 * at, 2),))) for at in (1, 0)
    ]
    nodes, _ = saver_nodes([variable("c"), *parts, variable("a")])
    by_name = {node.name: node for node in nodes}
    names = by_name["save/RestoreV2/tensor_names"].attr["value"].tensor.string_val
    slices = by_name["save/RestoreV2/shape_and_slices"].attr["value"].tensor.string_val
    assert list(names) == [b"a", b"b", b"b", b"c"]
    assert list(slices) == [b"", b"4 2,2", b"4 0,2", b""]


def test_a_resource_that_nobody_reads_is_read_to_be_saved() -> None:
    nodes, _ = saver_nodes([variable("a")])
    read = next(node for node in nodes if node.op == "ReadVariableOp")
    assert (read.name, list(read.input)) == ("save/Read/ReadVariableOp", ["a"])


def test_no_scope_puts_the_nodes_at_the_root() -> None:
    nodes, saver_def = saver_nodes([variable("a")], scope="")
    assert saver_def.restore_op_name == "restore_all" and saver_def.filename_tensor_name == "Const:0"
    assert "filename/input" in {node.name for node in nodes}


@pytest.mark.parametrize(
    ("variables", "options", "message"),
    [
        ([], {}, "no variables"),
        ([variable("a"), variable("a", node="b")], {}, "two variables for 'a'"),
        ([variable("")], {}, "empty name"),
        ([variable("a")], {"flavour": "2.0"}, "flavour '2.0'"),
        ([variable("a")], {"format": "v3"}, "format 'v3'"),
        ([variable("a", shape=None)], {"reshape": True}, "must be known"),
        ([variable("a", shape=(2, None))], {"reshape": True}, "must be known"),
        ([variable("a", device="/somewhere/else:0:0")], {"sharded": True}, "no part of a device"),
        (
            [variable("a"), variable("a", node="b", full_shape=(4,), tensor_slice=TensorSlice(((0, 2),)))],
            {},
            "whole tensor and a part",
        ),
    ],
)
def test_what_no_saver_can_be_is_said(variables: list[GraphVariable], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        saver_nodes(variables, **options)


def test_a_new_saver_takes_the_next_free_scope_and_changes_nothing_else(savers: tuple[str, Path]) -> None:
    _, folder = savers
    meta_graph = schemas.MetaGraphDef.FromString((folder / "nowhere-mixed-unsharded-plain-v2.meta").read_bytes())
    before = meta_graph.SerializeToString(deterministic=True)
    changed = with_saver(meta_graph, find_variables(meta_graph)[:2], sharded=True)
    assert meta_graph.SerializeToString(deterministic=True) == before
    assert changed.saver_def.restore_op_name == "save_1/restore_all"
    added = changed.graph_def.node[len(meta_graph.graph_def.node) :]
    assert added and all(node.name.startswith("save_1/") for node in added)


def test_a_saver_of_no_variables_is_none() -> None:
    meta_graph = schemas.MetaGraphDef(saver_def=schemas.SaverDef(restore_op_name="gone"))
    assert not with_saver(meta_graph, []).HasField("saver_def")


def test_a_saver_of_a_variable_from_elsewhere_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'a' is not in the graph"):
        with_saver(schemas.MetaGraphDef(), [variable("a")])


def test_a_reference_beside_another_is_assigned_beside_it() -> None:
    slot = dataclasses.replace(variable("m"), is_resource=False, colocation=(b"loc:@v",))
    assign = next(node for node in saver_nodes([slot]).nodes if node.op == "Assign")
    assert list(assign.attr["_class"].list.s) == [b"loc:@v"]


def test_tensorflow_restores_and_saves_with_our_savers(models: Models, tmp_path: Path) -> None:
    graphs, jobs = {}, []
    savers = [("resource", sharded, format_, "1.15") for sharded in (False, True) for format_ in ("v1", "v2")]
    savers += [("reference", True, "v2", "1.15"), ("reference", False, "v1", "1.15")]
    if models.version != "1.15":
        savers += [("resource", True, "v2", "2.21"), ("reference", True, "v1", "2.21")]
    for name, sharded, format_, flavour in savers:
        whole = models.meta_graph(name)
        label = f"{name}-{sharded}-{format_}-{flavour}"
        graphs[f"{label}.meta"] = with_saver(
            whole, find_variables(whole), sharded=sharded, format=format_, flavour=flavour
        )
        jobs.append(
            {
                "graph": f"{label}.meta",
                "feeds": {},
                "fetches": [],
                "restore": models.prefix(name),
                "save": str(tmp_path / label),
            }
        )
    assert models.run(tmp_path, graphs, jobs) == [[] for _ in jobs]
    for job in jobs:
        with load_checkpoint(job["restore"]) as theirs, load_checkpoint(job["save"]) as ours:
            assert ours.names == theirs.names
            assert ours.version == ("V1" if "-v1-" in job["graph"] else "V2")
            for key in theirs:
                np.testing.assert_array_equal(ours[key], theirs[key])
