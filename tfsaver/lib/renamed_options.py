"""Earlier names of options, which work for one release and warn."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from tfsaver.errors import InvalidArgumentError

_P = ParamSpec("_P")
_R = TypeVar("_R")


def renamed_options(
    replace: Callable[[dict[str, Any]], None] | None = None, /, *, replaces: tuple[str, ...] = (), **names: str
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """A decorator for a function whose options have new names.

    The function keeps its signature: editors and type checkers know the new names alone. The old ones are its
    `earlier_options`.

    Args:
        replace: Changes the options of a call in place, where the new option is not the old one under another name.
        replaces: The names that `replace` takes away.
        **names: The new name of each old one.
    """
    old_names = {*names, *replaces}

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def call(*args: _P.args, **options: _P.kwargs) -> _R:
            if given := old_names.intersection(options):
                _warn(function.__name__, {old: names.get(old, "select") for old in sorted(given)}, options)
                if replace is not None:
                    replace(options)
                for old in given.intersection(names):
                    options[names[old]] = options.pop(old)
            return function(*args, **options)

        call.earlier_options = frozenset(old_names)  # type: ignore[attr-defined]
        return call

    return decorate


def _warn(function: str, names: dict[str, str], options: dict[str, Any]) -> None:
    for old, new in names.items():
        if new in options:
            raise InvalidArgumentError(f"{function}: {old} is the earlier name of {new}, and both are given")
        warnings.warn(f"{function}: {old}= is now {new}=", DeprecationWarning, stacklevel=3)
