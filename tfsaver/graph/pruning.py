"""What a set of outputs needs of a graph, and the rest left out.

A node needs its inputs, control inputs too, and so on; a loop of the old kind closes through its inputs, so all of it is
reached from any of its exits. Of the library stays what the nodes that stay call. A node that wanted to be beside one that
is left out no longer says so.

A trained graph has far more than its predictions need: gradients, an optimizer's variables, queues, summaries, Savers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError, NotFoundError, nearest_names
from tfsaver.graph.collection_defs import filtered_collections, node_list
from tfsaver.graph.functions import needed_functions
from tfsaver.graph.graph_variable import VARIABLE_OPS
from tfsaver.graph.tables import IMPORT_OPS, INITIALIZE_OPS, is_restored
from tfsaver.graph.tensor_names import COLOCATION, node_of
from tfsaver.graph.variables import variable_defs

INIT_OP_SIGNATURE = "__saved_model_init_op"
TRAIN_OP_SIGNATURE = "__saved_model_train_op"
INIT_OP_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")


def prune_graph(graph_def: schemas.GraphDef, outputs: Iterable[str]) -> schemas.GraphDef:
    """A graph of what `outputs` need, in the order that the nodes had.

    Args:
        outputs: Tensors (``softmax:0``) or operations (``init``).

    Raises:
        InvalidArgumentError: No outputs.
        NotFoundError: The graph has no such node; names the nearest ones.
        DataLossError: A node that is needed has an input that is not there.
    """
    nodes = {node.name: node for node in graph_def.node}
    return _extract(graph_def, _needed(nodes, [outputs] if isinstance(outputs, str) else outputs))


def prune_meta_graph(
    meta_graph: schemas.MetaGraphDef,
    outputs: Iterable[str] = (),
    *,
    signatures: Collection[str] | None = None,
    keep_initializers: bool = True,
    keep_saver: bool = False,
) -> schemas.MetaGraphDef:
    """A MetaGraphDef of what its signatures, its init op and `outputs` need.

    Collections lose the entries that name nodes which are gone. A model of objects becomes one of nodes: the description of
    its objects, whose functions would all have to stay, is left out. So is the Saver, since it needs every variable:
    `save_restore.with_saver` gives the graph one for those that `find_variables` finds in it.

    Args:
        outputs: Tensors or operations to keep besides.
        signatures: Which signatures to keep; None for all.
        keep_initializers: Whether variables and tables that stay keep what initializes them, though nothing needs it.
            Without it, programs do not find the variables in the collections, which must name an initializer.
        keep_saver: Whether the Saver stays, and with it all variables.

    Raises:
        InvalidArgumentError: Neither signatures nor an init op nor outputs.
        NotFoundError: No such signature, or no such node; names the nearest ones.
        DataLossError: A node that is needed has an input that is not there, or a collection cannot be read.
    """
    kept_signatures = _chosen_signatures(meta_graph, signatures)
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    roots = [outputs] if isinstance(outputs, str) else list(outputs)
    roots += [name for key in kept_signatures for name in signature_tensors(meta_graph.signature_def[key])]
    roots += [name for key in INIT_OP_COLLECTIONS for name in node_list(meta_graph, key)]
    if keep_saver:
        saver_def = meta_graph.saver_def
        roots += [saver_def.filename_tensor_name, saver_def.save_tensor_name, saver_def.restore_op_name]
    needed = _needed(nodes, roots)
    if keep_initializers:
        _add_initializers(meta_graph, nodes, needed)
    pruned = schemas.MetaGraphDef()
    pruned.meta_info_def.CopyFrom(meta_graph.meta_info_def)
    pruned.graph_def.CopyFrom(_extract(meta_graph.graph_def, needed))
    if keep_saver:
        pruned.saver_def.CopyFrom(meta_graph.saver_def)
    for key, collection in filtered_collections(meta_graph, needed).items():
        pruned.collection_def[key].CopyFrom(collection)
    for key in kept_signatures:
        pruned.signature_def[key].CopyFrom(meta_graph.signature_def[key])
    pruned.asset_file_def.extend(
        asset for asset in meta_graph.asset_file_def if node_of(asset.tensor_info.name) in needed
    )
    _forget_unused(pruned)
    return pruned


def init_operations(meta_graph: schemas.MetaGraphDef) -> list[str]:
    """The operation that a loader runs after it has restored; several in a damaged graph."""
    if INIT_OP_SIGNATURE in meta_graph.signature_def:
        outputs = meta_graph.signature_def[INIT_OP_SIGNATURE].outputs
        return [outputs[INIT_OP_SIGNATURE].name] if INIT_OP_SIGNATURE in outputs else []
    return next((found for key in INIT_OP_COLLECTIONS if (found := node_list(meta_graph, key))), [])


def needed_nodes(graph_def: schemas.GraphDef, outputs: Iterable[str]) -> set[str]:
    """The names of the nodes that `outputs` need, their own with them.

    Raises:
        As `prune_graph`.
    """
    return _needed({node.name: node for node in graph_def.node}, outputs)


def signature_tensors(signature: schemas.SignatureDef) -> Iterator[str]:
    """The names in a signature's inputs and outputs, of all parts of sparse and composite ones; none is empty."""
    for tensors in (signature.inputs, signature.outputs):
        for info in tensors.values():
            yield from tensor_info_names(info)


def tensor_info_names(info: schemas.TensorInfo) -> Iterator[str]:
    """The tensors that a TensorInfo stands for."""
    encoding = info.WhichOneof("encoding")
    if encoding == "coo_sparse":
        sparse = info.coo_sparse
        names = [sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name]
    elif encoding == "composite_tensor":
        names = [name for part in info.composite_tensor.components for name in tensor_info_names(part)]
    else:
        names = [info.name]
    yield from filter(None, names)


def _chosen_signatures(meta_graph: schemas.MetaGraphDef, wanted: Collection[str] | None) -> list[str]:
    if wanted is None:
        return [key for key in meta_graph.signature_def if key != TRAIN_OP_SIGNATURE]
    for key in wanted:
        if key not in meta_graph.signature_def:
            known = ", ".join(sorted(meta_graph.signature_def)) or "none"
            raise NotFoundError(f"signature {key!r} not found; the graph has: {known}")
    init_op = [INIT_OP_SIGNATURE] if INIT_OP_SIGNATURE in meta_graph.signature_def else []
    return list(dict.fromkeys([*wanted, *init_op]))


def _needed(nodes: Mapping[str, schemas.NodeDef], outputs: Iterable[str]) -> set[str]:
    waiting = [node_of(output) for output in outputs if output]
    if not waiting:
        raise InvalidArgumentError("nothing to keep: neither outputs nor signatures nor an init op")
    for name in waiting:
        if name not in nodes:
            near = nearest_names(name, nodes)
            hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
            raise NotFoundError(f"node {name!r} is not in the graph{hint}")
    needed: set[str] = set()
    _reach(nodes, waiting, needed)
    return needed


def _reach(nodes: Mapping[str, schemas.NodeDef], waiting: list[str], needed: set[str]) -> list[str]:
    """Adds to `needed` what is waiting, and all that it needs; returns what is new."""
    added = []
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        added.append(name)
        for reference in nodes[name].input:
            source = node_of(reference)
            if source in needed:
                continue
            if source not in nodes:
                raise DataLossError(f"node {name!r}: its input {reference!r} is not in the graph")
            waiting.append(source)
    return added


def _add_initializers(
    meta_graph: schemas.MetaGraphDef, nodes: Mapping[str, schemas.NodeDef], needed: set[str]
) -> None:
    definitions = variable_defs(meta_graph)
    tables: dict[str, list[str]] = {}
    for node in nodes.values():
        if node.op in INITIALIZE_OPS | IMPORT_OPS and node.input and not is_restored(nodes, node):
            tables.setdefault(node_of(node.input[0]), []).append(node.name)
    # What initializes one variable may need another.
    found = list(needed)
    while found:
        added: list[str] = []
        for name in found:
            waiting = list(tables.get(name, ()))
            if nodes[name].op in VARIABLE_OPS and name in definitions:
                definition = definitions[name]
                names = (definition.initializer_name, definition.snapshot_name, definition.initial_value_name)
                waiting += [node_of(each) for each in names if node_of(each) in nodes]
            added += _reach(nodes, waiting, needed)
        found = added


def _extract(graph_def: schemas.GraphDef, needed: Collection[str]) -> schemas.GraphDef:
    kept = [node for node in graph_def.node if node.name in needed]
    functions = needed_functions(graph_def, kept)
    pruned = schemas.GraphDef(node=kept)
    for field in ("versions", "debug_info"):
        if graph_def.HasField(field):
            getattr(pruned, field).CopyFrom(getattr(graph_def, field))
    pruned.version = graph_def.version
    if functions:
        library = graph_def.library
        pruned.library.function.extend(each for each in library.function if each.signature.name in functions)
        pruned.library.gradient.extend(each for each in library.gradient if each.function_name in functions)
    for node in pruned.node:
        if "_class" in node.attr:
            _drop_colocations(node, needed)
    return pruned


def _drop_colocations(node: schemas.NodeDef, needed: Collection[str]) -> None:
    entries = node.attr["_class"].list.s
    kept = [
        entry
        for entry in entries
        if not entry.startswith(COLOCATION) or entry[len(COLOCATION) :].decode("utf-8", "replace") in needed
    ]
    if not kept:
        del node.attr["_class"]
    elif len(kept) < len(entries):
        del entries[:]
        entries.extend(kept)


def _forget_unused(meta_graph: schemas.MetaGraphDef) -> None:
    """Drops what describes operations and functions that are gone."""
    info = meta_graph.meta_info_def
    library = {function.signature.name for function in meta_graph.graph_def.library.function}
    if info.stripped_op_list.op:
        used = {node.op for node in meta_graph.graph_def.node}
        used.update(node.op for function in meta_graph.graph_def.library.function for node in function.node_def)
        kept = [op for op in info.stripped_op_list.op if op.name in used]
        del info.stripped_op_list.op[:]
        info.stripped_op_list.op.extend(kept)
    for name in list(info.function_aliases):
        if name not in library:
            del info.function_aliases[name]
