"""Signatures of the functions that a model of TensorFlow 2 was saved with.

    "__call__"  ->  Placeholder x -> StatefulPartitionedCall(x, w) of __inference___call___13 -> {"p": ...}

`concrete_functions` of the objects say what a function captured, by the numbers of objects: variables, constants, assets.
Its own arguments become placeholders, its captures the nodes that the graph already has for these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError, NotFoundError, UnimplementedError, nearest_names
from tfsaver.graph.functions import library_functions
from tfsaver.graph.tensor_names import free_name
from tfsaver.saved_model import constants

_TENSORS = ("tensor_spec_value", "bounded_tensor_spec_value")


def add_function_signature(
    meta_graph: schemas.MetaGraphDef, objects: schemas.SavedObjectGraph, key: str, name: str
) -> schemas.SignatureDef:
    """Adds the nodes that call a function of the root object, and returns their signature.

    Args:
        meta_graph: The graph, which gets the nodes.
        objects: Its objects.
        key: The signature's key.
        name: The function: an attribute of the root object, or the name of a concrete function.

    Raises:
        NotFoundError: There is no such function.
        InvalidArgumentError: It has several traces, of which none is named.
        UnimplementedError: It takes, gives or captures what no signature can.
        DataLossError: The objects contradict the graph.
    """
    concrete = _concrete_function(objects, name)
    function = library_functions(meta_graph.graph_def).get(concrete)
    found = objects.concrete_functions.get(concrete)
    if function is None or found is None:
        raise DataLossError(f"function {name!r} is {concrete!r}, which the graph does not have")
    what = f"function {name!r}"
    specs = list(_tensor_specs(found.canonicalized_input_signature, what))
    arguments = function.signature.input_arg
    if len(specs) + len(found.bound_inputs) != len(arguments):
        raise UnimplementedError(f"{what} takes {len(arguments)} tensors, {len(specs)} of which are named")
    results = _results(found.output_signature, what)
    if len(results) != len(function.signature.output_arg):
        given = len(function.signature.output_arg)
        raise UnimplementedError(f"{what} gives {given} tensors, {len(results)} of which are named")
    graph = meta_graph.graph_def
    names = {node.name for node in graph.node}
    captures = [_capture(meta_graph, objects, number, what) for number in found.bound_inputs]
    signature = schemas.SignatureDef(method_name=constants.PREDICT)
    inputs = []
    for spec, argument in zip(specs, arguments, strict=False):
        input_key = spec.name.partition(":")[0] or argument.name
        if input_key in signature.inputs:
            input_key = argument.name
        node = graph.node.add(name=free_name(f"{key}_{input_key}", names), op="Placeholder")
        names.add(node.name)
        node.attr["dtype"].type = spec.dtype
        node.attr["shape"].shape.CopyFrom(spec.shape)
        inputs.append(node.name)
        signature.inputs[input_key].CopyFrom(
            schemas.TensorInfo(name=f"{node.name}:0", dtype=spec.dtype, tensor_shape=spec.shape)
        )
    call = graph.node.add(name=free_name("StatefulPartitionedCall", names), op="StatefulPartitionedCall")
    call.input.extend([*inputs, *captures])
    call.attr["Tin"].list.type.extend(argument.type for argument in arguments)
    call.attr["Tout"].list.type.extend(result.dtype for _, result in results)
    call.attr["f"].func.name = concrete
    for position, (output_key, result) in enumerate(results):
        signature.outputs[output_key].CopyFrom(
            schemas.TensorInfo(name=f"{call.name}:{position}", dtype=result.dtype, tensor_shape=result.shape)
        )
    return signature


def _concrete_function(objects: schemas.SavedObjectGraph, name: str) -> str:
    if name in objects.concrete_functions:
        return name
    functions: dict[str, list[str]] = {}
    for child in objects.nodes[0].children if objects.nodes else ():
        if 0 <= child.node_id < len(objects.nodes):
            node = objects.nodes[child.node_id]
            if node.WhichOneof("kind") == "function":
                functions[child.local_name] = list(node.function.concrete_functions)
            elif node.WhichOneof("kind") == "bare_concrete_function":
                functions[child.local_name] = [node.bare_concrete_function.concrete_function_name]
    if name not in functions:
        near = nearest_names(name, functions) or tuple(functions)
        there = ", ".join(map(repr, near)) or "none"
        raise NotFoundError(f"the model has no function {name!r}: there is {there}")
    traces = functions[name]
    if len(traces) != 1:
        raise InvalidArgumentError(f"function {name!r} has {len(traces)} traces, one must be named: {', '.join(traces)}")
    return traces[0]


def _tensor_specs(value: schemas.StructuredValue, what: str) -> Iterator[Any]:
    """The tensors in a tree, in the order in which TensorFlow flattens it."""
    kind = value.WhichOneof("kind")
    if kind in _TENSORS:
        yield getattr(value, kind)
    elif kind in ("tuple_value", "list_value"):
        for item in getattr(value, kind).values:
            yield from _tensor_specs(item, what)
    elif kind == "dict_value":
        for key in sorted(value.dict_value.fields):
            yield from _tensor_specs(value.dict_value.fields[key], what)
    elif kind == "named_tuple_value":
        for pair in value.named_tuple_value.values:
            yield from _tensor_specs(pair.value, what)
    elif kind == "type_spec_value":
        raise UnimplementedError(f"{what} takes or gives a {value.type_spec_value.type_spec_class_name}, no dense tensor")


def _results(value: schemas.StructuredValue, what: str) -> list[tuple[str, Any]]:
    if value.WhichOneof("kind") == "dict_value":
        fields = value.dict_value.fields
        results = [(key, list(_tensor_specs(fields[key], what))) for key in sorted(fields)]
        if any(len(specs) > 1 for _, specs in results):
            raise UnimplementedError(f"{what} gives a tree of tensors, which is no signature's output")
        return [(key, specs[0]) for key, specs in results if specs]
    return [(f"output_{number}", spec) for number, spec in enumerate(_tensor_specs(value, what))]


def _capture(meta_graph: schemas.MetaGraphDef, objects: schemas.SavedObjectGraph, number: int, what: str) -> str:
    """The node of what a function captured."""
    node = objects.nodes[number] if 0 <= number < len(objects.nodes) else schemas.SavedObject()
    kind = node.WhichOneof("kind")
    if kind == "constant":
        return str(node.constant.operation)
    if kind == "asset" and 0 <= node.asset.asset_file_def_index < len(meta_graph.asset_file_def):
        return str(meta_graph.asset_file_def[node.asset.asset_file_def_index].tensor_info.name)
    if kind != "variable":
        raise UnimplementedError(
            f"{what} captures object {number} ({kind or 'not there'}), for which no node of the graph is known"
        )
    name = node.variable.name
    same = [each for each in objects.nodes if each.WhichOneof("kind") == "variable" and each.variable.name == name]
    handles = [
        each.name
        for each in meta_graph.graph_def.node
        if each.op == "VarHandleOp" and (each.attr["shared_name"].s.decode("utf-8", "replace") or each.name) == name
    ]
    if len(handles) != 1 or len(same) != 1:
        raise UnimplementedError(
            f"{what} captures the variable {name!r}, for which the graph has {len(handles)} nodes: "
            "nothing tells which is meant"
        )
    return handles[0]
