"""The schemas beside those of the installed TensorFlow: every message, field and enum value.

TensorFlow adds fields in most releases. A field that we lack survives reading and writing as an unknown field, but text
format refuses it and nobody can look at it; so each one is a failure here, and the failure says what to do.

TensorFlow's descriptors come from a process of its own, since importing it is slow and fills the default pool.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from google.protobuf import descriptor_pb2

from tfsaver import schemas

# The release that protos/ describes. What an older one lacks is no drift.
DESCRIBED_RELEASE = (2, 21)

# TensorFlow has these in C++ alone: its wheel ships no chunk_pb2 or versions_pb2 of tools/proto_splitter.
WITHOUT_PYTHON_MODULE = {
    "tensorflow.proto_splitter.ChunkInfo",
    "tensorflow.proto_splitter.ChunkInfo.Type",
    "tensorflow.proto_splitter.ChunkMetadata",
    "tensorflow.proto_splitter.ChunkedField",
    "tensorflow.proto_splitter.ChunkedMessage",
    "tensorflow.proto_splitter.FieldIndex",
    "tensorflow.proto_splitter.FieldIndex.MapKey",
    "tensorflow.proto_splitter.VersionDef",
}

# Lines of older releases that say the same in other words: a oneof's name is on no wire and in no text.
RENAMED = {"oneof has_length { int64 length = 2; }": "oneof has_length_hack { int64 length = 2; }"}

RUNBOOK = """
protos/ and TensorFlow {release} differ in {count} places:

{differences}

What to do, for each of them:
  1. change the line in the named file, with a comment of our own where the name does not say enough;
  2. python setup.py build_schemas
  3. python -m pytest tests/schemas
  4. when all is well and {release} is newer than {described}: raise DESCRIBED_RELEASE in tests/schemas/test_drift.py,
     and say in CHANGELOG.md which fields came.
"""

ASK_TENSORFLOW = """
import base64, importlib, json, sys
import tensorflow as tf
from google.protobuf import descriptor_pool
paths = json.load(sys.stdin)
pool = descriptor_pool.Default()
for path in paths:
    try:
        importlib.import_module(path[:-len(".proto")].replace("/", ".") + "_pb2")
    except ImportError:
        pass  # C++ alone, or under another name; what other files import is in the pool by now or comes with them
files, todo = {}, list(paths)
while todo:
    path = todo.pop()
    if path in files:
        continue
    try:
        file = pool.FindFileByName(path)
    except KeyError:
        continue
    files[path] = base64.b64encode(file.serialized_pb).decode()
    todo += [dependency.name for dependency in file.dependencies]
print(json.dumps({"release": tf.__version__, "files": files}))
"""

_Types = descriptor_pb2.FieldDescriptorProto


class Facts(NamedTuple):
    """What must be equal in both descriptions of one thing, as the line of a .proto file would say it."""

    path: str
    scope: str
    line: str
    rest: dict[str, Any]
    type_name: str = ""


def facts(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, Facts]]:
    """All messages, fields, enums and values of a file, by their full names."""
    for enum in file.enum_type:
        yield from _enum_facts(file, enum, file.package)
    for message in file.message_type:
        yield from _message_facts(file, message, file.package)


def _enum_facts(file: Any, enum: Any, scope: str) -> Iterator[tuple[str, Facts]]:
    name = f"{scope}.{enum.name}"
    yield name, Facts(file.name, scope, f"enum {enum.name} {{}}", {})
    for value in enum.value:
        yield f"{name}.{value.name}", Facts(file.name, name, f"{value.name} = {value.number};", {})


def _message_facts(file: Any, message: Any, scope: str) -> Iterator[tuple[str, Facts]]:
    name = f"{scope}.{message.name}"
    # Whether a set zero is told from an absent one hangs on the syntax.
    rest = {"map_entry": message.options.map_entry, "proto2": file.syntax == "proto2"}
    yield name, Facts(file.name, scope, f"message {message.name} {{}}", rest)
    for enum in message.enum_type:
        yield from _enum_facts(file, enum, name)
    for nested in message.nested_type:
        yield from _message_facts(file, nested, name)
    entries = {f".{name}.{nested.name}": nested for nested in message.nested_type if nested.options.map_entry}
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        line = _field_line(field, entries.get(field.type_name), "" if field.proto3_optional else oneof, file.package)
        rest = {"packed": _is_packed(file, field), "default": field.default_value, "label": field.label}
        yield f"{name}.{field.name}", Facts(file.name, name, line, rest, field.type_name.lstrip("."))


def _field_line(field: Any, entry: Any, oneof: str, package: str) -> str:
    words = [f"oneof {oneof} {{"] if oneof else []
    if entry is not None:
        key, value = (_type_name(part, package) for part in entry.field)
        words.append(f"map<{key}, {value}>")
    else:
        words += ["repeated"] if field.label == _Types.LABEL_REPEATED else []
        words += ["optional"] if field.proto3_optional else []
        words.append(_type_name(field, package))
    words.append(f"{field.name} = {field.number};")
    return " ".join(words + (["}"] if oneof else []))


def _type_name(field: Any, package: str) -> str:
    if field.type_name:
        return str(field.type_name).removeprefix(f".{package}.").removeprefix(".")
    return _Types.Type.Name(field.type).removeprefix("TYPE_").lower()


def _is_packed(file: Any, field: Any) -> bool:
    unpackable = (_Types.TYPE_STRING, _Types.TYPE_BYTES, _Types.TYPE_MESSAGE, _Types.TYPE_GROUP)
    if field.label != _Types.LABEL_REPEATED or field.type in unpackable:
        return False
    return bool(field.options.packed) if field.options.HasField("packed") else file.syntax != "proto2"


def differences(ours: dict[str, Facts], theirs: dict[str, Facts], *, is_older: bool) -> list[str]:
    """For each thing that must be changed in protos/, where and what."""
    found = []
    for name in sorted(ours.keys() | _missing(ours, theirs)):
        own, foreign = ours.get(name), theirs.get(name)
        if own is None and foreign is not None:
            place = ours[foreign.scope].path if foreign.scope in ours else foreign.path
            found.append(f"protos/{place}: in {foreign.scope} add\n    {foreign.line}")
        elif foreign is None and own is not None:
            if not is_older and name not in WITHOUT_PYTHON_MODULE and own.scope not in WITHOUT_PYTHON_MODULE:
                found.append(f"protos/{own.path}: in {own.scope} TensorFlow has no more\n    {own.line}")
        elif (
            own is not None and foreign is not None and (own.line, own.rest) != (_line(foreign, is_older), foreign.rest)
        ):
            found.append(f"protos/{own.path}: in {own.scope} change\n    {own.line}\n  to\n    {foreign.line}")
            found += [
                f"    {key}: {own.rest[key]!r} -> {value!r}"
                for key, value in foreign.rest.items()
                if value != own.rest[key]
            ]
    return found


def _line(fact: Facts, is_older: bool) -> str:
    return RENAMED.get(fact.line, fact.line) if is_older else fact.line


def _missing(ours: dict[str, Facts], theirs: dict[str, Facts]) -> set[str]:
    """What belongs to a message or enum of ours, or is the type of a new field; the rest is not our business."""
    missing: set[str] = set()
    owners = set(ours)
    while True:
        types = {theirs[name].type_name for name in missing}
        more = {name for name, fact in theirs.items() if fact.scope in owners or name in types} - ours.keys() - missing
        if not more:
            return missing
        missing |= more
        owners |= more


def _our_files() -> list[descriptor_pb2.FileDescriptorProto]:
    data = (pathlib.Path(schemas.__file__).parent / "tensorflow.binpb").read_bytes()
    return list(descriptor_pb2.FileDescriptorSet.FromString(data).file)


@pytest.fixture(scope="module")
def ours() -> dict[str, Facts]:
    return {name: fact for file in _our_files() if file.package != "google.protobuf" for name, fact in facts(file)}


@pytest.fixture(scope="module")
def tensorflow(tensorflow_programs, tmp_path_factory) -> tuple[str, dict[str, Facts]]:
    """TensorFlow's release and its descriptions of the messages that we have too."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs tensorflow: pip install 'tfsaver[tensorflow]'")
    question = json.dumps([file.name for file in _our_files()])
    done = tensorflow_programs(sys.executable).run_code(
        ASK_TENSORFLOW, cwd=tmp_path_factory.mktemp("tensorflow"), stdin=question
    )
    reply = json.loads(done.stdout)
    theirs = {}
    for data in reply["files"].values():
        file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(data))
        if file.package.startswith("tensorflow"):
            theirs.update(facts(file))
    return reply["release"], theirs


def _assert_no_differences(found: list[str], release: str) -> None:
    described = ".".join(map(str, DESCRIBED_RELEASE))
    report = RUNBOOK.format(release=release, count=len(found), differences="\n".join(found), described=described)
    assert not found, report


def _is_older(release: str) -> bool:
    return tuple(map(int, release.split(".")[:2])) < DESCRIBED_RELEASE


def test_schemas_are_tensorflows(ours, tensorflow):
    release, theirs = tensorflow
    assert sum(name in theirs for name in ours) > 400
    _assert_no_differences(differences(ours, theirs, is_older=_is_older(release)), release)


def test_only_the_splitters_messages_go_unchecked(ours, tensorflow):
    release, theirs = tensorflow
    if _is_older(release):
        pytest.skip(
            f"TensorFlow {release} is older than the one that protos/ describes, and lacks more than the splitter"
        )
    containers = {fact.scope for fact in ours.values()} - {
        "tensorflow",
        "tensorflow.proto_splitter",
        "tensorflow.error",
    }
    assert {name for name in containers if name not in theirs} == WITHOUT_PYTHON_MODULE


def _altered(name: str, alter: Any) -> dict[str, Facts]:
    files = {file.name: file for file in _our_files()}
    alter(files[name])
    return dict(facts(files[name]))


@pytest.fixture
def saver(ours) -> dict[str, Facts]:
    return {name: fact for name, fact in ours.items() if fact.path == "tensorflow/core/protobuf/saver.proto"}


def test_new_field_is_a_line_to_add(saver):
    def alter(file):
        file.message_type[0].field.add(name="fresh", number=99, type=_Types.TYPE_STRING, label=_Types.LABEL_REPEATED)

    found = differences(saver, _altered("tensorflow/core/protobuf/saver.proto", alter), is_older=False)
    path = "protos/tensorflow/core/protobuf/saver.proto"
    assert found == [f"{path}: in tensorflow.SaverDef add\n    repeated string fresh = 99;"]
    with pytest.raises(AssertionError) as failure:
        _assert_no_differences(found, "2.99.0")
    for words in (path, "repeated string fresh = 99;", "python setup.py build_schemas", "2.99.0", "DESCRIBED_RELEASE"):
        assert words in str(failure.value)


def test_new_enum_value_is_a_line_to_add(saver):
    def alter(file):
        file.message_type[0].enum_type[0].value.add(name="V3", number=3)

    (found,) = differences(saver, _altered("tensorflow/core/protobuf/saver.proto", alter), is_older=True)
    assert found.endswith("in tensorflow.SaverDef.CheckpointFormatVersion add\n    V3 = 3;")


def test_type_of_a_new_field_is_missing_too_and_nothing_else(saver):
    def alter(file):
        file.message_type.add(name="Unrelated").field.add(name="x", number=1, type=_Types.TYPE_BOOL)
        file.message_type.add(name="Policy").field.add(name="days", number=1, type=_Types.TYPE_INT32)
        policy = file.message_type[0].field.add(name="policy", number=9, label=_Types.LABEL_OPTIONAL)
        policy.type, policy.type_name = _Types.TYPE_MESSAGE, ".tensorflow.Policy"

    found = differences(saver, _altered("tensorflow/core/protobuf/saver.proto", alter), is_older=True)
    assert [line.rpartition("\n    ")[2] for line in found] == [
        "message Policy {}",
        "int32 days = 1;",
        "Policy policy = 9;",
    ]


def _renumber(field: Any) -> None:
    field.number = 98


def _retype(field: Any) -> None:
    field.type = _Types.TYPE_INT64


def _repeat(field: Any) -> None:
    field.label = _Types.LABEL_REPEATED


@pytest.mark.parametrize("change", [_renumber, _retype, _repeat])
def test_changed_field_is_a_difference(saver, change):
    altered = _altered("tensorflow/core/protobuf/saver.proto", lambda file: change(file.message_type[0].field[3]))
    found = differences(saver, altered, is_older=False)
    assert "in tensorflow.SaverDef change\n    int32 max_to_keep = 4;" in found[0]


def test_oneof_and_packing_are_compared(ours):
    def unpack(file):
        file.message_type[0].field[4].options.packed = False

    def leave_oneof(file):
        file.message_type[0].nested_type[0].field[1].ClearField("oneof_index")

    packed = _altered("tensorflow/core/framework/tensor.proto", unpack)
    found = differences({name: ours[name] for name in packed}, packed, is_older=False)
    assert "repeated float float_val = 5;" in found[0]
    assert found[1:] == ["    packed: True -> False"]
    loose = _altered("tensorflow/core/framework/tensor_slice.proto", leave_oneof)
    (found,) = differences({name: ours[name] for name in loose}, loose, is_older=False)
    assert "oneof has_length_hack { int64 length = 2; }" in found


def test_oneof_that_an_older_tensorflow_called_otherwise_is_no_difference(ours):
    def rename(file):
        file.message_type[0].nested_type[0].oneof_decl[0].name = "has_length"

    renamed = _altered("tensorflow/core/framework/tensor_slice.proto", rename)
    own = {name: ours[name] for name in renamed}
    assert differences(own, renamed, is_older=True) == []
    assert len(differences(own, renamed, is_older=False)) == 1


def test_what_an_older_tensorflow_lacks_is_no_difference(saver):
    theirs = {name: fact for name, fact in saver.items() if not name.endswith("sharded")}
    assert differences(saver, theirs, is_older=True) == []
    (found,) = differences(saver, theirs, is_older=False)
    assert "TensorFlow has no more\n    bool sharded = 5;" in found
