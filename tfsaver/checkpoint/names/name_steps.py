"""The steps that a `NameMap` is made of: what tensors become, each for itself or several together.

    dict        {"w/weights": "w/kernel"}         whole names; one that names nothing is a problem
    rules       ("weights$", "kernel")            like sed: each rule replaces in what the rules before it left
    function    str.lower                         a name, the new one
    scope       model/w  <->  w                   the words in front
    table       all names at once                 for renames that depend on which names there are
    Concat      ["q", "k", "v"] -> "qkv"          several tensors become one; so do those of Stack
    AddConstant "step"                            a tensor that is not there yet

A step sees the names, dtypes and shapes that the steps before it left (`Infos`). It may change tensors besides renaming
them, see `changes`.

In a checkpoint that was written from objects, a name is a path and an attribute (``net/w/.ATTRIBUTES/VARIABLE_VALUE``).
Rules, functions and scopes see the path alone, and the attribute stays behind it, so that ``/w$`` means the same everywhere.
A dict may name either: the path, then the new name is a path too, or the whole, then the new name is taken as it stands.
The tensor that describes the objects is none of the variables; only a dict that names it, or a table, speaks of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from tfsaver.checkpoint.names.changes import (
    WORDS,
    Change,
    Changes,
    Joined,
    Known,
    Part,
    Spec,
    Transpose,
    When,
    as_axes,
    as_changes,
    as_sizes,
    as_when,
    filled_array,
    folded,
)
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS
from tfsaver.checkpoint.tensor_source import Array
from tfsaver.errors import InvalidArgumentError, nearest_names, raise_problems
from tfsaver.framework import dtypes, tensor_util
from tfsaver.framework.dtypes import DType

_ATTRIBUTES = "/.ATTRIBUTES/"

_Search: TypeAlias = "Callable[[str], re.Match[str] | None]"

# Stands for the name that a tensor has already: no tensor is called so.
SAME_NAME = "\0"
_DIGITS = re.compile(r"(\d+)")
# Comparing two names costs microseconds; beyond so many pairs of them, a hint is not worth the wait.
_MAX_COMPARISONS = 50_000
# What a dict's entry says besides changes.
_ENTRY_WORDS = ("to", "name", "when", "axis", "split")
_JOIN_WORDS = ("concat", "stack", "constant")


class _Renamed(NamedTuple):
    name: str
    changes: Changes = ()
    when: When | None = None


class Renamed(_Renamed):
    """What a tensor becomes.

    Args:
        name: Its new name.
        transpose: At most one: the order that its axes are brought into, as in `numpy.transpose`; None leaves them.
        when: For which tensors this is meant; see `changes.as_when`.
        changes: What is done to it, in this order: ``reshape=[8, -1], transpose=True, cast="float16"``; see `changes`.

    Attributes:
        name: Its new name.
        changes: What is done to it besides.
        when: For which tensors this is meant; None for all.

    Raises:
        InvalidArgumentError: A change makes no sense.
    """

    __slots__ = ()

    def __new__(cls, name: str, *transpose: Any, when: Any = None, **changes: Any) -> Renamed:
        if not transpose and when is None and not changes:
            return _Renamed.__new__(cls, name)
        axis = changes.pop("axis", None)
        return _Renamed.__new__(cls, name, as_changes({**_transposed(transpose), **changes}, axis), as_when(when))

    @classmethod
    def of(cls, name: str, changes: Changes, when: When | None = None) -> Renamed:
        """The same of changes that are known already."""
        return _Renamed.__new__(cls, name, changes, when)

    def then(self, after: Renamed) -> Renamed:
        """The same as renaming to this, and from this on.

        Raises:
            InvalidArgumentError: The tensor is transposed twice, as if it had other numbers of axes.
        """
        if not after.changes:
            return Renamed.of(after.name, self.changes)
        changes, rest = self.changes, after.changes
        if changes and isinstance(last := changes[-1], Transpose) and isinstance(first := rest[0], Transpose):
            if len(last.axes) != len(first.axes):
                both = f"{len(last.axes)} axes, and then as if it had {len(first.axes)}"
                raise InvalidArgumentError(f"{after.name!r}: transposed as if it had {both}")
            axes = as_axes([last.axes[axis] for axis in first.axes])
            changes, rest = (*changes[:-1], *(() if axes is None else (Transpose(axes),))), rest[1:]
        return Renamed.of(after.name, (*changes, *rest))

    def __repr__(self) -> str:
        """As it is written in a mapping."""
        options = {"name": self.name, **self._options()}
        texts = (f"{word}={tuple(value) if isinstance(value, list) else value!r}" for word, value in options.items())
        return f"Renamed({', '.join(texts)})"

    def to_json(self) -> dict[str, Any]:
        """Returns the entry of a JSON file that says the same."""
        return {"to": self.name, **self._options()}

    def _options(self) -> dict[str, Any]:
        options = {word: value for change in self.changes for word, value in change.options().items()}
        return options if self.when is None else {**options, "when": self.when.value()}

    def __str__(self) -> str:
        return " ".join([self.name, *([", ".join(map(str, self.changes))] if self.changes else [])])


class Infos(Mapping[str, Spec]):
    """The names that a step sees, in order, and what the tensors are.

    Args:
        names: The names, each once.
        spec_of: A tensor's dtype and shape; None where nobody knows more than names.
    """

    def __init__(self, names: Sequence[str], spec_of: Callable[[str], Spec] | None = None) -> None:
        self.names = names
        self.spec_of = spec_of

    def __getitem__(self, name: str) -> Spec:
        if self.spec_of is None:
            raise InvalidArgumentError(f"what {name!r} becomes depends on its shape, and only names were given")
        return self.spec_of(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def of_names(self, names: Sequence[str]) -> Infos:
        """The same of some of the names."""
        return Infos(names, self.spec_of)


class Fixed:
    """A tensor that a mapping adds.

    Args:
        name: Its name.
        value: The array.
        dtype: The type under which it is stored.
    """

    def __init__(self, name: str, value: Array, dtype: DType) -> None:
        self.name = name
        self.value = value
        self.dtype = dtype

    def __repr__(self) -> str:
        return f"the constant {self.name!r}"


class Counted(NamedTuple):
    """How many tensors something in a mapping spoke of.

    Attributes:
        what: A rule, a table, a dict.
        num_matched: How many names it matched.
        num_names: How many names there were.
        unknown: The names that a table did not recognize.
    """

    what: str
    num_matched: int
    num_names: int
    unknown: tuple[str, ...] = ()


class Applied(NamedTuple):
    """What a step makes of tensors.

    Attributes:
        changed: What each name becomes: one target, several, or none; a name that is not among these stays as it is.
        added: Tensors that are new.
        problems: What is wrong, in sentences.
        unmatched: What matched nothing, in sentences.
        counts: What matched how much.
        named: The names that were spoken of one by one.
    """

    changed: Mapping[str, Sequence[Renamed]]
    added: tuple[Fixed, ...] = ()
    problems: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    counts: tuple[Counted, ...] = ()
    named: frozenset[str] = frozenset()


@runtime_checkable
class Step(Protocol):
    """One step of a mapping. Any object with this method may stand in one."""

    def apply(self, infos: Infos) -> Applied:
        """What the tensors become."""


Targets: TypeAlias = "tuple[Renamed, ...]"


def as_targets(value: object) -> Targets:
    """What stands for the new name of a tensor.

    Args:
        value: A name; `Renamed`; a dict as in ``{"to": "x", "reshape": [8, -1]}`` or ``{"split": ["q", "k"], "axis": 1}``; a
            list of these; None or False to leave the tensor out. A dict without ``to`` has the name `SAME_NAME`.

    Raises:
        InvalidArgumentError: It is something else.
    """
    if value is None or value is False:
        return ()
    if isinstance(value, Renamed):
        return (value,)
    if isinstance(value, str):
        return (Renamed(value),)
    if isinstance(value, Mapping):
        return _targets_of_entry(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        items: list[Renamed] = []
        for item in value:
            if not isinstance(item, (str, Renamed, Mapping)):
                break
            items += as_targets(item)
        else:
            if all(isinstance(item.name, str) for item in items):
                return tuple(items)
    raise InvalidArgumentError(
        f"a new name is a str, Renamed, a dict with to, a list of these, or None to leave the tensor out: {value!r}"
    )


def _targets_of_entry(entry: Mapping[str, Any]) -> Targets:
    unknown = [word for word in entry if word not in (*_ENTRY_WORDS, *WORDS)]
    if unknown:
        near = nearest_names(str(unknown[0]), [*_ENTRY_WORDS, *WORDS])
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join((*_ENTRY_WORDS, *WORDS))}"
        raise InvalidArgumentError(f"unknown key {unknown[0]!r}; {hint}")
    to = entry.get("to", entry.get("name"))
    when, axis = as_when(entry.get("when")), entry.get("axis")
    if axis is not None and type(axis) is not int:
        raise InvalidArgumentError(f"axis is {axis!r}, must be an integer")
    changes = [(word, value) for word, value in entry.items() if word in WORDS]
    if "split" not in entry:
        if axis is not None and not any(word in ("pad", "crop") for word, _ in changes):
            raise InvalidArgumentError("axis is for split, pad and crop")
        names = [to] if isinstance(to, str) or to is None else to
        if not isinstance(names, Sequence) or not all(isinstance(name, (str, type(None))) for name in names):
            raise InvalidArgumentError(f"to is {to!r}, must be a name, or a list of names")
        made = as_changes(dict(changes), axis)
        return tuple(Renamed.of(SAME_NAME if name is None else name, made, when) for name in names)
    names, sizes, axis = _parts(entry["split"], to, axis or 0)
    words = list(entry)
    before = as_changes({word: value for word, value in changes if words.index(word) < words.index("split")})
    after = as_changes({word: value for word, value in changes if words.index(word) > words.index("split")})
    return tuple(
        Renamed.of(name, (*before, Part(axis, sizes, index), *after), when) for index, name in enumerate(names)
    )


def _parts(split: Any, to: Any, axis: int) -> tuple[list[str], tuple[int, ...] | int, int]:
    """The names of the parts, their sizes, and the axis."""
    if isinstance(split, Mapping) and to is None:
        names = list(split)
        extents = list(split.values())
        if all(isinstance(each, Sequence) and not isinstance(each, str) and len(each) == 2 for each in extents):
            starts = [0, *(stop for _, stop in extents[:-1])]
            if [start for start, _ in extents] != starts:
                raise InvalidArgumentError(f"split is {split!r}: the parts must follow each other, beginning at 0")
            extents = [stop - start for start, stop in extents]
        sizes = as_sizes(extents)
    elif type(split) is int and to is not None:
        raise InvalidArgumentError(f"split is {split!r}, must be the names of the parts; the axis is axis = {split}")
    elif to is not None:
        names, sizes = list(to), as_sizes(split)
    elif isinstance(split, Sequence) and not isinstance(split, str):
        names, sizes = list(split), len(split)
    else:
        names, sizes = [], 0
    count = sizes if isinstance(sizes, int) else len(sizes)
    if not names or len(names) != count or not all(isinstance(name, str) and name for name in names):
        raise InvalidArgumentError(f"split is {split!r}, must be names, or names with sizes, as in {{q = 64, k = 64}}")
    return names, sizes, axis


class RenameByDict:
    """Whole names.

    Args:
        names: The new name, or names, of each old one; None or False leaves it out. An entry whose value has ``concat``,
            ``stack`` or ``constant`` has the new name for its key: ``{"qkv": {"concat": ["q", "k", "v"], "axis": -1}}``.

    Raises:
        InvalidArgumentError: Some of it is no name; says all.
    """

    def __init__(self, names: Mapping[str, object]) -> None:
        self._targets: dict[str, Targets] = {}
        self._joins: list[Concat | AddConstant] = []
        problems = []
        for name, value in names.items():
            try:
                if isinstance(value, Mapping) and any(word in value for word in _JOIN_WORDS):
                    self._joins.append(join_of_entry(name, value))
                    continue
                self._targets[name] = as_targets(value)
                if not isinstance(name, str):
                    raise InvalidArgumentError("an old name is a str")
            except InvalidArgumentError as error:
                problems.append(f"{name!r}: {error}")
        raise_problems("names", problems)

    def apply(self, infos: Infos) -> Applied:
        """See `Step`."""
        found: dict[str, Targets] = {}
        used = set()
        problems: list[str] = []
        for name in infos.names:
            path, attribute = split_attribute(name)
            key = name if name in self._targets else path
            if key not in self._targets:
                continue
            used.add(key)
            end = "" if key == name else attribute
            try:
                targets = _chosen(self._targets[key], infos, name)
            except InvalidArgumentError as error:
                problems.append(f"{name!r}: {error}")
                continue
            if targets is not None:
                found[name] = tuple(Renamed.of(_named(target, key) + end, target.changes) for target in targets)
        missing = [key for key in self._targets if key not in used]
        joined = together([join.apply(infos) for join in self._joins])
        for name, parts in joined.changed.items():
            found[name] = (*found.get(name, ()), *parts)
        return Applied(
            found,
            joined.added,
            (*problems, *joined.problems),
            (*_names_nothing(missing, infos.names), *joined.unmatched),
            (Counted("names", len(found), len(infos)), *joined.counts) if self._targets else joined.counts,
            frozenset(found),
        )


class _Rule(NamedTuple):
    pattern: str | re.Pattern[str]
    replacement: str | None
    options: Mapping[str, Any]


class Rule(_Rule):
    """A regular expression, and what to put in the place of each occurrence of it.

    Args:
        pattern: Searched for anywhere in a name, as by `re.sub`.
        replacement: May refer to groups, as in ``\\1``; None leaves out the tensors in whose names the pattern occurs. With
            ``split=[...]`` it is not used: the names of the parts are replacements.
        transpose: At most one: the order that the axes of these tensors are brought into; True turns a matrix.
        when: For which tensors the rule is meant: a number of axes, ``{"rank": 4, "dtype": "float32"}``.
        options: What is done to them, in this order: ``reshape=[8, -1], transpose=True``; see `changes`.

    Attributes:
        pattern: See above.
        replacement: See above.
        options: The changes, the transpose and the condition among them, as they were given.
    """

    __slots__ = ()

    def __new__(
        cls,
        pattern: str | re.Pattern[str],
        replacement: Any,
        *transpose: bool | Sequence[int] | Mapping[str, Any] | None,
        when: Any = None,
        **options: Any,
    ) -> Rule:
        if isinstance(replacement, Mapping):
            given = dict(replacement)
            options = {**given, **options}
            replacement = options.pop("to", options.pop("name", r"\g<0>"))
        options = {**_transposed(transpose), **options}
        if when is not None:
            options["when"] = when
        return _Rule.__new__(cls, pattern, replacement, options)


class RenameByRules:
    """Rules, one after the other.

    Raises:
        InvalidArgumentError: Patterns, replacements or changes are malformed; says all.
    """

    def __init__(self, rules: Iterable[Rule | tuple[Any, ...]]) -> None:
        # The search stands beside its pattern, since nearly every name is only searched.
        self._rules: list[tuple[_Search, re.Pattern[str], Targets, When | None]] = []
        problems = []
        for number, item in enumerate(rules, 1):
            try:
                rule = item if isinstance(item, Rule) else Rule(*item)
                pattern = re.compile(rule.pattern)
                options = dict(rule.options)
                when = as_when(options.pop("when", None))
                targets: Targets = ()
                if "split" in options:
                    targets = as_targets(options)
                elif rule.replacement is not None:
                    targets = as_targets({"to": rule.replacement, **options})
                for target in targets:
                    pattern.sub(target.name, "")
                self._rules.append((pattern.search, pattern, targets, when))
            except (re.error, IndexError, TypeError, OverflowError, RecursionError, InvalidArgumentError) as error:
                problems.append(f"rule {number}, {_rule_text(item)}: {error}")
        raise_problems("rules", problems)

    def apply(self, infos: Infos) -> Applied:
        """See `Step`."""
        counts = [0] * len(self._rules)
        problems: list[str] = []
        spoken_of = self._spoken_of(infos.names)
        found = _of_paths(spoken_of, lambda path, name: self._targets(path, name, infos, counts), problems)
        whats = [f"rule {pattern.pattern!r}" for _, pattern, *_ in self._rules]
        unmatched = [
            f"{what} occurs in none of {len(infos):,} names{_near_hint(pattern.pattern, infos.names, number)}"
            for number, (what, count, (_, pattern, _, _)) in enumerate(zip(whats, counts, self._rules, strict=True))
            if not count and infos.names
        ]
        counted = [Counted(what, count, len(infos)) for what, count in zip(whats, counts, strict=True)]
        return Applied(found, (), tuple(problems), tuple(unmatched), tuple(counted))

    def _spoken_of(self, names: Iterable[str]) -> list[str]:
        """The names in whose paths a rule occurs. The others stay as they are, and these are nearly all."""
        searches = [search for search, *_ in self._rules]
        found = []
        for name in names:
            path = name.partition(_ATTRIBUTES)[0]
            for search in searches:
                if search(path) is not None:
                    found.append(name)
                    break
        return found

    def _targets(self, path: str, name: str, infos: Infos, counts: list[int]) -> Targets | None:
        result: Targets | None = None
        for number, (search, pattern, targets, when) in enumerate(self._rules):
            left: list[Renamed] = []
            is_meant = False
            for each in result or (Renamed(path),):
                if not search(each.name):
                    left.append(each)
                    continue
                counts[number] += 1
                if when is not None and not when.holds(_spec_after(infos[name], each.changes)):
                    left.append(each)
                    continue
                is_meant = True
                left += (each.then(Renamed.of(pattern.sub(to.name, each.name), to.changes)) for to in targets)
            if is_meant:
                result = tuple(left)
                if not result:
                    return ()
        return result


class RenameByFunction:
    """A function from a name to what stands for the new one, see `as_targets`."""

    def __init__(self, function: Callable[[str], object]) -> None:
        self._function = function

    def apply(self, infos: Infos) -> Applied:
        """See `Step`."""
        problems: list[str] = []
        return Applied(
            _of_paths(infos.names, lambda path, name: self._targets(path, name, infos), problems), (), tuple(problems)
        )

    def _targets(self, path: str, name: str, infos: Infos) -> Targets | None:
        value = self._function(path)
        if type(value) is str and value == path:
            return None
        targets = _chosen(as_targets(value), infos, name)
        return targets and tuple(target._replace(name=_named(target, path)) for target in targets)


class RenameTogether:
    """A function from all names to the new ones of some; what it does not mention stays.

    Args:
        function: Called with all names. A name that it gives back as it is counts as recognized.
        what: What to call it where it matches nothing; None where that is right.
    """

    def __init__(self, function: Callable[[Sequence[str]], Mapping[str, object]], what: str | None = None) -> None:
        self._function = function
        self._what = what

    def apply(self, infos: Infos) -> Applied:
        """See `Step`."""
        made = self._function(infos.names)
        changed = {name: as_targets(value) for name, value in made.items() if value != name}
        if self._what is None:
            return Applied(changed)
        unknown = tuple(name for name in infos.names if name not in made and name not in DESCRIPTIONS)
        counted = Counted(self._what, len(infos) - len(unknown), len(infos), unknown)
        unmatched: tuple[str, ...] = ()
        if not changed and infos.names:
            unmatched = (f"{self._what} knows none of {len(infos):,} names: {_some(infos.names)}",)
        return Applied(changed, (), (), unmatched, (counted,))


class RenameScope:
    """Words in front of names, taken away or added.

    Args:
        strip: What to take away.
        add: What to put there.
        is_only: Whether tensors outside of `strip` are left out; else they keep their names.
        kept: Names outside that stay all the same.
    """

    def __init__(
        self, strip: str = "", add: str = "", *, is_only: bool = False, kept: Collection[str] = frozenset()
    ) -> None:
        self._kept = frozenset(kept)
        self._strip = strip
        self._add = add
        self._is_only = is_only

    def apply(self, infos: Infos) -> Applied:
        """See `Step`."""
        problems: list[str] = []
        names = infos.names
        found = _of_paths(names, lambda path, _: self._targets(path), problems)
        if self._strip and names and not any(name.startswith(self._strip) for name in names):
            scopes = sorted({name.split("/", 1)[0] for name in names if "/" in name})
            near = nearest_names(self._strip.rstrip("/."), scopes) or scopes[:3]
            hint = f"; there are {', '.join(map(repr, near))}" if near else ""
            problems.append(f"no name begins with {self._strip!r}{hint}")
        return Applied(found, (), tuple(problems))

    def _targets(self, path: str) -> Targets | None:
        if path.startswith(self._strip):
            return (Renamed(self._add + path.removeprefix(self._strip)),)
        return () if self._is_only and path not in self._kept else None


class Concat:
    """Several tensors become one, one after the other along an axis that they have.

    Args:
        inputs: Their names, in order; `Renamed` for one that is changed before: ``Renamed("k", transpose=True)``.
        to: The name of the result.
        axis: The axis.
        keep: Whether the inputs stay as well.
        regex: Whether the inputs are regular expressions for whole names, and `to` refers to their groups: what has one new
            name becomes one tensor, the names of one expression in the order in which people count.
        changes: What is done to the result, see `changes`.

    Raises:
        InvalidArgumentError: There are no inputs, or a change makes no sense.
    """

    kind = "concat"

    def __init__(
        self,
        inputs: Sequence[str | Renamed],
        to: str,
        *,
        axis: int = 0,
        keep: bool = False,
        regex: bool = False,
        **changes: Any,
    ) -> None:
        if isinstance(inputs, str) or not inputs or not isinstance(to, str) or not to:
            raise InvalidArgumentError(f"{self.kind} takes a list of names and the result's name, not {inputs!r}, {to!r}")
        if type(axis) is not int:
            raise InvalidArgumentError(f"axis is {axis!r}, must be an integer")
        self._inputs: list[Renamed] = []
        for item in inputs:
            self._inputs += as_targets(item)
        if len(self._inputs) != len(inputs) or not all(item.name not in ("", SAME_NAME) for item in self._inputs):
            raise InvalidArgumentError(f"{self.kind} takes names, not {inputs!r}")
        self._to = to
        self._axis = axis
        self._keep = keep
        self._changes = as_changes(changes)
        self._patterns: list[re.Pattern[str]] = []
        if regex:
            try:
                self._patterns = [re.compile(item.name) for item in self._inputs]
                for pattern in self._patterns:
                    pattern.sub(to, "")
            except (re.error, IndexError) as error:
                raise InvalidArgumentError(f"{self.kind} to {to!r}: {error}") from error

    def apply(self, infos: Infos) -> Applied:
        """See `Step`."""
        if not self._patterns:
            return self._apply_to(infos, self._inputs, self._to)
        groups: dict[str, list[list[str]]] = {}
        for index, pattern in enumerate(self._patterns):
            for name in sorted(infos.names, key=natural_order):
                path = split_attribute(name)[0]
                if name not in DESCRIPTIONS and (match := pattern.fullmatch(path)):
                    groups.setdefault(match.expand(self._to), [[] for _ in self._patterns])[index].append(path)
        if not groups:
            what = f"{self.kind} of {', '.join(repr(item.name) for item in self._inputs)}"
            return Applied({}, unmatched=(f"{what} matches none of {len(infos):,} names",))
        every = []
        for to, found in groups.items():
            lacking = [item.name for item, names in zip(self._inputs, found, strict=True) if not names]
            if lacking:
                return Applied({}, problems=(f"{to!r}: {', '.join(map(repr, lacking))} matches no name for it",))
            inputs = [
                item._replace(name=name) for item, names in zip(self._inputs, found, strict=True) for name in names
            ]
            every.append(self._apply_to(infos, inputs, to))
        return together(every)

    def _apply_to(self, infos: Infos, inputs: Sequence[Renamed], result: str) -> Applied:
        paths = {split_attribute(name)[0]: name for name in infos.names} if any(map(_has_attribute, infos.names)) else {}
        there = set(infos.names)
        olds = [each.name if each.name in there else paths.get(each.name, "") for each in inputs]
        missing = [each.name for each, old in zip(inputs, olds, strict=True) if not old]
        if missing:
            if len(missing) == len(olds):
                return Applied({}, unmatched=tuple(_names_nothing(missing, infos.names)))
            # Less than all of the parts is another tensor.
            lacking = tuple(f"{result!r}: {each}" for each in _names_nothing(missing, infos.names))
            return Applied({}, problems=lacking)
        attribute = split_attribute(olds[0])[1]
        to = result if not attribute or _has_attribute(result) else result + attribute
        names = tuple(olds)
        changed: dict[str, Targets] = {}
        for index, (old, item) in enumerate(zip(olds, inputs, strict=True)):
            join: Change = Joined(self.kind, self._axis, index, names, to)
            before = changed.get(old, (Renamed(old),) if self._keep else ())
            changed[old] = (*before, Renamed.of(to, (*item.changes, join, *self._changes)))
        return Applied(
            changed, counts=(Counted(f"{self.kind} to {to!r}", len(changed), len(infos)),), named=frozenset(changed)
        )


class Stack(Concat):
    """The same, along a new axis."""

    kind = "stack"


class AddConstant:
    """A tensor that is not there yet.

    Args:
        to: Its name.
        value: A number, a string, nested lists of these, an array; with a shape also what `changes.Pad` takes as a fill.
        dtype: Its type; what numpy makes of the value when None, float32 for Python's floats.
        shape: Its shape, when all of its elements are one number or are random.

    Raises:
        InvalidArgumentError: There is no such tensor.
    """

    def __init__(self, to: str, value: Any, *, dtype: Any = None, shape: Sequence[int] | None = None) -> None:
        if not isinstance(to, str) or not to:
            raise InvalidArgumentError(f"a constant needs a name, not {to!r}")
        self._to = to
        if shape is not None:
            array = filled_array(value, dtypes.from_name(dtype or "float32"), tuple(shape))
        else:
            try:
                array = _array_of(value, None if dtype is None else np.dtype(_numpy_type(dtype)))
            except (TypeError, ValueError, OverflowError) as error:
                raise InvalidArgumentError(f"{value!r} is not an array of {dtype}: {error}") from error
            if dtype is None and array.dtype == np.float64 and not isinstance(value, (np.ndarray, np.generic)):
                array = array.astype(np.float32)
            # What numpy makes another number of.
            if array.dtype.kind in "iu" and not np.array_equal(array, np.asarray(value)):
                raise InvalidArgumentError(f"{value!r} is not {array.dtype}")
        self._value, self._dtype = tensor_util.as_tensor(array, to)

    def apply(self, infos: Infos) -> Applied:
        """See `Step`."""
        to = self._to
        if any(map(_has_attribute, infos.names)) and not _has_attribute(to):
            to += f"{_ATTRIBUTES}VARIABLE_VALUE"
        return Applied({}, (Fixed(to, self._value, self._dtype),))


def _array_of(value: Any, dtype: Any) -> Array:
    if dtype is None or dtype.kind == "O":
        whole: Array = np.asarray(value, dtype)
        return whole
    # In two steps: of an integer that the type does not reach, some numpys make another one, with no more than a warning.
    with np.errstate(all="ignore"):
        made: Array = np.asarray(value).astype(dtype)
    return made


def _numpy_type(dtype: Any) -> Any:
    return dtypes.from_name(dtype).numpy if isinstance(dtype, str) else dtype


def join_of_entry(to: str, entry: Mapping[str, Any]) -> Concat | AddConstant:
    """The step of an entry with ``concat``, ``stack`` or ``constant``, whose key is the new name.

    Raises:
        InvalidArgumentError: It is malformed.
    """
    options = dict(entry)
    if len([word for word in _JOIN_WORDS if word in options]) > 1 or "to" in options or "name" in options:
        raise InvalidArgumentError(
            f"the key is the new name, and the value has one of {', '.join(_JOIN_WORDS)}, as in "
            '{"qkv": {"concat": ["q", "k", "v"]}}'
        )
    word = next(word for word in _JOIN_WORDS if word in options)
    value = options.pop(word)
    known = {"axis", "keep", "regex", *WORDS} if word != "constant" else {"dtype", "shape"}
    for unknown in options.keys() - known:
        near = nearest_names(str(unknown), known)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
        raise InvalidArgumentError(f"unknown key {unknown!r}; {hint}")
    if word == "constant":
        return AddConstant(to, value, **options)
    return (Concat if word == "concat" else Stack)(value, to, **options)


def together(applied: Iterable[Applied]) -> Applied:
    """What several steps make of the same tensors at once."""
    every = list(applied)
    changed: dict[str, Targets] = {}
    for each in every:
        for name, targets in each.changed.items():
            kept = [target for target in targets if target not in changed.get(name, ())]
            changed[name] = (*changed.get(name, ()), *kept)
    return Applied(
        changed,
        tuple(item for each in every for item in each.added),
        tuple(item for each in every for item in each.problems),
        tuple(item for each in every for item in each.unmatched),
        tuple(item for each in every for item in each.counts),
        frozenset(item for each in every for item in each.named),
    )


def split_attribute(name: str) -> tuple[str, str]:
    """A name's path, and what an object-based checkpoint has behind it: ``/.ATTRIBUTES/`` and the attribute."""
    path, separator, attribute = name.partition(_ATTRIBUTES)
    return path, separator + attribute


def natural_order(name: str) -> tuple[tuple[str, int], ...]:
    """By which names sort as people count: layer_2 before layer_10."""
    parts = _DIGITS.split(name)
    return tuple((text, int(number or 0)) for text, number in zip(parts[::2], [*parts[1::2], "0"], strict=True))


def _spec_after(spec: Spec, changes: Changes) -> Spec:
    if not changes:
        return spec
    made = folded(Known(spec), changes)
    return Spec(made.dtype, made.shape)


def _has_attribute(name: str) -> bool:
    return _ATTRIBUTES in name


def _transposed(given: tuple[Any, ...]) -> dict[str, Any]:
    """What stands in the place of a transpose: an order of axes, or changes."""
    if len(given) > 1:
        raise InvalidArgumentError(f"one order of axes is taken, not {len(given)}; other changes are named")
    [value] = given or (None,)
    return dict(value) if isinstance(value, Mapping) else {} if value is None else {"transpose": value}


def _named(target: Renamed, old: str) -> str:
    return old if target.name == SAME_NAME else target.name


def _chosen(targets: Targets, infos: Infos, name: str) -> Targets | None:
    """The targets that are meant for a tensor; None where none of several is."""
    if not any(target.when is not None for target in targets):
        return targets
    spec = infos[name]
    held = tuple(target for target in targets if target.when is None or target.when.holds(spec))
    return held or None


def _names_nothing(missing: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    known: list[str] = []
    for index, name in enumerate(missing):
        known = known or [split_attribute(other)[0] for other in names]
        near = nearest_names(name, known) if index * len(known) <= _MAX_COMPARISONS else ()
        hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
        yield f"{name!r} names nothing{hint}"


def _near_hint(pattern: str, names: Sequence[str], number: int) -> str:
    if number * len(names) > _MAX_COMPARISONS:
        return ""
    near = nearest_names(pattern.strip("^$"), [split_attribute(name)[0] for name in names])
    return f"; did you mean {', '.join(map(repr, near))}?" if near else ""


def _some(names: Sequence[str], limit: int = 3) -> str:
    more = f", and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _rule_text(item: object) -> str:
    return repr(tuple(item)) if isinstance(item, tuple) and not isinstance(item, Rule) else repr(item)


def _of_paths(
    names: Iterable[str], targets_of: Callable[[str, str], Targets | None], problems: list[str]
) -> dict[str, Targets]:
    """The names whose paths become something else, and what these then are; `targets_of` is None for the others."""
    found: dict[str, Targets] = {}
    for name in names:
        if name in DESCRIPTIONS:
            continue
        path, separator, attribute = name.partition(_ATTRIBUTES)
        try:
            targets = targets_of(path, name)
        except InvalidArgumentError as error:
            problems.append(f"{name!r}: {error}")
            continue
        if targets is not None:
            found[name] = tuple(Renamed.of(target.name + separator + attribute, target.changes) for target in targets)
    return found
