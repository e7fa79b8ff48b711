"""A file whose bytes are written by a thread of its own, while the caller prepares the next ones.

    caller    fetch, hash | append | fetch, hash | append | ...                    | drain
    thread                 write ------------------ write ------------------ write |

What is appended is borrowed until `drain` has returned (see `gathered_file`). No more than `MAX_PENDING` bytes wait at a
time; then `append` waits too, or writes some of it itself where it can do so beside the thread, which leaves it out. What
goes wrong in the thread is raised by the next call.

An interrupt (Ctrl-C) may be raised between any two statements of the caller, also in those of `queue.Queue`,
`threading.Event` or `Thread.start`, which then leave locks that nobody releases. What both threads wait for are therefore
`SimpleQueue`s, whose calls happen or do not, and the thread is started by one call of the system's. It does not refer to
this object: if the caller loses that without closing it, the thread ends and the file is closed.
"""

from __future__ import annotations

import _thread
import contextlib
from queue import Empty, SimpleQueue
from typing import Protocol

from tfsaver.lib.file_io import Buffer, WritableFile
from tfsaver.lib.gathered_file import BATCH_SIZE, Batch, GatheredFile

_MAX_BATCHES = 8
# Enough for the thread while the caller writes one.
_MAX_BATCHES_BESIDE = 3
# How often the caller looks whether the thread has ended, should nothing tell it.
_POLL_SECONDS = 0.05
MAX_PENDING = (_MAX_BATCHES + 2) * BATCH_SIZE


class Beside(Protocol):
    """What writes to a file while the thread does; see `tensor_bundle.mapped_writes`."""

    def write(self, pieces: Batch, offset: int) -> bool: ...
    def end(self, size: int) -> None: ...


class OverlappedFile(GatheredFile):
    """Appends to a file in the background; see the module for what the caller promises.

    Args:
        file: The file; from now on it belongs to the thread, until `drain` returns or `close` is called.
        beside: With what the caller writes when the thread has enough to do; it waits when None.
    """

    def __init__(self, file: WritableFile, beside: Beside | None = None) -> None:
        super().__init__(file)
        self._beside = beside
        self._offset = 0
        # How much has been written beside the thread since the last batch it was given.
        self._gap = 0
        self._work = _Work(file, _MAX_BATCHES if beside is None else _MAX_BATCHES_BESIDE)
        self._has_thread = False

    def append(self, data: Buffer) -> None:
        self._raise_error()
        super().append(data)

    def drain(self) -> None:
        super().drain()
        if self._has_thread:
            done: SimpleQueue[None] = SimpleQueue()
            self._work.waiting.put(done)
            done.get()
        self._raise_error()
        if self._beside is not None:
            self._beside.end(self._offset)

    def close(self) -> None:
        self._end()
        super().close()

    def discard(self) -> None:
        self._end()
        super().discard()

    def _hand_over(self, batch: Batch, size: int) -> None:
        offset, self._offset = self._offset, self._offset + size
        if self._work.free.empty() and self._beside is not None and self._beside.write(batch, offset):
            self._gap += size
            return
        if not self._has_thread:
            try:
                _thread.start_new_thread(_write, (self._work,))
            except RuntimeError:
                # An interpreter that is about to end starts none, and what it still saves must be written.
                self._file.append_all(batch)
                return
            self._has_thread = True
        self._work.free.get()
        self._work.waiting.put((self._gap, batch))
        self._gap = 0

    def _end(self) -> None:
        """Has the thread write nothing more, and waits until it has ended."""
        self._work.is_abandoned = True
        # Also if an interrupt came before it was noted that there is a thread: it has nothing to write then.
        self._work.waiting.put(None)
        # An interrupt may have taken the word of it, and this is called again.
        while self._has_thread and not self._work.has_ended:
            with contextlib.suppress(Empty):
                self._work.ended.get(timeout=_POLL_SECONDS)

    def _raise_error(self) -> None:
        if self._work.error is not None:
            raise self._work.error

    def __del__(self) -> None:
        # An interrupt may have come before there was one.
        work: _Work | None = getattr(self, "_work", None)
        if work is not None:
            work.is_abandoned = True
            work.waiting.put(None)


class _Work:
    """What the caller and the thread share."""

    def __init__(self, file: WritableFile, max_batches: int) -> None:
        self.file = file
        # A batch, and the gap before it; a queue that gets a word when all before it is done; None tells the thread to end.
        self.waiting: SimpleQueue[tuple[int, Batch] | SimpleQueue[None] | None] = SimpleQueue()
        # An item for each batch that may be handed over now: so many wait, and one is being written.
        self.free: SimpleQueue[None] = SimpleQueue()
        for _ in range(max_batches + 1):
            self.free.put(None)
        self.ended: SimpleQueue[None] = SimpleQueue()
        self.error: BaseException | None = None
        self.is_abandoned = False
        self.has_ended = False


def _write(work: _Work) -> None:
    try:
        while (given := work.waiting.get()) is not None:
            if isinstance(given, SimpleQueue):
                given.put(None)
                continue
            gap, batch = given
            # After an error the batches are still taken: somebody may be waiting to hand one over.
            if work.error is None and not work.is_abandoned:
                try:
                    if gap:
                        work.file.skip(gap)
                    work.file.append_all(batch)
                except BaseException as error:  # noqa: BLE001 - raised again where the caller sees it
                    work.error = error
            # What was written need not wait for the next.
            del given, batch
            work.free.put(None)
    finally:
        work.has_ended = True
        work.ended.put(None)
