"""A lock that a forked child can take.

`fork` copies a lock as it is, and only the thread that forks: a lock that another thread holds at that moment stays locked
in the child forever. These locks are replaced by new ones in the child. What a lock guards must therefore be usable between
any two of its guarded statements, as far as a child needs it.
"""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType
from typing import Protocol


class _Lock(Protocol):
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class ForkSafeLock:
    """A lock that is free in a forked child, unless the thread that forks holds it.

    Args:
        reentrant: Whether a thread may acquire it again while it holds it, as a `threading.RLock`.

    Attributes:
        bare: The lock of `threading` itself, for blocks on hot paths in which the thread cannot fork: such a block does not
            note who is in it, which takes longer than the lock does.

    `threading.Condition` takes one that is not reentrant as its lock. Threads that wait for the condition do not exist in a
    child, which therefore needs a new condition to wait for.
    """

    def __init__(self, *, reentrant: bool = False) -> None:
        self._is_reentrant = reentrant
        self.bare = self._new()
        self._owner: int | None = None
        self._depth = 0
        _all.add(self)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        is_acquired = self.bare.acquire(blocking, timeout)
        if is_acquired:
            self._owner = threading.get_ident()
            self._depth += 1
        return is_acquired

    def release(self) -> None:
        if not self._depth:
            raise RuntimeError("release of a lock that is not acquired")
        self._depth -= 1
        if not self._depth:
            self._owner = None
        self.bare.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def _new(self) -> _Lock:
        return threading.RLock() if self._is_reentrant else threading.Lock()

    def _renew(self) -> None:
        self.bare = self._new()
        # The thread that forks keeps its number and goes on in the block that it is in.
        if self._owner == threading.get_ident():
            for _ in range(self._depth):
                self.bare.acquire()
        else:
            self._owner, self._depth = None, 0


_all: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in tuple(_all):
        lock._renew()


# Where a system cannot fork, it is not there.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
