"""A graph whose variables are constants: a GraphDef that needs no checkpoint, no Saver and no initialization but of tables.

Only what the outputs need is in it, and only variables that are read can be frozen: a graph that changes them when its
outputs are computed is refused. The other way is `unfreezing`.
"""

from __future__ import annotations

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
from tfsaver.graph.frozen_body import FrozenBody
from tfsaver.graph.functions import library_functions
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.node_builder import Array
from tfsaver.graph.pruning import is_table_initializer, needed_nodes, prune_graph, signature_tensors
from tfsaver.graph.tensor_names import FreeNames, node_of
from tfsaver.graph.variables import find_variables, graph_and_meta_graph

# What one serialized message can be.
_MAX_SIZE = (1 << 31) - 1
# How deep functions may call each other: each call is one of Python's too.
_MAX_DEPTH = 48
# Each function may have a twin for each way in which it is called, and n functions can be called in 2**n ways. All twins
# together take at most this often what the functions take.
_MAX_GROWTH = 16


def freeze_graph(
    graph: schemas.MetaGraphDef | schemas.GraphDef, values: Mapping[str, Array], outputs: Iterable[str] = ()
) -> schemas.GraphDef:
    """A graph of what `outputs` need, with constants for variables.

    What fills a table that is needed stays too; whoever runs the graph must run it first.

    Args:
        values: The variables' values by their names in the checkpoint: a reader of one will do.
        outputs: Tensors or operations; those of all signatures when there are none.

    Raises:
        InvalidArgumentError: No outputs, a value of another type, or values of 2 GiB together.
        ShapeMismatchError: A value of another shape.
        NotFoundError: A variable has no value, or an output is not in the graph.
        UnimplementedError: A node that is needed changes a variable, or takes its handle where no value can stand; or
            functions call each other too deep, or in too many ways.
    """
    graph_def, meta_graph = graph_and_meta_graph(graph)
    roots = [outputs] if isinstance(outputs, str) else list(outputs)
    if not roots and meta_graph is not None:
        roots = [name for signature in meta_graph.signature_def.values() for name in signature_tensors(signature)]
    needed = needed_nodes(graph_def, roots)
    roots += [
        node.name for node in graph_def.node if is_table_initializer(node) and node_of(node.input[0]) in needed
    ]
    frozen = prune_graph(graph_def, roots)
    kept = {node.name for node in frozen.node}
    variables = {variable.node: variable for variable in find_variables(graph) if variable.node in kept}
    constants = _constants(variables.values(), values)
    library = _Library(frozen)
    body = FrozenBody(
        frozen.node,
        {variable.node: variable.dtype.data_type for variable in variables.values()},
        [variable.node for variable in variables.values() if not variable.is_resource],
        "",
        library.specialize,
    )
    body.rewrite()
    for node in frozen.node:
        if node.name in constants:
            controls = list(node.input)
            node.CopyFrom(constants[node.name])
            node.input.extend(controls)
    frozen.node.extend(body.added)
    # Functions that were called with handles are not called any more.
    return prune_graph(frozen, roots)


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
