"""What `tf.saved_model.load` refuses of a model of objects, and loaders that only import the graph take.

    numbers of objects that are not there, functions that are not in the library, constants without a value
    optimizer slots, types of libraries
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.report import count
from tfsaver.graph.findings import V2, Finding, Loader, shown, warning
from tfsaver.graph.lint_nodes import lint_const
from tfsaver.graph.load_scope import LoadScope

# Registered where `tf.saved_model.load` is: a name that begins so is TensorFlow's own.
_OWN_TYPES = "tf."
_REGISTERED_TYPES = frozenset({schemas.TypeSpecProto.REGISTERED_TYPE_SPEC, schemas.TypeSpecProto.EXTENSION_TYPE_SPEC})
# What a function can capture.
_CAPTURED = frozenset({"variable", "constant", "asset", "resource", "captured_tensor", "user_object"})


def lint_objects(
    meta_graph: schemas.MetaGraphDef, library: Mapping[str, schemas.FunctionDef], scope: LoadScope
) -> Iterator[Finding]:
    """The findings about objects; none where no loader makes any."""
    objects = meta_graph.object_graph_def
    refused_by: tuple[Loader, ...] = (V2,) if scope.has_objects else ()
    broken = sorted(set(_broken(meta_graph, library))) if scope.has_objects else []
    if broken:
        more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
        sentence = (
            f"{broken[0][1]}{more}: tf.saved_model.load refuses it, the C++ loader and compat.v1 take it; "
            "tfsaver.export_saved_model(MODEL, TARGET) leaves the objects out"
        )
        yield warning("broken-objects", broken[0][0], sentence, refused_by)
    owners = [number for number, node in enumerate(objects.nodes) if node.slot_variables]
    if owners:
        number = sum(len(objects.nodes[owner].slot_variables) for owner in owners)
        kind = objects.nodes[owners[0]].user_object.identifier or "object"
        sentence = (
            f"({kind}) has {count(number, 'slot variable')}: tf.saved_model.load refuses it "
            "where Keras 2 is not loaded (no attribute 'add_slot'), the C++ loader and compat.v1 take it; "
            "tfsaver.export_saved_model(MODEL, TARGET) leaves the objects out"
        )
        yield warning("optimizer-slots", f"object {owners[0]}", sentence, refused_by)
    found: dict[str, str] = {}
    for name in sorted(objects.concrete_functions):
        function = objects.concrete_functions[name]
        for value in (function.canonicalized_input_signature, function.output_signature):
            for kind in _foreign_types(value):
                found.setdefault(kind, f"function {name}")
    for number, node in enumerate(objects.nodes):
        if node.WhichOneof("kind") == "function":
            for kind in _foreign_types(node.function.function_spec.input_signature):
                found.setdefault(kind, f"object {number}")
    for kind, place in found.items():
        sentence = (
            f"takes or gives {shown(kind)}, a type of a library: tf.saved_model.load refuses it unless the library that "
            "registers the type is imported, the C++ loader and compat.v1 take it; "
            "tfsaver.export_saved_model(MODEL, TARGET) leaves the objects out"
        )
        yield warning("unregistered-type", place, sentence, refused_by)


def _foreign_types(value: schemas.StructuredValue) -> Iterator[str]:
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        kind = each.WhichOneof("kind")
        if kind == "type_spec_value":
            spec = each.type_spec_value
            name = spec.type_spec_class_name
            if spec.type_spec_class in _REGISTERED_TYPES and not name.startswith(_OWN_TYPES):
                yield name
            waiting.append(spec.type_state)
        elif kind in ("list_value", "tuple_value"):
            waiting.extend(getattr(each, kind).values)
        elif kind == "dict_value":
            waiting.extend(each.dict_value.fields.values())
        elif kind == "named_tuple_value":
            waiting.extend(pair.value for pair in each.named_tuple_value.values)


def _broken(
    meta_graph: schemas.MetaGraphDef, library: Mapping[str, schemas.FunctionDef]
) -> Iterator[tuple[str, str]]:
    """Objects that refer to what is not there, each with what it refers to."""
    objects = meta_graph.object_graph_def
    there = range(len(objects.nodes))
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    for number, node in enumerate(objects.nodes):
        place = f"object {number}"
        for child in node.children:
            if child.node_id not in there:
                yield place, f"its {shown(child.local_name)} is object {child.node_id}, which is not there"
        for slot in node.slot_variables:
            for each in (slot.original_variable_node_id, slot.slot_variable_node_id):
                if each not in there:
                    yield place, f"its slot {shown(slot.slot_name)} is object {each}, which is not there"
        for name, saveable in node.saveable_objects.items():
            for each in (saveable.save_function, saveable.restore_function):
                if each not in there:
                    yield place, f"what saves its {shown(name)} is object {each}, which is not there"
        for name in _functions_of(node):
            if name not in objects.concrete_functions or name not in library:
                yield place, f"its function {shown(name)} is not in the library"
        kind = node.WhichOneof("kind")
        if kind == "asset" and node.asset.asset_file_def_index not in range(len(meta_graph.asset_file_def)):
            yield place, f"it is asset {node.asset.asset_file_def_index}, which is not there"
        elif kind == "constant":
            constant = nodes.get(node.constant.operation)
            if constant is None:
                yield place, f"it is the constant {shown(node.constant.operation)}, which is not in the graph"
            elif any(lint_const(constant, constant.name)):
                yield place, f"it is the constant {shown(constant.name)}, which has no sound value"
    for name in objects.concrete_functions:
        if name not in library:
            yield f"function {name}", "it is not in the library"
        for each in objects.concrete_functions[name].bound_inputs:
            if each not in there or objects.nodes[each].WhichOneof("kind") not in _CAPTURED:
                what = "which is not there" if each not in there else "which no function can capture"
                yield f"function {name}", f"it captures object {each}, {what}"


def _functions_of(node: schemas.SavedObject) -> list[str]:
    kind = node.WhichOneof("kind")
    if kind == "function":
        return list(node.function.concrete_functions)
    return [node.bare_concrete_function.concrete_function_name] if kind == "bare_concrete_function" else []
