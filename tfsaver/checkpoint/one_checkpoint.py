"""The reader of a format, and that all it gives is of one checkpoint.

When another checkpoint takes the place of a V2 checkpoint while it is read, its reader goes on with the files that it has
open. Where it needs one that it has not, the new checkpoint is opened instead, as long as nobody can tell:

    given so far               what the new one must have in common with the old one
    nothing                    nothing
    names, dtypes or shapes    all names, dtypes and shapes
    values                     all checksums: it is the same checkpoint under other names, or saved again
    the format's own reader    cannot be: the caller has it

Otherwise that is a `CheckpointReplacedError`. The files of a V1 checkpoint are opened at once; if one of several is replaced
just then, they are opened again.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeVar

from tfsaver.checkpoint.checkpoint_location import CheckpointLocation
from tfsaver.checkpoint.identify import advice_on, identified
from tfsaver.checkpoint.tensor_slice_reader import TensorSliceReader
from tfsaver.errors import CheckpointNotFoundError, CheckpointReplacedError, DataLossError, NotACheckpointError, SaverError
from tfsaver.lib import file_identity
from tfsaver.lib.fork_safe_lock import ForkSafeLock
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.bundle_index import is_same_content, is_same_form
from tfsaver.tensor_bundle.reader import BundleReader

FormatReader: TypeAlias = "BundleReader | TensorSliceReader"
_T = TypeVar("_T")

# Somebody who replaces a checkpoint more often than this while one thing is read from it does nothing else.
MAX_ATTEMPTS = 10


class Given(enum.IntEnum):
    """What somebody has been given; see the module."""

    NOTHING = 0
    FORM = 1
    VALUES = 2
    READER = 3


class OneCheckpoint:
    """What several threads read from, one checkpoint whatever happens to its name.

    Args:
        reader: The reader of the format.

    Attributes:
        reader: The same, or the one that took its place.
    """

    def __init__(self, reader: FormatReader) -> None:
        self.reader = reader
        self._given = Given.NOTHING
        self._lock = ForkSafeLock()

    def give(self, given: Given, read: Callable[[FormatReader], _T]) -> _T:
        """What `read` returns: all of it, and all that was given before, of one checkpoint.

        Args:
            given: What it is.
            read: Called with the reader, and again with another one when the checkpoint was replaced meanwhile.

        Raises:
            CheckpointReplacedError: What was given before does not go together with the new checkpoint.
        """
        for _ in range(MAX_ATTEMPTS):
            reader = self.reader
            try:
                result = read(reader)
            except CheckpointReplacedError as error:
                self._open_again(reader, error)
                continue
            except DataLossError as error:
                # A data file may be a Git LFS pointer, or empty.
                if error.path is not None and not error.advice:
                    error.advice = advice_on(error.path)
                raise
            # What was given before is true of every reader that follows.
            if self._given >= given and self.reader is reader:
                return result
            with self._lock:
                if self.reader is reader:
                    self._given = max(self._given, given)
                    return result
        raise CheckpointReplacedError(self.reader.prefix, what=f"{MAX_ATTEMPTS} times, whenever it was opened again")

    def stream(self, read: Callable[[FormatReader], Iterator[_T]]) -> Iterator[_T]:
        """What `read` yields. Another checkpoint can take the place of this one only before the first item."""

        def begin(reader: FormatReader) -> tuple[Iterator[_T], list[_T]]:
            items = read(reader)
            return items, list(itertools.islice(items, 1))

        items, first = self.give(Given.VALUES, begin)
        yield from first
        # Not kept: what is in its memory is the next item then.
        del first
        yield from items

    def _open_again(self, replaced: FormatReader, error: CheckpointReplacedError) -> None:
        with self._lock:
            if self.reader is not replaced:
                # By another thread.
                return
            if self._given is Given.READER or not isinstance(replaced, BundleReader):
                raise error
            try:
                # Not of the class of the old one: what is recovered is not read while it changes.
                reader = BundleReader(replaced.prefix)
            except CheckpointNotFoundError as gone:
                gone.found = "it was replaced, and then removed, while it was read"
                raise gone from error
            except CheckpointReplacedError:
                return
            if not _goes_together(replaced, reader, self._given):
                reader.close()
                raise error
            # Threads may still read from the old one, whose files close with the last of them.
            self.reader = reader

    def close(self) -> None:
        """Closes the files; nothing can be read afterwards."""
        self.reader.close()


def open_location(location: CheckpointLocation) -> FormatReader:
    """Opens a checkpoint.

    Raises:
        CheckpointNotFoundError: It is not there, or no more.
        CheckpointReplacedError: It is replaced again and again.
        DataLossError: Its index is damaged.
    """
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return _open(location)
        except CheckpointReplacedError:
            continue
    return _open(location)


def _open(location: CheckpointLocation) -> FormatReader:
    if location.version == "V2":
        with identified(naming.index_path(location.prefix)):
            return BundleReader(location.prefix)
    before = _identities(location)
    reader = _open_v1(location)
    if _identities(location) != before:
        reader.close()
        raise CheckpointReplacedError(location.prefix, what="some of its files are others now than when it was opened")
    return reader


def _identities(location: CheckpointLocation) -> list[file_identity.FileIdentity]:
    """What the files of a V1 checkpoint are, if it has more than one."""
    if len(location.paths) < 2:
        return []
    try:
        return [file_identity.of_path(path) for path in location.paths]
    except FileNotFoundError as error:
        gone = [error.filename] if isinstance(error.filename, str) else location.paths
        raise CheckpointNotFoundError(location.prefix, looked_for=gone, found="it was there just now") from None


def _open_v1(location: CheckpointLocation) -> TensorSliceReader:
    with taken_for_v1(location):
        return TensorSliceReader(location.prefix, location.paths)


@contextlib.contextmanager
def taken_for_v1(location: CheckpointLocation) -> Iterator[None]:
    """Says of files that are no sound V1 checkpoint what they are: any file may be named as one.

    Raises:
        NotACheckpointError: They are known to be something else.
    """
    try:
        yield
    except DataLossError as error:
        if advice := next(filter(None, map(advice_on, location.paths)), ""):
            other = NotACheckpointError(f"{location.prefix} is not a checkpoint")
            other.path, other.advice = location.paths[0], advice
            raise other from error
        error.add_context(f"no V2 checkpoint, since {location.prefix}.index is not there, and no sound V1 checkpoint")
        raise


def _goes_together(old: BundleReader, new: BundleReader, given: Given) -> bool:
    """Whether what was given of one checkpoint is true of another."""
    if given is Given.NOTHING:
        return True
    try:
        compare = is_same_form if given is Given.FORM else is_same_content
        return compare(old.index, new.index)
    except SaverError:
        # The old index was written over, and says no more; or the new one is damaged.
        return False
