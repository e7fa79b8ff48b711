"""How many bytes of each data file the tensors take that were asked for.

Writers put tensors one behind the other, so that all together take no more than their file has. An index may say otherwise:
a thousand entries for the same million bytes would make a thousand times the file of them, each of them sound by itself.
"""

from __future__ import annotations

import array
import threading

from tfsaver.errors import DataLossError
from tfsaver.lib.file_io import RandomAccessFile
from tfsaver.tensor_bundle.entry import BundleEntry


class PromisedBytes:
    """Counts the entries of one index. Several threads may do so at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Hashes, since keys are long: two of one hash are counted as one, which is no harm.
        self._known: set[int] = set()
        # Of each shard, the end and the size of what is not counted yet: whether it lies in the file is seen when that is
        # open.
        self._waiting: dict[int, array.array[int]] = {}
        self._totals: dict[int, int] = {}

    def add(self, key: bytes, entry: BundleEntry) -> None:
        """Notes the entry of a key; the same key again is no more bytes."""
        known = hash(key)
        if not entry.size or known in self._known:
            return
        with self._lock:
            if known not in self._known:
                self._known.add(known)
                self._waiting.setdefault(entry.shard_id, array.array("Q")).extend((entry.offset + entry.size, entry.size))

    def check(self, shard_id: int, file: RandomAccessFile) -> None:
        """Compares what lies in a shard's file with its size.

        Raises:
            DataLossError: It is more: tensors have bytes in common.
        """
        if shard_id not in self._waiting and self._totals.get(shard_id, 0) <= file.size:
            return
        with self._lock:
            waiting = self._waiting.pop(shard_id, array.array("Q"))
            # What ends behind the file is damage of another kind, and is never read.
            in_file = (size for end, size in zip(waiting[::2], waiting[1::2], strict=True) if end <= file.size)
            total = self._totals[shard_id] = self._totals.get(shard_id, 0) + sum(in_file)
        if total > file.size:
            raise DataLossError(
                f"{file.path}: tensors of {total} bytes are to be in its {file.size}: "
                "some have bytes in common, as no writer leaves them"
            )
