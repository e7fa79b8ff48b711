"""The part of a `var_list` that a selection keeps.

    Saver(select=Selection(without_optimizer=True))
        var_list -> name_saveables -> the tensors of each entry: shape, bytes, trained or not -> the entries that are kept

What a checkpoint's names cannot say, the graph says: which variables are trained, what is in a collection. An entry with
several tensors, such as a table, is kept whole when any of its tensors is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from tfsaver.checkpoint.selection import Selectable, Selection, SelectionReport
from tfsaver.compat import _tensorflow
from tfsaver.compat._binding import Binding, EagerVariable, GraphVariable
from tfsaver.compat._var_list import name_saveables
from tfsaver.compat._variables import to_bindings


def select_saveables(var_list: Any, selection: Selection) -> tuple[dict[str, Any], SelectionReport]:
    """The entries of a `var_list` that a selection keeps, by name, and the report about all of them.

    What comes back is a `var_list` itself.

    Raises:
        InvalidArgumentError: As for `Selection.select` and `to_bindings`.
        TypeError: As for `to_bindings`.
    """
    saveables = name_saveables(var_list)
    bindings = {name: to_bindings({name: value}) for name, value in saveables.items()}
    tensors: dict[str, list[Binding]] = {}
    for binding in (binding for entry in bindings.values() for binding in entry):
        tensors.setdefault(binding.name, []).append(binding)
    report = selection.select(
        {name: _selectable(parts) for name, parts in tensors.items()},
        trainable=_trainable(tensors) if selection.trainable_only else None,
        in_collection=None if selection.collection is None else _in_collection(tensors, selection.collection),
    )
    kept = frozenset(report.kept)
    return {name: value for name, value in saveables.items() if any(b.name in kept for b in bindings[name])}, report


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
