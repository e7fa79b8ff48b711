"""The nodes that a Saver has in its graph.

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
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Sequence
from typing import Any

from tfsaver.compat import _tensorflow
from tfsaver.compat._binding import Binding, GraphVariable
from tfsaver.compat._saveables import SavedTensor
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib.fork_safe_lock import ForkSafeLock


@dataclasses.dataclass(frozen=True)
class _Built:
    """Nodes that are there: what they were made of, where, and their SaverDef."""

    content: tuple[Any, ...]
    place: tuple[Any, ...] | None
    saver_def: Any


_NAMES = ("filename_tensor_name", "save_tensor_name", "restore_op_name")

_lock = ForkSafeLock()
_built: weakref.WeakKeyDictionary[Any, list[_Built]] = weakref.WeakKeyDictionary()


def add_nodes(var_list: Any, bindings: Sequence[Binding], *, builder: Any, version: int, **settings: Any) -> Any:
    """Gives the graph a Saver's nodes, unless it has them.

    Args:
        var_list: The variables for the builder, in a form that it takes.
        bindings: The same variables.
        builder: What makes the nodes; None for TensorFlow's builder, whose nodes may be used again.
        version: SaverDef.V1 or SaverDef.V2.
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
    graph = _graph_of(bindings)
    content = (tuple(map(_identity, bindings)), version, settings["reshape"], settings["sharded"], settings["filename"])
    place = _place(graph, settings["name"])
    found = _find(graph, content, place)
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


def _graph_of(bindings: Sequence[Binding]) -> Any:
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
