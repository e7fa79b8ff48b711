"""Imports at first use, which a fork waits for.

A child that is forked while another thread imports a module has that module half imported, and its import lock locked
forever: the child's own import of it hangs. That is so for every import, but a program sees its import statements, and not
that `tfsaver.load_checkpoint` imports something when it is first asked for. A fork therefore waits for such imports.

Imports do not wait for each other, which could be a deadlock with the import system's own locks: the lock here guards a
dict, and is held across nothing but the fork itself.
"""

from __future__ import annotations

# What these register for a fork goes in pairs: imported while a fork waits, they would release what they never acquired.
import concurrent.futures.thread  # noqa: F401
import contextlib
import logging  # noqa: F401
import os
import threading
from collections.abc import Iterator

# An import that itself waits for the thread that forks would never end.
_MAX_SECONDS = 60


class _Imports:
    """How many imports each thread is in."""

    def __init__(self) -> None:
        self._depths: dict[int, int] = {}
        # Its lock is reentrant: what is run at a fork may import, in the thread that holds it.
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.get_ident()
        with self._changed:
            self._depths[thread] = self._depths.get(thread, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._depths[thread] -= 1
                if not self._depths[thread]:
                    del self._depths[thread]
                self._changed.notify_all()

    def before_fork(self) -> None:
        self._changed.acquire()
        # Only the thread's own imports go on in the child.
        self._changed.wait_for(lambda: self._depths.keys() <= {threading.get_ident()}, _MAX_SECONDS)

    def after_fork_in_parent(self) -> None:
        self._changed.release()

    def after_fork_in_child(self) -> None:
        thread = threading.get_ident()
        self._depths = {thread: self._depths[thread]} if thread in self._depths else {}
        # Other threads may have been waiting for the old one.
        self._changed = threading.Condition()


_imports = _Imports()
# Where a system cannot fork, it is not there.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_imports.before_fork,
        after_in_parent=_imports.after_fork_in_parent,
        after_in_child=_imports.after_fork_in_child,
    )


def lazy_import() -> contextlib.AbstractContextManager[None]:
    """A block that imports something at first use."""
    return _imports.running()
