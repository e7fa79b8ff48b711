"""Reads every byte of a checkpoint and reports everything that is wrong, not the first thing alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.checkpoint.one_checkpoint import MAX_ATTEMPTS
from tfsaver.errors import CheckpointNotFoundError, CheckpointReplacedError, DataLossError, SaverError
from tfsaver.lib import file_io
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.reader import BundleReader

# Called with the bytes done and the bytes there are.
Progress = Callable[[int, int], None]

# As many names as a line of a report can bear.
_MAX_NAMES = 3
# As many missing files that hold nothing as anybody wants to hear of.
_MAX_EMPTY = 100


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
class VerifyReport:
    """What a verification found.

    Attributes:
        prefix: The checkpoint.
        num_tensors: Tensors that were read.
        num_bytes: Bytes of values that were read and match their checksums.
        problems: Everything that is wrong; none in a sound checkpoint.
    """

    prefix: str
    num_tensors: int = 0
    num_bytes: int = 0
    problems: list[Problem] = field(default_factory=list)

    def __str__(self) -> str:
        checked = f"{self.num_tensors} tensors, {self.num_bytes} bytes"
        if self.ok:
            return f"{self.prefix}: OK, {checked}"
        found = f"{len(self.problems)} problem{'s' if len(self.problems) > 1 else ''}"
        return "\n".join(
            [f"{self.prefix}: {found}; {self.num_bytes} bytes are sound", *(f"  {item}" for item in self.problems)]
        )

    @property
    def ok(self) -> bool:
        return not self.problems


def verify_checkpoint(path: file_io.PathLike, *, progress: Progress | None = None) -> VerifyReport:
    """Reads all of a checkpoint's index and data in bounded memory and compares every checksum.

    Args:
        path: What `load_checkpoint` takes.
        progress: Called as bytes are read.

    Returns:
        A report; damage is in its `problems`, not raised.

    Raises:
        CheckpointNotFoundError: There is no checkpoint to verify.
        CheckpointReplacedError: It is replaced again and again.
        UnimplementedError: It was written for newer readers; whether it is sound is not for us to say.
    """
    for _ in range(MAX_ATTEMPTS - 1):
        # What was found of a checkpoint that is replaced now is of no use.
        with contextlib.suppress(CheckpointReplacedError):
            return _verify(path, progress)
    return _verify(path, progress)


def _verify(path: file_io.PathLike, progress: Progress | None) -> VerifyReport:
    try:
        reader = load_checkpoint(path)
    except DataLossError as error:
        return VerifyReport(file_io.as_path(path), problems=[Problem(file_io.as_path(path), error)])
    with reader:
        return _Verification(reader, progress).run()


class _Verification:
    def __init__(self, reader: CheckpointReader, progress: Progress | None) -> None:
        self._reader = reader
        self._progress = progress
        self._report = VerifyReport(reader.prefix)
        self._done = self._total = 0
        # Data files that are not there, and the tensors in them.
        self._missing: dict[str, dict[str, None]] = {}

    def run(self) -> VerifyReport:
        index_damage: list[SaverError] = []
        names = self._reader.implementation.verify_index(index_damage.append)
        for name in [name for name in names if self._measure(name)]:
            self._verify_tensor(name)
        # A record of a V1 checkpoint lies in a block: what is wrong with its tensor need not be said of the block again.
        told = {_location(problem.error) for problem in self._report.problems} - {None}
        new = [Problem("index", error) for error in index_damage if _location(error) not in told]
        self._report.problems[:0] = new
        self._report.problems += self._missing_shards()
        return self._report

    def _measure(self, name: str) -> bool:
        try:
            self._total += self._reader.info(name).num_bytes
        except CheckpointReplacedError:
            raise
        except SaverError as error:
            self._report.problems.append(Problem(name, error))
            return False
        return True

    def _verify_tensor(self, name: str) -> None:
        self._report.num_tensors += 1
        damage: list[Exception] = []
        try:
            for size in self._reader.implementation.verify_tensor(name, damage.append):
                self._done += size
                if self._progress is not None:
                    self._progress(self._done, self._total)
        except CheckpointReplacedError:
            raise
        except (SaverError, OSError) as error:
            damage.append(error)
        if not damage:
            self._report.num_bytes += self._reader.info(name).num_bytes
        for found in damage:
            if isinstance(found, CheckpointNotFoundError):
                self._missing.setdefault(found.looked_for[0], {})[name] = None
            else:
                self._report.problems.append(Problem(name, found))

    def _missing_shards(self) -> Iterator[Problem]:
        """Every data file that the header counts must exist: TensorFlow opens one even for a tensor without elements.

        An index of some bytes may count a hundred thousand. Those that hold no tensor are looked for until many are missing.
        """
        bundle = self._reader.implementation
        if not isinstance(bundle, BundleReader):
            for path in bundle.paths:
                if path in self._missing or not file_io.exists(path):
                    yield self._missing_file(path)
            return
        num_shards = bundle.header.num_shards
        waiting = dict.fromkeys(self._missing)
        num_empty = 0
        for shard_id in range(num_shards):
            path = naming.data_path(bundle.prefix, shard_id, num_shards)
            if path in self._missing or not file_io.exists(path):
                bundle.check_not_replaced()
                num_empty += path not in self._missing
                waiting.pop(path, None)
                is_last = num_empty == _MAX_EMPTY
                rest = f"; the index counts {num_shards}, and no more of them were looked for" if is_last else ""
                yield self._missing_file(path, rest)
                if is_last:
                    break
        yield from map(self._missing_file, waiting)

    def _missing_file(self, path: str, rest: str = "") -> Problem:
        names = list(self._missing.get(path, {}))
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        lost = f", and with it the values of {', '.join(map(repr, names[:_MAX_NAMES]))}{more}" if names else ""
        found = f"the index is there, this file is not{lost}{rest}"
        return Problem(path, CheckpointNotFoundError(self._report.prefix, looked_for=[path], found=found))


def _location(error: Exception) -> tuple[str, int | None] | None:
    return (error.path, error.offset) if isinstance(error, DataLossError) and error.path is not None else None
