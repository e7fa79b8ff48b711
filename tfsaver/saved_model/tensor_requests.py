"""From what callers write as a signature to SignatureDefs whose every tensor is known to exist.

    outputs=["logits"]                          keys from the names: logits
    inputs={"image": "input/image:0"}           tensors by name, with or without :0
    inputs={"image": tensor}                    or by whatever has a name
    outputs={"ids": TensorInfo(coo_sparse=...)} sparse and composite tensors
    signatures={"embed": {"inputs": ..., "outputs": ..., "method_name": ...}, "other": SignatureDef(...)}

Types and shapes come from the graph; where a caller gives them, they must agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from google.protobuf.message import Message

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError, NotFoundError, ShapeMismatchError
from tfsaver.graph.tensor_names import node_of, output_index
from tfsaver.saved_model import constants
from tfsaver.saved_model.graph_tensors import GraphTensors
from tfsaver.saved_model.signature_def import data_type_name, dense_tensor_info, open_shape_from_proto, open_shape_to_proto

Tensors: TypeAlias = "Mapping[str, Any] | Iterable[Any] | str"

_REFERENCE = 100


def as_tensor_infos(tensors: Tensors | None, graph: GraphTensors, what: str) -> dict[str, schemas.TensorInfo]:
    """TensorInfos by key, with types and shapes.

    Raises:
        InvalidArgumentError: A thing that names no tensor, a type that the graph contradicts or that nobody knows, two
            tensors whose names make one key.
        NotFoundError: A tensor that is not in the graph.
        ShapeMismatchError: A shape that the graph contradicts.
    """
    named = _named(tensors, what)
    infos = {}
    for key, value in named.items():
        try:
            infos[key] = _completed(_as_tensor_info(value), graph)
        except (InvalidArgumentError, NotFoundError) as error:
            error.add_context(f"{what} {key!r}")
            raise
    return infos


def as_signature(value: Any, graph: GraphTensors, key: str) -> schemas.SignatureDef:
    """One signature of a caller's `signatures`.

    Raises:
        InvalidArgumentError: It is none, or has an unknown part; and what `as_tensor_infos` raises.
    """
    if isinstance(value, Message):
        if value.DESCRIPTOR.full_name != "tensorflow.SignatureDef":
            raise InvalidArgumentError(f"signature {key!r}: a SignatureDef is needed, not a {value.DESCRIPTOR.full_name}")
        given = schemas.SignatureDef.FromString(value.SerializeToString())
        signature = schemas.SignatureDef(method_name=given.method_name, defaults=dict(given.defaults))
        inputs: Any = dict(given.inputs)
        outputs: Any = dict(given.outputs)
    else:
        if not isinstance(value, Mapping) or not value.keys() <= {"inputs", "outputs", "method_name"}:
            raise InvalidArgumentError(
                f"signature {key!r}: a SignatureDef, or a mapping of inputs, outputs and method_name is needed"
            )
        signature = schemas.SignatureDef(method_name=value.get("method_name", constants.PREDICT))
        inputs, outputs = value.get("inputs"), value.get("outputs")
    for name, info in as_tensor_infos(inputs, graph, f"signature {key!r}: input").items():
        signature.inputs[name].CopyFrom(info)
    for name, info in as_tensor_infos(outputs, graph, f"signature {key!r}: output").items():
        signature.outputs[name].CopyFrom(info)
    return signature


def tensor_name(value: Any) -> str:
    """The name of what stands for a tensor: a str, or something that has a name.

    Raises:
        InvalidArgumentError: It is neither.
    """
    name = value if isinstance(value, str) else getattr(value, "name", None)
    if not isinstance(name, str) or not name or name.startswith("^"):
        raise InvalidArgumentError(f"a tensor or the name of one is needed, not {value!r}")
    return name if ":" in name else f"{name}:0"


def key_of(name: str) -> str:
    """The key of a tensor that was given without one: its name, in which slashes are underscores."""
    index = output_index(name)
    suffix = f"_{index}" if index else ""
    return node_of(name).replace("/", "_") + suffix


def _named(tensors: Tensors | None, what: str) -> dict[str, Any]:
    if tensors is None:
        return {}
    if isinstance(tensors, Mapping):
        if not all(isinstance(key, str) and key for key in tensors):
            raise InvalidArgumentError(f"{what}: keys must be str that are not empty: {list(tensors)!r}")
        return dict(tensors)
    listed = [tensors] if isinstance(tensors, str) or hasattr(tensors, "name") else list(tensors)
    named = {key_of(tensor_name(value)): value for value in listed}
    if len(named) < len(listed):
        raise InvalidArgumentError(f"{what}: two of {listed!r} make one key; give a mapping from keys to tensors")
    return named


def _as_tensor_info(value: Any) -> schemas.TensorInfo:
    if not isinstance(value, Message):
        return schemas.TensorInfo(name=tensor_name(value))
    if value.DESCRIPTOR.full_name != "tensorflow.TensorInfo":
        raise InvalidArgumentError(f"a TensorInfo is needed, not a {value.DESCRIPTOR.full_name}")
    return schemas.TensorInfo.FromString(value.SerializeToString())


def _completed(info: schemas.TensorInfo, graph: GraphTensors) -> schemas.TensorInfo:
    encoding = info.WhichOneof("encoding")
    if encoding == "composite_tensor":
        for component in info.composite_tensor.components:
            component.CopyFrom(_completed(component, graph))
        return info
    if encoding == "coo_sparse":
        parts = info.coo_sparse
        parts.values_tensor_name, info.dtype = _checked(parts.values_tensor_name, info.dtype, graph)
        parts.indices_tensor_name, _ = _checked(parts.indices_tensor_name, schemas.DT_INT64, graph)
        parts.dense_shape_tensor_name, _ = _checked(parts.dense_shape_tensor_name, schemas.DT_INT64, graph)
        if not info.HasField("tensor_shape"):
            info.tensor_shape.unknown_rank = True
        return info
    if encoding is None:
        raise InvalidArgumentError("a TensorInfo that names no tensor")
    name, data_type = _checked(info.name, info.dtype, graph)
    shape = graph.tensor(name).shape
    if not info.HasField("tensor_shape"):
        return dense_tensor_info(name, data_type, shape)
    return dense_tensor_info(name, data_type, _agreed(name, shape, open_shape_from_proto(info.tensor_shape)))


def _checked(name: str, data_type: int, graph: GraphTensors) -> tuple[str, int]:
    """The full name and the type of a tensor."""
    tensor = graph.tensor(name)
    if data_type > _REFERENCE:
        # What was a variable's own tensor is fed and fetched as its value.
        data_type -= _REFERENCE
    if not (data_type or tensor.data_type):
        raise InvalidArgumentError(f"the type of {tensor.name} cannot be known from the graph: give a TensorInfo with it")
    if data_type and tensor.data_type and data_type != tensor.data_type:
        raise InvalidArgumentError(
            f"{tensor.name} is {data_type_name(tensor.data_type)} in the graph, {data_type_name(data_type)} in the signature"
        )
    if (data_type or tensor.data_type) == schemas.DT_RESOURCE:
        raise InvalidArgumentError(f"{tensor.name} is a resource, such as a variable's handle: name a tensor with its value")
    return tensor.name, data_type or tensor.data_type


def _agreed(
    name: str, of_graph: tuple[int | None, ...] | None, given: tuple[int | None, ...] | None
) -> tuple[int | None, ...] | None:
    """The caller's shape, which may say more than the graph or less, but nothing else."""
    if of_graph is not None and given is not None:
        sizes = zip(of_graph, given, strict=False)
        if len(of_graph) != len(given) or any(a != b for a, b in sizes if a is not None and b is not None):
            open_to_minus_one = [-1 if size is None else size for size in of_graph]
            raise ShapeMismatchError(name, expected=given, actual=open_to_minus_one)
    return given


def placeholder(name: str, tensor_data_type: int, shape: tuple[int | None, ...] | None) -> schemas.NodeDef:
    """A node to feed."""
    node = schemas.NodeDef(name=name, op="Placeholder")
    node.attr["dtype"].type = tensor_data_type
    node.attr["shape"].shape.CopyFrom(open_shape_to_proto(shape))
    return node
