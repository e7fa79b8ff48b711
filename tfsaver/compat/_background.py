"""Saves that go on in a thread while the program goes on with its next step.

    Saver.save(blocking=False)    values are held, files are open | start ->            thread: data files, index, state
    the next call of that Saver   wait <----------------------------------------------  file, old checkpoints, meta graph
    wait()                        raises what went wrong there

A Saver has one such save at a time, and a prefix one save of any Saver of this process, whether it blocks or not. The thread
is no daemon: an interpreter that ends waits for it. A failure is logged when it happens, since nobody may ask for it any
more, and raised by the next call of the Saver, once. A process that is forked meanwhile has no part in it: the save is its
parent's, and there is nothing to wait for.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import threading
import traceback
from collections.abc import Callable, Iterator

from tfsaver.compat import _tensorflow
from tfsaver.errors import SaverError
from tfsaver.lib import file_io

_logger = logging.getLogger(__name__)


class _Prefixes:
    """The prefixes that are being saved to in this process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """After a fork: the threads that have taken them are not in this process, nor is whoever holds the lock."""
        self._changed = threading.Condition()
        self._taken: set[str] = set()

    def take(self, prefix: str) -> None:
        """Waits until nobody saves to a prefix; then it is taken."""
        with self._changed:
            self._changed.wait_for(lambda: prefix not in self._taken)
            self._taken.add(prefix)

    def give_back(self, prefix: str) -> None:
        with self._changed:
            self._taken.discard(prefix)
            self._changed.notify_all()

    def wait_until_free(self, prefix: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: prefix not in self._taken)


_prefixes = _Prefixes()
# Where a system cannot fork, it is not there.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_prefixes.forget)


class _Save:
    """One save in a thread of its own."""

    def __init__(self, prefix: str, finish: Callable[[], None]) -> None:
        self._prefix = prefix
        self._finish: Callable[[], None] | None = finish
        self.error: BaseException | None = None
        self.process = os.getpid()
        self.thread = threading.Thread(target=self._run, name=f"saving {prefix}", daemon=False)

    def start(self) -> None:
        try:
            self.thread.start()
        except RuntimeError:
            # An interpreter that is about to end starts no more threads.
            self._run()

    def _run(self) -> None:
        finish, self._finish = self._finish, None
        try:
            if finish is not None:
                finish()
        except BaseException as error:  # noqa: BLE001 - raised again where somebody asks
            _logger.error("%s: %s", _what(self._prefix), error)
            self.error = error
        finally:
            # With the values it holds.
            finish = None
            _let_go(self.error)
            _prefixes.give_back(place_of(self._prefix))

    def join(self) -> None:
        if self.thread.ident is not None:
            self.thread.join()

    def reported_error(self) -> BaseException | None:
        """What went wrong, as the class it would have if the save had blocked, with a word on what it is about."""
        error = self.error
        if isinstance(error, SaverError):
            reported = copy.copy(error)
            reported.context = list(error.context)
            reported.add_context(_what(self._prefix))
            return reported
        if _tensorflow.is_imported() and isinstance(error, _tensorflow.tf.errors.OpError):
            reraised: BaseException = type(error)(error.node_def, error.op, f"{_what(self._prefix)}: {error.message}")
            return reraised
        return error


class BackgroundSaves:
    """The saves of one Saver, of which one at a time goes on."""

    def __init__(self) -> None:
        self._current: _Save | None = None

    def start(self, prefix: str, finish: Callable[[], None]) -> None:
        """Has a save finished in a thread; `wait` was called before, and the prefix is taken."""
        self._current = _Save(prefix, finish)
        self._current.start()

    def wait(self) -> None:
        """Waits until nothing goes on any more.

        Raises:
            BaseException: What went wrong since the last call; its cause is the error of the thread.
        """
        save = self._current
        # The thread itself asks for what its own save is about.
        if save is None or save.thread is threading.current_thread():
            return
        if save.process == os.getpid():
            save.join()
        elif self._current is save:
            self._current = None
            return
        # Two that wait must not both hear of it.
        if self._current is not save:
            return
        self._current = None
        error = save.reported_error()
        if error is not None:
            raise error from (save.error if save.error is not error else error.__cause__)


@contextlib.contextmanager
def taken(prefix: str) -> Iterator[Callable[[], None]]:
    """Waits until no save to a prefix goes on; in the block there is no other one.

    Yields:
        What to call if the prefix is to stay taken after the block: until a save that was started there has ended.
    """
    place = place_of(prefix)
    _prefixes.take(place)
    stays_taken = []
    try:
        yield lambda: stays_taken.append(True)
    finally:
        if not stays_taken:
            _prefixes.give_back(place)


def wait_for(prefix: str) -> None:
    """Waits until no save to a prefix goes on, whichever Saver began it."""
    _prefixes.wait_until_free(place_of(prefix))


def place_of(prefix: str) -> str:
    """The same for all ways to spell a prefix."""
    path = file_io.as_path(prefix)
    return path if file_io.is_remote(path) else os.path.realpath(path)


def _what(prefix: str) -> str:
    return f"saving {prefix!r} in the background"


def _let_go(error: BaseException | None) -> None:
    """Lets go of what the frames of an error hold: the values of a model, for as long as nobody asks for the error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
