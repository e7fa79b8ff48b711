"""What identifies a SavedModel: five hashes, computed as TensorFlow computes them.

    saved_model_checksum      all of saved_model.pb
    graph_def_program_hash    the first graph's nodes, without what differs from one export of a program to the next
    signature_def_hash        the signatures
    saved_object_graph_hash   the concrete functions of the object graph; 0 without any
    checkpoint_hash           variables/variables.index; 0 without variables

All are FarmHash64 of a message's deterministic bytes. TensorFlow writes them to ``fingerprint.pb`` and never checks them.
The last four joined with slashes are what it calls the singleprint: equal for two exports of one program with one set of
weights.
"""

from __future__ import annotations

import os
from typing import Any

from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.errors import DataLossError
from tfsaver.lib import file_io
from tfsaver.saved_model import constants, deterministic, farm_hash

_VERSION = 4
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def compute_fingerprint(saved_model: schemas.SavedModel, index: bytes | None) -> schemas.FingerprintDef:
    """The FingerprintDef of a SavedModel, without an identifier of this one export.

    Args:
        saved_model: The SavedModel message.
        index: The content of ``variables/variables.index``; None where there is none.

    Raises:
        DataLossError: A concrete function's name does not end in a number.
    """
    meta_graph = saved_model.meta_graphs[0] if saved_model.meta_graphs else schemas.MetaGraphDef()
    return schemas.FingerprintDef(
        saved_model_checksum=_hash(saved_model),
        graph_def_program_hash=_graph_hash(meta_graph.graph_def),
        signature_def_hash=_signatures_hash(meta_graph.signature_def),
        saved_object_graph_hash=_functions_hash(meta_graph.object_graph_def.concrete_functions),
        checkpoint_hash=0 if index is None else farm_hash.fingerprint64(index),
        version=schemas.VersionDef(producer=_VERSION),
    )


def new_uuid() -> str:
    """An identifier for one export: a random number of 128 bits, written in decimal."""
    return f"{int.from_bytes(os.urandom(16), 'little'):020d}"


def singleprint(fingerprint: schemas.FingerprintDef) -> str:
    """The four hashes that stay the same when a program and its weights do, as one text."""
    numbers = (
        fingerprint.graph_def_program_hash,
        fingerprint.signature_def_hash,
        fingerprint.saved_object_graph_hash,
        fingerprint.checkpoint_hash,
    )
    return "/".join(map(str, numbers))


def read_fingerprint(directory: str) -> schemas.FingerprintDef | None:
    """The FingerprintDef that a SavedModel's directory holds; None where it has none.

    Raises:
        DataLossError: The file is none.
    """
    path = file_io.join(directory, constants.FINGERPRINT_FILE_NAME)
    if not file_io.exists(path):
        return None
    try:
        return schemas.FingerprintDef.FromString(file_io.read_file(path))
    except DecodeError as error:
        raise DataLossError(f"{path}: no FingerprintDef: {error}") from error


def _hash(message: Any) -> int:
    return farm_hash.fingerprint64(deterministic.serialize(message))


def _graph_hash(graph_def: schemas.GraphDef) -> int:
    canonical = schemas.GraphDef()
    canonical.CopyFrom(graph_def)
    for node in canonical.node:
        if node.op in _CALLS:
            if "f" in node.attr:
                node.attr["f"].func.name = _without_number(node.attr["f"].func.name)[0]
            if "config_proto" in node.attr:
                node.attr["config_proto"].s = b""
        # Paths of assets, serialised object graphs: what differs between two exports.
        elif node.op == "Const" and node.attr["dtype"].type == schemas.DT_STRING:
            node.attr["value"].Clear()
    canonical.ClearField("library")
    canonical.ClearField("versions")
    canonical.library.SetInParent()
    canonical.versions.SetInParent()
    return _hash(canonical)


def _signatures_hash(signatures: Any) -> int:
    result = 0
    for name in sorted(signatures, key=str.encode):
        result = farm_hash.concatenate(result, farm_hash.fingerprint64(name.encode()))
        result = farm_hash.concatenate(result, _hash(signatures[name]))
    return result


def _functions_hash(functions: Any) -> int:
    numbered = []
    for name in functions:
        base, number = _without_number(name)
        if number is None:
            raise DataLossError(f"concrete function {name!r}: a name ends in _ and a number")
        numbered.append((number, base, name))
    result = 0
    for _, base, name in sorted(numbered):
        result = farm_hash.concatenate(result, farm_hash.fingerprint64(base.encode()))
        result = farm_hash.concatenate(result, _hash(functions[name]))
    return result


def _without_number(name: str) -> tuple[str, int | None]:
    """A function's name without the number at its end, which counts the functions of a process; and the number."""
    base, separator, number = name.rpartition("_")
    if separator and len(number) < 20 and number.isascii() and number.removeprefix("-").isdecimal():
        return base + separator, int(number)
    return name, None
