"""The collections of a MetaGraphDef: lists by which programs find what they named.

    node_list     names of tensors or operations: train_op, losses, table_initializer, saved_model_main_op
    any_list      saved_model_assets: AssetFileDefs, each packed into an Any
    bytes_list    variables, trainable_variables ...: VariableDefs     savers: SaverDefs
                  cond_context, while_context: what gradients of old control flow need     queue_runners: QueueRunnerDefs

TensorFlow's importer refuses a graph in which one of these names something that is not there. So a graph that has lost
nodes must lose the entries that name them. A context only loses the names: of a loop with three variables, two of which are
asked for, the rest is a loop still.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.errors import DataLossError
from tfsaver.graph.tensor_names import node_of
from tfsaver.graph.variables import VARIABLE_COLLECTIONS

ASSETS_COLLECTION = "saved_model_assets"
ASSET_TYPE_URL = "type.googleapis.com/tensorflow.AssetFileDef"


def filtered_collections(meta_graph: schemas.MetaGraphDef, nodes: Collection[str]) -> dict[str, schemas.CollectionDef]:
    """The collections without the entries that name other nodes than `nodes`; those that become empty are left out.

    Raises:
        DataLossError: An entry is not what its collection holds.
    """
    kept = {}
    for key, collection in meta_graph.collection_def.items():
        copy = schemas.CollectionDef()
        copy.CopyFrom(collection)
        kind = copy.WhichOneof("kind")
        if kind == "node_list":
            _keep(copy.node_list.value, lambda name: node_of(name) in nodes)
        elif kind == "any_list" and key == ASSETS_COLLECTION:
            _keep(copy.any_list.value, lambda packed: node_of(unpack_asset(packed).tensor_info.name) in nodes)
        elif kind == "bytes_list" and key in _NAMES_IN:
            _keep(copy.bytes_list.value, _is_complete(key, nodes))
        elif kind == "bytes_list" and key in _CONTEXTS:
            contexts = [_parse(key, _CONTEXTS[key], data) for data in copy.bytes_list.value]
            kept_contexts = [context.SerializeToString() for context in contexts if _filter_context(context, nodes)]
            del copy.bytes_list.value[:]
            copy.bytes_list.value.extend(kept_contexts)
        if kind is None or len(getattr(copy, kind).value):
            kept[key] = copy
    return kept


def dangling_entries(meta_graph: schemas.MetaGraphDef, key: str, nodes: Collection[str]) -> list[str]:
    """The names in a collection that are no nodes.

    Raises:
        DataLossError: An entry is not what its collection holds.
    """
    collection = meta_graph.collection_def[key]
    kind = collection.WhichOneof("kind")
    names: list[str] = []
    if kind == "node_list":
        names = list(collection.node_list.value)
    elif kind == "bytes_list" and key in _NAMES_IN:
        message, names_in = _NAMES_IN[key]
        names = [name for data in collection.bytes_list.value for name in names_in(_parse(key, message, data))]
    elif kind == "bytes_list" and key in _CONTEXTS:
        for data in collection.bytes_list.value:
            names += _context_names(_parse(key, _CONTEXTS[key], data))
    return [name for name in names if name and node_of(name) not in nodes]


def renamed_collections(
    meta_graph: schemas.MetaGraphDef, rename: Callable[[str], str]
) -> dict[str, schemas.CollectionDef]:
    """The collections with other names for nodes.

    Raises:
        DataLossError: An entry is not what its collection holds.
    """
    changed = {}
    for key, collection in meta_graph.collection_def.items():
        copy = schemas.CollectionDef()
        copy.CopyFrom(collection)
        kind = copy.WhichOneof("kind")
        if kind == "node_list":
            copy.node_list.value[:] = [rename(name) for name in copy.node_list.value]
        elif kind == "any_list" and key == ASSETS_COLLECTION:
            for packed in copy.any_list.value:
                asset = unpack_asset(packed)
                asset.tensor_info.name = rename(asset.tensor_info.name)
                packed.value = asset.SerializeToString()
        elif kind == "bytes_list" and key in (*_NAMES_IN, *_CONTEXTS):
            message = _CONTEXTS[key] if key in _CONTEXTS else _NAMES_IN[key][0]
            parsed = [_parse(key, message, data) for data in copy.bytes_list.value]
            for each in parsed:
                _rename_fields(each, rename)
            copy.bytes_list.value[:] = [each.SerializeToString() for each in parsed]
        changed[key] = copy
    return changed


def _rename_fields(message: Any, rename: Callable[[str], str]) -> None:
    """Renames what names nodes in a VariableDef, a SaverDef, a QueueRunnerDef or a context."""
    for field, value in message.ListFields():
        if field.name in ("values_def", "nested_contexts", "ctxt", "cond_ctxt", "while_ctxt"):
            for each in [value] if field.message_type and hasattr(value, "ListFields") else value:
                _rename_fields(each, rename)
        elif field.name == "save_slice_info_def":
            # A part's full name is one of the checkpoint, which has the same prefix.
            value.full_name = rename(value.full_name)
        elif field.name == "external_values":
            renamed = {rename(name): rename(outer) for name, outer in value.items()}
            value.clear()
            value.update(renamed)
        elif field.name in ("values", "loop_exit_names", "loop_enter_names", "enqueue_op_name"):
            value[:] = [rename(name) for name in value]
        elif field.name.endswith("_name") and isinstance(value, str):
            setattr(message, field.name, rename(value))


def _keep(values: Any, is_kept: Callable[[Any], bool]) -> None:
    kept = [value for value in values if is_kept(value)]
    if len(kept) != len(values):
        del values[:]
        values.extend(kept)


def _is_complete(key: str, nodes: Collection[str]) -> Callable[[bytes], bool]:
    message, names_in = _NAMES_IN[key]

    def check(data: bytes) -> bool:
        return all(not name or node_of(name) in nodes for name in names_in(_parse(key, message, data)))

    return check


def _parse(key: str, message: str, data: bytes) -> Any:
    try:
        return getattr(schemas, message).FromString(data)
    except DecodeError as error:
        raise DataLossError(f"collection {key!r}: no {message}: {error}") from error


def unpack_asset(packed: Any) -> schemas.AssetFileDef:
    """The AssetFileDef in an entry of the collection of assets.

    Raises:
        DataLossError: It holds something else.
    """
    if packed.type_url.rpartition("/")[2] != "tensorflow.AssetFileDef":
        raise DataLossError(f"collection {ASSETS_COLLECTION!r}: an entry is a {packed.type_url!r}, not an AssetFileDef")
    try:
        return schemas.AssetFileDef.FromString(packed.value)
    except DecodeError as error:
        raise DataLossError(f"collection {ASSETS_COLLECTION!r}: no AssetFileDef: {error}") from error


def asset_files(meta_graph: schemas.MetaGraphDef) -> list[schemas.AssetFileDef]:
    """The assets as a loader finds them: in the field of that name, else in the collection.

    Raises:
        DataLossError: The collection holds something else.
    """
    if meta_graph.asset_file_def:
        return list(meta_graph.asset_file_def)
    if ASSETS_COLLECTION not in meta_graph.collection_def:
        return []
    return [unpack_asset(packed) for packed in meta_graph.collection_def[ASSETS_COLLECTION].any_list.value]


def node_list(meta_graph: schemas.MetaGraphDef, key: str) -> list[str]:
    """The names in a collection of nodes; none where it is something else, or not there."""
    return list(meta_graph.collection_def[key].node_list.value) if key in meta_graph.collection_def else []


def _variable_names(definition: schemas.VariableDef) -> Iterable[str]:
    return (
        definition.variable_name,
        definition.initializer_name,
        definition.snapshot_name,
        definition.initial_value_name,
    )


def _saver_names(saver_def: schemas.SaverDef) -> Iterable[str]:
    return saver_def.filename_tensor_name, saver_def.save_tensor_name, saver_def.restore_op_name


def _queue_runner_names(runner: schemas.QueueRunnerDef) -> Iterable[str]:
    return (runner.queue_name, *runner.enqueue_op_name, runner.close_op_name, runner.cancel_op_name)


def _filter_context(context: Any, nodes: Collection[str]) -> bool:
    """Takes out of a context what is gone; whether its pivots, without which it is none, are still there."""
    for field, value in context.ListFields():
        if field.name in ("loop_exit_names", "loop_enter_names"):
            _keep(value, lambda name: node_of(name) in nodes)
        elif field.name.endswith("_name") and field.name != "context_name" and value and node_of(value) not in nodes:
            return False
    values = context.values_def
    _keep(values.values, lambda name: node_of(name) in nodes)
    for name, outer in list(values.external_values.items()):
        if node_of(name) not in nodes or node_of(outer) not in nodes:
            del values.external_values[name]
    nested = [each for each in context.nested_contexts if _filter_context(_context_in(each), nodes)]
    del context.nested_contexts[:]
    context.nested_contexts.extend(nested)
    return True


def _context_names(context: Any) -> Iterator[str]:
    for field, value in context.ListFields():
        if field.name in ("loop_exit_names", "loop_enter_names"):
            yield from value
        elif field.name.endswith("_name") and field.name != "context_name":
            yield value
    yield from context.values_def.values
    yield from context.values_def.external_values.values()
    for nested in context.nested_contexts:
        yield from _context_names(_context_in(nested))


def _context_in(either: schemas.ControlFlowContextDef) -> Any:
    return getattr(either, either.WhichOneof("ctxt") or "cond_ctxt")


_CONTEXTS = {"cond_context": "CondContextDef", "while_context": "WhileContextDef"}
_NAMES_IN: dict[str, tuple[str, Callable[[Any], Iterable[str]]]] = {
    **dict.fromkeys(VARIABLE_COLLECTIONS, ("VariableDef", _variable_names)),
    "savers": ("SaverDef", _saver_names),
    "queue_runners": ("QueueRunnerDef", _queue_runner_names),
}
