"""`tfsaver.export_saved_model` for every kind of source: a session as well as what needs no TensorFlow.

    export_saved_model(sess, "export", outputs={"probabilities": softmax}, versioned=True)

TensorFlow is only used where a session has been passed, by whom it was imported already.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.message import Message

from tfsaver.compat import _tensorflow
from tfsaver.compat._session_source import is_session, session_source
from tfsaver.compat.v1.saved_model.utils import tensor_info
from tfsaver.lib import file_io
from tfsaver.saved_model import exporter

__all__ = ["export_saved_model"]


def export_saved_model(source: Any, export_dir: file_io.PathLike, **options: Any) -> str:
    """Exports a graph for serving; see `tfsaver.saved_model.exporter.export_saved_model` for options and errors.

    Args:
        source: A session, whose variables have the values; or a checkpoint's prefix, a MetaGraphDef, a GraphDef, the path
            of one, or a SavedModel.
        export_dir: Where the SavedModel shall be; it must not be there yet, or be empty.
        **options: `inputs`, `outputs`, `signatures`, `tags`, `assets`, `init_op`, `versioned` and others. Of a session
            tensors may be sparse, ragged, or variables.

    Returns:
        The directory of the SavedModel.
    """
    if is_session(source):
        for name in ("inputs", "outputs"):
            if name in options:
                options[name] = _named(options[name])
        options["signatures"] = _signatures(options.get("signatures"))
        source = session_source(source)
    return exporter.export_saved_model(source, export_dir, **options)


# What help() and editors show: the options, where they are written down.
export_saved_model.__signature__ = inspect.signature(exporter.export_saved_model)  # type: ignore[attr-defined]


def _signatures(signatures: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if signatures is None:
        return None
    return {
        key: signature
        if isinstance(signature, Message)
        else {name: _named(part) if name in ("inputs", "outputs") else part for name, part in signature.items()}
        for key, signature in signatures.items()
    }


def _named(tensors: Any) -> Any:
    """Tensors of a program as what has a name, or as TensorInfos where one name is not enough."""
    if isinstance(tensors, Mapping):
        return {key: _one(tensor) for key, tensor in tensors.items()}
    if isinstance(tensors, Iterable) and not isinstance(tensors, str) and not hasattr(tensors, "name"):
        return [_value(tensor) for tensor in tensors]
    return tensors if tensors is None else _value(tensors)


def _one(tensor: Any) -> Any:
    tensor = _value(tensor)
    return tensor_info(tensor) if isinstance(tensor, _tensorflow.tf.__internal__.CompositeTensor) else tensor


def _value(tensor: Any) -> Any:
    """What a variable's name names is not its value."""
    is_variable = isinstance(tensor, (_tensorflow.BaseResourceVariable, _tensorflow.RefVariable))
    return tensor.graph.as_graph_element(tensor) if is_variable else tensor
