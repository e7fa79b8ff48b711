"""Layers of Python code in ``keras_metadata.pb``.

A Lambda layer's config carries a function as compiled Python, which Keras runs when it loads the model: the one part of a
SavedModel that is a program of no graph.
"""

from __future__ import annotations

from tfsaver.graph.op_risk_table import Risk
from tfsaver.graph.op_risks import LAYER, RiskFinding, python_layers
from tfsaver.saved_model.keras_metadata import FILE_NAME, read_keras_objects


def scan_keras_metadata(directory: str) -> list[RiskFinding]:
    """The layers that carry Python code, in a SavedModel's directory.

    Raises:
        DataLossError: The file is there, and cannot be read.
    """
    findings = []
    for place, metadata in read_keras_objects(directory):
        layers = python_layers(metadata or "null")
        if layers is not None:
            findings.append(RiskFinding(Risk.RUNS_CODE, "Lambda", f"{FILE_NAME}: {place}", LAYER, tuple(layers)))
    return findings
