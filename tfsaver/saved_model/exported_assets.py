"""Which files an export takes along: what its graph reads when it is initialised.

They are found in the graph (the collection ``asset_filepaths``, assets that it had as a SavedModel, the constants from which
tables are filled), or a caller names them. A constant that held the path of a file on the machine of its training holds the
file's bare name afterwards: a loader feeds the path in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError, NotFoundError
from tfsaver.graph import node_builder
from tfsaver.graph.saver_keys import strings_of
from tfsaver.graph.tensor_names import node_of
from tfsaver.lib import file_io
from tfsaver.saved_model import assets, initialization, sources, tensor_requests
from tfsaver.saved_model.graph_tensors import PLACEHOLDER_OPS, GraphTensors


def write_exported_assets(
    meta_graph: schemas.MetaGraphDef,
    source: sources.ExportSource,
    given: Mapping[Any, Any] | Iterable[Any] | None,
) -> dict[str, str]:
    """Says in a MetaGraph which files it reads; in place.

    Args:
        meta_graph: The graph that is exported.
        source: What it is exported from: the files that it has, and where the files may be that its graph names.
        given: Paths by tensors; or tensors that are constants with paths.

    Returns:
        The paths of the files by their names below ``assets/``.

    Raises:
        NotFoundError: A file, or a tensor that was given, is not there.
        InvalidArgumentError: A tensor that was given is no string.
        UntrustedPathError: The graph names files outside of the source's directory.
    """
    graph = GraphTensors(meta_graph)
    chosen = _given(graph, given)
    paths: dict[str, str] = {}
    for name in (*sources.collected_paths(meta_graph), *initialization.file_tensors(meta_graph.graph_def.node)):
        if (path := _constant(graph, name)) is not None:
            paths[tensor_requests.tensor_name(name)] = path
    paths.update((name, path) for name, path in source.assets.items() if node_of(name) in graph.nodes)
    paths.update(chosen)
    # A path that the caller gives for a tensor is the caller's; the others stand in the graph.
    said = set(chosen) if isinstance(given, Mapping) else set()
    source.confinement.check(
        *(path for name, path in paths.items() if name not in said),
        source=f"{source.what}: asset",
        remedy="trusted=True copies them, assets={tensor: path} says which files they are",
    )
    try:
        written, copied = assets.arrange_assets(paths)
    except NotFoundError as error:
        error.message += "; say where it is now with assets={tensor: path}"
        raise
    assets.write_assets(meta_graph, written)
    for asset in written:
        node = graph.nodes[node_of(asset.tensor_name)]
        if node.op in ("Const", *PLACEHOLDER_OPS):
            # A placeholder too: tf.saved_model.load wants one that no signature feeds to be a constant.
            constant = node_builder.string_const(node.name, asset.filename, device=node.device)
            node.CopyFrom(constant)
    return copied


def _constant(graph: GraphTensors, name: str) -> str | None:
    """The one string in a constant; None where it is something else, or is not in the graph."""
    values = strings_of(graph.nodes.get(node_of(name)))
    return values[0] if len(values) == 1 else None


def _given(graph: GraphTensors, given: Mapping[Any, Any] | Iterable[Any] | None) -> dict[str, str]:
    if given is None:
        return {}
    found = {}
    for each in [given] if isinstance(given, str) else given:
        name = tensor_requests.tensor_name(each)
        if graph.tensor(name).data_type not in (0, schemas.DT_STRING):
            raise InvalidArgumentError(f"asset {name!r} is no string: the tensor that holds the path of the file is needed")
        if isinstance(given, Mapping):
            found[name] = file_io.as_path(given[each])
        else:
            path = _constant(graph, name)
            if path is None:
                raise InvalidArgumentError(f"asset {name!r} is no constant with a path: pass {{{name!r}: path}}")
            found[name] = path
    return found
