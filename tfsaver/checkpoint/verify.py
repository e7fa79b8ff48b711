"""Reads every byte of a checkpoint and reports everything that is wrong, not the first thing alone."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.checkpoint.identify import Identity, identity_of_wrong
from tfsaver.checkpoint.one_checkpoint import MAX_ATTEMPTS
from tfsaver.checkpoint.report import Report, count
from tfsaver.errors import CheckpointNotFoundError, CheckpointReplacedError, DataLossError, InvalidArgumentError, SaverError
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options

# Called with the bytes done and the bytes there are.
Progress = Callable[[int, int], None]

# As many names as a line of a report can bear.
_MAX_NAMES = 3
# How many tensors are looked up and read at a time.
_BATCH = 1 << 14
# As many missing files that hold nothing as anybody wants to hear of.
_MAX_EMPTY = 100
# What a quick verification reads of the values.
_NUM_SAMPLED = 32
_MAX_SAMPLED_BYTES = 256 << 20
# In bytes of values: what looking up an entry takes, about.
_ENTRY_COST = 1 << 10


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        where: The tensor's name, or the file.
        error: What reading it raised.
    """

    where: str
    error: Exception

    def __str__(self) -> str:
        return f"{self.where}: {self.error}"


@dataclass
class VerifyReport(Report):
    """What a verification found.

    A report of a part (``quick=``, ``part=``) is `ok` if nothing is wrong in what the call asked to read: its `num_unread`
    tensors may be damaged. `is_complete` says whether there are none of these.

    Attributes:
        prefix: The checkpoint.
        num_tensors: Tensors that were read.
        num_bytes: Bytes of values that were read and match their checksums.
        problems: Everything that is wrong; none in a sound checkpoint.
        unverified: Why it cannot be known whether the values are right, as in a format without checksums; else None.
        num_unread: Tensors whose values were not to be read.
        num_unread_bytes: Bytes of their values.
    """

    prefix: str
    num_tensors: int = 0
    num_bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    unverified: str | None = None
    num_unread: int = 0
    num_unread_bytes: int = 0

    @property
    def ok(self) -> bool:
        """Whether every byte that was to be read was compared with a checksum, and nothing is wrong."""
        return not self.problems and self.unverified is None

    @property
    def is_complete(self) -> bool:
        """Whether all tensors were read."""
        return not self.num_unread

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line.

        Args:
            all_names: Makes no difference: every problem has a line, and sound tensors are only counted.
        """
        if self.ok and self.is_complete:
            yield f"{self.prefix}: OK, {self.num_tensors} tensors, {self.num_bytes} bytes"
        elif self.ok:
            read = f"{self.num_tensors} tensors, {self.num_bytes} bytes"
            yield f"{self.prefix}: OK in part, {read}; not read: {self.num_unread} tensors, {self.num_unread_bytes} bytes"
        elif not self.problems:
            yield f"{self.prefix}: not verified: {self.unverified}"
        else:
            yield f"{self.prefix}: {count(len(self.problems), 'problem')}; {self.num_bytes} bytes are sound"
            yield from (f"  {item}" for item in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""
        return {
            "ok": self.ok,
            "checkpoint": self.prefix,
            "num_tensors": self.num_tensors,
            "num_bytes": self.num_bytes,
            "is_complete": self.is_complete,
            "num_unread": self.num_unread,
            "num_unread_bytes": self.num_unread_bytes,
            "unverified": self.unverified,
            "problems": [{"where": item.where, "error": str(item.error)} for item in self.problems],
        }


@renamed_options(path="checkpoint")
def verify_checkpoint(
    checkpoint: file_io.PathLike | CheckpointReader,
    *,
    quick: bool | int = False,
    part: tuple[int, int] | None = None,
    trusted: bool = True,
    progress: Progress | None = None,
) -> VerifyReport:
    """Reads all of a checkpoint's index and data in bounded memory and compares every checksum.

    Args:
        checkpoint: A path as `load_checkpoint` takes it, or an open reader, which stays open.
        quick: If true, all of the index is read, the data files must have the bytes that it says, and of the values a
            sample is read: 32 tensors, or 256 MiB. A number reads so many tensors. V1 is read whole.
        part: ``(k, n)`` reads the values of the k-th of n parts, 1 to n, for n processes that share the work.
        trusted: If false, a name in a file that leads out of the file's directory is an error.
        progress: Called with the bytes read and the bytes in all.

    Returns:
        A report; damage is in its `problems`, not raised.

    Raises:
        CheckpointNotFoundError: There is no checkpoint to verify.
        CheckpointReplacedError: It is replaced again and again, or the open reader's files were replaced.
        InvalidArgumentError: It is not trusted, and leads out of its directory; names what does. Or there is no such part,
            or `quick` and `part` are both given.
        UnimplementedError: It was written for newer readers, so it is unknown whether it is sound.
        OSError: The system does not read a file. That says nothing about its bytes, so it is not a problem in the report.
    """
    share = _Share.of(quick, part)
    if isinstance(checkpoint, CheckpointReader):
        return _Verification(checkpoint, share, progress).run()
    for _ in range(MAX_ATTEMPTS - 1):
        # What was found of a checkpoint that is replaced now is of no use.
        with contextlib.suppress(CheckpointReplacedError):
            return _verify(checkpoint, share, trusted, progress)
    return _verify(checkpoint, share, trusted, progress)


class _Share(NamedTuple):
    """Which of a checkpoint's tensors are read.

    Attributes:
        sample: How many, chosen at random; None for all.
        max_bytes: How many bytes these may have.
        number: Which part is read, from 1 on.
        num_parts: How many parts there are.
    """

    sample: int | None = None
    max_bytes: int | None = None
    number: int = 1
    num_parts: int = 1

    @classmethod
    def of(cls, quick: bool | int, part: tuple[int, int] | None) -> _Share:
        """What `verify_checkpoint` was asked for."""
        if part is not None:
            if quick:
                raise InvalidArgumentError("quick= reads a sample and part= a share of all: give one of them")
            number, num_parts = part
            if not 1 <= number <= num_parts:
                raise InvalidArgumentError(f"part={part!r}: the parts of {num_parts} are 1 to {num_parts}")
            return cls(number=number, num_parts=num_parts)
        if quick < 0:
            raise InvalidArgumentError(f"quick={quick!r} is not a number of tensors")
        if quick is True:
            return cls(sample=_NUM_SAMPLED, max_bytes=_MAX_SAMPLED_BYTES)
        return cls(sample=quick or None)

    @property
    def checks_places(self) -> bool:
        """Whether it is to be checked where the tensors lie that are not read; one of all parts does it."""
        return self.number == 1

    def chosen(self, sizes: Mapping[str, int]) -> list[str]:
        """The names of the tensors that are read, in the order in which they are given with their sizes."""
        if self.sample is None:
            return [name for name, part in _dealt_out(sizes, self.num_parts) if part == self.number]
        found: set[str] = set()
        num_bytes = 0
        for name in random.sample(list(sizes), len(sizes)):
            if self.max_bytes is None or num_bytes + sizes[name] <= self.max_bytes:
                found.add(name)
                num_bytes += sizes[name]
            if len(found) == self.sample:
                break
        if sizes and not found:
            found = {min(sizes, key=sizes.__getitem__)}
        return [name for name in sizes if name in found]


def _dealt_out(sizes: Mapping[str, int], num_parts: int) -> Iterator[tuple[str, int]]:
    """Each name and the number of the part that it is in, from 1 on: runs of names of about as many bytes each."""
    # An entry costs something, too.
    total = sum(sizes.values()) + _ENTRY_COST * len(sizes)
    before = 0
    for name, size in sizes.items():
        middle = before + (size + _ENTRY_COST) // 2
        yield name, middle * num_parts // total + 1
        before += size + _ENTRY_COST


def _verify(path: file_io.PathLike, share: _Share, trusted: bool, progress: Progress | None) -> VerifyReport:
    try:
        reader = load_checkpoint(path, trusted=trusted)
    except DataLossError as error:
        return VerifyReport(file_io.as_path(path), problems=[Problem(file_io.as_path(path), error)])
    with reader:
        return _Verification(reader, share, progress).run()


class _Verification:
    def __init__(self, reader: CheckpointReader, share: _Share, progress: Progress | None) -> None:
        self._reader = reader
        self._share = share
        self._progress = progress
        self._report = VerifyReport(reader.prefix)
        self._damaged: set[str] = set()
        # Data files that are not there, and the tensors in them.
        self._missing: dict[str, dict[str, None]] = {}
        # What data files are that have a damaged tensor, and the tensors in those that are something else altogether.
        self._identities: dict[str, Identity | None] = {}
        self._replaced: dict[str, dict[str, None]] = {}

    def run(self) -> VerifyReport:
        implementation = self._reader.implementation
        index_damage: list[SaverError] = []
        names = implementation.verify_index(index_damage.append)
        sizes = {name: size for name in names if (size := self._size(name)) is not None}
        measured = list(sizes)
        if self._reader.version == "V2" or self._share.sample is None:
            # The index of V1 has the values, which have all been read by now.
            measured = self._share.chosen(sizes)
        chosen = set(measured)
        unread = [name for name in sizes if name not in chosen]
        if unread and self._share.checks_places:
            implementation.check_places(unread, self._note)
        total, done = sum(sizes[name] for name in measured), 0
        # In parts, so that no more entries are in memory than there are in one.
        for start in range(0, len(measured), _BATCH):
            batch = measured[start : start + _BATCH]
            before = done

            def report(read: int, before: int = before) -> None:
                if self._progress is not None:
                    self._progress(before + read, total)

            implementation.read_many(
                dict.fromkeys(batch), verify_only=True, on_damage=self._note, progress=report if self._progress else None
            )
            done += sum(sizes[name] for name in batch)
        self._report.num_tensors = len(measured)
        self._report.num_bytes = sum(sizes[name] for name in measured if name not in self._damaged)
        self._report.num_unread = len(unread)
        self._report.num_unread_bytes = sum(sizes[name] for name in unread)
        # A record of a V1 checkpoint lies in a block: what is wrong with its tensor need not be said of the block again.
        told = {_location(problem.error) for problem in self._report.problems} - {None}
        new = [Problem("index", error) for error in index_damage if _location(error) not in told]
        self._report.problems[:0] = new
        self._report.problems += self._missing_files()
        self._report.problems += [self._replaced_file(path) for path in self._replaced]
        return self._report

    def _size(self, name: str) -> int | None:
        """The bytes of a tensor's values; None, and a problem, where the index does not say."""
        try:
            return self._reader.info(name).num_bytes
        except CheckpointReplacedError:
            raise
        except SaverError as error:
            self._report.problems.append(Problem(name, error))
            return None

    def _note(self, name: str, error: SaverError) -> None:
        self._damaged.add(name)
        if isinstance(error, CheckpointNotFoundError):
            self._missing.setdefault(error.looked_for[0], {})[name] = None
        elif isinstance(error, DataLossError) and self._is_replaced(error.path):
            self._replaced.setdefault(str(error.path), {})[name] = None
        else:
            self._report.problems.append(Problem(name, error))

    def _is_replaced(self, path: str | None) -> bool:
        """Whether a data file is a Git LFS pointer, a web page or empty: one problem, however many tensors it has."""
        if path is None or self._reader.version != "V2":
            return False
        if path not in self._identities:
            self._identities[path] = identity_of_wrong(path)
        return self._identities[path] is not None

    def _replaced_file(self, path: str) -> Problem:
        identity = self._identities[path]
        error = DataLossError(f"the values of {_listed(list(self._replaced[path]))} are not there")
        error.path, error.advice = path, identity.advice if identity else ""
        return Problem(path, error)

    def _missing_files(self) -> Iterator[Problem]:
        """Every file that is not there, those included that hold no tensor until many of these are missing."""
        waiting = dict.fromkeys(self._missing)
        num_empty = 0
        implementation = self._reader.implementation
        for path in implementation.missing_files():
            num_empty += path not in self._missing
            waiting.pop(path, None)
            is_last = num_empty == _MAX_EMPTY
            rest = f"; the index counts {implementation.num_files}, and no more of them were looked for" if is_last else ""
            yield self._missing_file(path, rest)
            if is_last:
                break
        yield from map(self._missing_file, waiting)

    def _missing_file(self, path: str, rest: str = "") -> Problem:
        names = list(self._missing.get(path, {}))
        lost = f", and with it the values of {_listed(names)}" if names else ""
        found = f"the index is there, this file is not{lost}{rest}"
        return Problem(path, CheckpointNotFoundError(self._report.prefix, looked_for=[path], found=found))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(map(repr, names[:_MAX_NAMES])) + more


def _location(error: Exception) -> tuple[str, int | None] | None:
    return (error.path, error.offset) if isinstance(error, DataLossError) and error.path is not None else None
