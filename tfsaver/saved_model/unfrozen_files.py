"""A frozen graph as a checkpoint with its .meta file, or as a SavedModel: its weights are variables again."""

from __future__ import annotations

from typing import Any, Literal

from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.errors import AlreadyExistsError, NotFoundError
from tfsaver.graph.unfreezing import Unfrozen, unfreeze_graph
from tfsaver.lib import file_io
from tfsaver.saved_model.graph_constants import weight_constants
from tfsaver.saved_model.sources import open_source


def unfreeze_weights(source: Any, *, kind: Literal["resource", "reference"] = "resource") -> Unfrozen:
    """A graph in which all constants that are weights are variables, whatever their size.

    Args:
        source: A GraphDef, a MetaGraphDef, or the path of one.
        kind: What the variables are; all TensorFlows know both.

    Raises:
        NotFoundError: The graph has no such constants.
        DataLossError: The file holds no graph, or a constant is damaged.
    """
    opened = open_source(source, variables={})
    weights = set(weight_constants(opened.meta_graph.graph_def))
    unfrozen = unfreeze_graph(
        opened.meta_graph, min_size=0, kind=kind, choose=lambda name, dtype, shape: name in weights
    )
    if not unfrozen.values:
        raise NotFoundError(f"{opened.what} has no constants that are weights: there is nothing to unfreeze")
    return unfrozen


def write_unfrozen(unfrozen: Unfrozen, prefix: str, *, overwrite: bool = False) -> list[str]:
    """Writes the values as a checkpoint, and the graph as its ``.meta``; returns the paths that name them.

    Raises:
        AlreadyExistsError: A file is there already.
        WriteError: The system refuses it.
    """
    meta = f"{prefix}.meta"
    if file_io.exists(meta) and not overwrite:
        raise AlreadyExistsError(f"{meta} exists already; overwrite=True replaces it")
    save_checkpoint(unfrozen.values, prefix, overwrite=overwrite)
    file_io.write_file(meta, unfrozen.meta_graph.SerializeToString(deterministic=True))
    return [prefix, meta]
