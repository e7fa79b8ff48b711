"""The file ``keras_metadata.pb`` of a SavedModel, from which Keras 2 makes its objects anew.

    SavedMetadata   field 1, repeated: an object      its field 3: its path      5: JSON with "class_name" and "config"
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tfsaver.errors import DataLossError
from tfsaver.framework import wire_format
from tfsaver.lib import file_io

FILE_NAME = "keras_metadata.pb"
_ROOT = "root"
_PATH, _METADATA = 3, 5


def read_keras_objects(directory: str) -> list[tuple[str, str]]:
    """The path of each object and what Keras wrote of it, as JSON; none where there is no such file.

    Raises:
        DataLossError: The file cannot be read.
    """
    path = file_io.join(directory, FILE_NAME)
    if not file_io.exists(path):
        return []
    try:
        found = list(_objects(file_io.read_file(path)))
        for _, metadata in found:
            # What is no JSON is no description: it may hide what Keras would read in it.
            json.loads(metadata or "null")
    # JSON that is nested too deep is a RecursionError.
    except (DataLossError, ValueError, RecursionError) as error:
        raise DataLossError(f"{path}: no description of Keras's objects: {error}") from error
    return found


def read_keras_config(directory: str) -> dict[str, Any] | None:
    """The configuration of the model: ``class_name`` and ``config``; None where Keras did not write it.

    Raises:
        DataLossError: The file cannot be read.
    """
    for path, metadata in read_keras_objects(directory):
        if path == _ROOT:
            found = json.loads(metadata or "null")
            return found if isinstance(found, dict) else None
    return None


def _objects(data: bytes) -> Iterator[tuple[str, str]]:
    for number, wire_type, payload in wire_format.iterate_fields(memoryview(data)):
        if (number, wire_type) != (1, wire_format.LENGTH_DELIMITED):
            continue
        fields = {
            field: bytes(content).decode()
            for field, kind, content in wire_format.iterate_fields(payload)
            if kind == wire_format.LENGTH_DELIMITED and field in (_PATH, _METADATA)
        }
        yield fields.get(_PATH, ""), fields.get(_METADATA, "")
