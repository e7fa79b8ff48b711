"""A `var_list`, in all its forms, as one: what is saved, by name.

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

from collections.abc import Iterator
from typing import Any

from tfsaver.compat import _saveables, _tensorflow
from tfsaver.compat._binding import graph_variable, is_eager
from tfsaver.errors import InvalidArgumentError


def default_var_list() -> list[Any]:
    """What a Saver without a `var_list` saves: the default graph's global variables and what it registered as saveable."""
    v1 = _tensorflow.tf.compat.v1
    keys = v1.GraphKeys
    return [*v1.get_collection(keys.GLOBAL_VARIABLES), *v1.get_collection(keys.SAVEABLE_OBJECTS)]


def name_saveables(var_list: Any) -> dict[str, Any]:
    """A `var_list` as a dict that both `_variables.to_bindings` and TensorFlow's builder take, meaning the same in both.

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
    return named


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
