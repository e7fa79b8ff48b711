"""The data files of a bundle, opened when their bytes are first needed, and whether they are those that its index means.

    1   the index is opened, and what is in it is known
    2   a data file is opened by its name, which may be much later
    3   is the name of the index still that of the file which was opened in 1?

If it is, the file of 2 is the index's: a checkpoint that replaces another changes the index before it changes a data file
that the old index needs (see `placement`). If it is another file, the checkpoint has been replaced. If it is gone, so is the
checkpoint, but the data file that was opened may be the right one.

TensorFlow renames data files first and the index last. Between the two, the answer of 3 is yes and the data are others; what
shows it is that they were written after the index. So may be files that somebody has copied. Such a file is doubtful, like
that of a checkpoint that is gone: nothing is taken from it without its checksum.
"""

from __future__ import annotations

import contextlib
import threading

from tfsaver.errors import CheckpointNotFoundError, InvalidArgumentError, SaverError, TruncatedError
from tfsaver.lib import file_identity, file_io
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.index_file import Fate, IndexFile


class DataFiles:
    """The data files of one index; several threads may ask for them at once.

    Args:
        prefix: The checkpoint's path without suffix.
        num_shards: How many there are.
        index: The index that says so.
    """

    def __init__(self, prefix: str, num_shards: int, index: IndexFile) -> None:
        self._prefix = prefix
        self._num_shards = num_shards
        self._index = index
        self._files: dict[int, file_io.RandomAccessFile] = {}
        self._paths: dict[int, str] = {}
        # With what is odd about each.
        self._doubtful: dict[int, str] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def num_open(self) -> int:
        """How many are open."""
        return len(self._files)

    def path(self, shard_id: int) -> str:
        """The file of a shard."""
        path = self._paths.get(shard_id)
        if path is None:
            path = self._paths[shard_id] = naming.data_path(self._prefix, shard_id, self._num_shards)
        return path

    def of(self, entry: BundleEntry) -> file_io.RandomAccessFile:
        """The open file in which an entry's bytes lie, all of them.

        Raises:
            TruncatedError: It ends before.
            CheckpointNotFoundError: There is no such file.
            CheckpointReplacedError: It is another checkpoint's.
        """
        with self._lock:
            if self._is_closed:
                raise InvalidArgumentError(f"{self._prefix} is closed")
            file = self._files.get(entry.shard_id)
            if file is None:
                file = self._files[entry.shard_id] = self._open(entry.shard_id)
        if entry.offset + entry.size > file.size:
            self.check_not_replaced()
            raise TruncatedError(
                f"{entry.size} bytes at {entry.offset} of {file.path}",
                wanted=entry.size,
                available=max(0, file.size - entry.offset),
            )
        return file

    def _open(self, shard_id: int) -> file_io.RandomAccessFile:
        try:
            file = file_io.open_for_reading(self.path(shard_id))
        except FileNotFoundError:
            raise self.missing(shard_id) from None
        try:
            fate = self._index.fate()
            if fate is Fate.REPLACED:
                raise self._index.replaced()
            if fate is Fate.REMOVED:
                self._doubtful[shard_id] = "the index was removed while it was open"
            elif self._is_newer_than_index(file):
                self._doubtful[shard_id] = "data newer than the index, as in a save that goes on or was stopped"
        except BaseException:
            file.close()
            raise
        return file

    def _is_newer_than_index(self, file: file_io.RandomAccessFile) -> bool:
        index = self._index.identity
        if index is None or file_io.is_remote(file.path):
            return False
        return file_identity.of_open(file).modification_time_ns > index.modification_time_ns

    @property
    def has_doubts(self) -> bool:
        """Whether any of them is doubtful."""
        return bool(self._doubtful)

    def is_doubtful(self, entry: BundleEntry) -> bool:
        """Whether only its checksum can tell that an entry's bytes are those of this checkpoint."""
        return entry.shard_id in self._doubtful

    def doubt(self, shard_id: int) -> str:
        """What is odd about a doubtful file."""
        return self._doubtful[shard_id]

    def check_not_replaced(self) -> None:
        """Checks, when something else has gone wrong, whether that is why.

        Raises:
            CheckpointReplacedError: The index has been replaced since it was opened.
        """
        if self._index.fate() is Fate.REPLACED:
            raise self._index.replaced()

    def missing(self, shard_id: int) -> SaverError:
        """The error for a data file that is not there."""
        fate = self._index.fate()
        if fate is Fate.REPLACED:
            return self._index.replaced()
        found = f"the index is there, its data shard {shard_id} is not"
        if fate is Fate.REMOVED:
            found = (
                f"the checkpoint was removed while it was read: its index was there when it was opened, and is gone now "
                f"like its data shard {shard_id}"
            )
        return CheckpointNotFoundError(self._prefix, looked_for=[self.path(shard_id)], found=found)

    def close(self) -> None:
        """Closes the files; none can be had afterwards."""
        with self._lock:
            self._is_closed = True
            for file in self._files.values():
                with contextlib.suppress(OSError):
                    file.close()
            self._files.clear()
