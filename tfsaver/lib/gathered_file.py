"""A file that small pieces are appended to, thousands of which cost one system call.

What is appended is borrowed, not copied: it must stay as it is until `drain` has returned.
"""

from __future__ import annotations

from typing import TypeAlias

from tfsaver.lib.file_io import Buffer, WritableFile

Batch: TypeAlias = "list[Buffer]"

# Large enough that a system call's cost vanishes.
BATCH_SIZE = 4 << 20
# What the system takes in one call at most is 1024; fewer means that writing starts sooner.
MAX_PIECES = 512


class GatheredFile:
    """Appends to a file; see the module for what the caller promises.

    Args:
        file: The file; from now on it belongs to this one, until `drain` returns or `close` is called.
    """

    def __init__(self, file: WritableFile) -> None:
        self.path = file.path
        self._file = file
        self._gathered: Batch = []
        self._gathered_size = 0

    def append(self, data: Buffer) -> None:
        """Has bytes written, now or later.

        Raises:
            WriteError: What was appended could not be written.
        """
        view = memoryview(data)
        self._gathered.append(view)
        self._gathered_size += view.nbytes
        if self._gathered_size >= BATCH_SIZE or len(self._gathered) >= MAX_PIECES:
            self._take_batch()

    def append_all(self, pieces: list[Buffer]) -> None:
        for piece in pieces:
            self.append(piece)

    def drain(self) -> None:
        """Returns when all is written.

        Raises:
            WriteError: Some of it could not be.
        """
        if self._gathered:
            self._take_batch()

    def sync(self) -> None:
        """Returns when all is written and on the disk."""
        self.drain()
        self._file.sync()

    def close(self) -> None:
        """Closes the file; what was not drained is not written."""
        self._gathered = []
        self._file.close()

    def discard(self) -> None:
        """Closes the file and removes it."""
        self._gathered = []
        self._file.discard()

    def _take_batch(self) -> None:
        batch, size = self._gathered, self._gathered_size
        self._gathered, self._gathered_size = [], 0
        self._hand_over(batch, size)

    def _hand_over(self, batch: Batch, size: int) -> None:
        self._file.append_all(batch)
