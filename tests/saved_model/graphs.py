"""Graphs written by hand, with the numbers that they would compute."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tfsaver import schemas

FLOAT = schemas.AttrValue(type=schemas.DT_FLOAT)
KERNEL = np.arange(6, dtype=np.float32).reshape(3, 2)
BIAS = np.array([1, 2], np.float32)
VALUES = {"kernel": KERNEL, "bias": BIAS}


def node(op: str, name: str, inputs: Iterable[str] = (), **attrs: schemas.AttrValue) -> schemas.NodeDef:
    return schemas.NodeDef(op=op, name=name, input=inputs, attr=attrs)


def of_shape(*sizes: int) -> schemas.AttrValue:
    dims = [schemas.TensorShapeProto.Dim(size=size) for size in sizes]
    return schemas.AttrValue(shape=schemas.TensorShapeProto(dim=dims))


def dense() -> schemas.GraphDef:
    """y = x @ kernel + bias, with an unused variable, and a placeholder that another output needs."""
    return schemas.GraphDef(
        versions=schemas.VersionDef(producer=134),
        node=[
            node("Placeholder", "x", dtype=FLOAT, shape=of_shape(-1, 3)),
            node("Placeholder", "rate", dtype=FLOAT, shape=of_shape()),
            node("VarHandleOp", "kernel", dtype=FLOAT, shape=of_shape(3, 2), shared_name=schemas.AttrValue(s=b"kernel")),
            node("VariableV2", "bias", dtype=FLOAT, shape=of_shape(2)),
            node("VariableV2", "unused", dtype=FLOAT, shape=of_shape(9)),
            node("ReadVariableOp", "kernel/read", ["kernel"], dtype=FLOAT),
            node("MatMul", "product", ["x", "kernel/read"], T=FLOAT),
            node("AddV2", "layer/y", ["product", "bias"], T=FLOAT),
            node("Mul", "scaled", ["layer/y:0", "rate"], T=FLOAT),
            node("NoOp", "init"),
        ],
    )
