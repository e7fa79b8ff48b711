"""From a source to the MetaGraphDef of an export: which nodes it has, which variables, which files.

Nothing is written here, and no value is read: what cannot be exported is refused while that costs nothing.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import Message

from tfsaver import schemas
from tfsaver.checkpoint.selection import Select, Selectable, as_selection
from tfsaver.errors import DataLossError, InvalidArgumentError
from tfsaver.graph import devices, pruning, repairs
from tfsaver.graph.default_attrs import strip_default_attrs
from tfsaver.graph.findings import Severity
from tfsaver.graph.freezing import freeze_variables
from tfsaver.graph.lint import lint
from tfsaver.graph.prefixing import rename_tensor_info
from tfsaver.graph.save_restore import with_saver
from tfsaver.graph.tables import GraphTables, RestoredTable
from tfsaver.graph.tensor_names import node_of
from tfsaver.graph.variables import find_variables
from tfsaver.lib import file_io
from tfsaver.saved_model import (
    constants,
    decoding,
    exported_assets,
    exported_variables,
    feeding,
    initialization,
    restored_tables,
    signature_def,
    tensor_requests,
)
from tfsaver.saved_model.exported_variables import ChosenValues, ExportedVariables
from tfsaver.saved_model.function_signatures import add_function_signature
from tfsaver.saved_model.graph_tensors import GraphTensors
from tfsaver.saved_model.loader import as_tags, find_init_op
from tfsaver.saved_model.proposal import propose
from tfsaver.saved_model.sources import ExportSource

_logger = logging.getLogger(__name__)


class ExportPlan(NamedTuple):
    """An export that is ready to be written.

    Attributes:
        meta_graph: What the SavedModel shall hold.
        variables: Its variables, and where their values come from.
        asset_sources: The paths of its files by their names below ``assets/``.
    """

    meta_graph: schemas.MetaGraphDef
    variables: ExportedVariables
    asset_sources: dict[str, str]


class ExportRequest(NamedTuple):
    """What shall be exported of a source: the arguments of `export_saved_model` that concern the graph."""

    inputs: tensor_requests.Tensors | None = None
    outputs: tensor_requests.Tensors | None = None
    signatures: Mapping[str, Any] | None = None
    method_name: str = constants.PREDICT
    fixed_inputs: Mapping[Any, Any] | None = None
    tags: Iterable[str] | str = (constants.SERVING,)
    assets: Mapping[Any, Any] | Iterable[Any] | None = None
    init_op: Any = None
    prune: bool = True
    clear_devices: bool = True
    strip_default_attrs: bool = True
    empty_tables: Iterable[str] = ()
    repair: Iterable[repairs.Repair] | repairs.Repair = ()
    freeze: Select = None
    decode: Mapping[str, decoding.Decoding] | None = None


def plan_export(source: ExportSource, request: ExportRequest) -> ExportPlan:
    """Makes the MetaGraphDef of an export.

    Raises:
        InvalidArgumentError: There is nothing to export, or a signature is unsound.
        NotFoundError: A tensor, an operation, a value or a file is not there.
        UntrustedPathError: The graph names files outside of the source's directory.
        ShapeMismatchError: A value or a signature has another shape than the graph.
        DataLossError: The graph contradicts itself.
    """
    meta_graph = schemas.MetaGraphDef()
    meta_graph.CopyFrom(source.meta_graph)
    if not meta_graph.graph_def.node:
        raise InvalidArgumentError(f"{source.what} has no nodes: there is nothing to export")
    _check_constants(meta_graph, source.what)
    request = _with_functions(meta_graph, request)
    # A model of objects becomes one of nodes.
    meta_graph.ClearField("object_graph_def")
    if request.clear_devices:
        meta_graph.graph_def.CopyFrom(devices.clear_devices(meta_graph.graph_def))
    repair(meta_graph, request)
    signatures = _signatures(meta_graph, request, source.what)
    signature_def.check_signatures(signatures)
    feeding.cut_at_inputs(meta_graph, signatures)
    decoding.add_decoders(meta_graph, signatures, request.decode or {})
    feeding.check_fed(GraphTensors(meta_graph).nodes, signatures, set(meta_graph.signature_def))
    init_op = _init_op(meta_graph, request.init_op)
    meta_graph.signature_def.clear()
    for key, signature in signatures.items():
        meta_graph.signature_def[key].CopyFrom(signature)
    held = exported_assets.hold_paths(meta_graph, source.variables, source.assets, request.assets)
    variables, tables = _initialize(meta_graph, source, request, init_op)
    if request.prune:
        meta_graph = pruning.prune_meta_graph(meta_graph, keep_initializers=False)
    variables = _change_variables(meta_graph, variables, request)
    if request.prune and request.freeze is not None:
        # Functions that were called with handles are not called any more.
        meta_graph = pruning.prune_meta_graph(meta_graph, keep_initializers=False)
    meta_graph = with_saver(meta_graph, variables.restored)
    restored_tables.add_tables(meta_graph, tables)
    exported_variables.write_collections(meta_graph, variables)
    asset_sources = exported_assets.write_exported_assets(meta_graph, source, request.assets, held)
    if request.strip_default_attrs:
        meta_graph = strip_default_attrs(meta_graph, portable=True)
    del meta_graph.meta_info_def.tags[:]
    meta_graph.meta_info_def.tags.extend(as_tags(request.tags))
    _check_graph(meta_graph, asset_sources, source.what)
    return ExportPlan(meta_graph, variables, asset_sources)


def repair(meta_graph: schemas.MetaGraphDef, request: ExportRequest) -> None:
    """Makes the changes to a graph that are asked for, in place, and constants of placeholders.

    Raises:
        InvalidArgumentError: There is no such repair, or a value does not fit its placeholder.
        NotFoundError: There is no such placeholder.
        UnimplementedError: A repair could change what the graph computes.
    """
    asked = repairs.check_repairs(request.repair)
    changed = repairs.repair_references(meta_graph.graph_def) if "references" in asked else []
    fixed: dict[str, bool | float | int] = {}
    if "training" in asked:
        told = {node_of(tensor_requests.tensor_name(each)) for each in request.fixed_inputs or {}}
        told.update(node_of(name) for name in _asked_tensors(meta_graph, request, "inputs"))
        fixed = {name: value for name, value in repairs.training_values(meta_graph.graph_def).items() if name not in told}
        changed += [f"{name}: is always {value}" for name, value in fixed.items()]
    if "batch" in asked:
        outputs = _asked_tensors(meta_graph, request, "outputs")
        needed = pruning.needed_nodes(meta_graph.graph_def, outputs) if outputs else set()
        found = repairs.repair_batch(meta_graph.graph_def, needed)
        changed += found
        for signature in meta_graph.signature_def.values() if found else ():
            for info in (*signature.inputs.values(), *signature.outputs.values()):
                if len(info.tensor_shape.dim) > 1 and info.tensor_shape.dim[0].size == 1:
                    info.tensor_shape.dim[0].size = -1
    for each in changed:
        _logger.warning("repaired %s", each)
    feeding.make_constant(meta_graph, {**fixed, **(request.fixed_inputs or {})})


def _change_variables(
    meta_graph: schemas.MetaGraphDef, variables: ExportedVariables, request: ExportRequest
) -> ExportedVariables:
    """Makes constants, or resource variables, of those that are asked for; in place. Returns the variables that are left."""
    if request.freeze is not None:
        selection = as_selection(request.freeze)
        known = {
            each.name: Selectable(tuple(size or 0 for size in each.full_shape or each.shape or ()), 0, each.dtype.name)
            for each in variables.restored
        }
        chosen = set(selection.select(known).kept)
        frozen = [variable for variable in variables.restored if variable.name in chosen]
        freeze_variables(meta_graph.graph_def, frozen, variables.values)
        left = [variable for variable in variables.restored if variable.name not in chosen]
        keys = {name: key for name, key in variables.values.keys_of_source.items() if name not in chosen}
        variables = ExportedVariables(left, variables.initialized, variables.values.keeping(keys))
    if "resources" in repairs.check_repairs(request.repair):
        nodes = {variable.node for variable in variables.restored if not variable.is_resource}
        reads = repairs.use_resources(meta_graph.graph_def, nodes)
        for signature in meta_graph.signature_def.values():
            for info in signature.outputs.values():
                rename_tensor_info(info, lambda name: f"{reads[node_of(name)]}:0" if node_of(name) in reads else name)
        restored = [
            dataclasses.replace(variable, is_resource=True, snapshot=reads[variable.node])
            if variable.node in reads
            else variable
            for variable in variables.restored
        ]
        variables = variables._replace(restored=restored)
    return variables


def _asked_tensors(meta_graph: schemas.MetaGraphDef, request: ExportRequest, part: str) -> list[str]:
    """The tensors that a caller, or else the source, names as inputs or as outputs of signatures."""
    groups = [request.inputs if part == "inputs" else request.outputs]
    groups += [
        value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
        for value in (request.signatures or {}).values()
    ]
    if request.signatures is None and request.inputs is None and request.outputs is None:
        groups = [getattr(value, part) for value in meta_graph.signature_def.values()]
    names: list[str] = []
    for group in groups:
        if group is None:
            continue
        if isinstance(group, Mapping):
            values = list(group.values())
        else:
            values = [group] if isinstance(group, str) or hasattr(group, "name") else list(group)
        for value in values:
            if isinstance(value, Message):
                names += pruning.tensor_info_names(schemas.TensorInfo.FromString(value.SerializeToString()))
            else:
                names.append(tensor_requests.tensor_name(value))
    return names


def _check_constants(meta_graph: schemas.MetaGraphDef, what: str) -> None:
    """Refuses constants of two types, before anyone reads the names in them.

    Raises:
        DataLossError: There is one.
    """
    for node in meta_graph.graph_def.node:
        if node.op == "Const" and "value" in node.attr and node.attr["value"].tensor.dtype != node.attr["dtype"].type:
            raise DataLossError(f"{what}: the Const {node.name!r} is of one type, and its value of another")


def _check_graph(meta_graph: schemas.MetaGraphDef, asset_sources: Mapping[str, str], what: str) -> None:
    """Refuses what no program could load or run.

    Raises:
        InvalidArgumentError: The graph is damaged; says where first.
    """
    errors = [each for each in lint(meta_graph, asset_names=list(asset_sources)) if each.severity is Severity.ERROR]
    if errors:
        more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
        raise InvalidArgumentError(f"{what} cannot be served: {errors[0].place}: {errors[0].sentence}{more}")


def _with_functions(meta_graph: schemas.MetaGraphDef, request: ExportRequest) -> ExportRequest:
    """The request with signatures in the place of names of functions, which the graph now calls."""
    objects = meta_graph.object_graph_def
    signatures: dict[str, Any] = dict(request.signatures or {})
    for key, value in signatures.items():
        name = value["function"] if isinstance(value, Mapping) and value.keys() == {"function"} else value
        if isinstance(name, str):
            signatures[key] = add_function_signature(meta_graph, objects, key, name)
    return request._replace(signatures=signatures) if signatures else request


def _signatures(meta_graph: schemas.MetaGraphDef, request: ExportRequest, what: str) -> dict[str, schemas.SignatureDef]:
    """The signatures that are asked for, else those that the graph has."""
    asked: dict[str, Any] = dict(request.signatures or {})
    if request.outputs is not None or request.inputs is not None:
        if constants.DEFAULT_SIGNATURE_KEY in asked:
            raise InvalidArgumentError(
                f"inputs and outputs make the signature {constants.DEFAULT_SIGNATURE_KEY!r}, which signatures has too"
            )
        default = {"inputs": request.inputs, "outputs": request.outputs, "method_name": request.method_name}
        asked = {constants.DEFAULT_SIGNATURE_KEY: default, **asked}
    if not asked and request.signatures is None:
        asked = {
            key: signature
            for key, signature in meta_graph.signature_def.items()
            if key not in constants.RESERVED_SIGNATURE_KEYS
        }
    graph = GraphTensors(meta_graph)
    if not asked and request.init_op is None and request.signatures is None:
        hint = propose(meta_graph).sentence(repr(what.removesuffix(".meta")) if file_io.exists(what) else "graph")
        raise InvalidArgumentError(f"{what} has no signatures: say which tensors are outputs. {hint}")
    signatures = {key: make_signature(key, value, graph) for key, value in asked.items()}
    for key, signature in signatures.items():
        # What a source has already is its own affair: servers' own test models break this rule.
        if key not in meta_graph.signature_def:
            signature_def.check_method(key, signature)
    return signatures


def make_signature(key: str, value: Any, graph: GraphTensors) -> schemas.SignatureDef:
    """One signature, as a caller asks for it, with the inputs that its outputs need where none are given.

    Raises:
        InvalidArgumentError: It has no outputs; and what `as_signature` raises.
    """
    signature = tensor_requests.as_signature(value, graph, key)
    is_open = isinstance(value, Mapping) and value.get("inputs") is None
    if is_open:
        found = feeding.open_placeholders(graph.nodes, feeding.signature_tensors(signature.outputs))
        for name, info in tensor_requests.as_tensor_infos(found, graph, f"signature {key!r}: input").items():
            signature.inputs[name].CopyFrom(info)
    if isinstance(value, Mapping) and not signature.outputs:
        raise InvalidArgumentError(f"signature {key!r} has no outputs: {propose(graph.meta_graph).sentence('graph')}")
    return signature


def _initialize(
    meta_graph: schemas.MetaGraphDef, source: ExportSource, request: ExportRequest, init_op: str | None
) -> tuple[ExportedVariables, list[RestoredTable]]:
    """Gives the graph an init op for what it keeps; finds the variables among that, and the tables in the checkpoint."""
    # The names in the checkpoint stand in the nodes of the Saver that the graph has now.
    candidates = find_variables(meta_graph)
    tables = GraphTables(meta_graph.graph_def)
    local = initialization.local_variables(meta_graph)
    signature_roots = [name for each in meta_graph.signature_def.values() for name in pruning.signature_tensors(each)]
    roots = signature_roots + ([init_op] if init_op else [])
    if not roots and request.prune:
        raise InvalidArgumentError(f"{source.what}: neither signatures nor an init op: there is nothing to export")
    if not request.prune:
        roots = [node.name for node in meta_graph.graph_def.node]
    done = pruning.needed_nodes(meta_graph.graph_def, [init_op]) if init_op else set()
    started = initialization.assigned_variables(meta_graph, done)
    filled = set(tables.filled_by(done))
    made: dict[str, list[str]] = {}
    while True:
        operations = [each for found in made.values() for each in found]
        kept = pruning.needed_nodes(meta_graph.graph_def, [*roots, *operations])
        chosen = exported_variables.choose_variables(
            [variable for variable in candidates if variable.node in kept], source.variables, local, started, source.what
        )
        kept_tables = [table for table in tables.tables if table in kept]
        restored = [
            each
            for each in tables.restored(kept_tables, source.variables)
            if each.node not in filled or all(name in source.variables for name in each.names)
        ]
        is_restored = {each.node for each in restored}
        open_tables = [table for table in kept_tables if table not in filled | is_restored]
        found = {
            **initialization.variable_initializers(chosen.initialized),
            **initialization.fillers(tables, meta_graph, open_tables),
        }
        if found == made:
            break
        made = found
    needed = pruning.needed_nodes(meta_graph.graph_def, [*signature_roots, *operations]) if signature_roots else set()
    empty = [table for table in open_tables if table in needed and table not in made]
    tables.check_filled(empty, kept, request.empty_tables, source.what)
    at_start = done | (pruning.needed_nodes(meta_graph.graph_def, operations) if operations else set())
    initialization.check_resources(tables.nodes, needed, at_start, source.what)
    names = restored_tables.check_tables(restored, source.variables, source.what)
    if not chosen.restored:
        # A graph without variables has no Saver.
        made.update(restored_tables.fill_from_constants(meta_graph, restored, source.variables))
        restored, names = [], {}
    initialization.add_start(meta_graph, init_op, made)
    names = {**chosen.values.keys_of_source, **names}
    return chosen._replace(values=ChosenValues(source.variables, names)), restored


def _init_op(meta_graph: schemas.MetaGraphDef, given: Any) -> str | None:
    if given is None:
        found = find_init_op(meta_graph)
        return node_of(found) if found else None
    name = node_of(tensor_requests.tensor_name(given))
    GraphTensors(meta_graph).node(name)
    return name
