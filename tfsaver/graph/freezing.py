"""A graph whose variables are constants: a GraphDef that needs no checkpoint, no Saver and no initialization but of tables.

    HashTableV2 T <- InitializeTableV2, LookupTableImportV2, a call of the init op          what fills T stays
    MutableHashTableV2 T <- LookupTableImportV2 <- RestoreV2                                keys and values are constants
    local variable <- Assign <- value                                                       its readers read the value

Only what the outputs need is in it, and only variables that are read can be frozen: a graph that changes them when its
outputs are computed is refused. The other way is `unfreezing`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from tfsaver import schemas
from tfsaver.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    ShapeMismatchError,
    UnimplementedError,
    nearest_names,
)
from tfsaver.framework import dtypes
from tfsaver.graph import node_builder
from tfsaver.graph.collection_defs import node_list
from tfsaver.graph.frozen_body import FrozenBody
from tfsaver.graph.functions import library_functions
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.node_builder import Array
from tfsaver.graph.pruning import (
    INIT_OP_SIGNATURE,
    TRAIN_OP_SIGNATURE,
    init_operations,
    needed_nodes,
    prune_graph,
    signature_tensors,
)
from tfsaver.graph.saver_keys import ASSIGN_OPS
from tfsaver.graph.tables import GraphTables, constant_fill, type_of
from tfsaver.graph.tensor_names import FreeNames, is_control, node_of
from tfsaver.graph.variables import find_variables, graph_and_meta_graph, iterate_variable_defs

# What one serialized message can be.
_MAX_SIZE = (1 << 31) - 1
# How deep functions may call each other: each call is one of Python's too.
_MAX_DEPTH = 48
# Each function may have a twin for each way in which it is called, and n functions can be called in 2**n ways. All twins
# together take at most this often what the functions take.
_MAX_GROWTH = 16
# What gives another value each time.
_RANDOM = ("Random", "ParameterizedTruncatedNormal", "TruncatedNormal", "Multinomial", "StatefulRandom", "StatefulUniform",
           "StatefulStandardNormal", "StatefulTruncatedNormal", "Timestamp", "Placeholder")


def freeze_graph(
    graph: schemas.MetaGraphDef | schemas.GraphDef,
    values: Mapping[str, Array],
    outputs: Iterable[str] = (),
    *,
    empty_tables: Iterable[str] = (),
) -> schemas.GraphDef:
    """A graph of what `outputs` need, with constants for variables.

    What fills a table that is needed stays too; whoever runs the graph must run it first.

    Args:
        values: The variables' values by their names in the checkpoint: a reader of one will do.
        outputs: Tensors or operations; those of all signatures when there are none.
        empty_tables: Lookup tables that may be empty when a program starts; any other that nothing fills is an error.

    Raises:
        InvalidArgumentError: No outputs, a table that nothing fills, a value of another type, or values of 2 GiB together.
        ShapeMismatchError: A value of another shape.
        NotFoundError: A variable has no value, or an output is not in the graph.
        UnimplementedError: A node that is needed changes a variable, or takes its handle where no value can stand; or
            functions call each other too deep, or in too many ways.
    """
    graph_def, meta_graph = graph_and_meta_graph(graph)
    roots = [outputs] if isinstance(outputs, str) else list(outputs)
    if not roots and meta_graph is not None:
        roots = [
            name
            for key, signature in meta_graph.signature_def.items()
            if key not in (INIT_OP_SIGNATURE, TRAIN_OP_SIGNATURE)
            for name in signature_tensors(signature)
        ]
    started = _Start(graph_def, meta_graph)
    candidates = find_variables(graph)
    local = started.local_variables(candidates, values)
    added: list[schemas.NodeDef] = []
    restored: set[str] = set()
    filling: list[str] = []
    while True:
        reached = needed_nodes(graph_def, [*roots, *filling])
        tables = [table for table in started.tables.tables if table in reached]
        for table in started.tables.restored([each for each in tables if each not in restored], values):
            restored.add(table.node)
            added += constant_fill(table, values, started.tables.nodes, started.names)
        fills = {table: started.fills(table) for table in tables if table not in restored}
        initial_values = [variable.initial_value for name, variable in local.items() if name in reached]
        found = [*(name for names in fills.values() for name in names), *initial_values]
        if found == filling:
            break
        filling = found
    empty = [table for table, names in fills.items() if not names]
    started.tables.check_filled(empty, reached, empty_tables, "the graph")
    filled = schemas.GraphDef()
    filled.CopyFrom(graph_def)
    filled.node.extend(added)
    for node in filled.node:
        if node.op in ASSIGN_OPS and node_of(node.input[0]) in local and len(node.input) > 1:
            _pass_on(node)
    roots += [*(name for names in fills.values() for name in names), *(node.name for node in added)]
    local = {name: variable for name, variable in local.items() if name in reached}
    frozen = prune_graph(filled, [*roots, *initial_values])
    kept = {node.name for node in frozen.node}
    variables = {variable.node: variable for variable in candidates if variable.node in kept}
    constants = _constants((variable for name, variable in variables.items() if name not in local), values)
    constants.update((name, _initial_value(variable, frozen)) for name, variable in local.items())
    _replace(frozen, variables.values(), constants)
    # Functions that were called with handles are not called any more.
    return prune_graph(frozen, roots)


def freeze_variables(graph_def: schemas.GraphDef, variables: Iterable[GraphVariable], values: Mapping[str, Array]) -> None:
    """Makes constants of some variables of a graph, in place.

    Args:
        values: The variables' values by their names in the checkpoint.

    Raises:
        UnimplementedError: A node changes one of them, or takes its handle where no value can stand.
        SaverError: As `freeze_graph` has it.
    """
    chosen = list(variables)
    _replace(graph_def, chosen, _constants(chosen, values))


def _replace(
    graph_def: schemas.GraphDef, variables: Iterable[GraphVariable], constants: Mapping[str, schemas.NodeDef]
) -> None:
    """Puts constants where variables are, and lets their readers read values, in place."""
    chosen = list(variables)
    library = _Library(graph_def)
    body = FrozenBody(
        graph_def.node,
        {variable.node: variable.dtype.data_type for variable in chosen},
        [variable.node for variable in chosen if not variable.is_resource],
        "",
        library.specialize,
    )
    body.rewrite()
    for node in graph_def.node:
        if node.name in constants:
            controls = list(node.input)
            node.CopyFrom(constants[node.name])
            node.input.extend(controls)
    graph_def.node.extend(body.added)


class _Start:
    """What gives a graph's tables and local variables their content when a program starts."""

    def __init__(self, graph_def: schemas.GraphDef, meta_graph: schemas.MetaGraphDef | None) -> None:
        self.tables = GraphTables(graph_def)
        self.names = FreeNames(self.tables.nodes)
        init_ops = [name for name in init_operations(meta_graph) if node_of(name) in self.tables.nodes] if meta_graph else []
        self._done = needed_nodes(graph_def, init_ops) if init_ops else set()
        self._filled = self.tables.filled_by(self._done)
        self._listed = [node_of(each) for each in node_list(meta_graph, "table_initializer")] if meta_graph else []
        local = [each for key, each in iterate_variable_defs(meta_graph) if key == "local_variables"]
        self._local = {node_of(each.variable_name) for each in local}

    def fills(self, table: str) -> list[str]:
        """The operations that fill a table: those of the init op, else those that start it."""
        return self._filled.get(table) or self.tables.start_fills(table, self._listed)

    def local_variables(
        self, variables: Iterable[GraphVariable], values: Mapping[str, Array]
    ) -> dict[str, GraphVariable]:
        """The variables that have no value in a checkpoint, but an initial one whenever a program starts."""
        assigned: dict[str, list[str]] = {}
        for name in sorted(self._done):
            node = self.tables.nodes[name]
            if node.op in ASSIGN_OPS and len(node.input) > 1:
                assigned.setdefault(node_of(node.input[0]), []).append(node.input[1])
        found = {}
        for variable in variables:
            first = assigned.get(variable.node, [variable.initial_value] if variable.node in self._local else [])
            if variable.name not in values and len(first) == 1 and first[0]:
                found[variable.node] = dataclasses.replace(variable, initial_value=first[0])
        return found


def _pass_on(assign: schemas.NodeDef) -> None:
    """Makes an initializer do nothing: other nodes may wait for it, or use the value."""
    is_value = assign.op == "Assign"
    inputs = [*(list(assign.input)[1:2] if is_value else ()), *(each for each in assign.input if is_control(each))]
    attrs = {"T": node_builder.of_type(type_of(assign, "T"))} if is_value else {}
    assign.CopyFrom(node_builder.node("Identity" if is_value else "NoOp", assign.name, inputs, attrs, device=assign.device))


def _initial_value(variable: GraphVariable, graph_def: schemas.GraphDef) -> schemas.NodeDef:
    """What a local variable becomes that nothing changes: the value that it begins with.

    Raises:
        UnimplementedError: The value is another one whenever it is computed.
    """
    nodes = {node.name: node for node in graph_def.node}
    for name in needed_nodes(graph_def, [variable.initial_value]):
        if nodes[name].op.startswith(_RANDOM) or name == variable.node:
            why = "itself" if name == variable.node else f"the {nodes[name].op} {name!r}"
            raise UnimplementedError(
                f"local variable {variable.node!r}: its initial value needs {why}, for which no constant can stand"
            )
    data_type = node_builder.of_type(variable.dtype.data_type)
    return node_builder.node("Identity", variable.node, [variable.initial_value], {"T": data_type}, device=variable.device)


def _constants(variables: Iterable[GraphVariable], values: Mapping[str, Array]) -> dict[str, schemas.NodeDef]:
    whole: dict[str, Array] = {}
    constants = {}
    size = 0
    for variable in variables:
        value = _value_of(variable, values, whole)
        size += value.nbytes if variable.dtype.has_fixed_size else sum(map(len, value.reshape(-1).tolist()))
        if size > _MAX_SIZE:
            raise InvalidArgumentError("the variables have 2 GiB of values or more, which no GraphDef can hold")
        constants[variable.node] = node_builder.array_const(
            variable.node, value, variable.dtype, device=variable.device
        )
    return constants


def _value_of(variable: GraphVariable, values: Mapping[str, Array], whole: dict[str, Array]) -> Array:
    name = variable.name
    if name not in whole:
        if name not in values:
            near = nearest_names(name, values)
            hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
            raise NotFoundError(f"variable {variable.node!r}: there is no value {name!r}{hint}")
        # A part's siblings come next, and need the same tensor.
        if not variable.is_part:
            return _checked(variable, np.asarray(values[name]), variable.shape)
        whole.clear()
        whole[name] = np.asarray(values[name])
    value = _checked(variable, whole[name], variable.full_shape)
    part = variable.tensor_slice
    return value if part is None else value[part.resolve(value.shape, name).indices]


def _checked(variable: GraphVariable, value: Array, shape: tuple[int | None, ...] | None) -> Array:
    dtype = dtypes.from_numpy(value.dtype) if value.dtype != object else dtypes.STRING
    if dtype != variable.dtype:
        raise InvalidArgumentError(f"variable {variable.node!r} is {variable.dtype}, its value {dtype}")
    fits = shape is None or (
        len(shape) == value.ndim and all(size in (None, actual) for size, actual in zip(shape, value.shape, strict=True))
    )
    if shape is not None and not fits:
        raise ShapeMismatchError(variable.name, expected=shape, actual=value.shape)
    return value


class _Library:
    """The functions of a graph, and their twins that take values for handles."""

    def __init__(self, graph_def: schemas.GraphDef) -> None:
        self._graph_def = graph_def
        self._functions = library_functions(graph_def)
        self._names = FreeNames(self._functions)
        self._room = _MAX_GROWTH * (graph_def.library.ByteSize() + 1024)
        self._depth = 0
        self._twins: dict[tuple[str, tuple[tuple[int, int], ...]], tuple[str, dict[int, int]]] = {}

    def specialize(self, name: str, arguments: Mapping[int, int]) -> tuple[str, dict[int, int]]:
        """The twin of a function, some of whose arguments have other types; and its outputs that have."""
        if not arguments or name not in self._functions:
            return name, {}
        key = (name, tuple(sorted(arguments.items())))
        if key not in self._twins:
            self._room -= self._functions[name].ByteSize()
            if self._room < 0 or self._depth == _MAX_DEPTH:
                why = "in more ways than can be followed" if self._room < 0 else f"more than {_MAX_DEPTH} deep"
                raise UnimplementedError(f"function {name!r}: the functions around it call each other {why}")
            twin = schemas.FunctionDef()
            twin.CopyFrom(self._functions[name])
            twin.signature.name = self._names.take(f"{name}_frozen")
            self._functions[twin.signature.name] = twin
            # A function that calls itself finds its twin here, not yet with outputs.
            self._twins[key] = (twin.signature.name, {})
            self._depth += 1
            self._twins[key] = (twin.signature.name, self._freeze(name, twin, arguments))
            self._depth -= 1
            self._graph_def.library.function.append(twin)
        return self._twins[key]

    def _freeze(self, name: str, function: schemas.FunctionDef, arguments: Mapping[int, int]) -> dict[int, int]:
        signature = function.signature
        frozen = {}
        for position, data_type in arguments.items():
            if position >= len(signature.input_arg):
                raise DataLossError(f"function {name!r} has {len(signature.input_arg)} arguments, and is given more")
            argument = signature.input_arg[position]
            argument.type = data_type
            argument.ClearField("handle_data")
            frozen[argument.name] = data_type
            for attr in ("_output_shapes", "_handle_shapes", "_handle_dtypes"):
                function.arg_attr[position].attr.pop(attr, None)
            function.resource_arg_unique_id.pop(position, None)
        function.attr.pop("_input_shapes", None)
        body = FrozenBody(function.node_def, frozen, (), name, self.specialize)
        body.rewrite()
        function.node_def.extend(body.added)
        returned = {}
        for position, output in enumerate(signature.output_arg):
            reference = function.ret[output.name]
            if reference in body.frozen:
                returned[position] = body.frozen[reference]
                output.type = body.frozen[reference]
                output.ClearField("handle_data")
            function.ret[output.name] = body.renamed.get(reference, reference)
        return returned
