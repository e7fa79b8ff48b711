"""Checks a Builder's signatures, with the classes of errors that TensorFlow's Builder raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfsaver import schemas
from tfsaver.compat.v1.saved_model import constants
from tfsaver.compat.v1.saved_model._messages import to_tensorflow
from tfsaver.saved_model import tensor_requests
from tfsaver.saved_model.graph_tensors import GraphTensors


def checked_signatures(signature_def_map: Mapping[str, Any] | None) -> dict[str, Any]:
    """The signatures as messages of TensorFlow.

    Raises:
        TypeError: Something is no SignatureDef.
        AssertionError: An input or an output names no tensor, or has no type.
        KeyError: A key is reserved for an operation.
    """
    signatures = {}
    for key, signature in (signature_def_map or {}).items():
        signatures[key] = signature = to_tensorflow(signature, "SignatureDef", f"signature_def_map[{key!r}]")
        for direction, infos in (("input", signature.inputs), ("output", signature.outputs)):
            for name, info in infos.items():
                _check(info, f"{direction} {name!r} of signature {key!r}")
    for key in (constants.INIT_OP_SIGNATURE_KEY, constants.TRAIN_OP_SIGNATURE_KEY):
        if key in signatures:
            raise KeyError(f"SignatureDef map key {key!r} is reserved for an operation; use another one")
    return signatures


def _check(info: Any, what: str) -> None:
    encoding = info.WhichOneof("encoding")
    if encoding is None:
        raise AssertionError(
            f"Invalid TensorInfo of {what}: it must have one of the 'encoding' fields: name, coo_sparse or composite_tensor"
        )
    if encoding == "composite_tensor":
        for component in info.composite_tensor.components:
            _check(component, f"a component of {what}")
    elif not info.dtype:
        raise AssertionError(f"Invalid TensorInfo of {what}: it must have the dtype field set")


def check_against_graph(meta_graph: Any) -> None:
    """Looks up every tensor that the signatures of a MetaGraphDef name.

    Raises:
        NotFoundError: One is not in the graph; names the nearest ones.
        InvalidArgumentError: One is of another type there.
        ShapeMismatchError: One is of another shape there.
    """
    ours = schemas.MetaGraphDef.FromString(meta_graph.SerializeToString())
    tensors = GraphTensors(ours)
    for key, signature in ours.signature_def.items():
        tensor_requests.as_signature(signature, tensors, key)
