"""What is saved, by name, as bindings: how each value is read and assigned in the mode that the program is in now.

The many forms of a `var_list` are the matter of `_var_list`; here each entry of its one form becomes one binding, or one for
each slice, or one for each tensor of an object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tfsaver.compat import _saveables, _tensorflow
from tfsaver.compat._binding import Binding, EagerVariable, GraphVariable, graph_variable, is_eager
from tfsaver.compat._saveables import SavedTensor
from tfsaver.compat._var_list import default_var_list as default_var_list
from tfsaver.compat._var_list import name_saveables
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.framework.tensor_slice import TensorSlice


def to_bindings(var_list: Any) -> list[Binding]:
    """The bindings of a `var_list`, sorted by name; the parts of a partitioned variable in their own order.

    Args:
        var_list: In any of its forms, also as `name_saveables` returned it.

    Raises:
        TypeError: Neither list, tuple, set nor dict; a key that is no string; a value that is no variable.
        InvalidArgumentError: One name for two variables, one variable under two names, an empty name, parts that do not
            belong together, an object with nothing to save.
        UnimplementedError: An eager variable in a graph.
    """
    bindings: list[Binding] = []
    seen: set[Any] = set()
    for name, value in name_saveables(var_list).items():
        for label, identity, bound in _bind(name, value):
            if identity in seen:
                raise InvalidArgumentError(f"The same saveable will be restored with two names: {label}")
            seen.add(identity)
            bindings += bound
    return bindings


def prepare(bindings: Iterable[Binding]) -> None:
    """Makes the nodes without which objects that are no variables cannot be restored, where the graph still takes nodes.

    After TensorFlow's builder has made its nodes of the same `name_saveables`, nothing is left to do.
    """
    for binding in bindings:
        if isinstance(binding.variable, SavedTensor):
            binding.variable.saveable.prepare()


def _bind(name: str, value: Any) -> Iterator[tuple[str, Any, list[Binding]]]:
    """The bindings of an entry, each with what it is called, and what no other may have: the thing that is saved."""
    if isinstance(value, (list, tuple, _tensorflow.PartitionedVariable)):
        yield from _bind_parts(name, value)
    elif saveable := _saveables.saveable_of(value):
        yield saveable.label, saveable.identity, saveable.bindings()
    elif value is None:
        raise InvalidArgumentError(f"None values not supported. {name!r} has none")
    else:
        variable = _target(name, value)
        yield name, (_identity(variable), None), [Binding(name, variable)]


def _target(name: str, value: Any) -> GraphVariable | EagerVariable:
    """How a value is read and assigned, in the mode that the program is in now."""
    eager_mode = _tensorflow.tf.executing_eagerly()
    if is_eager(value):
        if eager_mode:
            return EagerVariable(value)
        raise UnimplementedError(
            f"Attempting to capture an EagerTensor without building a function. {name!r} is an eager variable, which cannot "
            "be saved from a graph: make the Saver outside of it"
        )
    if eager_mode:
        raise InvalidArgumentError(
            f"Can only save/restore ResourceVariables when executing eagerly, got type: {type(value)} for {name!r}. "
            "Make the Saver of a graph's variables while that graph is the default one"
        )
    target = graph_variable(value)
    if target is None:
        raise TypeError(
            f"names_to_saveables must be a dict mapping string names to Tensors/Variables. Not a variable: {value!r}"
        )
    return target


def _bind_parts(name: str, parts: Iterable[Any]) -> Iterator[tuple[str, Any, list[Binding]]]:
    full_name = None
    is_empty = True
    for part in parts:
        is_empty = False
        if saveable := _saveables.saveable_of(part):
            yield saveable.label, saveable.identity, saveable.bindings()
            continue
        info = getattr(part, "_save_slice_info", None)
        if not isinstance(part, _tensorflow.tf.Variable):
            raise InvalidArgumentError(f"Slices must all be Variables: {part}")
        if info is None:
            raise InvalidArgumentError(f"Slices must all be slices: {part}")
        if full_name is None:
            full_name = info.full_name
        if info.full_name != full_name:
            raise InvalidArgumentError(f"Slices must all be from the same tensor: {full_name} != {info.full_name}")
        tensor_slice = TensorSlice(tuple(zip(map(int, info.var_offset), map(int, info.var_shape), strict=True)))
        variable = _target(name, part)
        binding = Binding(name, variable, tuple(map(int, info.full_shape)), tensor_slice)
        yield name, (_identity(variable), tensor_slice), [binding]
    if is_empty:
        raise InvalidArgumentError(f"{name!r} stands for an empty list of slices: there are no variables to save under it")


def _identity(variable: GraphVariable | EagerVariable) -> Any:
    # As in TensorFlow, for which two tensors that read one variable are two things.
    return variable.tensor.name if isinstance(variable, GraphVariable) else id(variable.variable)
