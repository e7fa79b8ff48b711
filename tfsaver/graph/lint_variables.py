"""What is wrong with variables and tables: no value, another one than they can hold, nothing that restores or fills them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tfsaver import schemas
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY
from tfsaver.errors import SaverError
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.graph.collection_defs import asset_files, node_list
from tfsaver.graph.findings import CPP, V1, V2, Finding, error, note, shown, warning
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.lint_signatures import SignatureLint
from tfsaver.graph.load_scope import LoadScope
from tfsaver.graph.saver_keys import ASSIGN_OPS, saver_keys, strings_of
from tfsaver.graph.tables import FILE_INPUTS, STATIC_TABLES, GraphTables
from tfsaver.graph.tensor_names import node_of
from tfsaver.graph.variables import find_variables

_PASSING = frozenset({"Identity", "ReadVariableOp", "PlaceholderWithDefault"})
_ATTRIBUTE_KEY = "/.ATTRIBUTES/"


def lint_variables(
    meta_graph: schemas.MetaGraphDef,
    nodes: Mapping[str, schemas.NodeDef],
    signatures: SignatureLint,
    values: Mapping[str, tuple[DType, Shape]] | None,
    scope: LoadScope,
) -> Iterator[Finding]:
    """The findings about variables, the Saver and tables.

    Args:
        values: The type and the shape of each tensor in the checkpoint; None where it is not known.
    """
    try:
        variables = find_variables(meta_graph)
    except SaverError as problem:
        yield error("bad-variable", "variables", str(problem), (V1,), (CPP, V2))
        return
    yield from _lint_keys(variables, meta_graph)
    yield from _lint_saver(meta_graph, nodes, scope, has_checkpoint=values is None or bool(values))
    restored = set(saver_keys(meta_graph.graph_def, meta_graph.saver_def)) if meta_graph.HasField("saver_def") else None
    started = _given_at_start(nodes, signatures)
    if values is not None:
        found = list(_lint_values(variables, values, restored, started, scope))
        if not values and not any(each.refused_by for each in found):
            yield from _lint_no_checkpoint(scope)
        yield from found
    if meta_graph.signature_def:
        yield from _lint_restored(variables, restored, started, signatures)
    yield from _lint_tables(meta_graph, nodes, signatures)


def _lint_keys(variables: list[GraphVariable], meta_graph: schemas.MetaGraphDef) -> Iterator[Finding]:
    is_of_objects = bool(meta_graph.object_graph_def.nodes)
    seen: dict[tuple[str, str], str] = {}
    for variable in variables:
        name = variable.name
        if not name:
            yield error("reserved-key", variable.node, "has the empty name in the checkpoint")
        elif name == OBJECT_GRAPH_KEY:
            yield error("reserved-key", variable.node, f"is saved as {shown(name)}, where the objects of a program are")
        elif _ATTRIBUTE_KEY in name and not is_of_objects:
            yield note("reserved-key", variable.node, f"is saved as {shown(name)}, as a variable of an object would be")
        first = seen.setdefault((name, variable.shape_and_slice), variable.node)
        if first != variable.node and name:
            yield warning("shared-key", variable.node, f"is restored from {shown(name)}, as is {shown(first)}")


def _lint_no_checkpoint(scope: LoadScope) -> Iterator[Finding]:
    """Without a checkpoint, the C++ loader restores nothing and goes on; the others refuse where they would restore."""
    if scope.openers:
        sentence = f"there is no variables.index: refused by {' and '.join(scope.openers)}"
        yield warning("no-checkpoint", "variables", sentence, scope.openers)


def _lint_saver(
    meta_graph: schemas.MetaGraphDef, nodes: Mapping[str, schemas.NodeDef], scope: LoadScope, *, has_checkpoint: bool
) -> Iterator[Finding]:
    if not meta_graph.HasField("saver_def"):
        return
    saver_def = meta_graph.saver_def
    for field in ("filename_tensor_name", "restore_op_name"):
        name = getattr(saver_def, field)
        if node_of(name) not in nodes:
            refused_by = scope.starters if has_checkpoint else scope.openers
            yield error("missing-saver-node", "saver_def", f"{field} is {shown(name)}, which is not there", refused_by)
    name = saver_def.save_tensor_name
    if not name:
        sentence = "save_tensor_name is empty; Python programs refuse that"
        yield warning("missing-saver-node", "saver_def", sentence, scope.importers[1:])
    elif node_of(name) not in nodes:
        sentence = f"save_tensor_name is {shown(name)}, not there: it cannot be saved again"
        yield note("missing-saver-node", "saver_def", sentence)


def _lint_values(
    variables: list[GraphVariable],
    values: Mapping[str, tuple[DType, Shape]],
    restored: set[str] | None,
    started: set[str],
    scope: LoadScope,
) -> Iterator[Finding]:
    # Without a checkpoint the C++ loader restores nothing and goes on.
    starters = scope.starters if values else scope.openers
    for variable in variables:
        if variable.name not in values:
            if restored is not None and variable.node in restored:
                sentence = f"is restored from {shown(variable.name)}, which the checkpoint has not"
                yield error("no-value", variable.node, sentence, starters)
            elif variable.node not in started:
                finding = warning if restored is None else note
                yield finding("no-value", variable.node, f"the checkpoint has no {shown(variable.name)}")
            continue
        dtype, shape = values[variable.name]
        if dtype != variable.dtype:
            is_restored = restored is None or variable.node in restored
            sentence = f"is {variable.dtype}, its value in the checkpoint {dtype}"
            yield error("wrong-value", variable.node, sentence, starters if is_restored else ())
        wanted = variable.full_shape if variable.is_part else variable.shape
        if wanted is not None and not _fits(shape, wanted):
            sentence = f"has shape {list(wanted)}, its value in the checkpoint {list(shape)}"
            is_restored = restored is None or variable.node in restored
            yield error("wrong-value", variable.node, sentence, starters if is_restored else ())
    unused = values.keys() - {variable.name for variable in variables} - {OBJECT_GRAPH_KEY}
    if unused:
        some = ", ".join(map(repr, sorted(unused)[:3])) + (" ..." if len(unused) > 3 else "")
        yield note("unused-values", "checkpoint", f"{len(unused)} tensors are no variable's: {some}")


def _fits(shape: Shape, wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size in (None, actual) for size, actual in zip(wanted, shape, strict=True)
    )


def _given_at_start(nodes: Mapping[str, schemas.NodeDef], signatures: SignatureLint) -> set[str]:
    """The variables that the init op gives a value to."""
    given: set[str] = set()
    for name in signatures.reach([node_of(name) for name in signatures.init_ops()]):
        node = nodes[name]
        if node.op in ASSIGN_OPS and node.input:
            given.add(node_of(node.input[0]))
        elif "f" in node.attr:
            # A function may give a value to what it is handed.
            given.update(node_of(reference) for reference in node.input)
    return given


def _lint_restored(
    variables: list[GraphVariable], restored: set[str] | None, started: set[str], signatures: SignatureLint
) -> Iterator[Finding]:
    """Variables that signatures need must be given a value: by the Saver, or by the init op."""
    open_ones = [
        variable
        for variable in variables
        if variable.node in signatures.needed_by_signatures and variable.node not in started | (restored or set())
    ]
    if restored is None and open_ones:
        yield warning("no-saver", "saver_def", f"nothing restores the {len(open_ones)} variables that signatures need")
        return
    for variable in open_ones:
        yield error("not-restored", variable.node, "is needed, and neither the Saver nor the init op gives it a value")


def _lint_tables(
    meta_graph: schemas.MetaGraphDef, nodes: Mapping[str, schemas.NodeDef], signatures: SignatureLint
) -> Iterator[Finding]:
    tables = GraphTables(meta_graph.graph_def)
    init_ops = [*signatures.init_ops(), *node_list(meta_graph, "table_initializer")]
    started = signatures.reach([node_of(name) for name in init_ops])
    restored = signatures.reach([node_of(meta_graph.saver_def.restore_op_name)])
    filled = tables.filled_by(started | restored)
    handed = {
        node_of(reference) for name in started for reference in nodes[name].input if "f" in nodes[name].attr
    }
    for table, node in tables.tables.items():
        if table in filled or table in handed:
            continue
        if not tables.fillers(table):
            yield warning("empty-table", table, "is a table that nothing fills")
        elif node.op in STATIC_TABLES:
            is_needed = table in signatures.needed_by_signatures
            finding = error if is_needed else warning
            yield finding("empty-table", table, "is a table, and the init op does not fill it")
        elif not signatures.needed_by_signatures.isdisjoint(each.name for each in tables.fillers(table)):
            yield note("empty-table", table, "is a table that begins empty, and that requests fill")
        elif table in signatures.needed_by_signatures:
            yield warning("empty-table", table, "is a table, and neither the Saver nor the init op fills it")
    yield from _lint_paths(meta_graph, nodes, started)


def _lint_paths(
    meta_graph: schemas.MetaGraphDef, nodes: Mapping[str, schemas.NodeDef], started: set[str]
) -> Iterator[Finding]:
    """Files that are read when a model starts, and are none of its assets."""
    if not meta_graph.signature_def:
        # In a graph that was only trained, paths are those of the machine that trained it.
        return
    try:
        assets = {node_of(asset.tensor_info.name) for asset in asset_files(meta_graph)}
    except SaverError:
        return
    for node in nodes.values():
        position = FILE_INPUTS.get(node.op)
        if position is None or node.name not in started or position >= len(node.input):
            continue
        name = node_of(node.input[position])
        seen: set[str] = set()
        while name not in assets | seen and name in nodes and nodes[name].op in _PASSING and nodes[name].input:
            seen.add(name)
            name = node_of(nodes[name].input[0])
        if name in assets or name not in nodes:
            continue
        texts = strings_of(nodes[name])
        path = shown(texts[0]) if texts else f"whose path {nodes[name].op} {shown(name)} gives"
        yield warning("outside-file", node.name, f"reads the file {path}, which is none of the assets")
