"""The variables of a Saver's nodes, found from a SaverDef alone.

A SaverDef names three nodes, and a Saver made from one has no variables in Python: an imported graph may bring none. But the
nodes say all that matters:

    restore_op --control--> ... --control--> Assign <- [Identity] <- [Reshape] <- RestoreV2:k <- names[k], slices[k]
                                                `- the variable
    save_tensor <-- ... <-- SaveV2 <- names, slices, tensors                  the tensor that is the variable's value
                               `- ShardedFilename <- shard                    the data file it goes to

Where both ends agree on every name, our reader and writer can do what the nodes do: with all the checks before the first
variable changes, and with one save visible at a time. Graphs from before V2 have one Restore or RestoreSlice for each
variable, and a Save or SaveSlices; they say the same. Where a node is something else (a table's import, a builder's own
idea), only running it is right, and the Saver leaves files and values to TensorFlow's runtime.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from tfsaver.compat import _tensorflow
from tfsaver.compat._binding import Binding, GraphVariable, static_shape
from tfsaver.framework.tensor_slice import TensorSlice, parse_shape_and_slice

_VARIABLES = ("Variable", "VariableV2", "AutoReloadVariable", "VarHandleOp")
_ASSIGNMENTS = ("Assign", "AssignVariableOp")
_SAVES = ("SaveV2", "SaveSlices", "Save")

_RESTORES = ("RestoreV2", "RestoreSlice", "Restore")

# The name of a tensor, and which slice of it, as SaveV2 and RestoreV2 spell them.
_Spec: TypeAlias = "tuple[str, str]"


@dataclasses.dataclass(frozen=True)
class SaverVariables:
    """What a Saver saves and restores.

    Attributes:
        shards: The variables by the data file that each goes to; one list when the checkpoint is not sharded.
        reshape: Whether a restored tensor takes the variable's shape.
    """

    shards: list[list[Binding]]
    reshape: bool

    @property
    def bindings(self) -> list[Binding]:
        return sorted((binding for shard in self.shards for binding in shard), key=lambda binding: binding.name)


class _UnknownNodesError(Exception):
    """The nodes do something that only they can do."""


def find_variables(graph: Any, saver_def: Any) -> SaverVariables | None:
    """The variables behind a SaverDef's nodes; None when only the nodes themselves know what to do."""
    try:
        path = saver_def.filename_tensor_name
        saved = _saved(graph.as_graph_element(saver_def.save_tensor_name).op, path)
        restored, reshape = _restored(graph.as_graph_element(saver_def.restore_op_name), path)
        if saved.keys() != restored.keys():
            return None
        shards: dict[int, list[Binding]] = {}
        for spec, (shard_id, tensor) in saved.items():
            shards.setdefault(shard_id, []).append(_binding(spec, restored[spec], tensor))
    except (_UnknownNodesError, KeyError, ValueError, IndexError):
        return None
    return SaverVariables([shards[shard_id] for shard_id in sorted(shards)], reshape)


def restores_at_once(graph: Any, saver_def: Any) -> bool:
    """Whether one operation reads all tensors: then nothing is assigned before everything was read."""
    try:
        operation = graph.as_graph_element(saver_def.restore_op_name)
    except (KeyError, ValueError):
        return False
    sources = set()
    for assignment in _groups_behind(operation):
        value = assignment.inputs[1]
        while value.op.type in ("Identity", "Reshape"):
            value = value.op.inputs[0]
        sources.add((value.op.type, value.op.name))
    return len(sources) == 1 and sources.pop()[0] == "RestoreV2"


def _saved(operation: Any, filename: str) -> dict[_Spec, tuple[int, Any]]:
    """The saved tensors, and the number of the data file of each."""
    saved = {}
    for save in _behind(operation, _SAVES):
        path, names, *tensors = save.inputs
        slices = None if save.type == "Save" else tensors.pop(0)
        shard_id = 0
        if path.op.type == "ShardedFilename":
            shard_id = int(_constant(path.op.inputs[1]))
            path = path.op.inputs[0]
            # A V2 checkpoint is written under a temporary name.
            path = path.op.inputs[0] if path.op.type == "StringJoin" else path
        if path.name != filename:
            raise _UnknownNodesError
        for spec, tensor in zip(_specs(names, slices), tensors, strict=True):
            saved[spec] = (shard_id, tensor)
    return saved


def _restored(operation: Any, filename: str) -> tuple[dict[_Spec, Any], bool]:
    """The variables that are assigned, and whether values are reshaped on the way."""
    restored = {}
    reshape = False
    for assignment in _groups_behind(operation):
        value = assignment.inputs[1]
        while value.op.type in ("Identity", "Reshape"):
            reshape |= value.op.type == "Reshape"
            value = value.op.inputs[0]
        if value.op.type not in _RESTORES:
            raise _UnknownNodesError
        path, names, *slices = value.op.inputs
        if path.name != filename:
            raise _UnknownNodesError
        restored[_specs(names, *slices)[value.value_index]] = assignment.inputs[0].op
    return restored, reshape


def _groups_behind(operation: Any) -> Iterator[Any]:
    """The assignments that an operation waits for, through groups of groups."""
    waiting = [operation]
    while waiting:
        operation = waiting.pop()
        if operation.type in _ASSIGNMENTS:
            yield operation
        elif operation.type == "NoOp":
            waiting += operation.control_inputs
        else:
            raise _UnknownNodesError


def _behind(operation: Any, types: tuple[str, ...]) -> Iterator[Any]:
    """The operations of those types that an operation needs, without those behind them."""
    waiting, seen = [operation], {operation.name}
    while waiting:
        operation = waiting.pop()
        if operation.type in types:
            yield operation
            continue
        for needed in [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]:
            if needed.name not in seen:
                seen.add(needed.name)
                waiting.append(needed)


def _binding(spec: _Spec, variable: Any, tensor: Any) -> Binding:
    source = tensor.op
    while source.type in ("Identity", "ReadVariableOp"):
        source = source.inputs[0].op
    if source.name != variable.name or variable.type not in _VARIABLES:
        raise _UnknownNodesError
    name, text = spec
    shape, tensor_slice = _parse(text, name)
    known = static_shape(_tensorflow.tf.TensorShape(variable.get_attr("shape")))
    return Binding(name, GraphVariable(variable, tensor, None, known), shape, tensor_slice)


def _parse(text: str, name: str) -> tuple[tuple[int, ...] | None, TensorSlice | None]:
    if not text:
        return None, None
    shape, tensor_slice = parse_shape_and_slice(text)
    return shape, tensor_slice.resolve(shape, repr(name))


def _specs(names: Any, slices: Any = None) -> list[_Spec]:
    texts = [_texts(names)]
    texts.append(_texts(slices) if slices is not None else [""] * len(texts[0]))
    return list(zip(*texts, strict=True))


def _texts(tensor: Any) -> list[str]:
    return [bytes(item).decode() for item in np.ravel(_constant(tensor))]


def _constant(tensor: Any) -> Any:
    value = _tensorflow.tf.get_static_value(tensor)
    if value is None:
        raise _UnknownNodesError
    return value
