"""From a checkpoint's tensors to another program's: the mapping that restoring, editing and converting take.

One direction everywhere: old name (of the checkpoint) -> new name (of the target, of the written file).

    None                                        every tensor keeps its name
    {"w": "v", "b": ["b1", "b2"], "t": None}    one new name, several, none
    {"w": {"to": "v", "reshape": [8, -1]}}      changed besides; see `changes` for all that can be done to a tensor
    {"w": {"split": ["q", "k"], "axis": 1}}     one tensor becomes several
    {"qkv": {"concat": ["q", "k", "v"]}}        several become one; the key is the new name
    [("weights$", "kernel"), ...]               rules, applied in order to each name; `Rule` takes changes too
    "rnn-cells"                                 a ready table, see `rename_tables`
    "names.toml", "names.json"                  a file, see `name_map_file`
    str.lower                                   a function
    Concat(["q", "k", "v"], to="qkv")           a step: `Concat`, `Stack`, `AddConstant`, or any object with `Step.apply`
    ["rnn-cells", {"w": "v"}, ...]              several, one after the other: each sees what the last one made

A name that nothing speaks of is kept. What does not work is said all at once: two tensors that would have one name, and
rules, tables and names that match nothing, unless that is allowed. `name_steps` says how the names of checkpoints that were
written from objects are taken.

Everything that a caller needs to write a mapping is importable from here.
"""

from __future__ import annotations

import dataclasses
import itertools
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from tfsaver.checkpoint.names.changes import (
    Change,
    Changes,
    Joined,
    Known,
    Part,
    Spec,
    Squeeze,
    Transpose,
    around_join,
    combined,
    folded,
)
from tfsaver.checkpoint.names.name_map_file import format_toml, read_name_map_file
from tfsaver.checkpoint.names.name_steps import (
    AddConstant,
    Applied,
    Concat,
    Counted,
    Fixed,
    Infos,
    RenameByDict,
    RenameByFunction,
    RenameByRules,
    Renamed,
    RenameScope,
    Rule,
    Stack,
    Step,
    Targets,
    together,
)
from tfsaver.checkpoint.names.recurrent_cells import RecurrentCells
from tfsaver.checkpoint.names.rename_tables import TABLES
from tfsaver.checkpoint.recipes import Constant, Recipe
from tfsaver.errors import InvalidArgumentError, nearest_names, raise_problems
from tfsaver.framework import dtypes
from tfsaver.lib.cached_property import cached_property

__all__ = [
    "AddConstant",
    "Applied",
    "Concat",
    "Infos",
    "NameMap",
    "NameMapLike",
    "NewNames",
    "RecurrentCells",
    "Renamed",
    "Rule",
    "Spec",
    "Stack",
    "Step",
    "add_scope",
    "as_name_map",
    "strip_scope",
]

_FILE_ENDINGS = (".toml", ".json")
# Tensors that a step sees: those of the checkpoint by their names, and those that steps have added.
_Origin: TypeAlias = "str | Fixed"


class Made(NamedTuple):
    """A tensor of the result.

    Attributes:
        name: Its name.
        parts: What it is made of: names of the checkpoint's tensors, or constants, and the changes of each.
    """

    name: str
    parts: tuple[tuple[_Origin, Changes], ...]

    @property
    def is_changed(self) -> bool:
        """Whether it is more than a tensor of the checkpoint under another name."""
        return any(changes or isinstance(origin, Fixed) for origin, changes in self.parts)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors of the checkpoint that it is made of, in their order."""
        return tuple(dict.fromkeys(origin for origin, _ in self.parts if isinstance(origin, str)))

    def recipe(self, of: Callable[[str], Recipe]) -> Recipe:
        """How it is made.

        Args:
            of: Gives the checkpoint's tensor of a name.

        Raises:
            InvalidArgumentError: The changes do not fit the tensors.
        """
        return combined([
            (Constant(origin.value, origin.dtype) if isinstance(origin, Fixed) else of(origin), changes)
            for origin, changes in self.parts
        ])

    @property
    def changes(self) -> tuple[str, ...]:
        """What is done besides renaming, for people."""
        return tuple(str(change) for change in self.parts[-1][1])

    def __str__(self) -> str:
        return " ".join([self.name, *([", ".join(self.changes)] if self.changes else [])])


class NewNames(Mapping[str, Targets]):
    """What each name becomes; the empty tuple for a tensor that is left out.

    Args:
        names: All names, each once.
        changed: What those become that do not stay as they are.
        added: What constants become.
        counts: How much each part of the mapping has matched.
        named: The names that the mapping speaks of one by one.
        notes: What matched nothing where that was allowed, in sentences.

    Attributes:
        changed: See above, as for `added`, `counts` and `named`.
        reasons: Why tensors are left out that the mapping does not speak of, by name.
        own_notes: See `notes`.
    """

    def __init__(
        self,
        names: Sequence[str],
        changed: dict[str, Targets],
        added: Mapping[Fixed, Targets] | None = None,
        counts: Sequence[Counted] = (),
        named: frozenset[str] = frozenset(),
        notes: Sequence[str] = (),
    ) -> None:
        self._names = names
        self.changed = changed
        self.added = dict(added or {})
        self.counts = tuple(counts)
        self.named = named
        self.reasons: dict[str, str] = {}
        self.own_notes = tuple(notes)

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

    @property
    def is_renaming(self) -> bool:
        """Whether nothing is changed but names."""
        every = itertools.chain(self.changed.values(), self.added.values())
        return not self.added and not any(target.changes for targets in every for target in targets)

    def made(self) -> dict[str, Made]:
        """The tensors of the result that do not keep their names or are changed, by name."""
        parts: dict[str, list[tuple[_Origin, Changes]]] = {}
        origins: Iterable[tuple[_Origin, Targets]] = itertools.chain(self.changed.items(), self.added.items())
        for origin, targets in origins:
            for target in targets:
                parts.setdefault(target.name, []).append((origin, target.changes))
        return {name: Made(name, tuple(sorted(items, key=_place))) for name, items in parts.items()}

    def collisions(self) -> list[str]:
        """What several tensors would be called, in sentences."""
        return _collisions(self._names, self.changed, self.added)

    def left_out(self) -> dict[str, str]:
        """The tensors that are left out, and why."""
        return {name: self.reasons.get(name, "") for name, targets in self.changed.items() if not targets}

    def renamed(self) -> dict[str, tuple[str, ...]]:
        """What was renamed or changed, for people: the new names by the old one, or by all inputs of a tensor."""
        found: dict[str, tuple[str, ...]] = {}
        for made in self.made().values():
            if made.is_changed or made.inputs != (made.name,):
                old = ", ".join(made.inputs) or "(constant)"
                found[old] = (*found.get(old, ()), str(made))
        return found

    def notes(self) -> tuple[str, ...]:
        """What a report says of what matched, in sentences."""
        said = list(self.own_notes)
        for each in self.counts:
            counted = f"{each.what}: {each.num_matched:,} of {each.num_names:,} names"
            if each.unknown and each.num_matched:
                counted += f"; not recognized: {', '.join(each.unknown)}"
            said.append(counted)
        return tuple(said)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._names)


class NameMap:
    """Steps of renaming, one after the other.

    Args:
        steps: The steps; none for a mapping that leaves all names as they are.
        allow_unmatched: Whether it is right that a rule, a table or a name of a dict matches nothing.
    """

    def __init__(self, steps: Iterable[Step] = (), *, allow_unmatched: bool = False) -> None:
        self.steps = tuple(steps)
        self.allow_unmatched = allow_unmatched

    def apply(
        self, names: Iterable[str] | Mapping[str, Spec] | Infos, *, problems: list[str] | None = None
    ) -> NewNames:
        """What each name becomes; only names that change take memory.

        Args:
            names: All names of the checkpoint; or their dtypes and shapes by name, which `when` needs.
            problems: A list to which what is wrong is added, in sentences, instead of an error; names that collide are then
                in the result all the same.

        Raises:
            InvalidArgumentError: Tensors would get one name, something matches nothing, or a change needs to know shapes;
                says all.
        """
        infos = _as_infos(names)
        state = _State(infos)
        for step in self.steps:
            state.take(step)
        found = [*state.problems, *(() if self.allow_unmatched else state.unmatched)]
        found += _collisions(infos.names, state.changed, state.added)
        if problems is None:
            raise_problems("the mapping does not fit the names", found, HOW_TO_ALLOW if state.unmatched else "")
        else:
            problems += found
        notes = state.unmatched if self.allow_unmatched else []
        return NewNames(infos.names, state.changed, state.added, state.counts, frozenset(state.named), notes)

    def inverse(self, names: Iterable[str] | Mapping[str, Spec] | Infos) -> NameMap:
        """The way back to these names: of copies of one tensor the first, tensors that were left out do not come back.

        Args:
            names: All names of the checkpoint; or their dtypes and shapes by name, which changes of shape need.

        Raises:
            InvalidArgumentError: See `apply`; or something has no inverse, says what.
        """
        infos = _as_infos(names)
        self.apply(infos)
        state = _State(infos)
        back: list[Step] = []
        for step in self.steps:
            back.append(_Inverse(state.infos(), step))
            state.take(step)
        return NameMap(reversed(back))

    def to_toml(self, names: Iterable[str] | Mapping[str, Spec] | Infos) -> str:
        """A file, as text, that does with these names what this mapping does; to look at and to edit.

        Args:
            names: All names of the checkpoint.

        Raises:
            InvalidArgumentError: See `apply`; or a name is no Unicode text, or a file cannot say what is done.
        """
        applied = self.apply(names)
        single: dict[str, Targets] = {}
        joined: list[tuple[str, tuple[tuple[_Origin, Changes], ...]]] = []
        for made in applied.made().values():
            if around_join(made.parts[0][1]) is not None or isinstance(made.parts[0][0], Fixed):
                joined.append((made.name, made.parts))
        for name, targets in applied.changed.items():
            alone = tuple(target for target in targets if around_join(target.changes) is None)
            if alone or not targets:
                single[name] = alone
        return format_toml(single, joined)


HOW_TO_ALLOW = "allow_unmatched=True (--allow-unmatched) permits what matches nothing"


class _State:
    """What the steps so far have made of the tensors."""

    def __init__(self, infos: Infos) -> None:
        self._base = infos
        self._names: Sequence[str] | None = infos.names
        self._made: dict[str, Made] | None = None
        self.changed: dict[str, Targets] = {}
        self.added: dict[Fixed, Targets] = {}
        self.problems: list[str] = []
        self.unmatched: list[str] = []
        self.counts: list[Counted] = []
        self.named: set[str] = set()

    def infos(self) -> Infos:
        """What the next step sees."""
        if not self.changed and not self.added:
            return self._base
        names: dict[str, None] = {}
        for name in self._base.names:
            if (targets := self.changed.get(name)) is None:
                names[name] = None
            else:
                names.update((target.name, None) for target in targets)
        names.update((target.name, None) for targets in self.added.values() for target in targets)
        made: dict[str, Made] = {}

        def spec_of(name: str) -> Spec:
            if not made:
                made.update(NewNames(self._base.names, self.changed, self.added).made())
            if name not in made:
                return self._base[name]
            recipe = made[name].recipe(lambda old: Known(self._base[old]))
            return Spec(recipe.dtype, recipe.shape)

        return Infos(list(names), spec_of)

    def take(self, step: Step) -> None:
        """Takes a step."""
        applied = step.apply(self.infos())
        self.problems += applied.problems
        self.unmatched += applied.unmatched
        self.counts += applied.counts
        if not self.changed and not self.added:
            self.named |= applied.named
            self.changed = {
                name: tuple(targets)
                for name, targets in applied.changed.items()
                if not (len(targets) == 1 and targets[0] == Renamed(name))
            }
        else:
            # The names that people gave are those of the last step.
            self.named |= {
                name
                for name, targets in self.changed.items()
                if any(target.name in applied.named for target in targets)
            }
            self.named |= {name for name in applied.named if name not in self.changed}
            touched = applied.changed.keys() | self.changed.keys()
            self.changed = {
                name: followed
                for name in filter(touched.__contains__, self._base.names)
                if (followed := _follow(self.changed.get(name, (Renamed(name),)), applied.changed, self.problems))
                != (Renamed(name),)
            }
            self.added = {fixed: _follow(targets, applied.changed, self.problems) for fixed, targets in self.added.items()}
        self.added.update((fixed, (Renamed(fixed.name),)) for fixed in applied.added)


NameMapLike: TypeAlias = "NameMap | Mapping[str, Any] | Callable[[str], Any] | str | os.PathLike[str] | Sequence[Any] | None"


def as_name_map(mapping: NameMapLike, *, allow_unmatched: bool = False) -> NameMap:
    """A mapping of names out of what a caller may give for one; the module says what that is.

    Args:
        mapping: What the caller gave.
        allow_unmatched: Whether it is right that a rule, a table or a name of a dict matches nothing.

    Raises:
        InvalidArgumentError: It is no mapping, names no table, or has malformed rules; says all.
        FileNotFoundError: There is no such file.
    """
    made = _as_name_map(mapping)
    return NameMap(made.steps, allow_unmatched=True) if allow_unmatched and not made.allow_unmatched else made


def _as_name_map(mapping: NameMapLike) -> NameMap:
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
    if isinstance(mapping, Step):
        return NameMap([mapping])
    if callable(mapping):
        return NameMap([RenameByFunction(mapping)])
    if isinstance(mapping, Sequence) and not isinstance(mapping, (bytes, bytearray)):
        return _of_several(mapping)
    kinds = "a dict, a list of rules, the name of a table, a path of a file, a function or a step"
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
        steps: list[Step] = [*map(_table, file.tables), *([RenameByRules(file.rules)] if file.rules else ())]
        steps = [_NamesFirst(file.names, steps)] if file.names else steps
        return NameMap([*steps, *([_Together(file.joins)] if file.joins else ())], allow_unmatched=file.allow_unmatched)
    except InvalidArgumentError as error:
        error.add_context(text)
        raise


def _table(name: str) -> Step:
    if name in TABLES:
        return TABLES[name].step
    near = nearest_names(name, TABLES)
    hint = f"; did you mean {', '.join(map(repr, near))}?" if near else f"; there are {', '.join(TABLES)}"
    raise InvalidArgumentError(f"no table of names {name!r}{hint} (a file ends in .toml or .json)")


def _of_several(mappings: Sequence[Any]) -> NameMap:
    """Several mappings; rules that stand side by side are one step."""
    steps: list[Step] = []
    allow_unmatched = False
    rules: list[Any] = []
    for item in [*mappings, None]:
        if isinstance(item, tuple) and not isinstance(item, Renamed):
            rules.append(item)
            continue
        if rules:
            steps.append(RenameByRules(rules))
            rules = []
        made = _as_name_map(item)
        steps += made.steps
        allow_unmatched |= made.allow_unmatched
    return NameMap(steps, allow_unmatched=allow_unmatched)


class _Together:
    """Steps that all see the same tensors."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)

    def apply(self, infos: Infos) -> Applied:
        """See `Step`."""
        return together(step.apply(infos) for step in self._steps)


class _NamesFirst:
    """Names of which a dict speaks are done; the others take the steps."""

    def __init__(self, names: Mapping[str, object], steps: Sequence[Step]) -> None:
        self._names = RenameByDict(names)
        self._steps = tuple(steps)

    def apply(self, infos: Infos) -> Applied:
        """See `Step`."""
        done = self._names.apply(infos)
        rest = _State(infos.of_names([name for name in infos.names if name not in done.changed]))
        for step in self._steps:
            rest.take(step)
        return Applied(
            {**rest.changed, **done.changed},
            done.added,
            (*done.problems, *rest.problems),
            (*done.unmatched, *rest.unmatched),
            (*done.counts, *rest.counts),
            done.named,
        )


class _Inverse:
    """What undoes a step.

    Args:
        infos: What the step saw.
        step: The step.

    Raises:
        InvalidArgumentError: Something that the step does has no inverse.
    """

    def __init__(self, infos: Infos, step: Step) -> None:
        applied = step.apply(infos)
        back: dict[str, list[Renamed]] = {fixed.name: [] for fixed in applied.added}
        problems: list[str] = []
        for old, targets in applied.changed.items():
            alone = tuple(target for target in targets if around_join(target.changes) is None)
            try:
                self._add(infos, old, alone, back)
            except InvalidArgumentError as error:
                problems.append(f"{old!r}: {error}")
        there = {target.name for targets in back.values() for target in targets}
        changed = {name: tuple(targets) for name, targets in applied.changed.items()}
        for made in NewNames(infos.names, changed).made().values():
            if around_join(made.parts[0][1]) is not None:
                try:
                    back[made.name] = [target for target in _parted(infos, made) if target.name not in there]
                except InvalidArgumentError as error:
                    problems.append(f"{', '.join(made.inputs)}: {error}")
        raise_problems("the mapping has no inverse", problems)
        self._back = {name: tuple(targets) for name, targets in back.items()}

    def _add(self, infos: Infos, old: str, targets: Targets, back: dict[str, list[Renamed]]) -> None:
        if not targets:
            return
        kept = [target for target in targets if not target.changes]
        if kept:
            # The others are copies, or made of it.
            for target in targets:
                back.setdefault(target.name, [])
            back[kept[0].name].append(Renamed(old))
            return
        first = targets[0]
        same = [target for target in targets if target.changes == first.changes]
        found = next(((index, each) for index, each in enumerate(first.changes) if isinstance(each, Part)), None)
        if found is None or len(same) > 1:
            back.setdefault(first.name, []).append(Renamed.of(old, _undone(infos, old, first.changes)))
            for target in targets[1:]:
                back.setdefault(target.name, [])
            return
        where, part = found
        before = first.changes[:where]
        parts: dict[int, Renamed] = {}
        for target in targets:
            change = target.changes[where] if where < len(target.changes) else None
            is_one = isinstance(change, Part) and dataclasses.replace(change, index=part.index) == part
            if isinstance(change, Part) and is_one and target.changes[:where] == before:
                parts.setdefault(change.index, target)
        if len(parts) < part.count:
            raise InvalidArgumentError(f"{part} has no inverse: not all of the parts are kept")
        inputs = tuple(parts[index].name for index in range(part.count))
        for target in targets:
            back.setdefault(target.name, [])
        for index, target in parts.items():
            undone = _undone(infos, old, target.changes, begin=where + 1)
            join = Joined("concat", part.axis, index, inputs, old)
            back[target.name].append(Renamed.of(old, (*undone, join, *_undone(infos, old, before))))

    def apply(self, infos: Infos) -> Applied:
        """See `Step`."""
        return Applied({name: self._back[name] for name in infos.names if name in self._back})


def _parted(infos: Infos, made: Made) -> list[Renamed]:
    """The inputs of a tensor that several became, each as a part of it."""
    found: dict[str, Renamed] = {}
    own = [
        (old, Known(infos[old]), around)
        for old, changes in made.parts
        if isinstance(old, str) and (around := around_join(changes)) is not None
    ]
    join, after = own[0][2].join, own[0][2].after
    whole = combined([(of, (*around.before, around.join)) for _, of, around in own])
    undone = _undone_of(whole, after)
    sizes = tuple(join.recipe(folded(of, around.before)).shape[join.axis] for _, of, around in own)
    for old, of, around in own:
        back: list[Change] = [*undone, Part(join.axis, sizes, around.join.index)]
        if join.kind == "stack":
            back.append(Squeeze((join.axis,)))
        found.setdefault(old, Renamed.of(old, (*back, *_undone_of(of, around.before))))
    return list(found.values())


def _undone(infos: Infos, old: str, changes: Changes, *, begin: int = 0) -> Changes:
    """What undoes the changes of a tensor, from one of them on."""
    if not any(not isinstance(change, Transpose) for change in changes[begin:]):
        return _undone_of(None, changes[begin:])
    return _undone_of(folded(Known(infos[old]), changes[:begin]), changes[begin:])


def _undone_of(of: Recipe | None, changes: Changes) -> Changes:
    """What undoes the changes of a tensor; None for one of which nothing is known."""
    undone: list[Change] = []
    for change in changes:
        spec = Spec(of.dtype, of.shape) if of is not None else Spec(dtypes.STRING, ())
        undone[:0] = change.inverse(spec)
        of = None if of is None else change.recipe(of)
    return tuple(undone)


def _as_infos(names: Iterable[str] | Mapping[str, Spec] | Infos) -> Infos:
    if isinstance(names, Infos):
        return Infos(_unique(names.names), names.spec_of)
    if isinstance(names, Mapping):
        specs = names

        def spec_of(name: str) -> Spec:
            found = specs[name]
            return Spec(found.dtype, tuple(found.shape))

        return Infos(_unique(names), spec_of)
    return Infos(_unique(names))


def _unique(names: Iterable[str]) -> list[str]:
    """The names, each once."""
    every = list(names)
    # Sorted, as they are in a checkpoint, they need no dict, which would take longer than the renaming.
    is_sorted = all(map(operator.lt, every, itertools.islice(every, 1, None)))
    return every if is_sorted else list(dict.fromkeys(every))


def _follow(targets: Targets, changed: Mapping[str, Sequence[Renamed]], problems: list[str]) -> Targets:
    followed: list[Renamed] = []
    for target in targets:
        for after in changed.get(target.name, (Renamed(target.name),)):
            try:
                followed.append(target.then(after))
            except InvalidArgumentError as error:
                problems.append(str(error))
    return tuple(followed)


def _place(part: tuple[_Origin, Changes]) -> tuple[int, ...]:
    """By which the inputs of one tensor are in their order."""
    return tuple(change.index for change in reversed(part[1]) if isinstance(change, Joined))


def _collisions(names: Iterable[str], changed: Mapping[str, Targets], added: Mapping[Fixed, Targets]) -> list[str]:
    """What is wrong with the new names: of several tensors, twice of one, or empty."""
    # Names that stay as they are can only collide with one of these.
    new_names = {"", *(target.name for targets in changed.values() for target in targets)}
    new_names.update(target.name for targets in added.values() for target in targets)
    olds: dict[str, list[str]] = {}
    joins: set[tuple[str, object, Changes]] = set()

    def note(old: str, targets: Targets) -> None:
        for target in targets:
            if (around := around_join(target.changes)) is not None:
                # The inputs of one tensor do not collide.
                key = (target.name, around.join.result, around.after)
                if key in joins:
                    continue
                joins.add(key)
            olds.setdefault(target.name, []).append(old)

    for name in filter((new_names | changed.keys()).__contains__, names):
        note(name, changed.get(name, (Renamed(name),)))
    for fixed, targets in added.items():
        note(f"(constant {fixed.name})", targets)
    found = [f"{' and '.join(map(repr, olds[''][:3]))}: the new name is empty"] if "" in olds else []
    return found + [
        f"{', '.join(map(repr, names[:-1]))} and {names[-1]!r} {'both' if len(names) == 2 else 'all'} become {new!r}"
        for new, names in olds.items()
        if len(names) > 1 and new
    ]
