"""What gives tables and local variables their content at start goes along, or is refused by name; graphs written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.saved_model.graphs import node
from tfsaver import schemas
from tfsaver.compat.export import export_saved_model
from tfsaver.errors import InvalidArgumentError, NotFoundError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.graph.freezing import freeze_graph
from tfsaver.graph.lint import lint
from tfsaver.graph.node_builder import array_const, of_type, string_const, strings_const
from tfsaver.saved_model.loader import load_saved_model

STRING, LONG = of_type(schemas.DT_STRING), of_type(schemas.DT_INT64)
TYPES = {"key_dtype": STRING, "value_dtype": LONG}
FILL = {"Tin": STRING, "Tout": LONG}


def longs(name: str, *values: int) -> schemas.NodeDef:
    return array_const(name, np.array(values, np.int64), dtypes.from_data_type(schemas.DT_INT64))


def lookup(table_op: str, *nodes: schemas.NodeDef) -> schemas.GraphDef:
    """A table "T" that is looked up, constants to fill it with, and `nodes`."""
    given = [
        node("Placeholder", "words", dtype=STRING),
        node(table_op, "T", **TYPES),
        longs("default", -1),
        node("LookupTableFindV2", "found", ["T", "words", "default"], **FILL),
        strings_const("keys", ["a", "b"]),
        longs("values", 1, 2),
    ]
    return schemas.GraphDef(versions=schemas.VersionDef(producer=134), node=[*given, *nodes])


def fill(op: str, name: str, keys: str = "keys", values: str = "values") -> schemas.NodeDef:
    types = {"Tkey": STRING, "Tval": LONG} if op == "InitializeTableV2" else FILL
    return node(op, name, ["T", keys, values], **types)


def export(tmp_path: Path, graph: Any, **options: Any) -> schemas.MetaGraphDef:
    path = export_saved_model(graph, tmp_path / "export", durable=False, **{"variables": {}, "outputs": ["found"], **options})
    with load_saved_model(path) as model:
        return model.meta_graphs[0].proto


def init_op(meta_graph: Any) -> str:
    (name,) = meta_graph.collection_def["saved_model_main_op"].node_list.value
    return str(name)


@pytest.mark.parametrize(
    ("table_op", "op"),
    [
        ("HashTableV2", "InitializeTableV2"),
        ("HashTableV2", "LookupTableImportV2"),
        ("MutableHashTableV2", "LookupTableImportV2"),
        ("MutableHashTableV2", "LookupTableInsertV2"),
    ],
)
def test_what_fills_a_table_from_constants_is_the_init_op(tmp_path: Path, table_op: str, op: str) -> None:
    assert init_op(export(tmp_path, lookup(table_op, fill(op, "fill")))) == "fill"
    assert {each.op for each in freeze_graph(lookup(table_op, fill(op, "fill")), {}, ["found"]).node} >= {op, "Const"}


@pytest.mark.parametrize("table_op", ["HashTableV2", "MutableHashTableV2"])
def test_a_table_that_nothing_fills_is_refused_by_name(tmp_path: Path, table_op: str) -> None:
    message = f"table 'T' \\({table_op}\\) is needed and has no content .* nothing in the graph fills it.*empty_tables=\\['T'\\]"
    with pytest.raises(InvalidArgumentError, match=message):
        export(tmp_path, lookup(table_op))
    with pytest.raises(InvalidArgumentError, match=message):
        freeze_graph(lookup(table_op), {}, ["found"])
    assert freeze_graph(lookup(table_op), {}, ["found"], empty_tables=["T"]).node


def test_a_table_that_may_be_empty_is_named(tmp_path: Path) -> None:
    meta_graph = export(tmp_path, lookup("MutableHashTableV2"), empty_tables=["T"])
    assert "saved_model_main_op" not in meta_graph.collection_def


def test_a_mutable_table_that_requests_fill_begins_empty(tmp_path: Path) -> None:
    fed = [node("Placeholder", "new", dtype=STRING), node("Placeholder", "ids", dtype=LONG), fill("LookupTableInsertV2", "add", "new", "ids")]
    graph = lookup("MutableHashTableV2", *fed, node("Identity", "echo", ["ids", "^add"], T=LONG))
    with pytest.raises(InvalidArgumentError, match="only LookupTableInsertV2 'add', which needs a feed or a checkpoint"):
        export(tmp_path, graph)
    assert export(tmp_path, graph, signatures={"add": {"outputs": ["echo"]}})


def test_inserts_whose_order_matters_are_refused(tmp_path: Path) -> None:
    apart = [strings_const("more", ["c"]), longs("three", 3), fill("LookupTableInsertV2", "second", "more", "three")]
    graph = lookup("MutableHashTableV2", fill("LookupTableInsertV2", "first"), *apart)
    group = next(each for each in export(tmp_path, graph).graph_def.node if each.name == "init_all")
    assert list(group.input) == ["^first", "^second"]
    again = [strings_const("again", ["b"]), longs("five", 5), fill("LookupTableInsertV2", "second", "again", "five")]
    graph = lookup("MutableHashTableV2", fill("LookupTableInsertV2", "first"), *again)
    with pytest.raises(InvalidArgumentError, match="'T': the graph does not say .* 'first', LookupTableInsertV2 'second'.*init_op="):
        export(tmp_path / "again", graph)
    assert init_op(export(tmp_path / "again", graph, init_op="first")) == "first"


def test_a_table_in_a_checkpoint_without_variables_is_filled_from_constants(tmp_path: Path) -> None:
    values = {"T-keys": np.array([b"x"], object), "T-values": np.array([7], np.int64)}
    meta_graph = export(tmp_path, lookup("MutableHashTableV2"), variables=values)
    nodes = {each.name: each for each in meta_graph.graph_def.node}
    assert list(nodes[init_op(meta_graph)].input) == ["T", "T/keys", "T/values"]
    assert nodes["T/keys"].attr["value"].tensor.string_val == [b"x"]
    frozen = {each.name: each for each in freeze_graph(lookup("MutableHashTableV2"), values, ["found"]).node}
    assert frozen["T/fill"].op == "LookupTableImportV2"


def test_a_table_waits_for_the_local_variable_that_holds_its_keys(tmp_path: Path) -> None:
    local = [
        node("VariableV2", "local", dtype=STRING, shape=schemas.AttrValue(shape={})),
        strings_const("first", ["p", "q"]),
        node("Assign", "local/Assign", ["local", "first"], T=STRING),
        node("Identity", "local/read", ["local"], T=STRING),
        fill("LookupTableImportV2", "fill", "local/read"),
    ]
    meta_graph = schemas.MetaGraphDef(graph_def=lookup("HashTableV2", *local))
    definition = schemas.VariableDef(variable_name="local:0", initializer_name="local/Assign", snapshot_name="local/read:0")
    meta_graph.collection_def["local_variables"].bytes_list.value.append(definition.SerializeToString())
    exported = export(tmp_path, meta_graph)
    nodes = {each.name: each for each in exported.graph_def.node}
    group = nodes[init_op(exported)]
    assert list(group.input) == ["^local/Assign", "^init_in_order/fill"]
    assert list(nodes["init_in_order/fill"].input) == ["T", "init_in_order/local/read", "values"]
    assert list(nodes["init_in_order/local/read"].input) == ["local", "^local/Assign"]
    frozen = {each.name: each for each in freeze_graph(meta_graph, {}, ["found"]).node}
    assert frozen["local"].op == "Identity" and list(frozen["local"].input) == ["first"]
    with pytest.raises(NotFoundError, match="no value for 1 .*'local'"):
        export(tmp_path / "graph", meta_graph.graph_def)


def test_initializers_that_wait_for_each_other_are_refused(tmp_path: Path) -> None:
    second = [
        node("HashTableV2", "U", **TYPES),
        node("LookupTableFindV2", "of_u", ["U", "keys", "default"], **FILL),
        node("LookupTableFindV2", "of_t", ["T", "keys", "default"], **FILL),
        node("LookupTableImportV2", "fill_u", ["U", "keys", "of_t"], **FILL),
        fill("LookupTableImportV2", "fill", "keys", "of_u"),
    ]
    with pytest.raises(InvalidArgumentError, match="wait for each other: 'fill', 'fill_u'"):
        export(tmp_path, lookup("HashTableV2", *second))


def test_another_resource_is_refused_by_name_unless_the_init_op_fills_it(tmp_path: Path) -> None:
    trees = schemas.GraphDef(
        node=[
            node("BoostedTreesEnsembleResourceHandleOp", "trees"),
            node("SomebodysPrediction", "found", ["trees"]),
            node("SomebodysCreation", "create", ["trees"]),
        ]
    )
    info = schemas.TensorInfo(name="found:0", dtype=schemas.DT_FLOAT)
    signatures = {"serving_default": {"inputs": {}, "outputs": {"found": info}}}
    with pytest.raises(UnimplementedError, match="BoostedTreesEnsembleResourceHandleOp 'trees' is needed, and its content"):
        export(tmp_path, trees, outputs=None, signatures=signatures)
    assert init_op(export(tmp_path, trees, outputs=None, signatures=signatures, init_op="create")) == "create"


def from_file(path: schemas.NodeDef, *nodes: schemas.NodeDef) -> schemas.GraphDef:
    columns = {"key_index": schemas.AttrValue(i=-2), "value_index": schemas.AttrValue(i=-1)}
    return lookup("HashTableV2", path, *nodes, node("InitializeTableFromTextFileV2", "fill", ["T", path.name], **columns))


def test_a_path_in_a_variable_becomes_an_asset(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\n")
    variable = node("VariableV2", "path", dtype=STRING, shape=schemas.AttrValue(shape={}))
    graph = from_file(node("Identity", "path/read", ["path"], T=STRING), variable)
    values = {"path": np.array(str(tmp_path / "words.txt").encode(), object)}
    exported = export(tmp_path, graph, variables=values)
    assert [(each.filename, each.tensor_info.name) for each in exported.asset_file_def] == [("words.txt", "path/path:0")]
    assert not {each.op for each in exported.graph_def.node} & {"VariableV2"}
    moved = export(tmp_path / "moved", graph, variables={"path": np.array(b"/gone", object)}, assets={"path:0": str(tmp_path / "words.txt")})
    assert [each.filename for each in moved.asset_file_def] == ["words.txt"]
    with pytest.raises(NotFoundError, match="no file at '/gone'; say where it is now with assets="):
        export(tmp_path / "gone", graph, variables={"path": np.array(b"/gone", object)})


def test_a_path_that_is_computed_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\n")
    graph = from_file(node("StringLower", "lower", ["NAME"]), string_const("NAME", "WORDS.TXT"))
    with pytest.raises(InvalidArgumentError, match="'fill' reads a file whose path comes from StringLower 'lower'.*assets={'lower:0'"):
        export(tmp_path, graph)
    exported = export(tmp_path, graph, assets={"lower:0": str(tmp_path / "words.txt")})
    assert [each.filename for each in exported.asset_file_def] == ["words.txt"]


def test_lint_names_a_file_that_is_none_of_the_assets() -> None:
    meta_graph = schemas.MetaGraphDef(graph_def=from_file(string_const("path", "/home/me/words.txt")))
    meta_graph.signature_def["s"].outputs["found"].name = "found:0"
    meta_graph.signature_def["s"].inputs["words"].name = "words:0"
    meta_graph.collection_def["saved_model_main_op"].node_list.value.append("fill")
    assert [str(each) for each in lint(meta_graph) if each.code == "outside-file"] == [
        "warning: fill: reads the file '/home/me/words.txt', which is none of the assets [outside-file]"
    ]
    meta_graph.asset_file_def.add(filename="words.txt").tensor_info.name = "path:0"
    assert not [each for each in lint(meta_graph) if each.code == "outside-file"]
