"""`tf.compat.v1.saved_model.utils`: tensors as TensorInfos, and the way back.

    x                        name "x:0", dtype, tensor_shape
    SparseTensor             coo_sparse: the names of values, indices and dense shape; dtype, the dense shape
    RaggedTensor and others  composite_tensor: what it is, and its components
    a resource variable      its name, which is that of its handle, with the type of its value
    a reference variable     the same; there name and value are one tensor

A TensorInfo is of TensorFlow's own schemas.
"""

from __future__ import annotations

from typing import Any

from tfsaver.compat import _tensorflow
from tfsaver.compat.v1.saved_model._messages import message_class
from tfsaver.errors import InvalidArgumentError

__all__ = ["build_tensor_info", "get_tensor_from_tensor_info"]


def build_tensor_info(tensor: Any) -> Any:
    """The TensorInfo of a tensor of a graph.

    Args:
        tensor: A Tensor, SparseTensor, RaggedTensor or another composite one, or a variable.

    Raises:
        RuntimeError: In eager mode, where tensors have no names.
    """
    if _tensorflow.tf.executing_eagerly():
        raise RuntimeError(
            "`build_tensor_info` is not supported in eager execution: tensors have no names outside of a graph"
        )
    return tensor_info(tensor)


def tensor_info(tensor: Any) -> Any:
    """The TensorInfo of a tensor of any graph, whatever mode the program is in now."""
    tf = _tensorflow.tf
    message = message_class("TensorInfo")
    if isinstance(tensor, tf.SparseTensor):
        sparse = message(dtype=tensor.dtype.as_datatype_enum, tensor_shape=tensor.get_shape().as_proto())
        sparse.coo_sparse.values_tensor_name = tensor.values.name
        sparse.coo_sparse.indices_tensor_name = tensor.indices.name
        sparse.coo_sparse.dense_shape_tensor_name = tensor.dense_shape.name
        return sparse
    if isinstance(tensor, tf.__internal__.CompositeTensor) and not isinstance(tensor, _tensorflow.BaseResourceVariable):
        composite = message()
        spec = tf.__internal__.saved_model.encode_structure(tf.type_spec_from_value(tensor))
        composite.composite_tensor.type_spec.CopyFrom(spec.type_spec_value)
        for component in tf.nest.flatten(tensor, expand_composites=True):
            composite.composite_tensor.components.append(tensor_info(component))
        return composite
    data_type = tf.as_dtype(tensor.dtype).base_dtype.as_datatype_enum
    return message(name=tensor.name, dtype=data_type, tensor_shape=tensor.get_shape().as_proto())


def get_tensor_from_tensor_info(tensor_info: Any, graph: Any = None, import_scope: str | None = None) -> Any:
    """The tensor that a TensorInfo stands for.

    Args:
        tensor_info: The TensorInfo.
        graph: Where to look; the default graph if not given.
        import_scope: The scope that the graph of `tensor_info` was imported to.

    Raises:
        KeyError: The graph has no tensor of that name.
        InvalidArgumentError: A ValueError; the TensorInfo names no tensor.
    """
    tf = _tensorflow.tf
    if graph is None:
        graph = tf.compat.v1.get_default_graph()

    def named(name: str) -> Any:
        return graph.get_tensor_by_name(f"{import_scope}/{name}" if import_scope else name)

    encoding = tensor_info.WhichOneof("encoding")
    if encoding == "name":
        return named(tensor_info.name)
    if encoding == "coo_sparse":
        parts = tensor_info.coo_sparse
        return tf.SparseTensor(
            named(parts.indices_tensor_name), named(parts.values_tensor_name), named(parts.dense_shape_tensor_name)
        )
    if encoding == "composite_tensor":
        structure = message_class("StructuredValue")()
        structure.type_spec_value.MergeFromString(tensor_info.composite_tensor.type_spec.SerializeToString())
        spec = tf.__internal__.saved_model.decode_proto(structure)
        components = [named(component.name) for component in tensor_info.composite_tensor.components]
        return tf.nest.pack_sequence_as(spec, components, expand_composites=True)
    raise InvalidArgumentError(
        f"Invalid TensorInfo.encoding: {encoding}; one of name, coo_sparse and composite_tensor must say which tensor it is"
    )
