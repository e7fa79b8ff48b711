"""The file of an index, held as it was when it was opened.

Whoever replaces a checkpoint renames another index to its name, and the open file stays what it was; but some programs write
over the file itself, and block by block a reader would get something of either. So a file that was written to since it was
opened gives nothing more. An index in a store, which has no open files, is read whole,
or by its blocks where it is large: their checksums tell those of another index.

The index also says whether the checkpoint is still the one that was opened: as long as its name stands for the same file,
the data files are those that it speaks of, since none of them changes its name before the index has. (TensorFlow, which
renames data files first, is the exception: `bundle_files` has the rest.)
"""

from __future__ import annotations

import contextlib
import enum

from tfsaver.errors import CheckpointNotFoundError, CheckpointReplacedError
from tfsaver.lib import file_identity, file_io
from tfsaver.lib.file_identity import FileIdentity

# If answers still disagree after so many times, the file was not replaced: there are mounts that invent them.
_MAX_OPENED = 10


# An index in a store up to this size is read whole, in one request; a larger one by its blocks.
_MAX_CONTENT = 8 << 20


class Fate(enum.Enum):
    """What has become of the name of an index since it was opened."""

    SAME = "the same file"
    REPLACED = "another file"
    REMOVED = "no file"


class IndexFile:
    """An open index.

    Args:
        prefix: The checkpoint, for errors.
        path: The index.

    Attributes:
        identity: What file it is; None where the system's answers about that do not agree with each other.

    Raises:
        CheckpointNotFoundError: There is no such file.
        CheckpointReplacedError: It is replaced again and again.
    """

    def __init__(self, prefix: str, path: str) -> None:
        self.prefix = prefix
        self.path = path
        self._file = self._opened()
        self.identity = self._identity()
        for _ in range(_MAX_OPENED):
            if self.identity is not None:
                break
            # It was replaced just now.
            self._file.close()
            self._file = self._opened()
            self.identity = self._identity()
        is_small_object = file_io.is_remote(path) and self._file.size <= _MAX_CONTENT
        self._content = self._file.read(0, self._file.size) if is_small_object else None
        self.size = self._file.size if self._content is None else len(self._content)
        if self._content is not None and self.size != self._file.size:
            raise self.replaced()

    def _opened(self) -> file_io.RandomAccessFile:
        try:
            return file_io.open_for_reading(self.path)
        except (FileNotFoundError, NotADirectoryError):
            raise CheckpointNotFoundError(self.prefix, looked_for=[self.path]) from None

    def _identity(self) -> FileIdentity | None:
        if file_io.is_remote(self.path):
            # One request told both size and version; a replacement shows when something does not fit.
            return file_identity.of_open(self._file)
        with contextlib.suppress(OSError):
            opened = file_identity.of_open(self._file)
            if opened == file_identity.of_path(self.path):
                return opened
        return None

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`, as they were when the file was opened.

        Raises:
            CheckpointReplacedError: They may be others now.
        """
        if self._content is not None:
            return self._content[offset : offset + size]
        data = self._file.read(offset, size)
        self.check_unwritten()
        return data

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """Fills `buffer` from `offset`; returns how many bytes came."""
        data = self.read(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def check_unwritten(self) -> None:
        """Checks that nobody has written to the file since it was opened.

        Raises:
            CheckpointReplacedError: Somebody has.
        """
        if self._content is None and self.identity is not None and file_identity.of_open(self._file) != self.identity:
            raise self.replaced()

    def fate(self) -> Fate:
        """What the name of the index stands for now."""
        if self.identity is None:
            return Fate.SAME
        try:
            return Fate.SAME if file_identity.of_path(self.path) == self.identity else Fate.REPLACED
        except (FileNotFoundError, NotADirectoryError):
            return Fate.REMOVED
        except OSError:
            return Fate.SAME

    def replaced(self) -> CheckpointReplacedError:
        """The error for an index that is another one now."""
        return CheckpointReplacedError(self.prefix, what=f"{self.path} is another file now than when it was opened")

    def close(self) -> None:
        self._file.close()
