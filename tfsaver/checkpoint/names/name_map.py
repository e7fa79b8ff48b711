"""From the names in a checkpoint to the names in another program: the mapping that restoring, editing and converting take.

One direction everywhere: old name (of the checkpoint) -> new name (of the target, of the written file).

    None                                        every tensor keeps its name
    {"w": "v", "b": ["b1", "b2"], "t": None}    one new name, several, none
    [("weights$", "kernel"), ...]               rules, applied in order to each name; `Rule` can transpose too
    "rnn-cells"                                 a ready table, see `rename_tables`
    "names.toml", "names.json"                  a file, see `name_map_file`
    str.lower                                   a function
    ["rnn-cells", {"w": "v"}, ...]              several, one after the other: each sees the names that the last one made

A name that nothing speaks of is kept. What does not work is said all at once: two tensors that would have one name, and
names in a dict that name nothing. `name_steps` says how the names of checkpoints that were written from objects are taken.
"""

from __future__ import annotations

import itertools
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from tfsaver.checkpoint.names.name_map_file import format_toml, read_name_map_file
from tfsaver.checkpoint.names.name_steps import (
    RenameByDict,
    RenameByFunction,
    RenameByRules,
    Renamed,
    RenameScope,
    Rule,
    Step,
    Targets,
    raise_problems,
)
from tfsaver.checkpoint.names.rename_tables import TABLES
from tfsaver.errors import InvalidArgumentError, nearest_names
from tfsaver.lib.cached_property import cached_property

__all__ = ["NameMap", "NameMapLike", "NewNames", "Renamed", "Rule", "add_scope", "as_name_map", "strip_scope"]

_FILE_ENDINGS = (".toml", ".json")


class NewNames(Mapping[str, Targets]):
    """What each name becomes; the empty tuple for a tensor that is left out.

    Args:
        names: All names, each once.
        changed: What those become that do not stay as they are.
    """

    def __init__(self, names: Sequence[str], changed: dict[str, Targets]) -> None:
        self._names = names
        self.changed = changed

    def __getitem__(self, name: str) -> Targets:
        targets = self.changed.get(name)
        if targets is None:
            if name not in self._known:
                raise KeyError(name)
            targets = (Renamed(name),)
        return targets

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._names)


class NameMap:
    """Steps of renaming, one after the other.

    Args:
        steps: The steps; none for a mapping that leaves all names as they are.
    """

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self.steps = tuple(steps)

    def apply(self, names: Iterable[str], *, problems: list[str] | None = None) -> NewNames:
        """What each name becomes; only names that change take memory.

        Args:
            names: All names of the checkpoint.
            problems: A list to which what is wrong is added, in sentences, instead of an error; names that collide are then
                in the result all the same.

        Raises:
            InvalidArgumentError: Tensors would get one name, or a dict's names name nothing, or axes do not fit; says all.
        """
        found: list[str] = []
        unique = _unique(names)
        changed = _take_steps(self.steps, unique, found)
        found += _collisions(unique, changed)
        if problems is None:
            raise_problems("the mapping does not fit the names", found)
        else:
            problems += found
        return NewNames(unique, changed)

    def inverse(self, names: Iterable[str]) -> NameMap:
        """The way back to these names: of copies of one tensor the first, tensors that were left out do not come back.

        Args:
            names: All names of the checkpoint.

        Raises:
            InvalidArgumentError: See `apply`.
        """
        back: dict[str, Renamed | None] = {}
        for name, targets in self.apply(names).items():
            for index, target in enumerate(targets):
                axes = target.transpose and tuple(target.transpose.index(axis) for axis in range(len(target.transpose)))
                back[target.name] = None if index else Renamed(name, axes)
        return NameMap([RenameByDict(back)])

    def to_toml(self, names: Iterable[str]) -> str:
        """A file, as text, that does with these names what this mapping does; to look at and to edit.

        Args:
            names: All names of the checkpoint.

        Raises:
            InvalidArgumentError: See `apply`; or a name is no Unicode text.
        """
        return format_toml(self.apply(names).changed)


NameMapLike: TypeAlias = "NameMap | Mapping[str, Any] | Callable[[str], Any] | str | os.PathLike[str] | Sequence[Any] | None"


def as_name_map(mapping: NameMapLike) -> NameMap:
    """A mapping of names out of what a caller may give for one; the module says what that is.

    Raises:
        InvalidArgumentError: It is no mapping, names no table, or has malformed rules; says all.
        FileNotFoundError: There is no such file.
    """
    if mapping is None:
        return NameMap()
    if isinstance(mapping, NameMap):
        return mapping
    if isinstance(mapping, Mapping):
        return NameMap([RenameByDict(mapping)])
    if isinstance(mapping, (str, os.PathLike)):
        return _of_text(os.fspath(mapping))
    if isinstance(mapping, Rule):
        return NameMap([RenameByRules([mapping])])
    if callable(mapping):
        return NameMap([RenameByFunction(mapping)])
    if isinstance(mapping, Sequence) and not isinstance(mapping, (bytes, bytearray)):
        return NameMap(_steps_of(mapping))
    kinds = "a dict, a list of rules, the name of a table, a path of a file, or a function"
    raise InvalidArgumentError(f"a mapping of names is {kinds}, not {type(mapping).__name__}")


def strip_scope(scope: str, *, is_only: bool = False, separator: str = "/") -> NameMap:
    """Takes a scope away from the names that are in it.

    Args:
        scope: As in ``model``, or ``model/encoder``.
        is_only: Whether tensors outside of it are left out.
        separator: What follows a scope; ``.`` in PyTorch.
    """
    return NameMap([RenameScope(strip=scope.rstrip(separator) + separator, is_only=is_only)])


def add_scope(scope: str, *, separator: str = "/") -> NameMap:
    """Puts all names into a scope.

    Args:
        scope: As in ``model``, or ``model/encoder``.
        separator: What follows a scope; ``.`` in PyTorch.
    """
    return NameMap([RenameScope(add=scope.rstrip(separator) + separator)])


def _of_text(text: str) -> NameMap:
    if not text.endswith(_FILE_ENDINGS):
        return NameMap([_table(text)])
    file = read_name_map_file(text)
    try:
        steps = [*map(_table, file.tables), *([RenameByRules(file.rules)] if file.rules else ())]
        return NameMap([_NamesFirst(file.names, steps)] if file.names else steps)
    except InvalidArgumentError as error:
        error.add_context(text)
        raise


def _table(name: str) -> Step:
    if name in TABLES:
        return TABLES[name].step
    near = nearest_names(name, TABLES)
    hint = f"; did you mean {', '.join(map(repr, near))}?" if near else f"; there are {', '.join(TABLES)}"
    raise InvalidArgumentError(f"no table of names {name!r}{hint} (a file ends in .toml or .json)")


def _steps_of(mappings: Sequence[Any]) -> list[Step]:
    """The steps of several mappings; rules that stand side by side are one step."""
    steps: list[Step] = []
    rules: list[Any] = []
    for item in [*mappings, None]:
        if isinstance(item, tuple):
            rules.append(item)
            continue
        if rules:
            steps.append(RenameByRules(rules))
            rules = []
        steps += as_name_map(item).steps
    return steps


class _NamesFirst:
    """Names of which a dict speaks are done; the others take the steps."""

    def __init__(self, names: Mapping[str, object], steps: Sequence[Step]) -> None:
        self._names = RenameByDict(names)
        self._steps = tuple(steps)

    def rename(self, names: Sequence[str], problems: list[str]) -> Mapping[str, Targets]:
        """See `Step`."""
        done = self._names.rename(names, problems)
        return {**_take_steps(self._steps, [name for name in names if name not in done], problems), **done}


def _unique(names: Iterable[str]) -> list[str]:
    """The names, each once."""
    every = list(names)
    # Sorted, as they are in a checkpoint, they need no dict, which would take longer than the renaming.
    is_sorted = all(map(operator.lt, every, itertools.islice(every, 1, None)))
    return every if is_sorted else list(dict.fromkeys(every))


def _take_steps(steps: Sequence[Step], names: Sequence[str], problems: list[str]) -> dict[str, Targets]:
    """What those names become that do not stay as they are, in their order."""
    renamed: dict[str, Targets] = {}
    for step in steps:
        changed = step.rename(list(dict.fromkeys(_reached(names, renamed))) if renamed else names, problems)
        touched = changed.keys() | renamed.keys()
        renamed = {
            name: followed
            for name in (filter(touched.__contains__, names) if touched else ())
            if (followed := _follow(renamed.get(name, (Renamed(name),)), changed, problems)) != (Renamed(name),)
        }
    return renamed


def _reached(names: Iterable[str], renamed: Mapping[str, Targets]) -> Iterator[str]:
    """The names that there are after renaming."""
    for name in names:
        if (targets := renamed.get(name)) is None:
            yield name
        else:
            yield from (target.name for target in targets)


def _follow(targets: Targets, changed: Mapping[str, Sequence[Renamed]], problems: list[str]) -> Targets:
    followed: list[Renamed] = []
    for target in targets:
        for after in changed.get(target.name, (Renamed(target.name),)):
            try:
                followed.append(target.then(after))
            except InvalidArgumentError as error:
                problems.append(str(error))
    return tuple(followed)


def _collisions(names: Iterable[str], changed: Mapping[str, Targets]) -> list[str]:
    """What is wrong with the new names: of several tensors, twice of one, or empty."""
    # Names that stay as they are can only collide with one of these.
    new_names = {"", *(target.name for targets in changed.values() for target in targets)}
    olds: dict[str, list[str]] = {}
    for name in filter((new_names | changed.keys()).__contains__, names):
        for target in changed.get(name, (Renamed(name),)):
            olds.setdefault(target.name, []).append(name)
    found = [f"{' and '.join(map(repr, olds[''][:3]))}: the new name is empty"] if "" in olds else []
    return found + [
        f"{', '.join(map(repr, names[:-1]))} and {names[-1]!r} {'both' if len(names) == 2 else 'all'} become {new!r}"
        for new, names in olds.items()
        if len(names) > 1 and new
    ]
