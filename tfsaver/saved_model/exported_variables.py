"""Which variables an export has, and where their values come from.

The graph says which variables there are, of what type and shape, and what the checkpoint calls them; the values are looked
for under that name, then under the names of the node. What was missing a value, or has one that does not fit, would be
found by a server at its first request: here it is an error, before anything is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError, NotFoundError, ShapeMismatchError, nearest_names
from tfsaver.framework import tensor_util
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.graph import node_builder
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.saver_keys import ASSIGN_OPS
from tfsaver.graph.tensor_names import FreeNames, node_of
from tfsaver.graph.variables import VARIABLE_COLLECTIONS
from tfsaver.saved_model import constants

Array = np.ndarray[Any, Any]

_OBJECT_KEY = "/.ATTRIBUTES/"
_MAX_NAMED = 5


class ExportedVariables(NamedTuple):
    """The variables of an export.

    Attributes:
        restored: Those that the SavedModel's checkpoint holds.
        initialized: Local ones, without a value, which the init op gives one.
        values: The values of the first, by their names in the checkpoint.
    """

    restored: list[GraphVariable]
    initialized: list[GraphVariable]
    values: ChosenValues


class ChosenValues(Mapping[str, Any]):
    """Some values of a mapping, under names of their own, taken when they are asked for."""

    def __init__(self, values: Mapping[str, Any], keys: Mapping[str, str]) -> None:
        self._values = values
        self._keys = keys

    @property
    def keys_of_source(self) -> Mapping[str, str]:
        """The names that the values have in the mapping that they are taken from, by those that they have here."""
        return self._keys

    def keeping(self, keys: Mapping[str, str]) -> ChosenValues:
        """Others of the same mapping."""
        return ChosenValues(self._values, keys)

    def __getitem__(self, name: str) -> Any:
        return self._values[self._keys[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def choose_variables(
    variables: Iterable[GraphVariable], values: Mapping[str, Any], local: set[str], started: set[str], what: str
) -> ExportedVariables:
    """Finds a value for each variable.

    Args:
        variables: Those that the export keeps.
        values: By names in a checkpoint, or names of nodes.
        local: The nodes of local variables, which may lack a value if they have an initializer.
        started: The nodes of variables to which the init op gives a value already.
        what: What the export is made of, for an error.

    Raises:
        NotFoundError: There is no value for a variable; names all of them, and the nearest names there are.
        InvalidArgumentError: A value is of another type.
        ShapeMismatchError: A value is of another shape.
    """
    restored: list[GraphVariable] = []
    initialized: list[GraphVariable] = []
    missing: list[GraphVariable] = []
    keys: dict[str, str] = {}
    taken: set[tuple[str, str]] = set()
    for variable in variables:
        found = _find(variable, values)
        if found is None:
            if variable.node not in started:
                can_start = variable.node in local and bool(variable.initializer)
                (initialized if can_start else missing).append(variable)
            continue
        chosen, key = found
        if (chosen.name, chosen.shape_and_slice) in taken or keys.get(chosen.name, key) != key:
            # Two variables that share a value: each has its own copy.
            chosen = _whole(chosen) if not chosen.is_part else chosen
        _check(chosen, values, key)
        taken.add((chosen.name, chosen.shape_and_slice))
        keys[chosen.name] = key
        restored.append(chosen)
    if missing:
        raise NotFoundError(_missing_values(missing, values, what))
    return ExportedVariables(restored, initialized, ChosenValues(values, keys))


def _whole(variable: GraphVariable) -> GraphVariable:
    """A variable under the name of its node, whatever tensor it was a part of."""
    return dataclasses.replace(variable, name=variable.node, full_shape=None, tensor_slice=None)


def _find(variable: GraphVariable, values: Mapping[str, Any]) -> tuple[GraphVariable, str] | None:
    """The variable as the export has it, and the key of its value."""
    if variable.name in values:
        # Keys that are paths through objects mean nothing in a graph.
        return (_whole(variable) if _OBJECT_KEY in variable.name else variable), variable.name
    for key in dict.fromkeys((variable.node, f"{variable.node}:0", variable.shared_name)):
        if key and key in values:
            return _whole(variable), key
    return None


def _missing_values(missing: list[GraphVariable], values: Mapping[str, Any], what: str) -> str:
    names = ", ".join(repr(variable.name) for variable in missing[:_MAX_NAMED])
    more = f" and {len(missing) - _MAX_NAMED} more" if len(missing) > _MAX_NAMED else ""
    near = nearest_names(missing[0].name, values)
    hint = f"; near the first is {', '.join(map(repr, near))}" if near else f"; there are {len(values)} values in all"
    return f"{what}: no value for {len(missing)} of the variables that are needed: {names}{more}{hint}"


def _check(variable: GraphVariable, values: Mapping[str, Any], key: str) -> None:
    dtype, shape = _dtype_and_shape(values, key)
    if dtype is not variable.dtype:
        raise InvalidArgumentError(f"variable {variable.node!r} is {variable.dtype}, its value {key!r} is {dtype}")
    expected = variable.full_shape if variable.full_shape is not None else variable.shape
    if expected is not None and (
        len(expected) != len(shape) or any(a not in (None, b) for a, b in zip(expected, shape, strict=True))
    ):
        raise ShapeMismatchError(f"the value {key!r} of variable {variable.node!r}", expected=expected, actual=shape)


@runtime_checkable
class TypedValues(Protocol):
    """Values whose types and shapes are known without them."""

    def dtype_and_shape(self, name: str) -> tuple[DType, Shape]: ...


def _dtype_and_shape(values: Mapping[str, Any], key: str) -> tuple[DType, Shape]:
    # A value in a file, or in a session, is not fetched only to be looked at.
    if isinstance(values, TypedValues):
        return values.dtype_and_shape(key)
    array, dtype = tensor_util.as_tensor(values[key], key)
    return dtype, array.shape


def write_collections(meta_graph: schemas.MetaGraphDef, exported: ExportedVariables) -> None:
    """Says in the collections which variables there are, so that programs find them; in place.

    What initialized a variable is gone; in its place stands what restores it.
    """
    for collection in set(VARIABLE_COLLECTIONS) - {constants.LOCAL_VARIABLES}:
        meta_graph.collection_def.pop(collection, None)
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    free = FreeNames(nodes)
    scope = meta_graph.saver_def.restore_op_name.rpartition("/")[0]
    assigns = {
        node.input[0]: node.name
        for node in meta_graph.graph_def.node
        if node.op in ASSIGN_OPS and node.name.startswith(f"{scope}/")
    }
    for variable in exported.restored:
        definition = _definition(variable, meta_graph, nodes, free, assigns[variable.node])
        data = definition.SerializeToString(deterministic=True)
        meta_graph.collection_def["variables"].bytes_list.value.append(data)
        if variable.trainable:
            meta_graph.collection_def["trainable_variables"].bytes_list.value.append(data)


def _definition(
    variable: GraphVariable,
    meta_graph: schemas.MetaGraphDef,
    nodes: dict[str, schemas.NodeDef],
    free: FreeNames,
    assign: str,
) -> schemas.VariableDef:
    definition = schemas.VariableDef()
    if variable.definition is not None:
        definition.CopyFrom(variable.definition)
    definition.variable_name = f"{variable.node}:0"
    definition.is_resource = variable.is_resource
    definition.trainable = bool(variable.trainable)
    definition.initializer_name = assign
    definition.initial_value_name = ""
    snapshot = variable.snapshot or f"{variable.node}/{'Read/ReadVariableOp' if variable.is_resource else 'read'}"
    if node_of(snapshot) not in nodes:
        node = _read(variable, free.take(node_of(snapshot)))
        meta_graph.graph_def.node.append(node)
        nodes[node.name] = node
        snapshot = node.name
    definition.snapshot_name = snapshot if ":" in snapshot else f"{snapshot}:0"
    return definition


def _read(variable: GraphVariable, name: str) -> schemas.NodeDef:
    dtype = node_builder.of_type(variable.dtype.data_type)
    if variable.is_resource:
        return node_builder.node("ReadVariableOp", name, [variable.node], {"dtype": dtype})
    beside = node_builder.of_strings(variable.colocation)
    return node_builder.node("Identity", name, [variable.node], {"T": dtype, "_class": beside})
