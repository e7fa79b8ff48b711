"""A SavedModel as one GraphDef, its variables as constants: the form that old programs and converters read."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tfsaver import schemas
from tfsaver.graph import node_builder
from tfsaver.graph.freezing import freeze_graph
from tfsaver.graph.repairs import Repair
from tfsaver.graph.tensor_names import node_of
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.saved_model import export_plan
from tfsaver.saved_model.loader import load_saved_model
from tfsaver.saved_model.sources import ExportSource


@renamed_options(path="saved_model")
@takes_storage_options("saved_model")
def freeze_saved_model(
    saved_model: file_io.PathLike,
    outputs: Iterable[str] = (),
    *,
    tags: Iterable[str] | str | None = None,
    empty_tables: Iterable[str] = (),
    repair: Iterable[Repair] | Repair = (),
    trusted: bool = True,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> schemas.GraphDef:
    """The graph of a SavedModel with constants for its variables.

    Nobody feeds a GraphDef the paths of its assets: they are constants in it, with the files' paths in the SavedModel. What
    fills tables stays, and has to be run first.

    The way back is `graph.unfreezing.unfreeze_graph`, whose graph and values `export_saved_model` takes.

    Args:
        saved_model: The SavedModel.
        outputs: Tensors or operations to keep; those of all signatures when there are none.
        tags: Which of several graphs.
        empty_tables: Lookup tables that may be empty when a program starts; any other that nothing fills is an error.
        repair: Changes to the graph, as `export_saved_model` has them.
        trusted: If false, a symbolic link that leads out of the model's directory is an error.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        InvalidArgumentError: Nothing fills a table, or there is no such repair.
        CheckpointNotFoundError: There is no SavedModel.
        NotFoundError: No graph has these tags, a variable has no value, or an output is not in the graph.
        UnimplementedError: The graph changes its variables when it is run, or a repair could change what it computes.
    """
    with load_saved_model(saved_model, trusted=trusted) as model:
        chosen = model.meta_graph(tags)
        meta_graph = schemas.MetaGraphDef()
        meta_graph.CopyFrom(chosen.proto)
        paths = {node_of(tensor): asset for tensor, asset in chosen.assets.items()}
        for node in meta_graph.graph_def.node:
            if node.name in paths:
                asset = paths[node.name]
                asset = asset if "://" in asset else os.path.abspath(asset)
                node.CopyFrom(node_builder.string_const(node.name, asset, device=node.device))
        return freeze_source(
            ExportSource(meta_graph, model.variables), outputs, empty_tables=empty_tables, repair=repair
        )


def freeze_source(
    source: ExportSource,
    outputs: Iterable[str] = (),
    *,
    empty_tables: Iterable[str] = (),
    repair: Iterable[Repair] | Repair = (),
) -> schemas.GraphDef:
    """The graph of a source with constants for its variables; arguments as `freeze_saved_model` has them.

    Raises:
        SaverError: As `freeze_graph`, and the repairs' own.
    """
    wanted = [outputs] if isinstance(outputs, str) else list(outputs)
    meta_graph = schemas.MetaGraphDef()
    meta_graph.CopyFrom(source.meta_graph)
    export_plan.repair(meta_graph, export_plan.ExportRequest(outputs=wanted or None, repair=repair))
    return freeze_graph(meta_graph, source.variables, wanted, empty_tables=empty_tables)
