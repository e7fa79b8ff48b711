"""The operation that a loader runs after it has restored the variables.

A SavedModel that was exported by TensorFlow names it. A graph that was only trained has its parts: the initializers of
tables, and of local variables, which no checkpoint holds. Of these, an export needs those whose tables and variables it
keeps; one operation that waits for all of them is then what a loader runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tfsaver import schemas
from tfsaver.graph import node_builder
from tfsaver.graph.collection_defs import node_list
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.pruning import is_table_initializer
from tfsaver.graph.saver_keys import ASSIGN_OPS
from tfsaver.graph.tensor_names import free_name, node_of
from tfsaver.saved_model import constants, feeding
from tfsaver.saved_model.graph_tensors import GraphTensors

_INIT_OP = "init_all"
# Initializers of tables that read a file: which of their inputs is its path.
_FILE_INPUTS = {"InitializeTableFromTextFile": 1, "InitializeTableFromTextFileV2": 1}


def initializers(graph: GraphTensors, meta_graph: schemas.MetaGraphDef, kept: set[str]) -> list[str]:
    """The operations that fill the tables among some nodes, and the tables that these need in turn."""
    listed = set(map(node_of, node_list(meta_graph, constants.TABLE_INITIALIZERS)))
    fills = [node for node in graph.nodes.values() if node.input and (node.name in listed or is_table_initializer(node))]
    # The Saver fills tables too, from checkpoints, but a LookupTableImport is no initializer.
    fills = [node for node in fills if not node.op.startswith("LookupTableImport")]
    found: dict[str, None] = {}
    kept = set(kept)
    while added := [node for node in fills if node.name not in found and node_of(node.input[0]) in kept]:
        found.update(dict.fromkeys(node.name for node in added))
        kept |= feeding.needed_nodes(graph.nodes, [f"^{node.name}" for node in added])
    return list(found)


def local_variables(meta_graph: schemas.MetaGraphDef) -> set[str]:
    """The nodes of the variables that the graph calls local: their values are made anew whenever a program starts."""
    if constants.LOCAL_VARIABLES not in meta_graph.collection_def:
        return set()
    data = meta_graph.collection_def[constants.LOCAL_VARIABLES].bytes_list.value
    return {node_of(schemas.VariableDef.FromString(each).variable_name) for each in data}


def assigned_variables(meta_graph: schemas.MetaGraphDef, nodes: set[str]) -> set[str]:
    """The variables to which some of the nodes assign."""
    assigns = (node for node in meta_graph.graph_def.node if node.name in nodes and node.op in ASSIGN_OPS and node.input)
    return {node_of(node.input[0]) for node in assigns}


def set_init_op(meta_graph: schemas.MetaGraphDef, operation: str | None) -> None:
    """Makes an operation the one that loaders run, in the place of any that it was; in place."""
    for collection in (constants.MAIN_OP, constants.LEGACY_INIT_OP):
        meta_graph.collection_def.pop(collection, None)
    meta_graph.signature_def.pop(constants.INIT_OP_SIGNATURE_KEY, None)
    if operation:
        # The reserved signature would do as well, but tf.saved_model.load offers it to callers among the others.
        meta_graph.collection_def[constants.MAIN_OP].node_list.value.append(operation)


def add_group(meta_graph: schemas.MetaGraphDef, operations: Iterable[str]) -> str | None:
    """Adds an operation that waits for others; returns its name, or the only other one's, or None for none."""
    distinct = list(dict.fromkeys(operations))
    if len(distinct) < 2:
        return distinct[0] if distinct else None
    name = free_name(_INIT_OP, (node.name for node in meta_graph.graph_def.node))
    meta_graph.graph_def.node.append(node_builder.node("NoOp", name, [f"^{each}" for each in distinct]))
    return name


def variable_initializers(variables: Iterable[GraphVariable]) -> list[str]:
    """The operations that give variables their first values."""
    return [node_of(variable.initializer) for variable in variables if variable.initializer]


def file_tensors(nodes: Iterable[schemas.NodeDef]) -> Iterator[str]:
    """The tensors that hold the paths of the files from which tables are filled."""
    for node in nodes:
        if node.op in _FILE_INPUTS and len(node.input) > _FILE_INPUTS[node.op]:
            yield node.input[_FILE_INPUTS[node.op]]
