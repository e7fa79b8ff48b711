"""A `var_list`, in all its forms, as bindings sorted by the name that each tensor has in the checkpoint.

    None                    the graph's global variables            named by their operation: `scope/v`, never `scope/v:0`
    list, tuple, set        variables, nested as they like          the same
    dict                    name -> variable                        named by the key

A partitioned variable, or a list of the parts of one, is one tensor in the checkpoint, its parts slices of that. In a list a
part stands for its slice; alone as a dict's value it is a tensor of its own, which is what TensorFlow makes of it.

The errors are TensorFlow's: TypeError, ValueError and AttributeError for the same mistakes, with the fragments of their
texts that callers look for. What is valid in TensorFlow and not supported here is an UnimplementedError.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tfsaver.compat import _tensorflow
from tfsaver.compat._binding import Binding, EagerVariable, GraphVariable, static_shape
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.framework.tensor_slice import TensorSlice

_REF_OPERATIONS = ("Variable", "VariableV2", "AutoReloadVariable")


def default_var_list() -> list[Any]:
    """What a Saver without a `var_list` saves: the default graph's global variables and what it registered as saveable."""
    v1 = _tensorflow.tf.compat.v1
    keys = v1.GraphKeys
    return [*v1.get_collection(keys.GLOBAL_VARIABLES), *v1.get_collection(keys.SAVEABLE_OBJECTS)]


def to_bindings(var_list: Any) -> list[Binding]:
    """The bindings of a `var_list`, sorted by name; the parts of a partitioned variable in their own order.

    Raises:
        TypeError: Neither list, tuple, set nor dict; a key that is no string; a value that is no variable.
        InvalidArgumentError: One name for two variables, one variable under two names, an empty name, parts that do not
            belong together.
        UnimplementedError: A kind of saveable object that is not supported.
    """
    named = var_list if isinstance(var_list, dict) else _name_list(var_list)
    bindings: list[Binding] = []
    seen = set()
    for name in sorted(named, key=_checked_name):
        for binding in _bind(name, named[name]):
            variable = binding.variable
            identity = variable.operation.name if isinstance(variable, GraphVariable) else id(variable.variable)
            if (identity, binding.tensor_slice) in seen:
                raise InvalidArgumentError(f"The same saveable will be restored with two names: {name}")
            seen.add((identity, binding.tensor_slice))
            bindings.append(binding)
    return bindings


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(
            f"names_to_saveables must be a dict mapping string names to trackable operations. Name is not a string: {name!r}"
        )
    if not name:
        raise InvalidArgumentError("the empty string is no name for a tensor in a checkpoint")
    return name


def _name_list(var_list: Any) -> dict[str, Any]:
    """The variables of a list under the names that they have in a checkpoint."""
    if not isinstance(var_list, (list, tuple, set)):
        raise TypeError(f"Variables to save should be passed in a dict or a list. Got {var_list!r}")
    named: dict[str, Any] = {}
    parts: set[str] = set()
    for variable in sorted(_tensorflow.tf.nest.flatten(list(var_list)), key=lambda item: item.name):
        _refuse_unsupported(variable)
        name, is_part = _own_name(variable)
        if is_part and name in parts:
            named[name].append(variable)
            continue
        if name in named:
            if is_part or name in parts:
                raise InvalidArgumentError(f"Mixing slices and non-slices with the same name: {name}")
            if _is_eager(variable):
                # One variable named twice is one variable; two of one name would overwrite each other.
                if named[name] is not variable:
                    raise InvalidArgumentError(
                        f"Two different ResourceVariable objects with the same shared_name {name!r} cannot be saved "
                        "together: pass a dict that gives each a name of its own"
                    )
                continue
            raise InvalidArgumentError(f"At least two variables have the same name: {name}")
        named[name] = [variable] if is_part else variable
        if is_part:
            parts.add(name)
    return named


def _own_name(variable: Any) -> tuple[str, bool]:
    """The name of a list's element in a checkpoint, and whether it is one part of the tensor of that name."""
    if isinstance(variable, _tensorflow.PartitionedVariable):
        return variable.name, False
    if info := getattr(variable, "_save_slice_info", None):
        return info.full_name, True
    if _is_eager(variable):
        return variable._shared_name, False
    target = _graph_variable(variable)
    if target is None:
        raise TypeError(f"Variable to save is not a Variable: {variable!r}")
    return target.label, False


def _bind(name: str, value: Any) -> list[Binding]:
    if isinstance(value, (list, tuple, _tensorflow.PartitionedVariable)):
        return _bind_parts(name, value)
    if value is None:
        raise InvalidArgumentError(f"None values not supported. {name!r} has none")
    _refuse_unsupported(value)
    return [Binding(name, _target(name, value))]


def _target(name: str, value: Any) -> GraphVariable | EagerVariable:
    """How a value is read and assigned, in the mode that the program is in now."""
    eager_mode = _tensorflow.tf.executing_eagerly()
    if _is_eager(value):
        if eager_mode:
            return EagerVariable(value)
        raise UnimplementedError(f"{name}: an eager variable cannot be saved from a graph; make the Saver outside of it")
    if eager_mode:
        raise InvalidArgumentError(
            f"Can only save/restore ResourceVariables when executing eagerly, got type: {type(value)} for {name!r}. "
            "Make the Saver of a graph's variables while that graph is the default one"
        )
    target = _graph_variable(value)
    if target is None:
        raise TypeError(
            f"names_to_saveables must be a dict mapping string names to Tensors/Variables. Not a variable: {value!r}"
        )
    return target


def _bind_parts(name: str, parts: Iterable[Any]) -> list[Binding]:
    bindings = []
    full_name = None
    for part in parts:
        _refuse_unsupported(part)
        info = getattr(part, "_save_slice_info", None)
        if not isinstance(part, _tensorflow.tf.Variable):
            raise InvalidArgumentError(f"Slices must all be Variables: {part}")
        if info is None:
            raise InvalidArgumentError(f"Slices must all be slices: {part}")
        if full_name is None:
            full_name = info.full_name
        if info.full_name != full_name:
            raise InvalidArgumentError(f"Slices must all be from the same tensor: {full_name} != {info.full_name}")
        extents = tuple(zip(map(int, info.var_offset), map(int, info.var_shape), strict=True))
        bindings.append(Binding(name, _target(name, part), tuple(map(int, info.full_shape)), TensorSlice(extents)))
    if not bindings:
        raise InvalidArgumentError(f"{name!r} stands for an empty list of slices: there are no variables to save under it")
    return bindings


def _refuse_unsupported(value: Any) -> None:
    if isinstance(value, _tensorflow.SaveableObject):
        raise UnimplementedError(f"SaveableObject {value.name!r} cannot be saved yet: only variables can")
    supported = (_tensorflow.RefVariable, _tensorflow.BaseResourceVariable, _tensorflow.PartitionedVariable)
    if isinstance(value, _tensorflow.Trackable) and not isinstance(value, supported):
        raise UnimplementedError(f"{type(value).__name__} objects cannot be saved yet: only graph and eager variables can")


def _is_graph_tensor(value: Any) -> bool:
    return isinstance(value, _tensorflow.tf.Tensor) and hasattr(value, "graph")


def _is_eager(value: Any) -> bool:
    return isinstance(value, _tensorflow.BaseResourceVariable) and not value._in_graph_mode


def _graph_variable(value: Any) -> GraphVariable | None:
    """A variable of a graph, or the variable behind a tensor; None when there is none behind it."""
    if isinstance(value, _tensorflow.BaseResourceVariable):
        # Through a caching device the value is a copy of what was read, made in the same run.
        tensor = value.graph.as_graph_element(value)
        return GraphVariable(value.handle.op, tensor, value.initializer, static_shape(value.shape))
    if isinstance(value, _tensorflow.RefVariable):
        return GraphVariable(value.op, value.op.outputs[0], value.initializer, static_shape(value.shape))
    if not isinstance(value, _tensorflow.tf.Tensor) or not _is_graph_tensor(value):
        return None
    if value.op.type in _REF_OPERATIONS:
        return GraphVariable(value.op, value, None, static_shape(value.shape))
    if value.op.type == "ReadVariableOp" and value.op.inputs[0].op.type == "VarHandleOp":
        return GraphVariable(value.op.inputs[0].op, value, None, static_shape(value.shape))
    return None
