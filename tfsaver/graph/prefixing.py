"""A graph whose every name begins with a prefix, so that it can stand next to another one.

    x, loc:@x, ^init, Body          a/x, loc:@a/x, ^a/init, a_Body        nodes, and functions
    VariableDef, SaverDef           the nodes that collections name
    RestoreV2(names=[w])            RestoreV2(names=[a/w])                the names in the checkpoint

The inside of functions stays as it is: names there are of no other body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tfsaver import schemas
from tfsaver.graph.collection_defs import renamed_collections
from tfsaver.graph.functions import TEXT_ATTRS, library_functions
from tfsaver.graph.saver_keys import RESTORE_OPS, SAVE_OPS
from tfsaver.graph.tensor_names import COLOCATION, CONTROL, node_of


def prefixed(meta_graph: schemas.MetaGraphDef, prefix: str) -> schemas.MetaGraphDef:
    """A copy of a graph with `prefix` before the names of its nodes, functions, frames, resources and tensors.

    Args:
        prefix: Such as ``encoder/``.
    """
    changed = schemas.MetaGraphDef()
    changed.CopyFrom(meta_graph)
    functions = {name: prefix.replace("/", "_") + name for name in library_functions(changed.graph_def)}

    def rename(reference: str) -> str:
        if not reference:
            return reference
        return f"{CONTROL}{prefix}{reference[1:]}" if reference.startswith(CONTROL) else prefix + reference

    names = _checkpoint_names(changed.graph_def)
    for node in changed.graph_def.node:
        if node.name in names:
            values = node.attr["value"].tensor.string_val
            values[:] = [prefix.encode() + each for each in values]
        _rename_node(node, rename, functions, prefix)
    for function in changed.graph_def.library.function:
        function.signature.name = functions[function.signature.name]
        for node in function.node_def:
            node.op = functions.get(node.op, node.op)
            _rename_functions(node.attr, functions)
            _rename_resource(node, prefix)
        _rename_functions(function.attr, functions)
    for gradient in changed.graph_def.library.gradient:
        gradient.function_name = functions.get(gradient.function_name, gradient.function_name)
        gradient.gradient_func = functions.get(gradient.gradient_func, gradient.gradient_func)
    for signature in changed.signature_def.values():
        for info in (*signature.inputs.values(), *signature.outputs.values()):
            rename_tensor_info(info, rename)
    for field in ("filename_tensor_name", "save_tensor_name", "restore_op_name"):
        if changed.HasField("saver_def"):
            setattr(changed.saver_def, field, rename(getattr(changed.saver_def, field)))
    for asset in changed.asset_file_def:
        rename_tensor_info(asset.tensor_info, rename)
    collections = renamed_collections(changed, rename)
    changed.collection_def.clear()
    for key, collection in collections.items():
        changed.collection_def[key].CopyFrom(collection)
    return changed


def rename_tensor_info(info: schemas.TensorInfo, rename: Callable[[str], str]) -> None:
    """Gives the tensors of a TensorInfo other names, in place."""
    kind = info.WhichOneof("encoding")
    if kind == "name":
        info.name = rename(info.name)
    elif kind == "coo_sparse":
        for field in ("values_tensor_name", "indices_tensor_name", "dense_shape_tensor_name"):
            setattr(info.coo_sparse, field, rename(getattr(info.coo_sparse, field)))
    else:
        for component in info.composite_tensor.components:
            rename_tensor_info(component, rename)


def _rename_node(
    node: schemas.NodeDef, rename: Callable[[str], str], functions: Mapping[str, str], prefix: str
) -> None:
    node.name = rename(node.name)
    node.op = functions.get(node.op, node.op)
    node.input[:] = [rename(each) for each in node.input]
    if "_class" in node.attr:
        groups = node.attr["_class"].list.s
        groups[:] = [
            COLOCATION + prefix.encode() + each[len(COLOCATION) :] if each.startswith(COLOCATION) else each
            for each in groups
        ]
    if "frame_name" in node.attr:
        node.attr["frame_name"].s = prefix.encode() + node.attr["frame_name"].s
    _rename_functions(node.attr, functions)
    _rename_resource(node, prefix)


def _rename_resource(node: schemas.NodeDef, prefix: str) -> None:
    """Resources of one shared name are one, whatever node makes them."""
    if "shared_name" in node.attr and node.attr["shared_name"].s:
        node.attr["shared_name"].s = prefix.encode() + node.attr["shared_name"].s


def _rename_functions(attrs: Any, functions: Mapping[str, str]) -> None:
    for key, value in attrs.items():
        kind = value.WhichOneof("value")
        called = [value.func] if kind == "func" else list(value.list.func) if kind == "list" else []
        for each in called:
            each.name = functions.get(each.name, each.name)
            _rename_functions(each.attr, functions)
        if kind == "s" and key in TEXT_ATTRS:
            name = value.s.decode("utf-8", "replace")
            value.s = functions.get(name, name).encode()


def _checkpoint_names(graph_def: schemas.GraphDef) -> set[str]:
    """The constants that hold names of a checkpoint's tensors."""
    position = 1
    found = {
        node_of(node.input[position])
        for node in graph_def.node
        if node.op in RESTORE_OPS | SAVE_OPS and len(node.input) > position
    }
    return {node.name for node in graph_def.node if node.name in found and node.op == "Const"}
