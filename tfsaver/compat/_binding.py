"""One variable tied to one tensor of a checkpoint.

    Binding(name, variable, slice)
        |            |        `--- the region of the named tensor that the variable holds; None for all of it
        |            `------------ where the value is read, how it is assigned: a GraphVariable, an EagerVariable, or a
        |                          tensor of an object that is no variable (see `_saveables`)
        `------------------------- the tensor's name in the checkpoint

In a graph no node is added. A value is read by fetching a tensor that is there already (the reference itself, or the
ReadVariableOp that came with a resource variable), and assigned by running an assignment that is there already while its
value input is fed: the variable's initializer, as `variable.load` does it, or any other Assign of the graph where the
initializer cannot be used. That works on finalized graphs, and however often it is done. One variable may leave no such
way: of unknown static shape, with an initial value of another shape than the one to restore, and never assigned in the
graph. Then a placeholder and an Assign are added once, where the graph still takes nodes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from tfsaver.compat import _tensorflow
from tfsaver.errors import UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib.cached_property import cached_property

StaticShape: TypeAlias = "tuple[int | None, ...] | None"

_ASSIGNMENTS = ("Assign", "AssignVariableOp")
_REF_OPERATIONS = ("Variable", "VariableV2", "AutoReloadVariable")


class BoundVariable(Protocol):
    """What holds the value of a tensor: a variable of a graph, an eager one, or one tensor of a saveable object."""

    @property
    def label(self) -> str:
        """What errors call it."""

    @property
    def shape(self) -> StaticShape:
        """The shape; None in it and for it where it is unknown."""

    @property
    def data_type(self) -> int:
        """The DataType."""

    @property
    def group(self) -> int | None:
        """What is restored together has the same; None for what stands alone."""

    def check_assignable(self, shape: Sequence[int]) -> None:
        """Makes sure that a value of a shape can be assigned.

        Raises:
            UnimplementedError: It cannot.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class Assignment:
    """An operation that gives a variable the value of a tensor, which can be fed.

    Attributes:
        operation: What to run.
        value_name: The name of the tensor to feed. A name, since tensors of TensorFlow 2 cannot always be dictionary keys.
    """

    operation: Any
    value_name: str


@dataclasses.dataclass(frozen=True, eq=False)
class GraphVariable:
    """A reference or resource variable of a graph.

    Attributes:
        operation: The Variable, VariableV2 or VarHandleOp: what the variable is to TensorFlow's runtime.
        tensor: A tensor of the graph whose value is the variable's.
        initializer: The operation that gives it its initial value, if it is known.
        shape: The static shape; None in it and for it where it is unknown.
    """

    operation: Any
    tensor: Any
    initializer: Any
    shape: StaticShape

    @property
    def label(self) -> str:
        return str(self.operation.name)

    @cached_property
    def data_type(self) -> int:
        return int(self.tensor.dtype.base_dtype.as_datatype_enum)

    @property
    def group(self) -> None:
        return None

    @cached_property
    def _known(self) -> dict[tuple[int, ...], Assignment]:
        """The assignments that were found before, by shape: an operation stays in its graph."""
        return {}

    def check_assignable(self, shape: Sequence[int]) -> None:
        """Makes sure that `assignment` finds a way.

        Raises:
            UnimplementedError: There is none.
        """
        self.assignment(shape)

    def assignment(self, shape: Sequence[int]) -> Assignment:
        """How to assign a value of that shape.

        Raises:
            UnimplementedError: No assignment of the graph can be fed, and the graph is finalized, so that none can be added.
        """
        key = tuple(shape)
        if key not in self._known:
            self._known[key] = self._find_assignment(key)
        return self._known[key]

    def _find_assignment(self, shape: tuple[int, ...]) -> Assignment:
        graph = self.operation.graph
        for operation in self._assignments():
            value = operation.inputs[1]
            if graph.is_feedable(value) and value.shape.is_compatible_with(shape):
                return Assignment(operation, value.name)
        if graph.finalized:
            raise UnimplementedError(
                f"{self.label}: no assignment in the graph takes a fed value of shape {list(shape)}, "
                "and the graph is finalized, so that none can be added"
            )
        return self._add_assignment()

    def _assignments(self) -> Iterator[Any]:
        """The assignments to this variable, best first: a Saver's, its initializer, then those that make nothing else run.

        What a session has to prepare for a Saver's is the least: there is nothing behind the value but the reading of it.
        """
        consumers = [op for op in self.operation.outputs[0].consumers() if self._is_assignment(op)]
        if self.initializer is not None and self._is_assignment(self.initializer):
            consumers = [self.initializer, *(op for op in consumers if op.name != self.initializer.name)]
        yield from sorted(consumers, key=lambda op: (bool(op.control_inputs), not _is_of_saver(op)))

    def _is_assignment(self, operation: Any) -> bool:
        # The initializer of a variable that tf.saved_model.load has made is a tensor: the output of a function call.
        is_one = getattr(operation, "type", None) in _ASSIGNMENTS
        return is_one and operation.inputs[0].name == self.operation.outputs[0].name

    def _add_assignment(self) -> Assignment:
        tf = _tensorflow.tf
        target = self.operation.outputs[0]
        dtype = self.tensor.dtype.base_dtype
        with self.operation.graph.as_default(), tf.control_dependencies(None), tf.name_scope(f"{self.label}/tfsaver/"):
            value = tf.compat.v1.placeholder(dtype, name="value")
            with tf.device(self.operation.device):
                if self.operation.type == "VarHandleOp":
                    operation = tf.raw_ops.AssignVariableOp(resource=target, value=value)
                else:
                    operation = tf.raw_ops.Assign(ref=target, value=value, validate_shape=False).op
        return Assignment(operation, value.name)


def _is_of_saver(assignment: Any) -> bool:
    """Whether what an operation assigns is what a Saver's node read."""
    source = assignment.inputs[1].op
    if source.type == "Identity":
        source = source.inputs[0].op
    return str(source.type) == "RestoreV2"


@dataclasses.dataclass(frozen=True, eq=False)
class EagerVariable:
    """A resource variable that holds its value now, outside any graph."""

    variable: Any

    @property
    def label(self) -> str:
        return str(self.variable.name)

    @property
    def shape(self) -> StaticShape:
        return static_shape(self.variable.shape)

    @property
    def data_type(self) -> int:
        return int(self.variable.dtype.base_dtype.as_datatype_enum)

    @property
    def group(self) -> None:
        return None

    def check_assignable(self, shape: Sequence[int]) -> None:
        """An eager variable takes a value at any time."""

    def read(self) -> Any:
        """The value; None when it has none yet."""
        return self.variable.numpy() if self.variable.is_initialized() else None

    def assign(self, value: np.ndarray[Any, Any]) -> None:
        self.variable.assign(_tensorflow.tf.constant(value, self.variable.dtype))


@dataclasses.dataclass(frozen=True, eq=False)
class Binding:
    """A variable and the tensor of a checkpoint that it is saved to and restored from.

    Attributes:
        name: The tensor's name in the checkpoint.
        variable: What holds the value.
        full_shape: The shape of the whole tensor when the variable is a part of it.
        tensor_slice: Which part; None for all of it.
    """

    name: str
    variable: BoundVariable
    full_shape: tuple[int, ...] | None = None
    tensor_slice: TensorSlice | None = None

    @cached_property
    def dtype(self) -> dtypes.DType:
        return dtypes.from_data_type(self.variable.data_type)

    @property
    def changes_in_place(self) -> bool:
        """Whether an assignment changes the very memory that was fetched; a resource variable gets new memory instead."""
        variable = self.variable
        # What is read from an eager variable is a copy, and so are strings.
        if isinstance(variable, EagerVariable) or not self.dtype.has_fixed_size:
            return False
        return not isinstance(variable, GraphVariable) or getattr(variable.operation, "type", None) != "VarHandleOp"

    def to_array(self, value: Any) -> np.ndarray[Any, Any]:
        """A value as TensorFlow returns it, as an array of the variable's dtype."""
        dtype = self.dtype.numpy
        if dtype.hasobject:
            if isinstance(value, np.ndarray):
                return value
            # A scalar string comes as bytes, of which numpy would cut the zeros at the end but for this way of assigning.
            array = np.empty((), dtype)
            array[()] = value
            return array
        array = np.asarray(value)
        # Quantised values come as the plain integers that they are stored as.
        return array.view(dtype) if array.dtype != dtype and array.dtype.itemsize == dtype.itemsize else array


def static_shape(shape: Any) -> StaticShape:
    """A tf.TensorShape as a tuple; None where the rank is unknown."""
    return None if shape.rank is None else tuple(shape.as_list())


def graph_variable(value: Any) -> GraphVariable | None:
    """A variable of a graph, or the variable behind a tensor; None when there is none behind it."""
    if isinstance(value, _tensorflow.BaseResourceVariable):
        # Through a caching device the value is a copy of what was read, made in the same run.
        tensor = value.graph.as_graph_element(value)
        return GraphVariable(value.handle.op, tensor, value.initializer, static_shape(value.shape))
    if isinstance(value, _tensorflow.RefVariable):
        return GraphVariable(value.op, value.op.outputs[0], value.initializer, static_shape(value.shape))
    if not isinstance(value, _tensorflow.tf.Tensor) or not hasattr(value, "graph"):
        return None
    if value.op.type in _REF_OPERATIONS:
        return GraphVariable(value.op, value, None, static_shape(value.shape))
    if value.op.type == "ReadVariableOp" and value.op.inputs[0].op.type == "VarHandleOp":
        return GraphVariable(value.op.inputs[0].op, value, None, static_shape(value.shape))
    return None


def is_eager(value: Any) -> bool:
    """Whether it is a variable that holds its value now, outside any graph."""
    return isinstance(value, _tensorflow.BaseResourceVariable) and not value._in_graph_mode
