"""Layers of Python code in ``keras_metadata.pb``, the file beside a SavedModel from which Keras 2 makes its objects anew.

    SavedMetadata   field 1, repeated: an object      its field 3: its path      5: JSON with "class_name" and "config"

A Lambda layer's config carries a function as compiled Python, which Keras runs when it loads the model: the one part of a
SavedModel that is a program of no graph.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tfsaver.errors import DataLossError
from tfsaver.framework import wire_format
from tfsaver.graph.op_risk_table import Risk
from tfsaver.graph.op_risks import RiskFinding
from tfsaver.lib import file_io

FILE_NAME = "keras_metadata.pb"
_PATH, _METADATA = 3, 5
_REASON = "a layer of Python code, which Keras runs when it loads the model"


def scan_keras_metadata(directory: str) -> list[RiskFinding]:
    """The layers that carry Python code, in a SavedModel's directory.

    Raises:
        DataLossError: The file is there, and cannot be read.
    """
    path = file_io.join(directory, FILE_NAME)
    if not file_io.exists(path):
        return []
    findings = []
    try:
        for place, metadata in _objects(file_io.read_file(path)):
            if any(name.rpartition(">")[2] == "Lambda" for name in _class_names(json.loads(metadata or "null"))):
                findings.append(RiskFinding(Risk.RUNS_CODE, "Lambda", f"{FILE_NAME}: {place}", _REASON))
    # JSON that is nested too deep is a RecursionError.
    except (DataLossError, ValueError, RecursionError) as error:
        raise DataLossError(f"{path}: no description of Keras's objects: {error}") from error
    return findings


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


def _class_names(tree: Any) -> Iterator[str]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if isinstance(node.get("class_name"), str):
                yield node["class_name"]
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
