"""The nodes that a Saver has in its graph, and the variables behind them.

    save/filename, save/Const          the path, which whoever runs the nodes feeds
    save/SaveV2, ...                   write the variables; `SaverDef.save_tensor_name` runs them
    save/RestoreV2, save/Assign, ...   read them; `SaverDef.restore_op_name` runs them

Our Saver reads and writes files itself, and runs none of these where the session is a local one. They are there for whoever
gets the graph without the Saver: a `.meta` file and a SavedModel are restored by them, a program may run the operations that
a SaverDef names, and on a cluster each server writes the variables it has. They are TensorFlow's to the byte, since
TensorFlow's own builder makes them.

A Saver over the same variables, with the same settings and in the same place as an earlier one, gets the nodes of that: a
program that makes a Saver for every save does not fill its graph. On a finalized graph, where nothing can be added, it gets
them wherever they are, and none if there are none: it saves and restores all the same.

The other way round, a SaverDef names three nodes, and a Saver made from one has no variables in Python: an imported graph
may bring none. But the nodes say all that matters:

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
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from tfsaver.compat import _tensorflow
from tfsaver.compat._binding import Binding, GraphVariable, static_shape
from tfsaver.compat._saveables import SavedTensor
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework.tensor_slice import TensorSlice, parse_shape_and_slice
from tfsaver.lib.fork_safe_lock import ForkSafeLock


@dataclasses.dataclass(frozen=True)
class _Built:
    """Nodes that are there: what they were made of, where, and their SaverDef."""

    content: tuple[Any, ...]
    place: tuple[Any, ...] | None
    saver_def: Any


_NAMES = ("filename_tensor_name", "save_tensor_name", "restore_op_name")

_VARIABLES = ("Variable", "VariableV2", "AutoReloadVariable", "VarHandleOp")
_ASSIGNMENTS = ("Assign", "AssignVariableOp")
_SAVES = ("SaveV2", "SaveSlices", "Save")

_RESTORES = ("RestoreV2", "RestoreSlice", "Restore")

# The name of a tensor, and which slice of it, as SaveV2 and RestoreV2 spell them.
_Spec: TypeAlias = "tuple[str, str]"

_lock = ForkSafeLock()
_built: weakref.WeakKeyDictionary[Any, list[_Built]] = weakref.WeakKeyDictionary()


def add_nodes(
    var_list: Any, bindings: Sequence[Binding], *, builder: Any, version: int, may_share: bool = True, **settings: Any
) -> Any:
    """Gives the graph a Saver's nodes, unless it has them.

    Args:
        var_list: The variables for the builder, in a form that it takes.
        bindings: The same variables.
        builder: What makes the nodes; None for TensorFlow's builder, whose nodes may be used again.
        version: SaverDef.V1 or SaverDef.V2.
        may_share: Whether equal nodes that are there will do.
        **settings: The Saver's arguments that a builder takes: reshape, sharded, max_to_keep,
            keep_checkpoint_every_n_hours, name, restore_sequentially and filename.

    Returns:
        The SaverDef of the nodes; None when the graph is finalized and has none.

    Raises:
        RuntimeError: The graph is finalized, and nothing else can stand in for the nodes of the builder that was given.
        InvalidArgumentError: A ValueError from TensorFlow: tensors of one object are on several devices.
    """
    if builder is not None:
        return builder._build_internal(var_list, **settings)
    graph = graph_of(bindings)
    content = (tuple(map(_identity, bindings)), version, settings["reshape"], settings["sharded"], settings["filename"])
    place = _place(graph, settings["name"])
    found = _find(graph, content, place) if may_share or graph.finalized else None
    if found is not None:
        return _copy(found, settings["max_to_keep"], settings["keep_checkpoint_every_n_hours"])
    if graph.finalized:
        return None
    saver_def = _tensorflow.BulkSaverBuilder(version)._build_internal(var_list, **settings)
    with _lock:
        _built.setdefault(graph, []).append(_Built(content, place, _copy(saver_def)))
    return saver_def


def is_own(builder: Any) -> bool:
    """Whether a builder makes nodes of its own kind, which do something else than TensorFlow's, for all we know."""
    return builder is not None and type(builder) not in (_tensorflow.BaseSaverBuilder, _tensorflow.BulkSaverBuilder)


def check(saver_def: Any) -> None:
    """Makes sure that a SaverDef says what has to be run.

    Raises:
        InvalidArgumentError: It does not, or is none.
    """
    if not isinstance(saver_def, _tensorflow.tf.compat.v1.train.SaverDef):
        raise InvalidArgumentError(f"saver_def must be a saver_pb2.SaverDef: {saver_def}")
    for field in ("save_tensor_name", "restore_op_name"):
        if not getattr(saver_def, field):
            raise InvalidArgumentError(f"saver_def must specify the {field}: {saver_def}")


def has_nodes(graph: Any, saver_def: Any) -> bool:
    """Whether a graph has nodes of the names that a SaverDef says."""
    try:
        for field in _NAMES:
            graph.as_graph_element(getattr(saver_def, field))
    except (KeyError, ValueError):
        return False
    return True


def add_scope(saver_def: Any, scope: str) -> None:
    """Gives a SaverDef the names that its nodes have inside of a scope; the SaverDef itself changes."""
    for field in _NAMES:
        setattr(saver_def, field, f"{scope.removesuffix('/')}/{getattr(saver_def, field)}")


def without_scope(saver_def: Any, scope: str) -> Any:
    """A SaverDef for nodes that are exported from a scope; None when they are not in it."""
    if not all(getattr(saver_def, field).startswith(scope) for field in _NAMES):
        return None
    copy = _copy(saver_def)
    for field in _NAMES:
        setattr(copy, field, getattr(copy, field).removeprefix(f"{scope.removesuffix('/')}/"))
    return copy


def _find(graph: Any, content: tuple[Any, ...], place: tuple[Any, ...] | None) -> Any:
    """The SaverDef of equal nodes: in that place, or in any when the graph is finalized."""
    with _lock:
        equal = [built for built in _built.get(graph, ()) if built.content == content]
    if graph.finalized:
        return equal[0].saver_def if equal else None
    return next((built.saver_def for built in equal if place is not None and built.place == place), None)


def _place(graph: Any, name: str | None) -> tuple[Any, ...] | None:
    """Where new nodes would be; None where no others may stand in for them.

    A Saver with a name asks for nodes of its own under that name. Inside of control dependencies, or of a loop, nodes
    belong to these.
    """
    if name is not None or graph._current_control_dependencies() or graph._get_control_flow_context() is not None:
        return None
    devices = tuple(spec.display_name for spec in graph._device_function_stack.peek_objs())
    return (graph.get_name_scope(), devices)


def _identity(binding: Binding) -> tuple[Any, ...]:
    variable = binding.variable
    if isinstance(variable, GraphVariable):
        return (binding.name, binding.tensor_slice, variable.operation.name, variable.tensor.name)
    # Of an object of the program: the very same object, as long as that lives.
    object_and_index = (weakref.ref(variable.saveable), variable.index) if isinstance(variable, SavedTensor) else variable
    return (binding.name, binding.tensor_slice, object_and_index)


def graph_of(bindings: Sequence[Binding]) -> Any:
    """The graph of variables; the default one for eager variables."""
    variable = bindings[0].variable
    if isinstance(variable, GraphVariable):
        return variable.operation.graph
    if isinstance(variable, SavedTensor):
        return variable.saveable.graph
    return _tensorflow.tf.compat.v1.get_default_graph()


def _copy(saver_def: Any, *retention: Any) -> Any:
    """A SaverDef of the same nodes; for another Saver, with what that says about the checkpoints to keep."""
    copy = type(saver_def).FromString(saver_def.SerializeToString())
    if retention:
        copy.max_to_keep, copy.keep_checkpoint_every_n_hours = (value or 0 for value in retention)
    return copy


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
