"""A frozen graph as a checkpoint with its .meta file, or as a SavedModel: its weights are variables again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.errors import AlreadyExistsError, NotFoundError
from tfsaver.framework.dtypes import DType
from tfsaver.graph import unfreezing
from tfsaver.graph.unfreezing import Unfrozen
from tfsaver.lib import file_io
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.saved_model.graph_constants import weight_constants
from tfsaver.saved_model.sources import open_source


@takes_storage_options("graph")
def unfreeze_graph(
    graph: Any,
    *,
    min_size: int = 0,
    kind: Literal["resource", "reference"] = "resource",
    choose: Callable[[str, DType, tuple[int, ...]], bool] | None = None,
    trainable: bool = True,
    trusted: bool = True,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> Unfrozen:
    """A MetaGraphDef with variables for the weights of a frozen graph, and their values.

    Constants that are weights (see `graph_constants`) become variables of their names. Those in functions, loops and
    branches stay, and so do large ones in which one value stands for many.

    Args:
        graph: A GraphDef or a MetaGraphDef, or the path of one.
        min_size: Bytes from which on a constant becomes a variable.
        kind: What the variables are; all TensorFlows know both.
        choose: Asked about each constant, by its name, type and shape, whether it becomes a variable.
        trainable: Whether the graph says that training changes them.
        trusted: If false, a symbolic link that leads out of the file's directory is an error.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        NotFoundError: The graph has no such constants.
        DataLossError: The file holds no graph, or a constant is damaged.
    """
    opened = open_source(graph, variables={}, trusted=None if trusted else False)
    weights = set(weight_constants(opened.meta_graph.graph_def))

    def is_chosen(name: str, dtype: DType, shape: tuple[int, ...]) -> bool:
        return name in weights and (choose is None or choose(name, dtype, shape))

    unfrozen = unfreezing.unfreeze_graph(
        opened.meta_graph, min_size=min_size, kind=kind, choose=is_chosen, trainable=trainable
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
    meta = prefix + ".meta"
    if file_io.exists(meta) and not overwrite:
        raise AlreadyExistsError(f"{meta} exists already; overwrite=True replaces it")
    save_checkpoint(unfrozen.values, prefix, overwrite=overwrite)
    file_io.write_file(meta, unfrozen.meta_graph.SerializeToString(deterministic=True))
    return [prefix, meta]
