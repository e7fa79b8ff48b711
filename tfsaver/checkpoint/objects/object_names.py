"""Names that people read for the tensors of a checkpoint that was written from objects.

    key     net/dense/kernel/.ATTRIBUTES/VARIABLE_VALUE      as in the checkpoint
    path    net/dense/kernel                                 the way through the objects
            table/table-keys                                 of other values than a variable's, with what the value is
    full    dense/kernel                                     what the variable was called in its program

Paths are there for every tensor and no two are the same, so they are the rule. Full names are empty in newer programs and
may be shared by many variables; a tensor without one of its own keeps its path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from tfsaver.checkpoint.names.name_steps import split_attribute
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS, VARIABLE_VALUE, ObjectGraph
from tfsaver.checkpoint.plan import Plan, as_plan
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import InvalidArgumentError

KINDS = ("path", "full", "key")
NamesKind: TypeAlias = "Literal['path', 'full', 'key']"

_ATTRIBUTES = "/.ATTRIBUTES/"
_VARIABLE = f"{_ATTRIBUTES}{VARIABLE_VALUE}"


def readable_names(keys: Sequence[str], graph: ObjectGraph, kind: str = "path") -> dict[str, str]:
    """The names of the tensors of an object-based checkpoint, by key; without those that describe the objects.

    Raises:
        InvalidArgumentError: There is no such kind of names.
    """
    if kind not in KINDS:
        raise InvalidArgumentError(f"names={kind!r}; there are {', '.join(map(repr, KINDS))}")
    keys = [key for key in keys if key not in DESCRIPTIONS]
    if kind == "key":
        return {key: key for key in keys}
    names = _unique({key: _path(key) for key in keys}, {key: key for key in keys})
    if kind == "full":
        full_names = graph.full_names_of_keys()
        names = _unique({key: full_names.get(key) or names[key] for key in keys}, names)
    return names


def keys_of_readable_names(graph: ObjectGraph) -> dict[str, str]:
    """The keys of values that are no variables, by their paths: objects are searched for variables alone by path."""
    names = readable_names(list(graph.tensors), graph)
    return {name: key for key, name in names.items() if split_attribute(key) != (name, _VARIABLE)}


def with_readable_names(source: TensorSource, names: Mapping[str, str]) -> Plan:
    """Tensors under the names that people read, without the description of their objects.

    Args:
        source: The source.
        names: The name of each tensor that is kept, by its name in the source.
    """
    return as_plan(source).with_names({name: key for key, name in names.items()}, graph=None)


def _path(key: str) -> str:
    path, attribute = split_attribute(key)
    name = attribute.removeprefix(_ATTRIBUTES)
    return path if name in ("", VARIABLE_VALUE) else f"{path}/{name}"


def _unique(names: Mapping[str, str], otherwise: Mapping[str, str]) -> dict[str, str]:
    """The names, and others for those that are not of one tensor alone; these others are unique."""
    chosen = dict(names)
    # The other name of one may be the name of another: again, until nothing repeats.
    while repeated := {name for name, count in Counter(chosen.values()).items() if count > 1}:
        chosen = {key: otherwise[key] if name in repeated else name for key, name in chosen.items()}
    return chosen
