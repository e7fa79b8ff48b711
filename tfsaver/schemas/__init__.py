"""TensorFlow's messages, in a descriptor pool of their own.

    from tfsaver import schemas

    entry = schemas.BundleEntryProto.FromString(data)
    entry.dtype == schemas.DT_FLOAT                     # constants of enums that stand outside of a message
    schemas.DataType.Name(entry.dtype)                  # the enum itself
    schemas.TensorShapeProto.Dim(size=3)                # nested messages belong to the outer one
    schemas.proto_splitter.ChunkMetadata                # packages below `tensorflow` keep their last name

The schemas are protos/, compiled into `tensorflow.binpb` when the package is built. A process that also imports
TensorFlow has TensorFlow's own schemas in protobuf's default pool, where a second version of the same file is an error;
therefore the pool is private. Names are the true ones all the same, so text format and Any work; what needs to find a
type by its name (`text_format` on an Any, for one) takes `DESCRIPTOR_POOL` as an argument. Two things stop at the
border: `CopyFrom` of another pool's message is a TypeError, so messages cross as bytes; and pickle, which finds a class
by its name in the default pool only.

A class is made when it is first asked for, since a program that lists a checkpoint needs three of the hundred.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

_ROOT_PACKAGE = "tensorflow"


def _read_descriptor_set() -> bytes:
    path = os.path.join(os.path.dirname(__file__), "tensorflow.binpb")
    # The loader reads from a zip file too; importlib.resources would take longer than all the rest of this import.
    loader: Any = __spec__.loader
    try:
        data: bytes = loader.get_data(path)
    except OSError:
        raise ImportError(
            f"{path} is missing: the schemas have not been compiled from protos/ yet. "
            "`pip install -e .` in the source tree makes it, as does `python setup.py build_schemas`."
        ) from None
    return data


def _split_files(descriptor_set: bytes) -> Iterator[bytes]:
    """The serialised FileDescriptorProtos of a FileDescriptorSet, each after those that it imports.

    The set has one field, a repeated message with number 1: tag 0x0a, size as a varint, content. Taken apart here, the
    pool gets the bytes as they are, and the messages that describe messages need not be loaded.
    """
    position = 0
    while position < len(descriptor_set):
        size = shift = 0
        while True:
            position += 1
            byte = descriptor_set[position]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        position += 1
        yield descriptor_set[position : position + size]
        position += size


DESCRIPTOR_POOL = DescriptorPool()
_files: list[FileDescriptor] = [
    DESCRIPTOR_POOL.AddSerializedFile(file) for file in _split_files(_read_descriptor_set())
]


@functools.cache
def _contents(package: str) -> dict[str, Any]:
    """What a package holds, by name: descriptors of messages, wrappers of enums, the numbers of the enums' values."""
    contents: dict[str, Any] = {}
    for file in _files:
        if file.package == package:
            contents.update(file.message_types_by_name)
            for name, enum in file.enum_types_by_name.items():
                contents[name] = EnumTypeWrapper(enum)
                contents.update((value.name, value.number) for value in enum.values)
        elif package == _ROOT_PACKAGE:
            contents.setdefault(file.package.rpartition(".")[2], _Package(file.package))
    return contents


def _resolve(package: str, name: str) -> Any:
    """A name of a package as users see it; KeyError when there is none."""
    value = _contents(package)[name]
    return _message_class(value) if isinstance(value, Descriptor) else value


def _message_class(descriptor: Descriptor) -> Any:
    message_class = GetMessageClass(descriptor)
    # The C implementation finds nested messages by itself, the one in pure Python only in generated code.
    for nested in descriptor.nested_types:
        if not hasattr(message_class, nested.name):
            setattr(message_class, nested.name, _message_class(nested))
    return message_class


class _Package:
    """The names of one more package, such as `tensorflow.proto_splitter`."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __getattr__(self, name: str) -> Any:
        try:
            value = _resolve(self._package, name)
        except KeyError:
            raise AttributeError(f"package {self._package!r} has no message or enum {name!r}") from None
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted(_contents(self._package))

    def __repr__(self) -> str:
        return f"<schemas of package {self._package}>"


def __getattr__(name: str) -> Any:
    try:
        value = _resolve(_ROOT_PACKAGE, name)
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no message or enum {name!r}") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(["DESCRIPTOR_POOL", *_contents(_ROOT_PACKAGE)])
