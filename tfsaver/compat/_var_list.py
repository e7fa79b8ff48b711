"""A `var_list`, in all its forms, resolved once: what is saved, by name, and how each value is read and assigned.

    None                    the graph's global variables            named by their operation: `scope/v`, never `scope/v:0`
                            and its saveable objects
    list, tuple, set        variables, nested as they like          the same
    dict                    name -> variable                        named by the key

A partitioned variable, or a list of the parts of one, is one tensor in the checkpoint, its parts slices of that. In a list a
part stands for its slice; alone as a dict's value it is a tensor of its own, which is what TensorFlow makes of it.

A Keras 3 variable is a wrapper around a TensorFlow variable: that is what is saved, in a list under the wrapper's path
(``dense/kernel``), which is unique in a model as the names of the variables inside are not.

A SaveableObject is named by itself, whatever the dict's key. Another trackable object (a table, a variable of a
distribution strategy) has TensorFlow make a SaveableObject of it: under the key in a dict, under its own name in a list. A
table has none: its tensors are ``-keys`` and ``-values`` then.

The errors are TensorFlow's: TypeError, ValueError and AttributeError for the same mistakes, with the fragments of their
texts that callers look for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tfsaver.checkpoint.selection import Selectable, Selection, SelectionReport
from tfsaver.compat import _saveables, _tensorflow
from tfsaver.compat._binding import Binding, EagerVariable, GraphVariable, graph_variable, is_eager
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.framework.tensor_slice import TensorSlice


class Resolved(NamedTuple):
    """What a Saver saves.

    Attributes:
        named: Variables, lists of slices and SaveableObjects by name, sorted: a `var_list` that TensorFlow's builder takes.
        bindings: The same as bindings, sorted by name; the parts of a partitioned variable in their own order.
        selection_report: What a selection keeps and leaves out; None without one.
    """

    named: dict[str, Any]
    bindings: list[Binding]
    selection_report: SelectionReport | None


class _Part(NamedTuple):
    """A part of an entry: what it is called, what no other part may be, how its tensors are read and assigned."""

    label: str
    identity: Any
    bindings: list[Binding]


def default_var_list() -> list[Any]:
    """What a Saver without a `var_list` saves: the default graph's global variables and what it registered as saveable."""
    v1 = _tensorflow.tf.compat.v1
    keys = v1.GraphKeys
    return [*v1.get_collection(keys.GLOBAL_VARIABLES), *v1.get_collection(keys.SAVEABLE_OBJECTS)]


def name_saveables(var_list: Any) -> dict[str, Any]:
    """A `var_list` as a dict that both `resolve` and TensorFlow's builder take, meaning the same in both.

    A builder's ``_build_internal(names_to_saveables=...)``, given this, makes the nodes that it makes of the `var_list`
    itself, and the bindings of objects that are no variables learn from it how such an object is restored.

    Returns:
        Variables, lists of slices and SaveableObjects by name, sorted. What it returned can be passed to it again.

    Raises:
        TypeError: Neither list, tuple, set nor dict; a key that is no string; an element that is no variable.
        InvalidArgumentError: One name for two variables, an empty name, an object with nothing to save.
    """
    given = var_list if isinstance(var_list, dict) else _name_list(var_list)
    named: dict[str, Any] = {}
    for name in sorted(given, key=_checked_key):
        for saved_as, value in _expanded(name, given[name]):
            if named.setdefault(saved_as, value) is not value:
                raise InvalidArgumentError(_same_name(saved_as))
    return dict(sorted(named.items()))


def resolve(var_list: Any, selection: Selection | None = None) -> Resolved:
    """What a Saver of a `var_list` saves.

    Args:
        var_list: In any of its forms.
        selection: Which of it is saved at all; None for all.

    Raises:
        TypeError: Neither list, tuple, set nor dict; a key that is no string; a value that is no variable.
        InvalidArgumentError: One name for two variables, one variable under two names, an empty name, parts that do not
            belong together, an object with nothing to save; or as for `Selection.select`.
        UnimplementedError: An eager variable in a graph.
    """
    named = name_saveables(var_list)
    entries = {name: list(_bind(name, value)) for name, value in named.items()}
    report = None
    if selection is not None:
        report = _select([binding for parts in entries.values() for part in parts for binding in part.bindings], selection)
        kept = frozenset(report.kept)
        # An entry of several tensors, such as a table, stays whole when any of them is kept.
        named = {
            name: value
            for name, value in named.items()
            if any(binding.name in kept for part in entries[name] for binding in part.bindings)
        }
    bindings: list[Binding] = []
    seen: set[Any] = set()
    for part in (part for name in named for part in entries[name]):
        if part.identity in seen:
            raise InvalidArgumentError(f"The same saveable will be restored with two names: {part.label}")
        seen.add(part.identity)
        bindings += part.bindings
    return Resolved(named, bindings, report)


def _select(bindings: Iterable[Binding], selection: Selection) -> SelectionReport:
    """What a selection keeps. What a checkpoint's names cannot say, the graph says: what is trained, what is collected."""
    tensors: dict[str, list[Binding]] = {}
    for binding in bindings:
        tensors.setdefault(binding.name, []).append(binding)
    return selection.select(
        {name: _selectable(parts) for name, parts in tensors.items()},
        trainable=_trainable(tensors) if selection.trainable_only else None,
        in_collection=None if selection.collection is None else _in_collection(tensors, selection.collection),
    )


def _checked_key(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(
            f"names_to_saveables must be a dict mapping string names to trackable operations. Name is not a string: {name!r}"
        )
    return name


def _same_name(name: str) -> str:
    hint = "" if name else "; objects without a name can be told apart by the keys of a dict"
    return f"At least two variables have the same name: {name}{hint}"


def _expanded(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A dict's entry as what is saved for it, with the names that the entries have then."""
    value = unwrapped(value)
    if isinstance(value, _tensorflow.SaveableObject):
        yield name, _saveables.from_object(value, _graph()).entry
    elif _is_trackable(value):
        for saved_as, item in _saveables.from_trackable(value, name, _graph()):
            if _is_saved_by_itself(item):
                yield saved_as, item
            else:
                yield from _expanded(name, item)
    else:
        if not name and not _is_saved_by_itself(value):
            raise InvalidArgumentError("the empty string is no name for a tensor in a checkpoint")
        yield name, value


def _name_list(var_list: Any) -> dict[str, Any]:
    """The elements of a list under the names that they have in a checkpoint."""
    if not isinstance(var_list, (list, tuple, set)):
        raise TypeError(f"Variables to save should be passed in a dict or a list. Got {var_list!r}")
    named: dict[str, Any] = {}
    parts: set[str] = set()
    for element in sorted(_tensorflow.tf.nest.flatten(list(var_list)), key=_sort_key):
        for name, value, is_part in _named_elements(element):
            if is_part and name in parts:
                named[name].append(value)
                continue
            if name in named:
                _check_same(name, named[name], value, is_sliced=is_part or name in parts)
                continue
            named[name] = [value] if is_part else value
            if is_part:
                parts.add(name)
    return named


def _sort_key(element: Any) -> str:
    return str(element.path if is_wrapper(element) else element.name)


def _named_elements(element: Any) -> Iterator[tuple[str, Any, bool]]:
    """What is saved for a list's element: each with its name, and whether it is one part of the tensor of that name."""
    variable = unwrapped(element)
    if isinstance(variable, _tensorflow.SaveableObject):
        yield str(variable.name), _saveables.from_object(variable, _graph()).entry, False
    elif isinstance(variable, _tensorflow.PartitionedVariable):
        yield variable.name, variable, False
    elif info := _slice_info(variable):
        yield info.full_name, variable, True
    elif _is_trackable(variable):
        # A wrapper's path is better than whatever the variable inside calls itself.
        own_name = element.path if is_wrapper(element) else None
        for saved_as, item in _saveables.from_trackable(variable, own_name, _graph()):
            if _is_saved_by_itself(item):
                yield saved_as, item, False
            else:
                yield from _named_elements(item)
    elif is_wrapper(element):
        yield element.path, variable, False
    elif is_eager(variable):
        yield variable._shared_name, variable, False
    elif target := graph_variable(variable):
        yield target.label, variable, False
    else:
        raise TypeError(f"Variable to save is not a Variable: {variable!r}")


def _check_same(name: str, known: Any, value: Any, *, is_sliced: bool) -> None:
    """Whether two elements of one name are the same, so that one of them need not be saved."""
    if is_sliced:
        raise InvalidArgumentError(f"Mixing slices and non-slices with the same name: {name}")
    if is_eager(value) and known is not value:
        # They would overwrite each other.
        raise InvalidArgumentError(
            f"Two different ResourceVariable objects with the same shared_name {name!r} cannot be saved together: "
            "pass a dict that gives each a name of its own"
        )
    if known is not value or not (is_eager(value) or hasattr(value, "specs")):
        raise InvalidArgumentError(_same_name(name))


def is_wrapper(value: Any) -> bool:
    """Whether it is a Keras 3 variable: no TensorFlow variable, but one that holds one."""
    if isinstance(value, _tensorflow.tf.Variable) or not isinstance(value, _tensorflow.Trackable):
        return False
    return isinstance(getattr(value, "path", None), str) and isinstance(
        getattr(value, "_value", None), _tensorflow.tf.Variable
    )


def unwrapped(value: Any) -> Any:
    """The TensorFlow variable in a Keras 3 variable, and a value of the variable behind a handle; anything else as it is."""
    if is_wrapper(value):
        return value._value
    if isinstance(value, _tensorflow.tf.Tensor) and hasattr(value, "graph") and value.op.type == "VarHandleOp":
        # `v:0` is what programs ask the graph for that know a variable by its name alone.
        readers = (consumer.outputs[0] for consumer in value.consumers() if consumer.type == "ReadVariableOp")
        return next(readers, value)
    return value


def _slice_info(value: Any) -> Any:
    return getattr(value, "_save_slice_info", None) if isinstance(value, _tensorflow.tf.Variable) else None


def _is_trackable(value: Any) -> bool:
    """Whether TensorFlow must say how it is saved."""
    # A list that is an object's attribute is trackable too, and a list all the same.
    plain = (_tensorflow.RefVariable, _tensorflow.BaseResourceVariable, _tensorflow.PartitionedVariable, list, tuple)
    return isinstance(value, _tensorflow.Trackable) and not isinstance(value, plain)


def _is_saved_by_itself(item: Any) -> bool:
    return isinstance(item, (list, _saveables.Saveable, _tensorflow.SaveableObject))


def _graph() -> Any:
    tf = _tensorflow.tf
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def _bind(name: str, value: Any) -> Iterator[_Part]:
    """The parts of an entry, as the mode that the program is in now reads and assigns them."""
    if isinstance(value, (list, tuple, _tensorflow.PartitionedVariable)):
        yield from _bind_parts(name, value)
    elif saveable := _saveables.saveable_of(value):
        yield _Part(saveable.label, saveable.identity, saveable.bindings())
    elif value is None:
        raise InvalidArgumentError(f"None values not supported. {name!r} has none")
    else:
        variable = _target(name, value)
        yield _Part(name, (_identity(variable), None), [Binding(name, variable)])


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


def _bind_parts(name: str, parts: Iterable[Any]) -> Iterator[_Part]:
    full_name = None
    is_empty = True
    for part in parts:
        is_empty = False
        if saveable := _saveables.saveable_of(part):
            yield _Part(saveable.label, saveable.identity, saveable.bindings())
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
        yield _Part(name, (_identity(variable), tensor_slice), [binding])
    if is_empty:
        raise InvalidArgumentError(f"{name!r} stands for an empty list of slices: there are no variables to save under it")


def _identity(variable: GraphVariable | EagerVariable) -> Any:
    # As in TensorFlow, for which two tensors that read one variable are two things.
    return variable.tensor.name if isinstance(variable, GraphVariable) else id(variable.variable)


def _selectable(parts: Iterable[Binding]) -> Selectable:
    """The whole tensor that one binding, or the bindings of all its parts, are written to."""
    binding = next(iter(parts))
    shape = binding.variable.shape if binding.full_shape is None else binding.full_shape
    if shape is None or None in shape:
        return Selectable(None, 0)
    known = tuple(size for size in shape if size is not None)
    size = binding.dtype.size if binding.dtype.has_fixed_size else None
    return Selectable(known, 0 if size is None else size * math.prod(known), binding.dtype.name)


def _trainable(tensors: Mapping[str, list[Binding]]) -> set[str]:
    """The tensors of variables that are trained."""
    trained = _in_collection(tensors, "trainable_variables")
    for name, parts in tensors.items():
        eager = [part.variable.variable for part in parts if isinstance(part.variable, EagerVariable)]
        if any(variable.trainable for variable in eager):
            trained.add(name)
    return trained


def _in_collection(tensors: Mapping[str, list[Binding]], key: str) -> set[str]:
    """The tensors of variables that are in a collection of their graph."""
    found = set()
    members: dict[int, set[str]] = {}
    for name, parts in tensors.items():
        for variable in (part.variable for part in parts):
            if not isinstance(variable, GraphVariable):
                continue
            graph = variable.operation.graph
            if id(graph) not in members:
                members[id(graph)] = {op.name for op in _operations(graph.get_collection(key))}
            if variable.operation.name in members[id(graph)]:
                found.add(name)
    return found


def _operations(items: Iterable[Any]) -> Iterable[Any]:
    """The operations behind the variables of a collection; what is no variable has none."""
    for item in items:
        parts = list(item) if isinstance(item, _tensorflow.PartitionedVariable) else [item]
        yield from (part.op for part in parts if hasattr(part, "op"))
