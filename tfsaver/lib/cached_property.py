"""A property that is computed once for each instance, without a lock.

`functools.cached_property` of Python 3.10 and 3.11 holds one lock per class while any instance computes its value: threads
wait for each other, and a child that is forked meanwhile waits forever. Here two threads that ask at once may both compute
the value, and both get the first one that is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

_T = TypeVar("_T")


class cached_property(Generic[_T]):  # noqa: N801 - it stands where `property` and functools' own would
    """Stores what a method returns in the instance's `__dict__`, where it is found from then on."""

    def __init__(self, function: Callable[[Any], _T]) -> None:
        self._function = function
        self._name = ""
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> cached_property[_T]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> _T: ...

    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> cached_property[_T] | _T:
        if instance is None:
            return self
        stored: dict[str, _T] = instance.__dict__
        # One step, so that all threads get the same object.
        return stored.setdefault(self._name, self._function(instance))
