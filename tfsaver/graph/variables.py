"""The variables of a graph, and the names under which a checkpoint has their values.

Three places know something of a variable. Its node (`VariableV2`, `Variable`, `VarHandleOp`) has its type and its shape. A
VariableDef in the collections of a MetaGraphDef has its initializer, its snapshot and its slice. The nodes of the graph's
Saver have its name in the checkpoint. Nodes are what counts: a variable without a VariableDef is one all the same, and what
the other two do not say is read off the nodes around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.errors import DataLossError
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.graph.graph_variable import REFERENCE_OPS, VARIABLE_OPS, GraphVariable, StaticShape
from tfsaver.graph.saver_keys import ASSIGN_OPS, RESTORE_OPS, SaverKey, saver_keys
from tfsaver.graph.tensor_names import colocation_groups, node_of

# The collections whose entries are VariableDefs.
VARIABLE_COLLECTIONS = (
    "variables",
    "trainable_variables",
    "local_variables",
    "model_variables",
    "metric_variables",
    "moving_average_variables",
    "global_step",
)
# Added to the number of a type: a reference to a tensor of it.
_REFERENCE = 100


def find_variables(graph: schemas.MetaGraphDef | schemas.GraphDef) -> list[GraphVariable]:
    """The variables of a graph in the order of their nodes; those of functions are nodes outside of them.

    Raises:
        DataLossError: A variable's node has no type, or a VariableDef cannot be read.
        UnimplementedError: A variable of a type that no checkpoint can hold.
    """
    graph_def, meta_graph = graph_and_meta_graph(graph)
    definitions = variable_defs(meta_graph)
    has_saver = meta_graph is not None and meta_graph.HasField("saver_def")
    keys = saver_keys(graph_def, meta_graph.saver_def if meta_graph is not None and has_saver else None)
    trainable = _names_in(meta_graph, "trainable_variables")
    nodes = [node for node in graph_def.node if node.op in VARIABLE_OPS]
    around = _Surroundings(graph_def.node, nodes)
    return [
        _variable(node, definitions.get(node.name), keys.get(node.name), around, trainable) for node in nodes
    ]


def graph_and_meta_graph(
    graph: schemas.MetaGraphDef | schemas.GraphDef,
) -> tuple[schemas.GraphDef, schemas.MetaGraphDef | None]:
    """The GraphDef of what may be one, and the MetaGraphDef where it is that."""
    if isinstance(graph, schemas.GraphDef):
        return graph, None
    return graph.graph_def, graph


def variable_defs(meta_graph: schemas.MetaGraphDef | None) -> dict[str, schemas.VariableDef]:
    """The VariableDefs in the collections, by the names of the nodes.

    Raises:
        DataLossError: An entry of a collection of variables is none.
    """
    found: dict[str, schemas.VariableDef] = {}
    for _, definition in iterate_variable_defs(meta_graph):
        # The same variable stands in several collections with the same bytes.
        found.setdefault(node_of(definition.variable_name), definition)
    return found


def iterate_variable_defs(meta_graph: schemas.MetaGraphDef | None) -> Iterator[tuple[str, schemas.VariableDef]]:
    """Each collection of variables with each of its entries.

    Raises:
        DataLossError: An entry is no VariableDef.
    """
    if meta_graph is None:
        return
    for collection in VARIABLE_COLLECTIONS:
        if collection not in meta_graph.collection_def:
            continue
        for position, data in enumerate(meta_graph.collection_def[collection].bytes_list.value):
            try:
                yield collection, schemas.VariableDef.FromString(data)
            except DecodeError as error:
                raise DataLossError(f"collection {collection!r}, entry {position}: no VariableDef: {error}") from error


def _names_in(meta_graph: schemas.MetaGraphDef | None, collection: str) -> set[str] | None:
    if meta_graph is None or collection not in meta_graph.collection_def:
        return None
    return {node_of(definition.variable_name) for key, definition in iterate_variable_defs(meta_graph) if key == collection}


class _Surroundings:
    """The first nodes that read variables and that give them values which were not restored."""

    def __init__(self, nodes: Iterable[schemas.NodeDef], variables: Iterable[schemas.NodeDef]) -> None:
        names = {variable.name for variable in variables}
        restores = set()
        self.assigns: dict[str, list[schemas.NodeDef]] = {}
        self.reads: dict[str, schemas.NodeDef] = {}
        for node in nodes:
            if node.op in RESTORE_OPS:
                restores.add(node.name)
            if not node.input or node_of(node.input[0]) not in names:
                continue
            variable = node_of(node.input[0])
            if node.op in ASSIGN_OPS and len(node.input) >= 2:
                self.assigns.setdefault(variable, []).append(node)
            elif node.op == "ReadVariableOp" or (node.op == "Identity" and node.name.startswith(variable + "/")):
                self.reads.setdefault(variable, node)

    def initializer(self, variable: str) -> schemas.NodeDef | None:
        """The assignment that has the name that TensorFlow gives to an initializer."""
        return next((node for node in self.assigns.get(variable, ()) if node.name == f"{variable}/Assign"), None)


def _variable(
    node: schemas.NodeDef,
    definition: schemas.VariableDef | None,
    key: SaverKey | None,
    around: _Surroundings,
    trainable: set[str] | None,
) -> GraphVariable:
    is_resource = node.op not in REFERENCE_OPS
    data_type = node.attr["dtype"].type if "dtype" in node.attr else 0
    if not data_type:
        raise DataLossError(f"node {node.name!r}: a {node.op} without a dtype")
    name, full_shape, tensor_slice = key or _key_of(node, definition)
    initializer = around.initializer(node.name)
    read = around.reads.get(node.name)
    fields: dict[str, Any] = {
        "initializer": initializer.name if initializer is not None else "",
        "initial_value": initializer.input[1] if initializer is not None else "",
        "snapshot": read.name if read is not None else "",
    }
    if definition is not None:
        stated = {
            "initializer": definition.initializer_name,
            "initial_value": definition.initial_value_name,
            "snapshot": definition.snapshot_name,
        }
        fields.update((field, value) for field, value in stated.items() if value)
    # A VariableDef of a program before 2018 leaves it to the collection.
    is_trainable = node.name in trainable if trainable is not None else (definition.trainable if definition else None)
    return GraphVariable(
        name=name,
        node=node.name,
        dtype=dtypes.from_data_type(data_type - _REFERENCE if data_type > _REFERENCE else data_type),
        shape=static_shape(node),
        is_resource=is_resource,
        full_shape=full_shape,
        tensor_slice=tensor_slice,
        device=node.device,
        colocation=colocation_groups(node),
        shared_name=_text(node, "shared_name"),
        container=_text(node, "container"),
        trainable=is_trainable,
        definition=definition,
        **fields,
    )


def _key_of(node: schemas.NodeDef, definition: schemas.VariableDef | None) -> SaverKey:
    """What a Saver that was made from the variables themselves would call it."""
    if definition is None or not definition.HasField("save_slice_info_def"):
        return SaverKey(node.name)
    info = definition.save_slice_info_def
    if not len(info.full_shape) == len(info.var_offset) == len(info.var_shape):
        raise DataLossError(f"variable {node.name!r}: its slice has lists of different lengths")
    tensor_slice = TensorSlice(tuple(zip(info.var_offset, info.var_shape, strict=True)))
    return SaverKey(info.full_name, tuple(info.full_shape), tensor_slice)


def static_shape(node: schemas.NodeDef) -> StaticShape:
    """The shape that a variable's node declares."""
    if "shape" not in node.attr or node.attr["shape"].shape.unknown_rank:
        return None
    dims = node.attr["shape"].shape.dim
    if node.op == "Variable" and not dims:
        # The first kind of variable wrote a rank that it did not know like a scalar's.
        return None
    return tuple(dim.size if dim.size >= 0 else None for dim in dims)


def _text(node: schemas.NodeDef, attr: str) -> str:
    return node.attr[attr].s.decode("utf-8", "surrogateescape") if attr in node.attr else ""
