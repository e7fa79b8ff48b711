"""Which files an export takes along: what its graph reads when it is initialised.

    path/read -> InitializeTableFromTextFileV2      becomes      Const -> InitializeTableFromTextFileV2

They are found in the graph (the collection ``asset_filepaths``, assets that it had as a SavedModel, the constants from which
tables are filled), or a caller names them. A constant that held the path of a file on the machine of its training holds the
file's bare name afterwards: a loader feeds the path in its place. Where a variable holds the path, or constants are joined
to one, such a constant takes the place of what the table reads; everything else that reads the variable still does.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError, NotFoundError
from tfsaver.graph import node_builder
from tfsaver.graph.graph_variable import VARIABLE_OPS
from tfsaver.graph.saver_keys import strings_of
from tfsaver.graph.tables import FILE_INPUTS
from tfsaver.graph.tensor_names import FreeNames, data_inputs, node_of
from tfsaver.graph.variables import find_variables
from tfsaver.lib import file_io
from tfsaver.saved_model import assets, sources, tensor_requests
from tfsaver.saved_model.graph_tensors import PLACEHOLDER_OPS, GraphTensors

# What passes a string on.
_PASSING = frozenset({"Identity", "ReadVariableOp", "PlaceholderWithDefault", "Reshape"})
_MAX_CHAIN = 16


class HeldPaths(NamedTuple):
    """Paths that were moved into constants.

    Attributes:
        paths: By the tensors that hold them now.
        said: Those of these tensors whose paths a caller gave.
        replaced: The nodes that a caller gave them for.
    """

    paths: dict[str, str]
    said: frozenset[str]
    replaced: frozenset[str]


def file_tensors(nodes: Iterable[schemas.NodeDef]) -> Iterator[str]:
    """The tensors that hold the paths of the files from which tables are filled."""
    for node in nodes:
        if node.op in FILE_INPUTS and len(node.input) > FILE_INPUTS[node.op]:
            yield node.input[FILE_INPUTS[node.op]]


def hold_paths(
    meta_graph: schemas.MetaGraphDef,
    values: Mapping[str, Any],
    known: Mapping[str, str],
    given: Mapping[Any, Any] | Iterable[Any] | None,
) -> HeldPaths:
    """Lets what reads a file at start take its path from a constant, which a loader can feed; in place.

    Args:
        values: The values of variables: one may hold a path.
        known, given: As of `write_exported_assets`.
    """
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    # A tensor that a caller names without a path says its path itself.
    pairs = given.items() if isinstance(given, Mapping) else ()
    named = {node_of(tensor_requests.tensor_name(each)): file_io.as_path(path) for each, path in pairs}
    fed = {node_of(each) for each in known}
    keys = {variable.node: variable.name for variable in find_variables(meta_graph)}
    names = FreeNames(nodes)
    held: dict[str, str] = {}
    said: set[str] = set()
    replaced: set[str] = set()
    made: dict[str, str] = {}
    for reader in list(meta_graph.graph_def.node):
        position = FILE_INPUTS.get(reader.op)
        if position is None or len(reader.input) <= position:
            continue
        tensor = reader.input[position]
        chain = _chain(nodes, tensor)
        last = nodes.get(chain[-1])
        if last is None or chain[-1] in fed or (last.op in ("Const", "Placeholder", "PlaceholderV2") and len(chain) == 1):
            continue
        told = [each for each in chain if each in named]
        path = named[told[0]] if told else _path(nodes, tensor, values, keys)
        if path is None:
            continue
        replaced.update(told)
        if tensor not in made:
            made[tensor] = names.take(f"{chain[-1]}/path")
            meta_graph.graph_def.node.append(node_builder.string_const(made[tensor], path))
        held[f"{made[tensor]}:0"] = path
        said.update([f"{made[tensor]}:0"] if told else [])
        reader.input[position] = made[tensor]
    return HeldPaths(held, frozenset(said), frozenset(replaced))


def _chain(nodes: Mapping[str, schemas.NodeDef], tensor: str) -> list[str]:
    """The nodes through which a string passes unchanged, from its reader to where it comes from."""
    chain = [node_of(tensor)]
    while len(chain) < _MAX_CHAIN:
        node = nodes.get(chain[-1])
        if node is None or node.op not in _PASSING or not node.input:
            break
        chain.append(node_of(node.input[0]))
    return chain


def _path(
    nodes: Mapping[str, schemas.NodeDef], tensor: str, values: Mapping[str, Any], keys: Mapping[str, str], depth: int = 0
) -> str | None:
    """The string that a tensor is, if constants and variables say it; None otherwise."""
    node = nodes.get(_chain(nodes, tensor)[-1])
    if node is None or depth > _MAX_CHAIN:
        return None
    if node.op in VARIABLE_OPS:
        key = next((each for each in (keys.get(node.name), node.name, f"{node.name}:0") if each and each in values), None)
        found = np.asarray(values[key]).reshape(-1).tolist() if key is not None else []
        if len(found) != 1 or not isinstance(found[0], bytes | str):
            return None
        return found[0] if isinstance(found[0], str) else found[0].decode("utf-8", "surrogateescape")
    if node.op == "StringJoin":
        parts = [_path(nodes, each, values, keys, depth + 1) for each in data_inputs(node)]
        separator = node.attr["separator"].s.decode("utf-8", "surrogateescape") if "separator" in node.attr else ""
        return None if None in parts else separator.join(filter(None, parts))
    texts = strings_of(node)
    return texts[0] if len(texts) == 1 else None


def write_exported_assets(
    meta_graph: schemas.MetaGraphDef,
    source: sources.ExportSource,
    given: Mapping[Any, Any] | Iterable[Any] | None,
    held: HeldPaths,
) -> dict[str, str]:
    """Says in a MetaGraph which files it reads; in place.

    Args:
        meta_graph: The graph that is exported.
        source: What it is exported from: the files that it has, and where the files may be that its graph names.
        given: Paths by tensors; or tensors that are constants with paths.
        held: What `hold_paths` has found.

    Returns:
        The paths of the files by their names below ``assets/``.

    Raises:
        NotFoundError: A file, or a tensor that was given, is not there.
        InvalidArgumentError: A tensor that was given is no string.
        UntrustedPathError: The graph names files outside of the source's directory.
    """
    graph = GraphTensors(meta_graph)
    chosen = _given(graph, given, held.replaced)
    paths: dict[str, str] = {}
    for name in (*sources.collected_paths(meta_graph), *file_tensors(meta_graph.graph_def.node)):
        if (path := _constant(graph, name)) is not None:
            paths[tensor_requests.tensor_name(name)] = path
    paths.update((name, path) for name, path in source.assets.items() if node_of(name) in graph.nodes)
    paths.update(chosen)
    paths.update((name, path) for name, path in held.paths.items() if node_of(name) in graph.nodes)
    _check_named(graph, paths)
    # A path that the caller gives for a tensor is the caller's; the others stand in the graph.
    said = {*chosen, *held.said} if isinstance(given, Mapping) else set()
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


def _check_named(graph: GraphTensors, paths: Mapping[str, str]) -> None:
    """Refuses a file whose path nobody can tell: a server would look for it on its own disk.

    Raises:
        InvalidArgumentError: There is one; names what reads it.
    """
    fed = {node_of(name) for name in paths}
    for node in graph.nodes.values():
        for name in file_tensors([node]):
            chain = _chain(graph.nodes, name)
            if not fed.intersection(chain):
                ops = f"{graph.nodes[chain[-1]].op} {chain[-1]!r}" if chain[-1] in graph.nodes else repr(chain[-1])
                raise InvalidArgumentError(
                    f"{node.op} {node.name!r} reads a file whose path comes from {ops}: say which file that is, "
                    f"assets={{'{chain[-1]}:0': path}}"
                )


def _constant(graph: GraphTensors, name: str) -> str | None:
    """The one string in a constant; None where it is something else, or is not in the graph."""
    values = strings_of(graph.nodes.get(node_of(name)))
    return values[0] if len(values) == 1 else None


def _given(
    graph: GraphTensors, given: Mapping[Any, Any] | Iterable[Any] | None, replaced: Container[str]
) -> dict[str, str]:
    if given is None:
        return {}
    found = {}
    for each in [given] if isinstance(given, str) else given:
        name = tensor_requests.tensor_name(each)
        if node_of(name) in replaced:
            continue
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
