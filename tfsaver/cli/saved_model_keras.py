"""Layers of Python code in ``keras_metadata.pb``, the file beside a SavedModel from which Keras 2 makes its objects anew.

    SavedMetadata   field 1, repeated: an object      its field 3: its path      5: JSON with "class_name" and "config"

A Lambda layer's config carries a function as compiled Python, which Keras runs when it loads the model: the one part of a
SavedModel that is a program of no graph.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tfsaver.errors import DataLossError
from tfsaver.framework import wire_format
from tfsaver.graph.op_risk_table import Risk
from tfsaver.graph.op_risks import LAYER, RiskFinding, python_layers
from tfsaver.lib import file_io

FILE_NAME = "keras_metadata.pb"
_PATH, _METADATA = 3, 5


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
            # What is no JSON is no description: it may hide what Keras would read in it.
            json.loads(metadata or "null")
            layers = python_layers(metadata or "null")
            if layers is not None:
                findings.append(RiskFinding(Risk.RUNS_CODE, "Lambda", f"{FILE_NAME}: {place}", LAYER, tuple(layers)))
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
