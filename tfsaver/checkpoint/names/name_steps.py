"""Names become other names: the steps that a `NameMap` is made of.

    dict        {"w/weights": "w/kernel"}         whole names; one that names nothing is a problem
    rules       ("weights$", "kernel")            like sed: each rule replaces in what the rules before it left
    function    str.lower                         a name, the new one
    scope       model/w  <->  w                   the words in front
    table       all names at once                 for renames that depend on which names there are

In a checkpoint that was written from objects, a name is a path and an attribute (``net/w/.ATTRIBUTES/VARIABLE_VALUE``).
Rules, functions and scopes see the path alone, and the attribute stays behind it, so that ``/w$`` means the same everywhere.
A dict may name either: the path, then the new name is a path too, or the whole, then the new name is taken as it stands.
The tensor that describes the objects is none of the variables; only a dict that names it, or a table, speaks of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS
from tfsaver.errors import InvalidArgumentError, nearest_names

_ATTRIBUTES = "/.ATTRIBUTES/"

_Search: TypeAlias = "Callable[[str], re.Match[str] | None]"

# Comparing two names costs microseconds; beyond so many pairs of them, a hint is not worth the wait.
_MAX_COMPARISONS = 50_000


class Renamed(NamedTuple):
    """What a tensor becomes.

    Attributes:
        name: Its new name.
        transpose: The order that its axes are brought into, as in `numpy.transpose`; None leaves them.
    """

    name: str
    transpose: tuple[int, ...] | None = None

    def then(self, after: Renamed) -> Renamed:
        """The same as renaming to this, and from this on.

        Raises:
            InvalidArgumentError: The one has another number of axes than the other.
        """
        if self.transpose is None or after.transpose is None:
            return Renamed(after.name, self.transpose or after.transpose)
        if len(self.transpose) != len(after.transpose):
            both = f"{len(self.transpose)} axes, and then as if it had {len(after.transpose)}"
            raise InvalidArgumentError(f"{after.name!r}: transposed as if it had {both}")
        return Renamed(after.name, as_axes([self.transpose[axis] for axis in after.transpose]))


class Step(Protocol):
    """One way of renaming."""

    def rename(self, names: Sequence[str], problems: list[str]) -> Mapping[str, Sequence[Renamed]]:
        """What the names become, each one, several, or none; names that are not in the result stay as they are.

        Args:
            names: All names that there are.
            problems: To which is added, in sentences, what is wrong.
        """


Targets: TypeAlias = "tuple[Renamed, ...]"


def as_axes(transpose: object) -> tuple[int, ...] | None:
    """An order of axes: True turns a matrix, None and False leave the tensor as it is.

    Raises:
        InvalidArgumentError: It is no order of axes.
    """
    if transpose is None or transpose is False:
        return None
    if transpose is True:
        return (1, 0)
    if isinstance(transpose, Sequence) and not isinstance(transpose, str):
        axes = tuple(transpose)
        if all(type(axis) is int for axis in axes) and sorted(axes) == list(range(len(axes))):
            return None if axes == tuple(range(len(axes))) else axes
    raise InvalidArgumentError(f"transpose is {transpose!r}, must be true, or each axis once, as in [3, 2, 0, 1]")


def as_targets(value: object) -> Targets:
    """What stands for the new name of a tensor: a name, `Renamed`, a list of these, None or False to leave the tensor out.

    Raises:
        InvalidArgumentError: It is something else.
    """
    if value is None or value is False:
        return ()
    items = [value] if isinstance(value, (str, Renamed)) else value
    if isinstance(items, Sequence):
        targets = tuple(item if isinstance(item, Renamed) else Renamed(item) for item in items)
        if all(isinstance(target.name, str) for target in targets):
            return tuple(Renamed(target.name, as_axes(target.transpose)) for target in targets)
    raise InvalidArgumentError(f"a new name is a str, Renamed, a list of these, or None to leave the tensor out: {value!r}")


class RenameByDict:
    """Whole names.

    Args:
        names: The new name, or names, of each old one; None or False leaves it out.

    Raises:
        InvalidArgumentError: Some of it is no name; says all.
    """

    def __init__(self, names: Mapping[str, object]) -> None:
        self._targets: dict[str, Targets] = {}
        problems = []
        for name, value in names.items():
            try:
                self._targets[name] = as_targets(value)
                if not isinstance(name, str):
                    raise InvalidArgumentError("an old name is a str")
            except InvalidArgumentError as error:
                problems.append(f"{name!r}: {error}")
        raise_problems("names", problems)

    def rename(self, names: Sequence[str], problems: list[str]) -> Mapping[str, Targets]:
        """See `Step`."""
        found: dict[str, Targets] = {}
        used = set()
        for name in names:
            path, attribute = split_attribute(name)
            if name in self._targets:
                used.add(name)
                found[name] = self._targets[name]
            elif path in self._targets:
                used.add(path)
                found[name] = tuple(Renamed(target.name + attribute, target.transpose) for target in self._targets[path])
        known: list[str] = []
        for index, name in enumerate(key for key in self._targets if key not in used):
            known = known or [split_attribute(other)[0] for other in names]
            near = nearest_names(name, known) if index * len(known) <= _MAX_COMPARISONS else ()
            hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
            problems.append(f"{name!r} names nothing{hint}")
        return found


class Rule(NamedTuple):
    """A regular expression, and what to put in the place of each occurrence of it.

    Attributes:
        pattern: Searched for anywhere in a name, as by `re.sub`.
        replacement: May refer to groups, as in ``\\1``; None leaves out the tensors in whose names the pattern occurs.
        transpose: The order that the axes of these tensors are brought into; True turns a matrix.
    """

    pattern: str | re.Pattern[str]
    replacement: str | None
    transpose: bool | Sequence[int] | None = None


class RenameByRules:
    """Rules, one after the other.

    Raises:
        InvalidArgumentError: Patterns, replacements or orders of axes are malformed; says all.
    """

    def __init__(self, rules: Iterable[Rule | tuple[Any, ...]]) -> None:
        # The search stands beside its pattern, since nearly every name is only searched.
        self._rules: list[tuple[_Search, re.Pattern[str], str | None, tuple[int, ...] | None]] = []
        problems = []
        for number, item in enumerate(rules, 1):
            try:
                rule = Rule(*item)
                pattern = re.compile(rule.pattern)
                if rule.replacement is not None:
                    pattern.sub(rule.replacement, "")
                self._rules.append((pattern.search, pattern, rule.replacement, as_axes(rule.transpose)))
            except (re.error, IndexError, TypeError, OverflowError, RecursionError, InvalidArgumentError) as error:
                problems.append(f"rule {number}, {item!r}: {error}")
        raise_problems("rules", problems)

    def rename(self, names: Sequence[str], problems: list[str]) -> Mapping[str, Targets]:
        """See `Step`."""
        return _of_paths(self._spoken_of(names), self._targets, problems)

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

    def _targets(self, name: str) -> Targets | None:
        result = None
        for search, pattern, replacement, axes in self._rules:
            if not search(name):
                continue
            if replacement is None:
                return ()
            result = (result or Renamed(name)).then(Renamed(pattern.sub(replacement, name), axes))
            name = result.name
        return result and (result,)


class RenameByFunction:
    """A function from a name to what stands for the new one, see `as_targets`."""

    def __init__(self, function: Callable[[str], object]) -> None:
        self._function = function

    def rename(self, names: Sequence[str], problems: list[str]) -> Mapping[str, Targets]:
        """See `Step`."""
        return _of_paths(names, self._targets, problems)

    def _targets(self, path: str) -> Targets | None:
        value = self._function(path)
        return None if type(value) is str and value == path else as_targets(value)


class RenameTogether:
    """A function from all names to the new ones of some; what it does not mention stays."""

    def __init__(self, function: Callable[[Sequence[str]], Mapping[str, object]]) -> None:
        self._function = function

    def rename(self, names: Sequence[str], problems: list[str]) -> Mapping[str, Targets]:
        """See `Step`."""
        return {name: as_targets(value) for name, value in self._function(names).items() if value != name}


class RenameScope:
    """Words in front of names, taken away or added.

    Args:
        strip: What to take away.
        add: What to put there.
        is_only: Whether tensors outside of `strip` are left out; else they keep their names.
    """

    def __init__(self, strip: str = "", add: str = "", *, is_only: bool = False) -> None:
        self._strip = strip
        self._add = add
        self._is_only = is_only

    def rename(self, names: Sequence[str], problems: list[str]) -> Mapping[str, Targets]:
        """See `Step`."""
        found = _of_paths(names, self._targets, problems)
        if self._strip and names and not any(name.startswith(self._strip) for name in names):
            scopes = sorted({name.split("/", 1)[0] for name in names if "/" in name})
            near = nearest_names(self._strip.rstrip("/."), scopes) or scopes[:3]
            hint = f"; there are {', '.join(map(repr, near))}" if near else ""
            problems.append(f"no name begins with {self._strip!r}{hint}")
        return found

    def _targets(self, path: str) -> Targets | None:
        if path.startswith(self._strip):
            return (Renamed(self._add + path.removeprefix(self._strip)),)
        return () if self._is_only else None


def split_attribute(name: str) -> tuple[str, str]:
    """A name's path, and what an object-based checkpoint has behind it: ``/.ATTRIBUTES/`` and the attribute."""
    path, separator, attribute = name.partition(_ATTRIBUTES)
    return path, separator + attribute


def raise_problems(what: str, problems: Sequence[str]) -> None:
    """Raises one error that says all, if there is anything to say.

    Raises:
        InvalidArgumentError: There is a problem.
    """
    if len(problems) == 1:
        raise InvalidArgumentError(f"{what}: {problems[0]}")
    if problems:
        lines = (f"  {problem}" for problem in problems)
        raise InvalidArgumentError.of_lines([f"{what}: {len(problems)} problems", *lines])


def _of_paths(
    names: Sequence[str], targets_of: Callable[[str], Targets | None], problems: list[str]
) -> dict[str, Targets]:
    """The names whose paths become something else, and what these then are; `targets_of` is None for the others."""
    found: dict[str, Targets] = {}
    for name in names:
        if name in DESCRIPTIONS:
            continue
        path, separator, attribute = name.partition(_ATTRIBUTES)
        try:
            targets = targets_of(path)
        except InvalidArgumentError as error:
            problems.append(f"{name!r}: {error}")
            continue
        if targets is not None:
            found[name] = tuple(Renamed(target.name + separator + attribute, target.transpose) for target in targets)
    return found
