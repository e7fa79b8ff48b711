"""The messages: their names, what they hold on the wire, and the privacy of their pool."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import descriptor_pool, text_format, wrappers_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tfsaver import schemas

_PACKAGE = pathlib.Path(schemas.__file__).parent
_ROOT = _PACKAGE.parents[1]


def _run(script: str, *, environment: dict[str, str] | None = None) -> str:
    process = subprocess.run(
        [sys.executable, "-c", script],
        cwd=_ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def _message_classes() -> Iterator[type]:
    for namespace in (schemas, schemas.proto_splitter):
        for name in dir(namespace):
            message_class = getattr(namespace, name)
            if isinstance(getattr(message_class, "DESCRIPTOR", None), Descriptor):
                yield message_class
                yield from _nested_classes(message_class)


def _nested_classes(message_class: Any) -> Iterator[type]:
    for nested in message_class.DESCRIPTOR.nested_types:
        if not nested.GetOptions().map_entry:
            yield getattr(message_class, nested.name)
            yield from _nested_classes(getattr(message_class, nested.name))


_CLASSES = {message_class.DESCRIPTOR.full_name: message_class for message_class in _message_classes()}

_SCALARS = {
    FieldDescriptor.CPPTYPE_INT32: -3,
    FieldDescriptor.CPPTYPE_INT64: -(2**40),
    FieldDescriptor.CPPTYPE_UINT32: 2**32 - 1,
    FieldDescriptor.CPPTYPE_UINT64: 2**64 - 1,
    FieldDescriptor.CPPTYPE_DOUBLE: 0.1,
    FieldDescriptor.CPPTYPE_FLOAT: 1.5,
    FieldDescriptor.CPPTYPE_BOOL: True,
}


def _scalar(field: FieldDescriptor) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return "naïve" if field.type == FieldDescriptor.TYPE_STRING else b"\x00\xff"
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return field.enum_type.values[-1].number
    return _SCALARS[field.cpp_type]


def _fill(message: Any, depth: int = 3) -> Any:
    """Sets every field, of a oneof the last, down to some depth."""
    for field in message.DESCRIPTOR.fields:
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        target = getattr(message, field.name)
        if is_map:
            key, value = field.message_type.fields
            if value.message_type is None:
                target[_scalar(key)] = _scalar(value)
            elif depth:
                _fill(target[_scalar(key)], depth - 1)
        elif hasattr(target, "add"):
            if depth:
                _fill(target.add(), depth - 1)
        elif hasattr(target, "append"):
            target.extend([_scalar(field)] * 2)
        elif field.message_type is None:
            if message.DESCRIPTOR.full_name != "google.protobuf.Any":
                setattr(message, field.name, _scalar(field))
        elif depth:
            target.SetInParent()
            _fill(target, depth - 1)
    return message


def test_all_messages_are_reached_by_their_names():
    assert len(_CLASSES) > 80
    assert "tensorflow.TrackableObjectGraph.TrackableObject.ObjectReference" in _CLASSES
    assert "tensorflow.proto_splitter.FieldIndex.MapKey" in _CLASSES
    for name, message_class in _CLASSES.items():
        assert message_class.DESCRIPTOR is schemas.DESCRIPTOR_POOL.FindMessageTypeByName(name)


@pytest.mark.parametrize("name", sorted(_CLASSES))
def test_filled_message_survives_bytes_and_text(name):
    message = _fill(_CLASSES[name]())
    data = message.SerializeToString(deterministic=True)
    assert bool(data) is bool(message.DESCRIPTOR.fields)
    assert _CLASSES[name].FromString(data) == message
    text = text_format.MessageToString(message)
    assert text_format.Parse(text, _CLASSES[name](), descriptor_pool=schemas.DESCRIPTOR_POOL) == message


def test_class_is_made_once():
    assert schemas.BundleEntryProto is schemas.BundleEntryProto
    assert type(schemas.BundleEntryProto().shape) is schemas.TensorShapeProto


def test_enums_have_names_and_constants():
    assert schemas.DT_FLOAT == 1
    assert schemas.DT_FLOAT4_E2M1FN == 33
    assert schemas.DataType.Value("DT_HALF") == 19
    assert schemas.DataType.Name(schemas.DT_BFLOAT16) == "DT_BFLOAT16"
    assert schemas.VARIABLE_AGGREGATION_ONLY_FIRST_REPLICA == 3
    assert schemas.BundleHeaderProto.BIG == schemas.BundleHeaderProto.Endianness.Value("BIG") == 1
    assert schemas.SaverDef.CheckpointFormatVersion.keys() == ["LEGACY", "V1", "V2"]


def test_every_type_has_its_reference_twin():
    plain = {name: number for name, number in schemas.DataType.items() if not name.endswith("_REF")}
    twins = {name: number for name, number in schemas.DataType.items() if name.endswith("_REF")}
    assert twins == {f"{name}_REF": number + 100 for name, number in plain.items() if number}


def test_other_packages_are_namespaces():
    assert schemas.proto_splitter.VersionDef is not schemas.VersionDef
    assert schemas.proto_splitter.VersionDef(splitter_version=1).SerializeToString() == b"\x08\x01"
    assert schemas.error.Code.Name(schemas.error.DATA_LOSS) == "DATA_LOSS"
    assert schemas.protobuf.BoolValue(value=True).SerializeToString() == b"\x08\x01"
    assert "ChunkMetadata" in dir(schemas.proto_splitter)
    assert repr(schemas.proto_splitter) == "<schemas of package tensorflow.proto_splitter>"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'tfsaver.schemas' has no message or enum 'BundelEntryProto'"):
        schemas.BundelEntryProto  # noqa: B018
    with pytest.raises(AttributeError, match=r"package 'tensorflow.proto_splitter' has no message or enum 'GraphDef'"):
        schemas.proto_splitter.GraphDef  # noqa: B018
    with pytest.raises(ImportError):
        exec("from tfsaver.schemas import BundelEntryProto")


def test_dir_lists_messages_enums_and_constants():
    names = dir(schemas)
    assert names == sorted(names)
    assert {"SavedTensorSlices", "DataType", "DT_STRING", "proto_splitter", "error", "DESCRIPTOR_POOL"} <= set(names)


def test_header_has_the_bytes_of_every_v2_index():
    header = schemas.BundleHeaderProto(num_shards=1, version=schemas.VersionDef(producer=1))
    assert header.SerializeToString() == bytes.fromhex("08 01 1a 02 08 01")


def test_scalar_entry_has_a_shape_without_dims():
    entry = schemas.BundleEntryProto(dtype=schemas.DT_FLOAT, shape={}, size=4, crc32c=0xA7E12F5E)
    assert entry.SerializeToString() == bytes.fromhex("08 01 12 00 28 04 35 5e2fe1a7")


def test_extent_of_length_zero_is_not_everything():
    everything = schemas.TensorSliceProto.Extent()
    nothing = schemas.TensorSliceProto.Extent(length=0)
    assert not everything.HasField("length")
    assert nothing.HasField("length")
    assert (everything.SerializeToString(), nothing.SerializeToString()) == (b"", b"\x10\x00")


def test_repeated_numbers_are_packed():
    assert schemas.TensorProto(int_val=[1, 2, 3]).SerializeToString() == b"\x3a\x03\x01\x02\x03"
    trace = schemas.GraphDebugInfo.StackTrace(frame_id=[1])
    assert trace.SerializeToString() == b"\x12\x08" + (1).to_bytes(8, "little")


def test_unpacked_numbers_are_read_too():
    assert list(schemas.TensorProto.FromString(b"\x38\x01\x38\x02").int_val) == [1, 2]


def test_proto2_file_tells_zero_from_absent():
    assert not schemas.GraphDebugInfo.FileLineCol().HasField("line")
    assert schemas.GraphDebugInfo.FileLineCol(line=0).SerializeToString() == b"\x10\x00"


def test_field_that_only_another_release_knows_is_carried_along():
    # SerializedTensor.optional_restore, which TensorFlow 1.15 writes.
    data = b"\x0a\x01v\x20\x01"
    assert schemas.TrackableObjectGraph.TrackableObject.SerializedTensor.FromString(data).SerializeToString() == data


def test_any_packs_under_tensorflows_name():
    asset = schemas.AssetFileDef(filename="vocabulary.txt")
    collection = schemas.CollectionDef()
    packed = collection.any_list.value.add()
    packed.Pack(asset)
    assert packed.type_url == "type.googleapis.com/tensorflow.AssetFileDef"
    assert packed.Is(schemas.AssetFileDef.DESCRIPTOR)
    unpacked = schemas.AssetFileDef()
    assert packed.Unpack(unpacked)
    assert unpacked == asset


def test_text_format_spells_out_an_any():
    collection = schemas.CollectionDef()
    collection.any_list.value.add().Pack(schemas.AssetFileDef(filename="vocabulary.txt"))
    text = text_format.MessageToString(collection, descriptor_pool=schemas.DESCRIPTOR_POOL, as_one_line=True)
    expected = 'any_list { value { [type.googleapis.com/tensorflow.AssetFileDef] { filename: "vocabulary.txt" } } }'
    assert text == expected
    parsed = text_format.Parse(text, schemas.CollectionDef(), descriptor_pool=schemas.DESCRIPTOR_POOL)
    assert parsed.SerializeToString() == collection.SerializeToString()


def test_maps_behave_like_dicts():
    meta_graph = schemas.MetaGraphDef()
    meta_graph.collection_def["trainable_variables"].bytes_list.value.append(b"v")
    meta_graph.meta_info_def.function_aliases["f"] = "g"
    copy = schemas.MetaGraphDef.FromString(meta_graph.SerializeToString())
    assert list(copy.collection_def) == ["trainable_variables"]
    assert copy.collection_def["trainable_variables"].WhichOneof("kind") == "bytes_list"
    assert dict(copy.meta_info_def.function_aliases) == {"f": "g"}


def test_messages_of_another_pool_cross_as_bytes_only():
    foreign = wrappers_pb2.BoolValue(value=True)
    own = schemas.protobuf.BoolValue
    assert own is not wrappers_pb2.BoolValue
    with pytest.raises(TypeError):
        own().CopyFrom(foreign)
    assert own.FromString(foreign.SerializeToString()).value is True


def test_pool_is_not_the_default_one():
    assert schemas.DESCRIPTOR_POOL is not descriptor_pool.Default()
    script = """
from google.protobuf import descriptor_pool
from tfsaver import schemas
schemas.MetaGraphDef().graph_def.node.add()
try:
    descriptor_pool.Default().FindMessageTypeByName("tensorflow.MetaGraphDef")
except KeyError:
    print("private")
"""
    assert _run(script) == "private\n"


def test_import_loads_protobuf_alone_and_makes_no_class():
    script = """
import sys
from tfsaver import schemas
heavy = {"numpy", "ml_dtypes", "tensorflow", "grpc", "grpc_tools"}
heavy |= {"importlib.resources", "google.protobuf.descriptor_pb2"}
print(sorted(heavy & set(sys.modules)))
print([name for name in ("BundleEntryProto", "DataType", "DT_FLOAT") if name in vars(schemas)])
"""
    loaded, made = _run(script).splitlines()
    # protobuf's implementation in Python describes messages by messages; only the one in C can do without.
    assert loaded in ("[]", "['google.protobuf.descriptor_pb2']")
    assert made == "[]"


def test_pure_python_protobuf_works_too():
    script = """
from google.protobuf.internal import api_implementation
from tfsaver import schemas
entry = schemas.BundleEntryProto(dtype=schemas.DT_FLOAT, shape={"dim": [{"size": 3}]})
entry.slices.add().extent.append(schemas.TensorSliceProto.Extent(length=0))
reference = schemas.TrackableObjectGraph.TrackableObject.ObjectReference(node_id=1)
meta_graph = schemas.MetaGraphDef()
meta_graph.collection_def["assets"].any_list.value.add().Pack(schemas.AssetFileDef(filename="x"))
asset = schemas.AssetFileDef()
meta_graph = schemas.MetaGraphDef.FromString(meta_graph.SerializeToString())
assert meta_graph.collection_def["assets"].any_list.value[0].Unpack(asset)
print(api_implementation.Type(), entry.SerializeToString().hex(), reference.node_id, asset.filename)
endianness = schemas.BundleHeaderProto.Endianness.Name(schemas.BundleHeaderProto.BIG)
print(endianness, schemas.proto_splitter.ChunkInfo.Type.Name(2))
"""
    output = _run(script, environment={"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"})
    assert output == "python 0801120412020803" + "3a040a021000" + " 1 x\nBIG BYTES\n"


@pytest.mark.parametrize(
    "order", ["schemas, tensorflow", pytest.param("tensorflow, schemas", marks=pytest.mark.exhaustive)]
)
def test_tensorflow_in_the_same_process_is_no_conflict(order):
    imports = {"schemas": "from tfsaver import schemas", "tensorflow": "import tensorflow as tf"}
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs tensorflow: pip install 'tfsaver[tensorflow]'")
    script = (
        "\n".join(imports[name] for name in order.split(", "))
        + """
theirs = tf.compat.v1.MetaGraphDef()
theirs.collection_def["c"].any_list.value.add().Pack(tf.compat.v1.MetaGraphDef().asset_file_def.add(filename="x"))
ours = schemas.MetaGraphDef.FromString(theirs.SerializeToString())
assert type(ours) is not type(theirs)
assert ours.DESCRIPTOR.full_name == theirs.DESCRIPTOR.full_name
asset = schemas.AssetFileDef()
assert ours.collection_def["c"].any_list.value[0].Unpack(asset)
print(asset.filename, ours.SerializeToString() == theirs.SerializeToString())
"""
    )
    assert _run(script) == "x True\n"


def test_missing_descriptor_set_names_the_command_that_makes_it(tmp_path):
    package = tmp_path / "uncompiled"
    package.mkdir()
    (package / "__init__.py").write_bytes((_PACKAGE / "__init__.py").read_bytes())
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
try:
    import uncompiled
except ImportError as error:
    print(error)
"""
    message = _run(script)
    assert message.startswith(f"{package / 'tensorflow.binpb'} is missing")
    assert "`pip install -e .`" in message
    assert "`python setup.py build_schemas`" in message


def test_schemas_load_from_a_zip_file(tmp_path):
    archive = tmp_path / "zipped.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.write(_PACKAGE / "__init__.py", "zipped/__init__.py")
        target.write(_PACKAGE / "tensorflow.binpb", "zipped/tensorflow.binpb")
    assert _run(f"import sys; sys.path.insert(0, {str(archive)!r}); import zipped; print(zipped.DT_FLOAT)") == "1\n"
