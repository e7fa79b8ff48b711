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
from collections.abc import Mapping, Sequence, Set

from tfsaver.checkpoint.names.mapped_tensors import MappedTensors, infos_of
from tfsaver.checkpoint.names.name_map import HOW_TO_ALLOW, NameMap, NewNames, Renamed
from tfsaver.checkpoint.names.name_steps import Targets, split_attribute
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS, ObjectGraph
from tfsaver.checkpoint.optimizers.optimizer_state import OptimizerState
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import raise_problems
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
        original: The tensors that the mapping saw, by the names that they have in the checkpoint.
        source: The tensors by their keys, changed as the mapping says; see `MappedTensors`.
        changes: What the mapping has done to each changed tensor, for people.
        notes: What a report should mention, in sentences.

    Raises:
        InvalidArgumentError: The mapping does not fit the names.
    """

    def __init__(
        self, source: TensorSource, graph: ObjectGraph | None, name_map: NameMap, among: Set[str] | None = None
    ) -> None:
        self._infos: dict[str, TensorInfo] = {}
        keys = [name for name in source.names if name not in DESCRIPTIONS and (among is None or name in among)]
        self.full_names: dict[str, str] | None = None
        if graph is not None:
            known = set(keys)
            self.full_names = {key: name for key, name in graph.full_names_of_keys().items() if key in known}
        self.original: Sequence[str] = keys
        new_names = _apply(name_map, source, keys, self.full_names or {})
        gone = {key for key, targets in new_names.changed.items() if not targets}
        mapped = MappedTensors(source, new_names, self.full_names or {})
        self.source = mapped.source
        self.mapped: Mapping[str, Targets] = mapped.targets
        self.changes = mapped.changes
        self.notes = mapped.notes
        self._slots = mapped.slots
        used = {name for name, targets in new_names.changed.items() if name not in mapped.targets}
        self.keys = [key for key in keys if key not in gone | used]
        there = set(self.keys)
        self.keys += [key for key in mapped.targets if key not in there]
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
            self._infos[key] = self.source.info(key)
        return self._infos[key]

    def with_slots(self, state: OptimizerState) -> OptimizerState:
        """The same state, in which changed variables have the slots that follow them."""
        slots: dict[str, Mapping[str, list[str]]] = dict(state.slots)
        for variable, followed in self._slots.items():
            found: dict[str, list[str]] = {}
            for spellings in state.slots.values():
                for spelling, keys in spellings.items():
                    for key in keys:
                        if key in followed and followed[key] not in found.get(spelling, ()):
                            found.setdefault(spelling, []).append(followed[key])
            slots[variable] = found
        return state._replace(slots=slots)

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


def _apply(name_map: NameMap, source: TensorSource, keys: list[str], full_names: Mapping[str, str]) -> NewNames:
    """What the mapping makes of the tensors that it speaks of, by whichever of their names."""
    if not name_map.steps:
        return NewNames(keys, {})
    keys_of: dict[str, list[str]] = {}
    for key, name in full_names.items():
        if name:
            keys_of.setdefault(name, []).append(key)
    firsts = {name: several[0] for name, several in keys_of.items()}
    found: dict[str, list[Renamed]] = {}
    gone: set[str] = set()
    problems: list[str] = []
    applied: list[NewNames] = []

    def apply(names: Sequence[str], wrong: list[str]) -> None:
        renamed = name_map.apply(infos_of(source, names, firsts), problems=wrong)
        if wrong:
            return
        applied.append(renamed)
        for name, targets in renamed.changed.items():
            new = [Renamed.of(plain(path_of(target.name)), target.changes) for target in targets]
            for key in [name] if name in known else keys_of[name]:
                found.setdefault(key, []).extend(new)
                if not targets:
                    gone.add(key)

    known = set(keys)
    for names in (keys, list(keys_of)) if keys_of else (keys,):
        wrong: list[str] = []
        apply(names, wrong)
        problems += wrong
    if problems and not applied:
        # A dict with names of both kinds, or one that is wrong: together there is nothing that it cannot mean.
        problems = []
        apply(list(dict.fromkeys([*keys, *keys_of])), problems)
        raise_problems("the mapping does not fit the names", problems, HOW_TO_ALLOW)
    changed = {key: tuple(dict.fromkeys(targets)) for key, targets in found.items()}
    best = max(applied, key=lambda each: sum(count.num_matched for count in each.counts))
    spoken_of = {name for each in applied for name in each.named}
    named = frozenset(key for name in spoken_of for key in ([name] if name in known else keys_of.get(name, ())))
    return NewNames(keys, changed, best.added, best.counts, named, best.own_notes)
