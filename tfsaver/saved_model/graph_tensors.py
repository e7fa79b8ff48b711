"""What is known of a graph's tensors without running it: that they exist, their types, their shapes.

Types follow from a node's attributes by the definition of its operation. Shapes stand in ``_output_shapes``,
which MetaGraphDefs have, and in the attributes of placeholders, constants and variables.
"""

from __future__ import annotations

from typing import NamedTuple

from tfsaver import schemas
from tfsaver.errors import NotFoundError, nearest_names
from tfsaver.graph.op_defs import num_outputs, op_defs, output_type
from tfsaver.graph.tensor_names import node_of, output_index
from tfsaver.saved_model.signature_def import open_shape_from_proto

PLACEHOLDER_OPS = frozenset({"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"})
_WITH_SHAPE = (*PLACEHOLDER_OPS, "VariableV2")
_SCALAR_PLACEHOLDERS = 24
_REFERENCE = 100

class GraphTensor(NamedTuple):
    """A tensor of a graph.

    Attributes:
        name: With its number, as in ``dense/BiasAdd:0``.
        data_type: 0 where it cannot be known.
        shape: None in it for open sizes; None where not even their number is known.
    """

    name: str
    data_type: int
    shape: tuple[int | None, ...] | None


class GraphTensors:
    """The tensors of a MetaGraphDef."""

    def __init__(self, meta_graph: schemas.MetaGraphDef) -> None:
        self.meta_graph = meta_graph
        self._producer = meta_graph.graph_def.versions.producer
        self.nodes = {node.name: node for node in meta_graph.graph_def.node}
        self._definitions = op_defs(meta_graph)

    def node(self, name: str) -> schemas.NodeDef:
        """The node that a tensor or an operation belongs to.

        Raises:
            NotFoundError: There is none; names the nearest ones.
        """
        node = self.nodes.get(node_of(name))
        if node is None:
            near = nearest_names(node_of(name), self.nodes)
            hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
            raise NotFoundError(f"the graph has no node {node_of(name)!r}{hint}")
        return node

    def tensor(self, name: str) -> GraphTensor:
        """What is known of a tensor.

        Raises:
            NotFoundError: Its node is not there, or has fewer outputs.
        """
        node = self.node(name)
        index = output_index(name)
        count = None if index is None else self._num_outputs(node)
        if index is None or name.startswith("^") or (count is not None and index >= count):
            outputs = "" if count is None else f", which has {count} outputs"
            raise NotFoundError(f"{name!r} is no tensor of the {node.op} {node.name!r}{outputs}")
        data_type = self._output_type(node, index)
        if data_type > _REFERENCE:
            data_type -= _REFERENCE
        return GraphTensor(f"{node.name}:{index}", data_type, _shape(node, index, self._producer))

    def _num_outputs(self, node: schemas.NodeDef) -> int | None:
        """How many outputs a node has; None where it cannot be known."""
        definition = self._definitions.get(node.op)
        return num_outputs(node, definition) if definition is not None else None

    def _output_type(self, node: schemas.NodeDef, index: int) -> int:
        """The type of an output; 0 where it is not known."""
        definition = self._definitions.get(node.op)
        return (output_type(node, definition, index) or 0) if definition is not None else 0


def _shape(node: schemas.NodeDef, index: int, producer: int) -> tuple[int | None, ...] | None:
    if node.op in _WITH_SHAPE and "shape" in node.attr:
        shape = node.attr["shape"].shape
        # Once, a placeholder of unknown rank was written like a scalar.
        if shape.dim or node.op != "Placeholder" or producer >= _SCALAR_PLACEHOLDERS:
            return open_shape_from_proto(shape)
    if node.op == "Const" and "value" in node.attr:
        return open_shape_from_proto(node.attr["value"].tensor.tensor_shape)
    stated = _stated(node, index)
    return None if stated is None else open_shape_from_proto(stated)


def _stated(node: schemas.NodeDef, index: int) -> schemas.TensorShapeProto | None:
    if "_output_shapes" not in node.attr:
        return None
    shapes = node.attr["_output_shapes"].list.shape
    return shapes[index] if index < len(shapes) else None
