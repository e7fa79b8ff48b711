"""The operation that a loader runs after it has restored the variables.

A SavedModel that was exported by TensorFlow names it. A graph that was only trained has its parts: what fills tables, and
the initializers of local variables, which no checkpoint holds. Of these, an export needs those whose tables and variables it
keeps; one operation that waits for all of them is then what a loader runs.

    path/Assign -> InitializeTableFromTextFileV2(T, path/read) -> Assign(V, LookupTableFindV2(T, .))

TensorFlow runs the parts of a group in any order. A part that reads what another part makes is copied, with all that it
needs, and the copies wait. The originals stay as they are: a request that reads the variable must not initialize it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.graph import node_builder
from tfsaver.graph.collection_defs import node_list
from tfsaver.graph.graph_variable import VARIABLE_OPS, GraphVariable
from tfsaver.graph.saver_keys import ASSIGN_OPS
from tfsaver.graph.tables import TABLE_OPS, GraphTables
from tfsaver.graph.tensor_names import CONTROL, FreeNames, free_name, is_control, node_of
from tfsaver.saved_model import constants, feeding

_INIT_OP = "init_all"
_COPIES = "init_in_order"
# What a copy of an initializer shares with the original: what has no inputs, and is the same whenever it runs.
_RESOURCE_OPS = VARIABLE_OPS | TABLE_OPS
# What is filled by operations that only its own library knows.
_STATEFUL = re.compile(
    "BoostedTrees.*HandleOp|TensorForest.*HandleOp|DecisionTree.*HandleOp|GradientTrees.*HandleOp|FertileStats.*HandleOp"
    "|KMeans.*HandleOp|CreateTRT.*Handle|StatsAggregatorHandle.*"
)
_CONSTANT_OPS = frozenset({"Const", "Placeholder", "PlaceholderV2"})


def fillers(tables: GraphTables, meta_graph: schemas.MetaGraphDef, kept: Iterable[str]) -> dict[str, list[str]]:
    """The operations that fill some tables at start, by the table.

    Raises:
        InvalidArgumentError: The graph does not say which of several do.
    """
    listed = set(map(node_of, node_list(meta_graph, constants.TABLE_INITIALIZERS)))
    return {table: found for table in kept if (found := tables.start_fills(table, listed))}


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


def parts(meta_graph: schemas.MetaGraphDef, operation: str) -> list[str]:
    """What a group of operations consists of; of another operation, itself."""
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = [operation]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in nodes and nodes[name].op == "NoOp" and nodes[name].input:
            waiting += [node_of(each) for each in reversed(nodes[name].input)]
        else:
            found[name] = None
    return list(found)


def add_start(meta_graph: schemas.MetaGraphDef, init_op: str | None, made: Mapping[str, Iterable[str]]) -> None:
    """Gives a graph the operation that loaders run: its init op, and then what makes some variables and tables; in place.

    Raises:
        InvalidArgumentError: Two of them wait for each other.
    """
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    tables = GraphTables(meta_graph.graph_def)
    of_init_op = parts(meta_graph, init_op) if init_op else []
    by_init_op: dict[str, list[str]] = {}
    for part in of_init_op:
        needed = feeding.needed_nodes(nodes, [f"^{part}"])
        for resource in (*sorted(assigned_variables(meta_graph, needed)), *tables.filled_by(needed)):
            by_init_op.setdefault(resource, []).append(part)
    ordered = in_order(meta_graph, {**by_init_op, **made})
    if init_op and all(ordered.get(part, part) == part for part in of_init_op):
        first = [init_op]
    else:
        first = [ordered.get(part, part) for part in of_init_op]
    others = [name for operation, name in ordered.items() if operation not in of_init_op]
    _rename_initializers(meta_graph, ordered)
    set_init_op(meta_graph, add_group(meta_graph, first + others))


def _rename_initializers(meta_graph: schemas.MetaGraphDef, renamed: Mapping[str, str]) -> None:
    """Says of local variables what initializes them now."""
    if constants.LOCAL_VARIABLES not in meta_graph.collection_def:
        return
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    entries = meta_graph.collection_def[constants.LOCAL_VARIABLES].bytes_list.value
    for position, data in enumerate(entries):
        definition = schemas.VariableDef.FromString(data)
        name = node_of(definition.initializer_name)
        if renamed.get(name, name) != name:
            definition.initializer_name = renamed[name]
            value = nodes[renamed[name]].input[1]
            definition.initial_value_name = value if ":" in value else f"{value}:0"
            entries[position] = definition.SerializeToString(deterministic=True)


def check_resources(nodes: Mapping[str, schemas.NodeDef], needed: set[str], started: set[str], what: str) -> None:
    """Refuses what keeps its content outside of variables and tables, and is not given it at start.

    Args:
        needed: The nodes that the signatures need.
        started: Those that run at start.

    Raises:
        UnimplementedError: There is one; names it.
    """
    given = {node_of(each) for name in started for each in nodes[name].input if not is_control(each)}
    for name, node in nodes.items():
        if name in needed and name not in given and _STATEFUL.fullmatch(node.op):
            raise UnimplementedError(
                f"{what}: {node.op} {name!r} is needed, and its content is in neither a variable nor a table: it would be "
                "empty when a server starts. Name the operation that fills it: init_op=..."
            )


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


def variable_initializers(variables: Iterable[GraphVariable]) -> dict[str, list[str]]:
    """The operations that give variables their first values, by the variable."""
    return {variable.node: [node_of(variable.initializer)] for variable in variables if variable.initializer}


def in_order(meta_graph: schemas.MetaGraphDef, made: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Lets operations wait for what makes the variables and tables that they read; in place.

    Args:
        made: By variable or table, the operations that give it its content at start. One that makes several, such as an
            init op, stands with each.

    Returns:
        The operations, and what to run for each: itself, or the copy that waits.

    Raises:
        InvalidArgumentError: Two of them wait for each other.
    """
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    own: dict[str, set[str]] = {}
    for resource, operations in made.items():
        for operation in operations:
            own.setdefault(operation, set()).add(resource)
    needed = {operation: feeding.needed_nodes(nodes, [f"^{operation}"]) for operation in own}
    before: dict[str, dict[str, list[str]]] = {}
    for operation, mine in own.items():
        read = [resource for resource in made if resource in needed[operation] - mine]
        # What waits already needs no copy.
        waits = {resource: [each for each in made[resource] if each not in needed[operation]] for resource in read}
        before[operation] = {resource: operations for resource, operations in waits.items() if operations}
    names = FreeNames(nodes)
    done: dict[str, str] = {}
    waiting = list(own)
    while waiting:
        ready = [each for each in waiting if all(op in done for ops in before[each].values() for op in ops)]
        if not ready:
            circle = ", ".join(map(repr, waiting[:3]))
            raise InvalidArgumentError(f"initializers that read what others of them make wait for each other: {circle}")
        for operation in ready:
            waits = {resource: [done[each] for each in operations] for resource, operations in before[operation].items()}
            done[operation] = _copy(meta_graph, nodes, operation, needed[operation], waits, names) if waits else operation
        waiting = [each for each in waiting if each not in done]
    return done


def _copy(
    meta_graph: schemas.MetaGraphDef,
    nodes: Mapping[str, schemas.NodeDef],
    operation: str,
    needed: set[str],
    waits: Mapping[str, list[str]],
    names: FreeNames,
) -> str:
    """Adds a copy of an operation and of what it needs, whose readers of some resources wait for operations."""
    copied = {
        name: names.take(f"{_COPIES}/{name}")
        for name, node in nodes.items()
        if name in needed and node.op not in _RESOURCE_OPS and (node.input or node.op not in _CONSTANT_OPS)
    }
    for name, new_name in copied.items():
        copy = meta_graph.graph_def.node.add()
        copy.CopyFrom(nodes[name])
        copy.name = new_name
        del copy.input[:]
        controls: dict[str, None] = {}
        for reference in nodes[name].input:
            source = node_of(reference)
            controls.update(dict.fromkeys(waits.get(source, ())))
            suffix = reference.removeprefix(CONTROL).removeprefix(source)
            renamed = copied.get(source, source) + suffix
            if is_control(reference):
                controls[renamed] = None
            else:
                copy.input.append(renamed)
        copy.input.extend(f"^{each}" for each in controls)
        if "frame_name" in copy.attr:
            # Loops with one name would be one loop.
            copy.attr["frame_name"].s = f"{_COPIES}/".encode() + copy.attr["frame_name"].s
    return copied[operation]
