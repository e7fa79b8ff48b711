"""What a graph says of one of its variables.

    Reference variable                      Resource variable
    N          VariableV2, Variable         N          VarHandleOp; what it is at run time is its container and shared_name
    N/Assign   Assign(N, initial value)     N/Assign   AssignVariableOp(N, initial value)
    N/read     Identity(N)                  N/Read/ReadVariableOp

A partitioned variable is several of these, each with its part of one tensor in the checkpoint.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from tfsaver import schemas
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice, format_shape_and_slice

StaticShape: TypeAlias = "tuple[int | None, ...] | None"

REFERENCE_OPS = frozenset({"Variable", "VariableV2", "AutoReloadVariable", "TemporaryVariable"})
RESOURCE_OPS = frozenset({"VarHandleOp"})
VARIABLE_OPS = (REFERENCE_OPS - {"TemporaryVariable"}) | RESOURCE_OPS


@dataclasses.dataclass(frozen=True)
class GraphVariable:
    """A variable.

    Attributes:
        name: The name of its value in a checkpoint; parts of one tensor share it.
        node: The node that is the variable.
        dtype: Its element type.
        shape: Its static shape; None in it, and for it, where the graph does not say.
        is_resource: Whether it is a resource, not a reference.
        full_shape: The shape of the tensor it is a part of; None for a whole one.
        tensor_slice: Which part; None for a whole one.
        initializer: The operation that gives it its initial value; "" where none is known.
        initial_value: The tensor that it is given then; "" where none is known.
        snapshot: A tensor with its value: the one that its readers share; "" where none is known.
        device: What the node asks for.
        colocation: The `loc:@` entries that nodes beside it carry.
        shared_name: Of a resource: what identifies it at run time, with `container`.
        container: Of a resource.
        trainable: Whether the graph says that training changes it; None where it says nothing.
        definition: The VariableDef that says so, where there is one.
    """

    name: str
    node: str
    dtype: DType
    shape: StaticShape
    is_resource: bool
    full_shape: Shape | None = None
    tensor_slice: TensorSlice | None = None
    initializer: str = ""
    initial_value: str = ""
    snapshot: str = ""
    device: str = ""
    colocation: tuple[bytes, ...] = ()
    shared_name: str = ""
    container: str = ""
    trainable: bool | None = None
    definition: schemas.VariableDef | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def is_part(self) -> bool:
        """Whether it is a part of the tensor in the checkpoint."""
        return self.tensor_slice is not None

    @property
    def shape_and_slice(self) -> str:
        """What a SaveV2 or RestoreV2 node says beside its name: "" for a whole tensor."""
        if self.full_shape is None or self.tensor_slice is None:
            return ""
        return format_shape_and_slice(self.full_shape, self.tensor_slice)
