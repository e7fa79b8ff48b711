"""A file whose bytes are written by a thread of its own, while the caller prepares the next ones.

    caller    fetch, hash | append | fetch, hash | append | ...                    | drain
    thread                 write ------------------ write ------------------ write |

What is appended is borrowed, not copied: it must stay as it is until `drain` has returned. Small pieces are gathered, so
that thousands of them cost one system call. No more than `MAX_PENDING` bytes wait at a time; then `append` waits too. What
goes wrong in the thread is raised by the next call.
"""

from __future__ import annotations

import queue
import threading
from typing import TypeAlias

from tfsaver.lib.file_io import Buffer, WritableFile

Batch: TypeAlias = "list[Buffer]"

# Large enough that a system call's cost vanishes.
_BATCH_SIZE = 4 << 20
# What the system takes in one call at most is 1024; fewer means that writing starts sooner.
_MAX_PIECES = 512
_MAX_BATCHES = 8
MAX_PENDING = (_MAX_BATCHES + 2) * _BATCH_SIZE


class OverlappedFile:
    """Appends to a file in the background; see the module for what the caller promises.

    Args:
        file: The file; from now on it belongs to the thread, until `drain` returns or `close` is called.
    """

    def __init__(self, file: WritableFile) -> None:
        self.path = file.path
        self._file = file
        self._gathered: Batch = []
        self._gathered_size = 0
        # None tells the thread to end.
        self._waiting: queue.Queue[Batch | None] = queue.Queue(_MAX_BATCHES)
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._is_abandoned = False

    def append(self, data: Buffer) -> None:
        """Has bytes written; waits while too many are waiting already.

        Raises:
            OSError: What was appended before could not be written.
        """
        self._raise_error()
        view = memoryview(data)
        self._gathered.append(view)
        self._gathered_size += view.nbytes
        if self._gathered_size >= _BATCH_SIZE or len(self._gathered) >= _MAX_PIECES:
            self._hand_over()

    def append_all(self, pieces: list[Buffer]) -> None:
        for piece in pieces:
            self.append(piece)

    def drain(self) -> None:
        """Waits until all is written.

        Raises:
            OSError: Some of it could not be.
        """
        if self._gathered:
            self._hand_over()
        self._waiting.join()
        self._raise_error()

    def sync(self) -> None:
        """Waits until all is written and on the disk."""
        self.drain()
        self._file.sync()

    def close(self) -> None:
        """Closes the file; what was not drained is not written."""
        self._is_abandoned = True
        self._gathered = []
        self._join()
        self._file.close()

    def _hand_over(self) -> None:
        batch, self._gathered, self._gathered_size = self._gathered, [], 0
        if self._thread is None:
            thread = threading.Thread(target=self._write, name=f"writing {self._file.path}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # An interpreter that is about to end starts none, and what it still saves must be written.
                self._file.append_all(batch)
                return
            self._thread = thread
        self._waiting.put(batch)

    def _join(self) -> None:
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        while (batch := self._waiting.get()) is not None:
            # After an error the batches are still taken: somebody may be waiting to hand one over.
            if self._error is None and not self._is_abandoned:
                try:
                    self._file.append_all(batch)
                except BaseException as error:  # noqa: BLE001 - raised again where the caller sees it
                    self._error = error
            # What was written need not wait for the next.
            del batch
            self._waiting.task_done()
