"""Work on several things side by side: a thread for each, which does what it is handed in that order.

    caller    make | hand over to 0 | make | hand over to 1 | make | hand over to 0 | ...            | finish
    lane 0           task ------------------------------------ task -------------------------------- |
    lane 1                                   task -------------------------------------------------- |

A task stands for memory that it holds until it is done; no more than `max_pending` bytes wait in one lane, unless a single
task holds more. What goes wrong in a lane is raised by the next call, and nothing that waits is done then.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TypeAlias

Task: TypeAlias = "Callable[[], object]"

# Enough for a thread to have the next one at hand.
_MAX_PENDING = 32 << 20


class Lanes:
    """Threads that work side by side; use it in a `with` block, at whose end all is done.

    Args:
        num_lanes: How many there are.
        max_pending: How many bytes may wait in each.
    """

    def __init__(self, num_lanes: int, max_pending: int = _MAX_PENDING) -> None:
        self._max_pending = max_pending
        self._changed = threading.Condition()
        self._waiting: list[collections.deque[tuple[Task, int]]] = [collections.deque() for _ in range(num_lanes)]
        self._pending = [0] * num_lanes
        self._threads: list[threading.Thread | None] = [None] * num_lanes
        self._error: BaseException | None = None
        self._is_ending = False

    def hand_over(self, lane: int, task: Task, size: int) -> None:
        """Has a task done; waits while too many bytes wait in its lane.

        Raises:
            BaseException: What a task raised that was handed over before, to any lane.
        """
        if self._threads[lane] is None and not self._start(lane):
            task()
            return
        with self._changed:
            self._changed.wait_for(
                lambda: self._error or not self._pending[lane] or self._pending[lane] + size <= self._max_pending
            )
            self._raise_error()
            self._waiting[lane].append((task, size))
            self._pending[lane] += size
            self._changed.notify_all()

    def __enter__(self) -> Lanes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._changed:
            self._is_ending = True
            if error is not None and self._error is None:
                self._error = error
            self._changed.notify_all()
        for thread in filter(None, self._threads):
            thread.join()
        if error is None:
            self._raise_error()

    def _start(self, lane: int) -> bool:
        thread = threading.Thread(target=self._work, args=(lane,), name=f"tfsaver-lane-{lane}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # An interpreter that is about to end starts none: then whoever hands over does it.
            return False
        self._threads[lane] = thread
        return True

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self, lane: int) -> None:
        waiting = self._waiting[lane]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._error or waiting or self._is_ending)
                if self._error is not None or not waiting:
                    waiting.clear()
                    return
                task, size = waiting.popleft()
            try:
                task()
            except BaseException as error:  # noqa: BLE001 - raised again where the caller sees it
                with self._changed:
                    self._error = self._error or error
            # What the task holds goes before more of it is asked for.
            del task
            with self._changed:
                self._pending[lane] -= size
                self._changed.notify_all()
