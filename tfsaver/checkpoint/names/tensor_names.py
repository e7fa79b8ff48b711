"""Every name that a checkpoint's tensors can be found by, once a mapping has renamed them.

    written from names      dense/kernel                      one name, which is the program's name and the path at once
    written from objects    net/d1/.ATTRIBUTES/VARIABLE_VALUE the key; without its end the path, ``net/d1``
                            dense/kernel                      and beside it what the variable was called: its full name

A mapping may speak of a tensor by its path or by its full name. What it speaks of is found by the new names alone; the
others keep their own. A ``:0`` behind a name, with which programs write the name of a variable's tensor, is taken off.

A variable that its program gave no name is called ``Variable``, as are all others of that kind: where there is a path, that
is no name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set

from tfsaver.checkpoint.names.name_map import NameMap, Renamed
from tfsaver.checkpoint.names.name_steps import raise_problems, split_attribute
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS, ObjectGraph
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.framework.tensor_info import TensorInfo

_UNNAMED = re.compile(r"[Vv]ariable(_\d+)?")


class TensorNames:
    """The tensors of a checkpoint by their names.

    Args:
        source: The checkpoint.
        graph: The objects that it was written from; None when it was written from names.
        name_map: The mapping.
        among: The tensors that come into question; None for all.

    Attributes:
        keys: The tensors themselves, as the checkpoint calls them; without those that the mapping leaves out.
        mapped: The new names that the mapping gives, by key; of those that it speaks of alone.
        by_name: The keys of all others by what the variables were called in their program.
        by_path: The same by the paths of their objects; in a checkpoint written from names the same as `by_name`.
        full_names: What the variables were called, by key, when the checkpoint was written from objects; else None.

    Raises:
        InvalidArgumentError: The mapping does not fit the names.
    """

    def __init__(
        self, source: TensorSource, graph: ObjectGraph | None, name_map: NameMap, among: Set[str] | None = None
    ) -> None:
        self._source = source
        self._infos: dict[str, TensorInfo] = {}
        keys = [name for name in source.names if name not in DESCRIPTIONS and (among is None or name in among)]
        self.full_names: dict[str, str] | None = None
        if graph is not None:
            known = set(keys)
            self.full_names = {key: name for key, name in graph.full_names_of_keys().items() if key in known}
        renamed = _apply(name_map, keys, self.full_names or {})
        self.keys = [key for key in keys if renamed.get(key) != ()]
        self.mapped = {key: targets for key, targets in renamed.items() if targets}
        self.by_name: dict[str, list[str]] = {}
        self.by_path: dict[str, list[str]] = self.by_name if graph is None else {}
        for key in self.keys:
            if key in self.mapped:
                continue
            if graph is None:
                self.by_name.setdefault(plain(key), []).append(key)
                continue
            self.by_path.setdefault(path_of(key), []).append(key)
            if full_name := (self.full_names or {}).get(key):
                self.by_name.setdefault(plain(full_name), []).append(key)

    def info(self, key: str) -> TensorInfo:
        """What the checkpoint says of a tensor; asked for once."""
        if key not in self._infos:
            self._infos[key] = self._source.info(key)
        return self._infos[key]

    def spelling(self, key: str) -> str:
        """The name that a mapping of what is left should call a tensor by: what it was renamed to, or what it was called."""
        if key in self.mapped:
            return plain(self.mapped[key][0].name)
        full_name = (self.full_names or {}).get(key, "")
        return full_name if full_name and not is_default(full_name) else path_of(key)


def plain(name: str) -> str:
    """A name without the ``:0`` of the tensor behind it."""
    return name.removesuffix(":0")


def is_default(name: str) -> bool:
    """Whether a name is the one that variables have to which their program gave none."""
    return _UNNAMED.fullmatch(plain(name)) is not None


def path_of(key: str) -> str:
    """The path in the key of a variable of an object-based checkpoint; other names as they are."""
    path, attribute = split_attribute(key)
    return path if attribute in ("", "/.ATTRIBUTES/VARIABLE_VALUE") else key


def _apply(name_map: NameMap, keys: list[str], full_names: Mapping[str, str]) -> dict[str, tuple[Renamed, ...]]:
    """What the mapping makes of the tensors that it speaks of, by whichever of their names."""
    if not name_map.steps:
        return {}
    keys_of: dict[str, list[str]] = {}
    for key, name in full_names.items():
        if name:
            keys_of.setdefault(name, []).append(key)
    found: dict[str, list[Renamed]] = {}
    problems: list[str] = []
    for names in ((keys, list(keys_of)) if keys_of else (keys,)):
        wrong: list[str] = []
        changed = _changed(name_map, names, wrong)
        problems += wrong
        if not wrong:
            _note(changed, keys_of, found, set(keys))
    if problems and not found:
        # A dict with names of both kinds, or one that is wrong: together there is nothing that it cannot mean.
        problems = []
        _note(_changed(name_map, dict.fromkeys([*keys, *keys_of]), problems), keys_of, found, set(keys))
        raise_problems("the mapping does not fit the names", problems)
    return {key: tuple(dict.fromkeys(targets)) for key, targets in found.items()}


def _changed(name_map: NameMap, names: Iterable[str], problems: list[str]) -> dict[str, tuple[Renamed, ...]]:
    renamed = name_map.apply(names, problems=problems)
    return {name: targets for name, targets in renamed.items() if targets != (Renamed(name),)}


def _note(
    changed: Mapping[str, tuple[Renamed, ...]],
    keys_of: Mapping[str, list[str]],
    found: dict[str, list[Renamed]],
    keys: set[str],
) -> None:
    for name, targets in changed.items():
        new = [Renamed(plain(path_of(target.name)), target.transpose) for target in targets]
        for key in [name] if name in keys else keys_of[name]:
            found.setdefault(key, []).extend(new)
