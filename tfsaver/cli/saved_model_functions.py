"""What can be called on a SavedModel of TensorFlow 2 once Python has loaded it: its root object's functions, as text.

    __call__(x: float32 [?,28], training=False) -> float32 [?,10]

A function has been traced for one or more kinds of arguments; each trace is a line. The arguments are in a StructuredValue,
which is a tree of Python's own values and of what stands for tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tfsaver import schemas
from tfsaver.saved_model.signature_def import data_type_name, open_shape_from_proto

# Letters for each byte of the objects.
_ROOM_PER_BYTE = 16
_MIN_ROOM = 1 << 16


class TracedFunction(NamedTuple):
    """One trace: what the function is called on the root object, its arguments and its result, the trace's own name."""

    name: str
    arguments: str
    result: str
    concrete_function: str

    def __str__(self) -> str:
        return f"{self.name}({self.arguments})" + (f" -> {self.result}" if self.result else "")


def traced_functions(objects: schemas.SavedObjectGraph) -> Iterator[TracedFunction]:
    """The traces of the root object's functions, in the order of their names; the arguments of all are an ellipsis once they
    are far more text than there is in the model, since any number of functions may have one trace.
    """
    if not objects.nodes:
        return
    room = _MIN_ROOM + _ROOM_PER_BYTE * objects.ByteSize()
    for child in sorted(objects.nodes[0].children, key=lambda child: child.local_name):
        if not 0 <= child.node_id < len(objects.nodes):
            continue
        node = objects.nodes[child.node_id]
        kind = node.WhichOneof("kind")
        if kind == "function":
            names = _argument_names(node.function.function_spec)
            traces = list(node.function.concrete_functions)
        elif kind == "bare_concrete_function":
            names = list(node.bare_concrete_function.argument_keywords)
            traces = [node.bare_concrete_function.concrete_function_name]
        else:
            continue
        for trace in traces:
            found = objects.concrete_functions.get(trace)
            arguments, result = "...", ""
            if found is not None and room > 0:
                arguments = _format_arguments(found.canonicalized_input_signature, names)
                result = format_value(found.output_signature)
                room -= len(arguments) + len(result) + len(names)
            yield TracedFunction(child.local_name, arguments, result, trace)


def format_value(value: schemas.StructuredValue) -> str:
    """A value as Python would write it, a tensor by its type and shape."""
    kind = value.WhichOneof("kind")
    if kind is None:
        return ""
    content: Any = getattr(value, kind)
    if kind == "none_value":
        return "None"
    if kind in ("tensor_spec_value", "bounded_tensor_spec_value"):
        return f"{data_type_name(content.dtype)} {open_shape_text(open_shape_from_proto(content.shape))}"
    if kind == "type_spec_value":
        name = content.type_spec_class_name.rpartition(".")[2] or "TypeSpec"
        return f"{name}({format_value(content.type_state)})"
    if kind == "tensor_shape_value":
        return open_shape_text(open_shape_from_proto(content))
    if kind == "tensor_dtype_value":
        return data_type_name(content) or "None"
    if kind in ("tensor_value", "numpy_value"):
        return f"<{data_type_name(content.dtype)} {open_shape_text(open_shape_from_proto(content.tensor_shape))}>"
    if kind == "list_value":
        return f"[{', '.join(map(format_value, content.values))}]"
    if kind == "tuple_value":
        items = ", ".join(map(format_value, content.values))
        return f"({items},)" if len(content.values) == 1 else f"({items})"
    if kind == "dict_value":
        return "{" + ", ".join(f"{key!r}: {format_value(content.fields[key])}" for key in sorted(content.fields)) + "}"
    if kind == "named_tuple_value":
        return f"{content.name}({', '.join(f'{pair.key}={format_value(pair.value)}' for pair in content.values)})"
    return repr(content)


def open_shape_text(shape: Sequence[int | None] | None) -> str:
    """A shape without blanks, in which sizes may be open: ``[?,28]``, and ``[...]`` where its rank is."""
    if shape is None:
        return "[...]"
    return f"[{','.join('?' if size is None else str(size) for size in shape)}]"


def _argument_names(spec: schemas.FunctionSpec) -> list[str]:
    """The names of a function's arguments, without the object that it is a method of."""
    for pair in spec.fullargspec.named_tuple_value.values:
        if pair.key == "args":
            names = [item.string_value for item in pair.value.list_value.values]
            return names[1:] if spec.is_method or names[:1] == ["self"] else names
    return []


def _format_arguments(signature: schemas.StructuredValue, names: list[str]) -> str:
    """What a trace takes: a tuple of the positional arguments, and a mapping of the others."""
    parts = signature.tuple_value.values
    if len(parts) != 2:
        return format_value(signature)
    positional = list(parts[0].tuple_value.values)
    named = names + [""] * (len(positional) - len(names))
    texts = [_format_argument(name, value) for name, value in zip(named, positional, strict=False)]
    fields = parts[1].dict_value.fields
    return ", ".join(texts + [_format_argument(key, fields[key]) for key in sorted(fields)])


def _format_argument(name: str, value: schemas.StructuredValue) -> str:
    kind = value.WhichOneof("kind") or ""
    if not name and kind == "tensor_spec_value":
        name = value.tensor_spec_value.name
    text = format_value(value)
    if not name:
        return text
    is_tensor = kind in ("tensor_spec_value", "bounded_tensor_spec_value", "type_spec_value")
    return f"{name}: {text}" if is_tensor else f"{name}={text}"
