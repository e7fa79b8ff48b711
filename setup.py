"""Builds tfsaver: the metadata is in setup.cfg, this file adds `build_schemas` and the README with absolute links.

`build_schemas` compiles protos/ into files of tfsaver/schemas, all of them left out of version control:

    tensorflow.binpb    a serialised FileDescriptorSet, which the package loads into a descriptor pool of its own
    __init__.pyi        the same messages as types, for editors and type checkers
    sources.sha256      the digest of protos/ and of this file, from which both were made

It is a part of `build` and of `sdist`, so that `pip install`, editable or not, and `python -m build` run it; by hand it is
`python setup.py build_schemas`. One input has one output, byte for byte: files are sorted, nothing else is read. An sdist
carries them, and protoc is asked for only if the digest is another one.
"""

from __future__ import annotations

import configparser
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from setuptools import Command, setup
from setuptools.command.build import build
from setuptools.command.sdist import sdist

try:
    import grpc_tools
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from grpc_tools import protoc
except ImportError as error:
    # An sdist, or a question about the metadata, needs no compiler; build_schemas complains.
    missing = str(error)
else:
    missing = ""

ROOT = Path(__file__).resolve().parent
PROTOS = "protos"
PACKAGE = "tfsaver/schemas"
GENERATED = (f"{PACKAGE}/tensorflow.binpb", f"{PACKAGE}/__init__.pyi")
# It carries protoc.
COMPILER = "grpcio-tools>=1.62"
DIGEST = "sources.sha256"


class build_schemas(Command):  # noqa: N801 - setuptools finds commands by such names
    """Compiles protos/ into tfsaver/schemas."""

    description = "compile protos/ into tfsaver/schemas"
    user_options: ClassVar = [("output-dir=", None, "where to put the two files (default: tfsaver/schemas)")]
    # Set by setuptools for a development install; the files are made in the source tree either way.
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib: str | None = None
        self.output_dir: str | None = None

    def finalize_options(self) -> None:
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self) -> None:
        directory = Path(self.output_dir) if self.output_dir else ROOT / PACKAGE
        if is_current(directory):
            return
        directory.mkdir(parents=True, exist_ok=True)
        descriptor_set = directory / "tensorflow.binpb"
        compile_protos(descriptor_set)
        (directory / "__init__.pyi").write_text(stub(descriptor_set.read_bytes()), encoding="utf-8", newline="\n")
        (directory / DIGEST).write_text(digest() + "\n", encoding="ascii", newline="\n")

    # What setuptools asks of every part of `build`. The sources are how protos/ gets into an sdist; the outputs are
    # package data, which build_py copies and reports.
    def get_source_files(self) -> list[str]:
        return [f"{PROTOS}/{name}" for name in proto_names()]

    def get_outputs(self) -> list[str]:
        return []

    def get_output_mapping(self) -> dict[str, str]:
        return {}


def proto_names() -> list[str]:
    """The schemas' names, as they import each other."""
    return sorted(path.relative_to(ROOT / PROTOS).as_posix() for path in (ROOT / PROTOS).rglob("*.proto"))


def digest() -> str:
    """The digest of what the schemas are made from."""
    found = hashlib.sha256()
    for path in (*(ROOT / PROTOS / name for name in proto_names()), Path(__file__)):
        # A checkout may have changed the ends of lines.
        text = path.read_bytes().replace(b"\r\n", b"\n")
        found.update(f"{path.name} {len(text)}\n".encode() + text)
    return found.hexdigest()


def is_current(directory: Path) -> bool:
    """Whether a directory has the schemas of today's sources."""
    names = ("tensorflow.binpb", "__init__.pyi", DIGEST)
    if not all((directory / name).is_file() for name in names):
        return False
    return (directory / DIGEST).read_text("ascii").strip() == digest()


def compile_protos(target: Path) -> None:
    """Writes the FileDescriptorSet of all schemas and of the well-known types that they import."""
    if missing:
        raise SystemExit(
            f"build_schemas: protoc is missing ({missing}). Install it with `pip install grpcio-tools`, "
            "or let `pip install -e .` fetch it."
        )
    well_known_types = Path(grpc_tools.__file__).parent / "_proto"
    includes = [f"-I{ROOT / PROTOS}", f"-I{well_known_types}"]
    names = proto_names()
    if not names:
        raise SystemExit(f"build_schemas: no .proto files in {ROOT / PROTOS}")
    if protoc.main(["protoc", *includes, "--include_imports", f"--descriptor_set_out={target}", *names]) != 0:
        raise SystemExit("build_schemas: protoc refused the schemas, see above")


STUB_HEAD = '''\
# Made by `python setup.py build_schemas` from protos/; edit those.
"""TensorFlow's messages, in a descriptor pool of their own."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.containers import (
    MessageMap,
    RepeatedCompositeFieldContainer,
    RepeatedScalarFieldContainer,
    ScalarMap,
)
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.internal.well_known_types import Any as AnyMixin
from google.protobuf.message import Message

DESCRIPTOR_POOL: Final[DescriptorPool]
'''


def stub(descriptor_set: bytes) -> str:
    """The text of the stub: a class per message, an int per enum value, a class as namespace per further package."""
    packages: dict[str, list[str]] = {}
    for file in FileDescriptorSet.FromString(descriptor_set).file:
        lines = packages.setdefault(namespace(file.package), [])
        indent = "    " if namespace(file.package) else ""
        for enum in file.enum_type:
            lines += enum_lines(enum, indent)
        for message in file.message_type:
            lines += message_lines(message, file.package, indent)
    text = [STUB_HEAD]
    text += packages.pop("")
    for package, lines in sorted(packages.items()):
        text += ["", f"class {package}:", *lines]
    return "\n".join(text) + "\n"


def namespace(package: str) -> str:
    """Where a package's names are found in tfsaver.schemas: those of `tensorflow` directly, others below."""
    return "" if package == "tensorflow" else package.rsplit(".", 1)[-1]


def name_in_stub(type_name: str) -> str:
    """The name of a type in the stub, from one like `.tensorflow.TensorShapeProto.Dim`."""
    words = type_name.lstrip(".").split(".")
    package = next(i for i, word in enumerate(words) if word[0].isupper())
    return ".".join(filter(None, [namespace(".".join(words[:package])), *words[package:]]))


def enum_lines(enum: Any, indent: str) -> Iterator[str]:
    yield f"{indent}{enum.name}: Final[EnumTypeWrapper]"
    for value in enum.value:
        yield f"{indent}{value.name}: Final = {value.number}"


def message_lines(message: Any, scope: str, indent: str) -> Iterator[str]:
    full_name = f"{scope}.{message.name}"
    inner = indent + "    "
    yield ""
    # Protobuf gives this one class methods (Pack, Unpack, Is) that no schema mentions.
    bases = "Message, AnyMixin" if full_name == "google.protobuf.Any" else "Message"
    yield f"{indent}class {message.name}({bases}):"
    for enum in message.enum_type:
        yield from enum_lines(enum, inner)
    entries = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    for nested in message.nested_type:
        if nested.name not in entries:
            yield from message_lines(nested, full_name, inner)
    fields = sorted(message.field, key=lambda field: field.number)
    parameters = []
    for field in fields:
        entry = entries.get(field.type_name.rsplit(".", 1)[-1])
        annotation, parameter, is_settable = field_types(field, entry)
        if is_settable:
            yield f"{inner}{field.name}: {annotation}"
        else:
            yield f"{inner}@property"
            yield f"{inner}def {field.name}(self) -> {annotation}: ..."
        parameters.append(f"{field.name}: {parameter} | None = ...")
    yield from init_lines(parameters, inner)


def init_lines(parameters: Iterable[str], indent: str) -> Iterator[str]:
    parameters = list(parameters)
    if not parameters:
        yield f"{indent}def __init__(self) -> None: ..."
        return
    yield f"{indent}def __init__("
    yield f"{indent}    self,"
    yield f"{indent}    *,"
    for parameter in parameters:
        yield f"{indent}    {parameter},"
    yield f"{indent}) -> None: ..."


def field_types(field: Any, entry: Any | None) -> tuple[str, str, bool]:
    """A field's type when read, its type as an argument of the constructor, and whether it can be assigned."""
    if entry is not None:
        key, value = (value_type(part) for part in entry.field)
        container = "MessageMap" if is_message(entry.field[1]) else "ScalarMap"
        return f"{container}[{key}, {value}]", f"Mapping[{key}, {value}]", False
    value = value_type(field)
    if field.label == field.LABEL_REPEATED:
        container = "RepeatedCompositeFieldContainer" if is_message(field) else "RepeatedScalarFieldContainer"
        return f"{container}[{value}]", f"Iterable[{value}]", False
    if is_message(field):
        return value, f"{value} | Mapping[str, Any]", False
    return value, f"{value} | str" if field.type == field.TYPE_ENUM else value, True


def is_message(field: Any) -> bool:
    return bool(field.type == field.TYPE_MESSAGE)


def value_type(field: Any) -> str:
    if is_message(field):
        return name_in_stub(field.type_name)
    scalars = {
        field.TYPE_DOUBLE: "float",
        field.TYPE_FLOAT: "float",
        field.TYPE_BOOL: "bool",
        field.TYPE_STRING: "str",
        field.TYPE_BYTES: "bytes",
    }
    # All others are integers, enums included: protobuf hands out their numbers.
    return scalars.get(field.type, "int")


# Before build_py, which copies the package's data: the files must be there by then.
build.sub_commands.insert(0, ("build_schemas", None))


class sdist_with_schemas(sdist):  # noqa: N801 - setuptools finds commands by such names
    """An sdist that carries the compiled schemas."""

    def run(self) -> None:
        self.run_command("build_schemas")
        super().run()


def long_description() -> str:
    """The README with links that work on a package index."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    url = config["metadata"]["url"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"(!\[[^\]]*\]\()(?!https?:|#)", rf"\1{url}/raw/main/", text)
    return re.sub(r"(?<!!)(\[[^\]]*\]\()(?!https?:|#)", rf"\1{url}/blob/main/", text)


def needed() -> list[str]:
    """What a build must install first. Called by hand, build_schemas says itself what it lacks."""
    is_by_hand = "build_schemas" in sys.argv
    return [COMPILER] if missing and not is_by_hand and not is_current(ROOT / PACKAGE) else []


if __name__ == "__main__":
    setup(
        cmdclass={"build_schemas": build_schemas, "sdist": sdist_with_schemas},
        long_description=long_description(),
        setup_requires=needed(),
    )
