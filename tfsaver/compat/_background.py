"""Saves that go on in a thread while the program goes on with its next step.

    Saver.save(blocking=False)    values are held, files are open | start ->            thread: data files, index, state
    the next call of that Saver   wait <----------------------------------------------  file, old checkpoints, meta graph
    wait()                        raises what went wrong there

A Saver has one such save at a time, and a prefix one save of any Saver of this process, whether it blocks or not. The thread
is not a daemon: the interpreter waits for it before it ends, and a save that starts after that, in an `atexit` handler,
blocks. A failure is logged when it happens, since nobody may ask for it any more, and raised by the next call of the Saver,
once. A process that is forked meanwhile has no part in it: the save is its parent's, and there is nothing to wait for.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from tfsaver.compat import _tensorflow
from tfsaver.errors import SaverError
from tfsaver.lib import file_io

_logger = logging.getLogger(__name__)
# How often somebody who waits looks.
_POLL_SECONDS = 0.01


class _Prefixes:
    """The prefixes that are being saved to in this process, each with its owner: a frame, or a save in a thread.

    An owner that is lost, since an interrupt kept it from giving the prefix back, owns nothing any more.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """After a fork: the threads that have taken them are not in this process."""
        self._taken: dict[str, weakref.ref[_Owner]] = {}

    def take(self, prefix: str, owner: _Owner) -> None:
        """Waits until nobody saves to a prefix; then it is the owner's."""
        taken = self._taken

        def lost(reference: weakref.ref[_Owner]) -> None:
            if taken.get(prefix) is reference:
                del taken[prefix]

        reference = weakref.ref(owner, lost)
        while taken.setdefault(prefix, reference) is not reference:
            time.sleep(_POLL_SECONDS)

    def give_back(self, prefix: str, owner: _Owner) -> None:
        if self._is_taken_by(prefix, owner):
            del self._taken[prefix]

    def wait_until_free(self, prefix: str) -> None:
        while not self._is_taken_by(prefix, None):
            time.sleep(_POLL_SECONDS)

    def _is_taken_by(self, prefix: str, owner: _Owner | None) -> bool:
        reference = self._taken.get(prefix)
        return (None if reference is None else reference()) is owner


class _Owner:
    """Somebody who has taken a prefix."""


_prefixes = _Prefixes()
# Where a system cannot fork, it is not there.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_prefixes.forget)


class _Save:
    """One save in a thread of its own.

    An interrupt may be raised inside `Thread.start` and `Thread.join`. Afterwards the thread's own state does not say
    whether it runs or has ended; `_to_do` and `is_done` do.
    """

    def __init__(self, prefix: str, finish: Callable[[], None], owner: _Owner) -> None:
        self._prefix = prefix
        self._owner: _Owner | None = owner
        # Whoever takes it does it.
        self._to_do = [finish]
        self._ended: SimpleQueue[None] = SimpleQueue()
        self.is_done = False
        self.error: BaseException | None = None
        self.process = os.getpid()
        self.thread = threading.Thread(target=self._run, name=f"saving {prefix}", daemon=False)

    def start(self) -> None:
        # An interpreter that is about to end no longer waits for threads, or starts none.
        if not threading.main_thread().is_alive():
            self._run()
            return
        try:
            self.thread.start()
        except RuntimeError:
            self._run()
        except BaseException:
            # If the thread has not begun, it never need: the files are open, and somebody must end it.
            self._run()
            raise

    def _run(self) -> None:
        try:
            finish: Callable[[], None] | None = self._to_do.pop()
        except IndexError:
            return
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
            owner, self._owner = self._owner, None
            if owner is not None:
                _prefixes.give_back(place_of(self._prefix), owner)
            self.is_done = True
            self._ended.put(None)

    def join(self) -> None:
        while not self.is_done:
            # One who waits gets the word; others look, as does one whose call an interrupt has ended.
            with contextlib.suppress(Empty):
                self._ended.get(timeout=_POLL_SECONDS)
        if self.thread.is_alive():
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

    def start(self, prefix: str, finish: Callable[[], None], owner: _Owner) -> None:
        """Has a save finished in a thread; `wait` was called before, and the prefix is the owner's, and then the save's."""
        self._current = _Save(prefix, finish, owner)
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
def taken(prefix: str) -> Iterator[Callable[[], _Owner]]:
    """Waits until no save to a prefix goes on; in the block there is no other one.

    Yields:
        What to call if the prefix is to stay taken after the block, for a save that was started there: its owner.
    """
    place = place_of(prefix)
    owner = _Owner()
    stays_taken = []

    def keep() -> _Owner:
        stays_taken.append(True)
        return owner

    try:
        _prefixes.take(place, owner)
        yield keep
    finally:
        if not stays_taken:
            _prefixes.give_back(place, owner)


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
