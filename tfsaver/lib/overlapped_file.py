"""A file whose bytes are written by a thread of its own, while the caller prepares the next ones.

    caller    fetch, hash | append | fetch, hash | append | ...                    | drain
    thread                 write ------------------ write ------------------ write |

What is appended is borrowed until `drain` has returned (see `gathered_file`). No more than `MAX_PENDING` bytes wait at a
time; then `append` waits too, or writes some of it itself where it can do so beside the thread, which leaves it out. What
goes wrong in the thread is raised by the next call.
"""

from __future__ import annotations

import queue
import threading
from typing import Protocol

from tfsaver.lib.file_io import Buffer, WritableFile
from tfsaver.lib.gathered_file import BATCH_SIZE, Batch, GatheredFile

_MAX_BATCHES = 8
# Enough for the thread while the caller writes one.
_MAX_BATCHES_BESIDE = 3
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
        # Each with the gap before it; None tells the thread to end.
        self._waiting: queue.Queue[tuple[int, Batch] | None] = queue.Queue(
            _MAX_BATCHES if beside is None else _MAX_BATCHES_BESIDE
        )
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._is_abandoned = False

    def append(self, data: Buffer) -> None:
        self._raise_error()
        super().append(data)

    def drain(self) -> None:
        super().drain()
        self._waiting.join()
        self._raise_error()
        if self._beside is not None:
            self._beside.end(self._offset)

    def close(self) -> None:
        self._is_abandoned = True
        self._join()
        super().close()

    def discard(self) -> None:
        self._is_abandoned = True
        self._join()
        super().discard()

    def _hand_over(self, batch: Batch, size: int) -> None:
        offset, self._offset = self._offset, self._offset + size
        if self._waiting.full() and self._beside is not None and self._beside.write(batch, offset):
            self._gap += size
            return
        if self._thread is None:
            thread = threading.Thread(target=self._write, name=f"writing {self._file.path}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # An interpreter that is about to end starts none, and what it still saves must be written.
                self._file.append_all(batch)
                return
            self._thread = thread
        self._waiting.put((self._gap, batch))
        self._gap = 0

    def _join(self) -> None:
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        while (given := self._waiting.get()) is not None:
            gap, batch = given
            # After an error the batches are still taken: somebody may be waiting to hand one over.
            if self._error is None and not self._is_abandoned:
                try:
                    if gap:
                        self._file.skip(gap)
                    self._file.append_all(batch)
                except BaseException as error:  # noqa: BLE001 - raised again where the caller sees it
                    self._error = error
            # What was written need not wait for the next.
            del given, batch
            self._waiting.task_done()
