"""The objects of a SavedModel of TensorFlow 2, as the graph that a checkpoint of them has.

    MetaGraphDef.object_graph_def   SavedObjectGraph: how to make each object          nodes of all kinds
    variables/variables             TrackableObjectGraph: what its values are          the same nodes, by the same numbers

Where the checkpoint is there, it says all that is needed. Where only ``saved_model.pb`` was kept, its variables still have
names, dtypes and shapes; what TensorFlow saves for the other objects it does not tell.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from tfsaver import schemas
from tfsaver.checkpoint.objects import object_graph_like as checkpoints
from tfsaver.checkpoint.objects.object_graph import ObjectGraph
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder, Path
from tfsaver.errors import DataLossError, InvalidArgumentError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.lib import file_io
from tfsaver.saved_model import saved_model_file
from tfsaver.saved_model.loader import load_saved_model

# Steps, of some letters each, of all paths together: a chain of objects has the square of its length. Few objects of a model
# are ten deep.
_STEP = 16
_ROOM_FOR_PATH = 32
_MIN_ROOM = 100_000


def object_graph_like(path: str | os.PathLike[str], *, under: Sequence[str] = (), trusted: bool = True) -> ObjectGraph:
    """The objects of a SavedModel, or of a checkpoint that was written from objects.

    Args:
        path: The SavedModel's directory, which need not have its variables; or what names a checkpoint.
        under: Where its root is to be, as in ``("model",)`` for what `tf.train.Checkpoint(model=...)` restores.
        trusted: If false, a name in a file that leads out of the file's directory is an error.

    Raises:
        CheckpointNotFoundError: There is neither.
        InvalidArgumentError: It knows variables by names alone, as TensorFlow 1 does.
        DataLossError: It is damaged.
    """
    directory = file_io.as_path(path)
    if saved_model_file.find_saved_model(directory) is None:
        return checkpoints.object_graph_like(directory, under=under, trusted=trusted)
    model = load_saved_model(directory, trusted=trusted)
    if model.variables.checkpoint is not None:
        with model.variables.checkpoint as reader:
            return checkpoints.object_graph_like(reader, under=under)
    saved = next((graph.object_graph for graph in model.meta_graphs if graph.object_graph is not None), None)
    if saved is None:
        raise InvalidArgumentError(f"{directory} was written by TensorFlow 1: it says nothing of any objects")
    return checkpoints.with_save_counter(checkpoints.moved_under(object_graph_of_saved_model(saved), under))


def object_graph_of_saved_model(saved: schemas.SavedObjectGraph) -> ObjectGraph:
    """The objects that the root of a SavedModel leads to, with the values of the variables among them.

    Raises:
        DataLossError: An edge leads nowhere.
        UnimplementedError: The objects are a chain so long that all the names of what is in it would be far more than the
            model.
    """
    builder = ObjectGraphBuilder()
    paths: dict[int, Path] = {0: ()} if saved.nodes else {}
    sizes = dict.fromkeys(paths, 0)
    room = _MIN_ROOM + _ROOM_FOR_PATH * len(saved.nodes)
    waiting = list(paths)
    for node_id in waiting:
        node, path = saved.nodes[node_id], paths[node_id]
        if node.WhichOneof("kind") == "variable":
            full_name, dtype, shape = _about(node.variable)
            builder.variable(path, full_name, dtype=dtype, shape=shape)
        for edge in node.children:
            _check(edge.node_id, saved)
            place = (*path, edge.local_name)
            if edge.node_id in paths:
                builder.link(place, paths[edge.node_id])
            else:
                sizes[edge.node_id] = sizes[node_id] + 1 + len(edge.local_name) // _STEP
                room -= sizes[edge.node_id]
                if room < 0:
                    raise UnimplementedError(f"object_graph_def: node {edge.node_id} is {len(place)} objects deep")
                paths[edge.node_id] = place
                builder.node(place)
                waiting.append(edge.node_id)
    for node_id in waiting:
        for slot in saved.nodes[node_id].slot_variables:
            _check(slot.slot_variable_node_id, saved)
            if slot.original_variable_node_id in paths:
                full_name, dtype, shape = _about(saved.nodes[slot.slot_variable_node_id].variable)
                variable_path = paths[slot.original_variable_node_id]
                builder.slot(paths[node_id], variable_path, slot.slot_name, full_name, dtype=dtype, shape=shape)
    return builder.build()


def _about(variable: schemas.SavedVariable) -> tuple[str, dtypes.DType, tuple[int | None, ...] | None]:
    """Name, dtype and shape of a variable."""
    shape = None
    if not variable.shape.unknown_rank:
        shape = tuple(None if dim.size < 0 else int(dim.size) for dim in variable.shape.dim)
    return str(variable.name), dtypes.from_data_type(variable.dtype), shape


def _check(node_id: int, saved: schemas.SavedObjectGraph) -> None:
    if not 0 <= node_id < len(saved.nodes):
        raise DataLossError(f"object_graph_def: node {node_id} is referred to, there are {len(saved.nodes)}")
