"""A frozen graph with variables again: its large constants become variables, their values go to a checkpoint.

    before   N = Const                                   after, with resources    N/Variable = VarHandleOp
                                                                                  N = ReadVariableOp(N/Variable)
                                                         with references          N = VariableV2

Whatever used the constant's tensor uses the variable's value under the same name. In the checkpoint the value has the
constant's name: a graph that was frozen from variables gets back the names that they had. New variables begin as zeros, for
whoever initializes them instead of restoring them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple

from tfsaver import schemas
from tfsaver.errors import SaverError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import from_proto, num_elements
from tfsaver.framework.tensor_util import make_ndarray
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.node_builder import Array, node, of_bool, of_shape, of_string, of_strings, of_type, zeros_const
from tfsaver.graph.save_restore import with_saver
from tfsaver.graph.tensor_names import COLOCATION, free_name
from tfsaver.graph.variables import find_variables, graph_and_meta_graph

# Shapes, axes and other small numbers must stay what they are.
_MIN_SIZE = 1024
# Elements for a byte of the constant: more than any that has a value for each.
_MAX_RATIO = 16


class Unfrozen(NamedTuple):
    """A graph with variables, and the new ones' values.

    Attributes:
        meta_graph: With a Saver for all its variables.
        values: Of the new variables, by their names in the checkpoint.
    """

    meta_graph: schemas.MetaGraphDef
    values: dict[str, Array]


def unfreeze_graph(
    graph: schemas.MetaGraphDef | schemas.GraphDef,
    *,
    min_size: int = _MIN_SIZE,
    kind: Literal["resource", "reference"] = "resource",
    choose: Callable[[str, DType, tuple[int, ...]], bool] | None = None,
    trainable: bool = True,
    **saver_options: Any,
) -> Unfrozen:
    """A MetaGraphDef with variables for large constants, and their values.

    Constants in functions stay, as do those that wait for other nodes, since they are in a loop or a branch, and those in
    which one value stands for many.

    Args:
        min_size: Bytes from which on a constant is large.
        kind: What the variables are; all TensorFlows know both.
        choose: Asked about each large constant, by its name, type and shape, whether it becomes a variable.
        trainable: Whether the graph says that training changes them.
        saver_options: Those of `save_restore.saver_nodes`.

    Raises:
        DataLossError: The value of a constant contradicts itself.
    """
    graph_def, given = graph_and_meta_graph(graph)
    meta_graph = schemas.MetaGraphDef()
    if given is None:
        meta_graph.graph_def.CopyFrom(graph_def)
    else:
        meta_graph.CopyFrom(given)
    names = {each.name for each in meta_graph.graph_def.node}
    values: dict[str, Array] = {}
    keys: dict[str, str] = {}
    added: list[schemas.NodeDef] = []
    for const in meta_graph.graph_def.node:
        found = _large_value(const, min_size)
        if found is None or (choose is not None and not choose(const.name, found[1], found[0].shape)):
            continue
        value, dtype = found
        maker = _Variable(const, dtype, value.shape, names)
        definition = maker.make(kind == "resource")
        definition.trainable = trainable
        added += maker.added
        names.update(each.name for each in maker.added)
        keys[maker.handle] = const.name
        values[const.name] = value
        for collection in ("variables", *(["trainable_variables"] if trainable else [])):
            meta_graph.collection_def[collection].bytes_list.value.append(definition.SerializeToString())
    meta_graph.graph_def.node.extend(added)
    variables = [_renamed(variable, keys) for variable in find_variables(meta_graph)]
    return Unfrozen(with_saver(meta_graph, variables, **saver_options), values)


def _renamed(variable: GraphVariable, keys: dict[str, str]) -> GraphVariable:
    return dataclasses.replace(variable, name=keys[variable.node]) if variable.node in keys else variable


def _large_value(const: schemas.NodeDef, min_size: int) -> tuple[Array, DType] | None:
    if const.op != "Const" or const.input or "value" not in const.attr:
        return None
    tensor = const.attr["value"].tensor
    try:
        dtype = dtypes.from_data_type(tensor.dtype)
    except UnimplementedError:
        return None
    if dtype.name in ("resource", "variant"):
        return None
    try:
        elements = num_elements(from_proto(tensor.tensor_shape, f"node {const.name!r}"))
    except UnimplementedError:
        return None
    size = elements * dtype.size if dtype.has_fixed_size else sum(map(len, tensor.string_val))
    # One value that stands for many takes less room here than in a checkpoint.
    if size < min_size or elements > _MAX_RATIO * (tensor.ByteSize() + _MAX_RATIO):
        return None
    try:
        return make_ndarray(tensor, const.name), dtype
    except SaverError as error:
        error.add_context(f"node {const.name!r}")
        raise


class _Variable:
    """Turns one Const into a variable, in place, and makes the nodes around it."""

    def __init__(self, const: schemas.NodeDef, dtype: DType, shape: tuple[int, ...], taken: Collection[str]) -> None:
        self._const = const
        self._dtype = dtype
        self._shape = shape
        self._device = const.device
        self._scope = const.name
        self._taken = taken
        self.handle = const.name
        self.added: list[schemas.NodeDef] = []

    def make(self, is_resource: bool) -> schemas.VariableDef:
        zeros = self._name("Initializer/zeros")
        self.added.append(zeros_const(zeros, self._shape, self._dtype, device=self._device))
        data_type = of_type(self._dtype.data_type)
        attrs = {"dtype": data_type, "shape": of_shape(self._shape)}
        attrs |= {"container": of_string(""), "shared_name": of_string("")}
        assign = self._name("Assign")
        if is_resource:
            self.handle = self._name("Variable")
            attrs["shared_name"] = of_string(self.handle)
            self.added.append(node("VarHandleOp", self.handle, (), attrs, device=self._device))
            inputs = [self.handle, zeros]
            self.added.append(node("AssignVariableOp", assign, inputs, {"dtype": data_type}, device=self._device))
            self._become(node("ReadVariableOp", self._const.name, [self.handle], {"dtype": data_type}, device=self._device))
        else:
            assign_attrs = {
                "T": data_type,
                "_class": of_strings([COLOCATION + self.handle.encode()]),
                "use_locking": of_bool(True),
                "validate_shape": of_bool(True),
            }
            self.added.append(node("Assign", assign, [self.handle, zeros], assign_attrs, device=self._device))
            self._become(node("VariableV2", self._const.name, (), attrs, device=self._device))
        return schemas.VariableDef(
            variable_name=f"{self.handle}:0",
            initializer_name=assign,
            snapshot_name=f"{self._const.name}:0",
            initial_value_name=f"{zeros}:0",
            is_resource=is_resource,
        )

    def _name(self, suffix: str) -> str:
        wanted = f"{self._scope}/{suffix}"
        return free_name(wanted, [wanted]) if wanted in self._taken else wanted

    def _become(self, other: schemas.NodeDef) -> None:
        kept = {name: value for name, value in self._const.attr.items() if name in ("_class", "_output_shapes")}
        for name, value in kept.items():
            other.attr[name].CopyFrom(value)
        self._const.CopyFrom(other)
