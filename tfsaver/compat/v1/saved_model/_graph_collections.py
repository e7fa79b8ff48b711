"""What a SavedModel keeps in collections of its graph: the operation that initializes it, and the files that it reads.

    saved_model_main_op    one operation
    saved_model_assets     an AssetFileDef, packed in an Any, for each tensor that stands for a file
    saved_model_train_op   an operation or a tensor

They are put into the program's own graph, from which a MetaGraphDef is exported, and stay there: a second MetaGraph of the
same graph has them too. What is there already from an earlier export is not put there twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage

from tfsaver.compat import _tensorflow
from tfsaver.compat.v1.saved_model import constants
from tfsaver.compat.v1.saved_model._messages import message_class
from tfsaver.errors import InvalidArgumentError
from tfsaver.saved_model.assets import Asset


def add_main_op(graph: Any, main_op: Any, undo: contextlib.ExitStack) -> None:
    """Makes an operation the one that initializes a graph.

    Raises:
        TypeError: It is no operation.
        InvalidArgumentError: A ValueError; the graph has another one.
    """
    if main_op is None:
        return
    if not isinstance(main_op, _tensorflow.tf.Operation):
        raise TypeError(f"main_op must be an Operation, not {main_op!r} of type {type(main_op).__name__}")
    there = [item for key in (constants.MAIN_OP_KEY, constants.LEGACY_INIT_OP_KEY) for item in graph.get_collection(key)]
    if there == [main_op]:
        return
    if there:
        raise InvalidArgumentError(f"Graph already contains one or more main ops under the collections' keys: {there}")
    _replace(graph, constants.MAIN_OP_KEY, lambda items: [*items, main_op], undo)


def add_train_op(graph: Any, train_op: Any, undo: contextlib.ExitStack) -> None:
    """Makes an operation or a tensor the one that trains a graph.

    Raises:
        TypeError: It is neither.
    """
    if train_op is None:
        return
    tf = _tensorflow.tf
    if not isinstance(train_op, (tf.Operation, tf.Tensor)):
        raise TypeError(f"`train_op` {train_op!r} needs to be a Tensor or Op.")
    if not any(item is train_op for item in graph.get_collection(constants.TRAIN_OP_KEY)):
        _replace(graph, constants.TRAIN_OP_KEY, lambda items: [*items, train_op], undo)


def read_assets(graph: Any) -> list[Asset]:
    """The assets of a graph, from earlier exports or from the SavedModel that it was loaded from."""
    found = []
    for item in graph.get_collection(constants.ASSETS_KEY):
        if isinstance(item, AnyMessage) and item.type_url.endswith("/tensorflow.AssetFileDef"):
            proto = message_class("AssetFileDef").FromString(item.value)
            found.append(Asset(proto.tensor_info.name, proto.filename))
    return found


def write_assets(graph: Any, assets: Iterable[Asset], undo: contextlib.ExitStack) -> None:
    """Adds assets to a graph; each takes the place of an earlier one of the same tensor."""
    packed = {}
    for asset in assets:
        proto = message_class("AssetFileDef")(filename=asset.filename)
        proto.tensor_info.name = asset.tensor_name
        any_message = AnyMessage()
        any_message.Pack(proto)
        packed[asset.tensor_name] = any_message

    def replaced(items: list[Any]) -> list[Any]:
        names = [asset.tensor_name for asset in read_assets(graph)]
        if len(names) < len(items):
            # Something else is among them, which is not ours to judge.
            return [*items, *packed.values()]
        return [item for item, name in zip(items, names, strict=True) if name not in packed] + list(packed.values())

    if packed:
        _replace(graph, constants.ASSETS_KEY, replaced, undo)


def _replace(graph: Any, key: str, change: Callable[[list[Any]], list[Any]], undo: contextlib.ExitStack) -> None:
    # The list itself: a collection of a graph that is finalized can still be changed that way.
    collection = graph.get_collection_ref(key)
    before = list(collection)
    undo.callback(collection.__setitem__, slice(None), before)
    collection[:] = change(before)
