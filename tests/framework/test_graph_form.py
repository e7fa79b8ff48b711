"""Which files hold graphs, told by their first bytes."""

import gzip
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from tfsaver import schemas
from tfsaver.framework.graph_fields import Field, fields
from tfsaver.framework.graph_form import HEAD_SIZE, GraphForm, recognize_graph


def graph_def(num_nodes=3):
    graph = schemas.GraphDef(versions={"producer": 1882})
    for index in range(num_nodes):
        node = graph.node.add(name=f"scope/x_{index}", op="Const")
        node.attr["dtype"].type = schemas.DT_FLOAT
        node.attr["value"].tensor.CopyFrom(
            schemas.TensorProto(dtype=schemas.DT_FLOAT, tensor_shape={"dim": [{"size": 2}]}, float_val=[1.5, index])
        )
    return graph


def meta_graph(num_nodes=3, **fields):
    return schemas.MetaGraphDef(graph_def=graph_def(num_nodes), **fields)


FULL_META_GRAPH = meta_graph(
    meta_info_def={"stripped_op_list": {"op": [{"name": "Const", "output_arg": [{"name": "output", "type_attr": "dtype"}]}]}},
    saver_def={"save_tensor_name": "save/Const:0"},
)
MESSAGES = {
    "GraphDef": [graph_def(), graph_def(0), graph_def(900)],
    "MetaGraphDef": [FULL_META_GRAPH, meta_graph(), meta_graph(900), schemas.MetaGraphDef(meta_info_def={"tags": ["serve"]})],
    "SavedModel": [
        schemas.SavedModel(saved_model_schema_version=1, meta_graphs=[FULL_META_GRAPH]),
        schemas.SavedModel(meta_graphs=[FULL_META_GRAPH, meta_graph()]),
    ],
}
ALL = [(kind, message) for kind, messages in MESSAGES.items() for message in messages]


@pytest.mark.parametrize(("kind", "message"), ALL)
def test_each_kind_is_recognized_in_both_forms(kind, message):
    assert recognize_graph(message.SerializeToString(deterministic=True)) == GraphForm(kind, is_text=False)
    text = text_format.MessageToString(message, descriptor_pool=schemas.DESCRIPTOR_POOL).encode()
    assert recognize_graph(text) == GraphForm(kind, is_text=True)
    assert recognize_graph(b"\xef\xbb\xbf# proto\n\n" + text) == GraphForm(kind, is_text=True)


@pytest.mark.parametrize(("kind", "message"), ALL)
def test_the_first_bytes_never_name_another_kind(kind, message):
    data = message.SerializeToString(deterministic=True)[:3000]
    found = [recognize_graph(data[:end]) for end in range(len(data) + 1)]
    # A MetaGraphDef's first message may begin like a GraphDef's for a few bytes.
    assert {form.kind for form in found[24:] if form is not None} <= {kind}
    assert all(form is not None for form in found[64:])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        b"<!DOCTYPE html><html>404</html>",
        gzip.compress(graph_def().SerializeToString()),
        b'model_checkpoint_path: "model.ckpt-1"\n',
        b"version: 3\nlibrary: none\nnode: yes\n",
        b'{"node": 1}',
        b"PK\x03\x04" + b"\0" * 60,
        schemas.SavedObjectGraph(nodes=[{"children": [{"node_id": 1, "local_name": "w"}]}]).SerializeToString(),
        schemas.FingerprintDef(saved_model_checksum=7, uuid="8").SerializeToString(),
        schemas.VariableDef(variable_name="w:0", initializer_name="w/Assign").SerializeToString(),
    ],
)
def test_other_files_are_not_graphs(data):
    assert recognize_graph(data) is None


def test_random_bytes_after_a_graph_are_not_read():
    data = graph_def(900).SerializeToString()
    assert len(data) > HEAD_SIZE // 2
    assert recognize_graph((data * 3)[:HEAD_SIZE] + b"\xff" * 100) == GraphForm("GraphDef", is_text=False)


def test_fields_are_those_of_the_schemas() -> None:
    kinds = {"double": "fixed64", "float": "fixed32", "string": "string", "bytes": "bytes"}
    expected: dict[str, dict[int, Field]] = {}

    def name_of(descriptor: Any) -> str:
        return str(descriptor.full_name).removeprefix("tensorflow.").removeprefix("google.protobuf.")

    def kind_of(field: Any) -> str:
        if field.message_type is not None:
            return name_of(field.message_type)
        # Names of types as protoc's language has them.
        types = {value.number: value.name.removeprefix("TYPE_").lower() for value in FieldDescriptorProto.Type.DESCRIPTOR.values}
        word = types[field.type].removeprefix("s")
        return kinds.get(types[field.type], word if word.startswith("fixed") else "")

    def walk(descriptor: Any, depth: int) -> None:
        expected[name_of(descriptor)] = {field.number: Field(field.name, kind_of(field)) for field in descriptor.fields}
        for field in descriptor.fields if depth else ():
            if field.message_type is not None:
                walk(field.message_type, depth - 1)

    for kind in ("SavedModel", "MetaGraphDef", "GraphDef"):
        walk(getattr(schemas, kind).DESCRIPTOR, 4)
    assert fields() == expected


def test_a_model_whose_node_has_no_operation_is_no_meta_graph() -> None:
    model = schemas.SavedModel()
    model.meta_graphs.add().graph_def.node.add(name="n").attr["f"].f = float("nan")
    assert recognize_graph(model.SerializeToString()) != GraphForm("MetaGraphDef", is_text=False)
