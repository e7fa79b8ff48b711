"""What one loader refuses and another takes: the C++ loader, compat.v1's, `tf.saved_model.load`, Keras, TFLite, tf2onnx.

Each cause is one finding, however many nodes it has, and says which loader refuses and what to do about it.

    operations that TensorFlow has not      all loaders, unless the library is loaded
    calls of Python                         every process but the one that made the graph
    devices of other machines, or GPUs      the C++ loader and compat.v1, which place nodes where they say
    `_output_shapes` that do not fit        compat.v1 and `tf.saved_model.load`
    one tensor under two input keys         the C++ loader, which feeds it twice
    optimizer slots, types of libraries     `tf.saved_model.load` alone, which makes objects
    no signature                            the C++ loader has nothing to call
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.report import count
from tfsaver.errors import InvalidArgumentError
from tfsaver.graph.devices import Device
from tfsaver.graph.findings import Finding, error, shown, warning
from tfsaver.graph.functions import bodies, library_functions
from tfsaver.graph.lint_signatures import RESERVED
from tfsaver.graph.op_risk_table import is_registered
from tfsaver.graph.pruning import tensor_info_names
from tfsaver.graph.reach import Reach

_PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
# Registered where `tf.saved_model.load` is: a name that begins so is TensorFlow's own.
_OWN_TYPES = "tf."
_REGISTERED_TYPES = frozenset({schemas.TypeSpecProto.REGISTERED_TYPE_SPEC, schemas.TypeSpecProto.EXTENSION_TYPE_SPEC})
# Programs before this version wrote shapes that need not be right.
_EXACT_SHAPES = 21


def lint_loaders(meta_graph: schemas.MetaGraphDef) -> Iterator[Finding]:
    """The findings that depend on the loader."""
    library = library_functions(meta_graph.graph_def)
    says_what_runs = any(key not in RESERVED for key in meta_graph.signature_def)
    reach = Reach(meta_graph.graph_def, meta_graph if says_what_runs else None)
    producer = meta_graph.graph_def.versions.producer
    foreign: dict[str, list[str]] = {}
    python: list[str] = []
    devices: dict[str, list[str]] = {}
    for function, nodes in bodies(meta_graph.graph_def):
        for node in nodes:
            place = f"{function}/{node.name}" if function else node.name
            if node.op not in library and not is_registered(node.op):
                foreign.setdefault(node.op, []).append(place)
            elif node.op in _PYTHON_OPS and reach.reaches(function, node.name):
                python.append(place)
            if node.device and says_what_runs and reach.reaches(function, node.name) and _is_elsewhere(node.device):
                devices.setdefault(node.device, []).append(place)
            if not function:
                yield from _lint_output_shapes(node, producer)
    for op, places in foreign.items():
        sentence = (
            f"{_nodes(places)} of the operation {shown(op)}, which TensorFlow does not have: every loader refuses the graph "
            "unless the operation's library is loaded before, with tf.load_op_library; TFLite and tf2onnx cannot convert it"
        )
        yield warning("unknown-operation", places[0], sentence)
    if python:
        sentence = (
            f"{_nodes(python)} that call a Python function of the process that made the graph: every loader takes the "
            "graph, and running it fails in another process, a server and TFLite among them"
        )
        yield warning("python-function", python[0], sentence)
    for device, places in devices.items():
        sentence = (
            f"{_nodes(places)} on the device {shown(device)}: the C++ loader and compat.v1 refuse to run them where it is "
            "missing; tfsaver.export_saved_model(MODEL, TARGET) clears devices, in functions too"
        )
        yield warning("foreign-device", places[0], sentence)
    yield from _lint_input_keys(meta_graph)
    yield from _lint_objects(meta_graph.object_graph_def)
    if meta_graph.meta_info_def.tags and not says_what_runs:
        yield _no_signature(meta_graph.object_graph_def)


def _nodes(places: list[str]) -> str:
    return "is a node" if len(places) == 1 else f"is the first of {len(places):,} nodes"


def _is_elsewhere(text: str) -> bool:
    """Whether a machine with one CPU and no other programs lacks a device."""
    try:
        device = Device.parse(text)
    except InvalidArgumentError:
        return True
    is_here = device.job in ("", "localhost") and device.replica in ("", "0") and device.task in ("", "0")
    return not (is_here and device.kind in ("", "CPU", "XLA_CPU") and device.index in ("", "*", "0"))


def _lint_output_shapes(node: schemas.NodeDef, producer: int) -> Iterator[Finding]:
    """Looks at what says its own shape; of others, TensorFlow infers it."""
    if "_output_shapes" not in node.attr or producer < _EXACT_SHAPES:
        return
    shapes = node.attr["_output_shapes"].list.shape
    if node.op == "Const" and "value" in node.attr and node.attr["value"].HasField("tensor"):
        actual = node.attr["value"].tensor.tensor_shape
    elif node.op == "Placeholder" and "shape" in node.attr:
        actual = node.attr["shape"].shape
    else:
        return
    if shapes and not _agree(shapes[0], actual):
        said, given = ([dim.size for dim in shape.dim] for shape in (shapes[0], actual))
        sentence = (
            f"its _output_shapes say {said}, and it is {given}: compat.v1 and tf.saved_model.load refuse that; "
            "without the attribute TensorFlow infers the shape"
        )
        yield error("wrong-output-shapes", node.name, sentence)


def _agree(first: schemas.TensorShapeProto, second: schemas.TensorShapeProto) -> bool:
    if first.unknown_rank or second.unknown_rank:
        return True
    sizes = [dim.size for dim in first.dim], [dim.size for dim in second.dim]
    return len(sizes[0]) == len(sizes[1]) and all(
        left == right or -1 in (left, right) for left, right in zip(*sizes, strict=True)
    )


def _lint_input_keys(meta_graph: schemas.MetaGraphDef) -> Iterator[Finding]:
    for key, signature in sorted(meta_graph.signature_def.items()):
        seen: dict[str, str] = {}
        for name, info in sorted(signature.inputs.items()):
            for tensor in tensor_info_names(info):
                if tensor in seen:
                    sentence = (
                        f"is the tensor {shown(tensor)}, as is the input {shown(seen[tensor])}: the C++ loader refuses a "
                        "request that feeds both; tfsaver.export_saved_model(MODEL, TARGET, signatures=...) with one key "
                        "mends it"
                    )
                    yield warning("same-input-twice", f"{key}.inputs[{name}]", sentence)
                seen.setdefault(tensor, name)


def _lint_objects(objects: schemas.SavedObjectGraph) -> Iterator[Finding]:
    owners = [number for number, node in enumerate(objects.nodes) if node.slot_variables]
    if owners:
        number = sum(len(objects.nodes[owner].slot_variables) for owner in owners)
        kind = objects.nodes[owners[0]].user_object.identifier or "object"
        sentence = (
            f"({kind}) has {count(number, 'slot variable')}: tf.saved_model.load refuses it "
            "where Keras 2 is not loaded (no attribute 'add_slot'), the C++ loader and compat.v1 take it; "
            "tfsaver.export_saved_model(MODEL, TARGET) leaves the objects out"
        )
        yield warning("optimizer-slots", f"object {owners[0]}", sentence)
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
        yield warning("unregistered-type", place, sentence)


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


def _no_signature(objects: schemas.SavedObjectGraph) -> Finding:
    functions = [
        child.local_name
        for child in (objects.nodes[0].children if objects.nodes else ())
        if 0 <= child.node_id < len(objects.nodes)
        and objects.nodes[child.node_id].WhichOneof("kind") in ("function", "bare_concrete_function")
    ]
    if functions:
        first = "__call__" if "__call__" in functions else functions[0]
        names = ", ".join(map(shown, functions[:8])) + (" ..." if len(functions) > 8 else "")
        way = (
            f"its functions are {names}; tfsaver.export_saved_model(MODEL, TARGET, "
            f"signatures={{'serving_default': {first!r}}}) makes a signature of one"
        )
    else:
        way = "tfsaver.export_saved_model(MODEL, TARGET, outputs=[...]) makes one"
    return warning("no-signature", "signatures", f"has no signature: the C++ loader and servers have nothing to call; {way}")
