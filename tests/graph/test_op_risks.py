"""Operations that do more than compute are found, wherever a graph has them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.graph.conftest import Models
from tfsaver import schemas
from tfsaver.graph.node_builder import node, of_string, string_const
from tfsaver.graph.op_risk_table import Risk, risks_of
from tfsaver.graph.op_risks import scan


def kinds(op: str) -> set[Risk]:
    return {risk for risk, _ in risks_of(op)}


@pytest.mark.parametrize(
    ("op", "risks"),
    [
        ("ReadFile", {Risk.READS_FILES}),
        ("WriteFile", {Risk.WRITES_FILES}),
        ("PrintV2", {Risk.WRITES_FILES, Risk.PRINTS}),
        ("PyFunc", {Risk.RUNS_CODE}),
        ("EagerPyFunc", {Risk.RUNS_CODE}),
        ("PyFuncStateless", {Risk.RUNS_CODE}),
        ("MatchingFiles", {Risk.READS_FILES}),
        ("ExperimentalMatchingFilesDataset", {Risk.READS_FILES}),
        ("SqlDataset", {Risk.READS_FILES}),
        ("RestoreV2", {Risk.READS_FILES}),
        ("SaveV2", {Risk.WRITES_FILES}),
        ("SnapshotDatasetV2", {Risk.READS_FILES, Risk.WRITES_FILES}),
        ("DebugIdentityV3", {Risk.WRITES_FILES, Risk.NETWORK}),
        ("RpcCall", {Risk.NETWORK}),
        ("DataServiceDatasetV4", {Risk.NETWORK}),
        ("RemoteCall", {Risk.NETWORK}),
        ("CollectiveReduceV3", {Risk.NETWORK}),
        ("Abort", {Risk.STOPS}),
        ("ConfigureDistributedTPU", {Risk.HARDWARE}),
        ("TRTEngineOp", {Risk.RUNS_CODE}),
        ("Tokenizers>Split", {Risk.RUNS_CODE}),
        ("IO>KafkaReadable", {Risk.RUNS_CODE, Risk.NETWORK}),
        ("MatMul", set()),
        ("VarHandleOp", set()),
        ("TensorArrayReadV3", set()),
        ("ReadVariableOp", set()),
        ("Recvest", {Risk.RUNS_CODE}),
        ("_FusedConv2D", set()),
    ],
)
def test_an_operation_can_do_this(op: str, risks: set[Risk]) -> None:
    assert kinds(op) == risks


# Words in the names of operations that reach outside, and the operations with such words that do not.
_OUTSIDE = re.compile(
    r"File|Py[A-Z]|^Save|^Restore|Checkpoint|Record|Print|Writer|Rpc|Cloud|Big[QT]|Abort|Sql|SQL|LMDB|Service|Snapshot"
    r"|TRT|Sleep|CustomCall|Remote|Reader(Read|V2$)|Collective|Nccl|^_?(Send|Recv)$|DumpTensor|ImportEvent|Write.*Summary"
)
_INSIDE = re.compile(r"Reader(NumRecords|NumWork|Reset|Restore|Serialize)\w*|Snapshot|IdentityReaderV2|ShardedFile(name|spec)")


def test_no_operation_of_tensorflow_with_such_a_name_is_missed(models: Models) -> None:
    operations = (models.folder / "operations.txt").read_text().split()
    suspicious = {op for op in operations if _OUTSIDE.search(op) and not _INSIDE.fullmatch(op)}
    assert len(suspicious) > 60
    assert {op for op in suspicious if not risks_of(op)} == set()
    # The table is about exceptions.
    assert 100 < sum(bool(risks_of(op)) for op in operations) < len(operations) / 10


def test_a_function_is_searched_and_the_file_is_named() -> None:
    graph = schemas.GraphDef()
    function = graph.library.function.add(signature={"name": "inner"})
    function.node_def.extend([string_const("path", "/etc/passwd"), node("ReadFile", "read", ["path:output:0"])])
    (finding,) = scan(graph)
    assert (finding.place, finding.op, finding.risk) == ("inner/read", "ReadFile", Risk.READS_FILES)
    assert finding.values == ("/etc/passwd",) and not finding.is_expected
    assert str(finding) == "inner/read (ReadFile) reads files, any file by its name: '/etc/passwd'"


def signed_graph() -> schemas.MetaGraphDef:
    """A signature that computes `y` of `x`, and a node `y` that calls a function `body`, which calls `inner`."""
    meta_graph = schemas.MetaGraphDef()
    graph = meta_graph.graph_def
    graph.node.extend([node("Placeholder", "x"), node("PartitionedCall", "call", ["x"]), node("Identity", "y", ["call"])])
    graph.node[1].attr["f"].func.name = "body"
    body = graph.library.function.add(signature={"name": "body"})
    body.node_def.extend([node("inner", "step", ["a"])])
    graph.library.function.add(signature={"name": "inner"}).node_def.extend([node("Identity", "same", ["a"])])
    graph.library.function.add(signature={"name": "forgotten"})
    signature = meta_graph.signature_def["serving_default"]
    signature.inputs["x"].name, signature.outputs["y"].name = "x:0", "y:0"
    return meta_graph


def test_the_way_from_the_signature_to_a_node_is_told() -> None:
    meta_graph = signed_graph()
    assert scan(meta_graph).ok
    meta_graph.graph_def.library.function[1].node_def.extend([node("WriteFile", "write", ["a", "a"])])
    (finding,) = scan(meta_graph)
    assert finding.path == ("signature 'serving_default'", "y", "call", "body/step", "inner/write")
    assert str(finding).endswith("; reached by signature 'serving_default' > y > call > body/step")


def test_a_dead_node_is_apart_if_it_only_reads() -> None:
    meta_graph = signed_graph()
    meta_graph.graph_def.node.append(node("TFRecordDataset", "data"))
    meta_graph.graph_def.library.function[2].node_def.extend([node("ReadFile", "read", ["a"])])
    report = scan(meta_graph)
    assert report.ok and [(each.place, each.is_reached) for each in report] == [("data", False), ("forgotten/read", False)]
    meta_graph.graph_def.node.append(node("WriteFile", "write"))
    assert [each.place for each in scan(meta_graph) if each.counts] == ["write"]
    # The init op runs when the model is loaded.
    meta_graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "data"
    assert {each.place for each in scan(meta_graph) if each.counts} == {"data", "write"}


def test_what_is_fed_is_not_run() -> None:
    meta_graph = signed_graph()
    graph = meta_graph.graph_def
    graph.node.extend([node("ReadFile", "read"), node("IteratorGetNext", "next", ["read"])])
    graph.node[1].input.append("next:1")
    signature = meta_graph.signature_def["serving_default"]
    signature.inputs["z"].name = "next:1"
    assert scan(meta_graph).ok
    # Another output of the same node is run, and so is what a second signature does not feed.
    graph.node[1].input.append("next:0")
    assert not scan(meta_graph).ok
    del graph.node[1].input[-1]
    meta_graph.signature_def["all"].outputs["y"].name = "y:0"
    assert [each.path[0] for each in scan(meta_graph) if each.counts] == ["signature 'all'"]


def test_a_function_of_an_object_is_reached() -> None:
    meta_graph = signed_graph()
    meta_graph.graph_def.library.function[2].node_def.extend([node("ReadFile", "read", ["a"])])
    meta_graph.object_graph_def.concrete_functions["forgotten"].SetInParent()
    (finding,) = [each for each in scan(meta_graph) if each.counts]
    assert finding.path == ("function 'forgotten' of the objects", "forgotten/read")


def test_an_operation_outside_of_the_registry_is_native_code() -> None:
    meta_graph = signed_graph()
    meta_graph.graph_def.library.function[1].node_def.extend([node("ForestInferenceOp", "trees", ["a"])])
    (finding,) = scan(meta_graph)
    assert (finding.op, finding.risk, finding.counts) == ("ForestInferenceOp", Risk.RUNS_CODE, True)
    # Dead as it is, its library is loaded with the graph.
    meta_graph.graph_def.node[1].attr["f"].func.name = "forgotten"
    assert not scan(meta_graph).ok


def test_a_second_saver_is_expected_and_a_save_to_a_fixed_file_is_not() -> None:
    meta_graph = signed_graph()
    meta_graph.graph_def.node.extend(
        [
            string_const("save_1/filename/input", "model"),
            node("PlaceholderWithDefault", "save_1/filename", ["save_1/filename/input"]),
            node("PlaceholderWithDefault", "save_1/Const", ["save_1/filename"]),
            node("SaveV2", "save_1/SaveV2", ["save_1/Const"]),
            node("RestoreV2", "save_1/RestoreV2", ["save_1/Const"]),
        ]
    )
    assert scan(meta_graph).ok and all(each.is_expected for each in scan(meta_graph))
    meta_graph.graph_def.node.extend([string_const("fixed", "/srv/model"), node("SaveV2", "other", ["fixed"])])
    assert [each.place for each in scan(meta_graph) if each.counts] == ["other"]


def test_a_node_that_cannot_do_what_its_operation_can_is_not_accused() -> None:
    harmless = schemas.GraphDef(
        node=[
            node("PrintV2", "print", (), {"output_stream": of_string("stderr")}),
            node("DecodeProtoV2", "decode", (), {"descriptor_source": of_string("bytes://abc")}),
            node("EncodeProto", "encode", (), {"descriptor_source": of_string("local://")}),
            node("FixedUnigramCandidateSampler", "sample"),
            string_const("no_name", ""),
            node("CacheDatasetV2", "cache", ["data", "no_name", "handle"]),
        ]
    )
    assert [(each.place, each.risk) for each in scan(harmless)] == [("print", Risk.PRINTS)]
    harmful = schemas.GraphDef(
        node=[
            node("PrintV2", "print", (), {"output_stream": of_string("file:///tmp/x")}),
            node("DecodeProtoV2", "decode", (), {"descriptor_source": of_string("/tmp/x")}),
            node("FixedUnigramCandidateSampler", "sample", (), {"vocab_file": of_string("/tmp/x")}),
            string_const("name", "/tmp/x"),
            node("CacheDatasetV2", "cache", ["data", "name", "handle"]),
        ]
    )
    assert {each.place for each in scan(harmful) if each.risk is not Risk.PRINTS} == {"print", "decode", "sample", "cache"}


def test_a_savers_own_nodes_are_expected_and_others_are_not(models: Models) -> None:
    meta_graph = models.meta_graph("reference")
    meta_graph.graph_def.node.append(node("WriteFile", "smuggled"))
    meta_graph.graph_def.node.append(node("RestoreV2", "other", ["save/Const"]))
    next(each for each in meta_graph.graph_def.node if each.name == "save/restore_all").input.append("^smuggled")
    unexpected = {each.place for each in scan(meta_graph) if not each.is_expected}
    assert unexpected == {"smuggled", "other"}
    assert {each.op for each in scan(meta_graph) if each.is_expected} == {"SaveV2", "RestoreV2"}


def test_a_vocabulary_among_the_assets_is_expected(read_meta_graphs: Callable[[str], list[Any]]) -> None:
    (meta_graph,) = read_meta_graphs("sm_tfx_estimator_serving/1584391735/saved_model.pb")
    tables = [each for each in scan(meta_graph) if each.op.startswith("InitializeTable")]
    assert tables and all(each.is_expected for each in tables)
    del meta_graph.collection_def["saved_model_assets"], meta_graph.asset_file_def[:]
    assert not any(each.is_expected for each in scan(meta_graph) if each.op.startswith("InitializeTable"))


def test_a_layer_of_python_code_is_found() -> None:
    meta_graph = schemas.MetaGraphDef()
    meta_graph.object_graph_def.nodes.add().user_object.metadata = '{"class_name": "Dense"}'
    layer = meta_graph.object_graph_def.nodes.add().user_object
    layer.identifier, layer.metadata = "_tf_keras_layer", '{"name": "x", "class_name": "Lambda", "config": {}}'
    (finding,) = scan(meta_graph)
    assert finding.values == ("x",)
    assert (finding.risk, finding.place, finding.op) == (Risk.RUNS_CODE, "object 1", "_tf_keras_layer")


def test_real_models_are_mostly_harmless(every_meta_graph: dict[str, Any]) -> None:
    unexpected = {
        label: {each.op for each in scan(meta_graph) if not each.is_expected}
        for label, meta_graph in every_meta_graph.items()
    }
    assert unexpected["sm_tf_half_plus_two/00000123/saved_model.pb#0"] == set()
    assert unexpected["gen_partitioned_v2_sharded/model.ckpt-1.meta#0"] == set()
    assert unexpected["sm_trt_variablev2/saved_model.pb#0"] == set()
    # Trained graphs read their data, and what they were warm-started from.
    assert {"MatchingFiles", "TFRecordDataset", "RestoreV2"} <= unexpected["v2_tfx_estimator_ckpt/model.ckpt-1000.meta#0"]


def test_escaped_class_name_does_not_hide_a_layer_of_python_code():
    meta_graph = schemas.MetaGraphDef()
    node = meta_graph.object_graph_def.nodes.add()
    node.user_object.identifier = "_tf_keras_layer"
    node.user_object.metadata = '{"class_name": "\\u004cambda"}'
    assert [finding.risk for finding in scan(meta_graph)] == [Risk.RUNS_CODE]


def test_graph_in_a_string_is_code():
    graph = schemas.GraphDef(node=[schemas.NodeDef(name="hidden", op="DatasetFromGraph")])
    assert [finding.risk for finding in scan(graph)] == [Risk.RUNS_CODE]
