"""Reads every byte of a checkpoint and reports everything that is wrong, not the first thing alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.errors import CheckpointNotFoundError, DataLossError, SaverError
from tfsaver.lib import file_io
from tfsaver.tensor_bundle import BundleReader

# Called with the bytes done and the bytes there are.
Progress = Callable[[int, int], None]


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
    """
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

    def run(self) -> VerifyReport:
        try:
            self._reader.implementation.verify_index()
            names = self._reader.names
        except SaverError as error:
            # A damaged index block takes its names with it: what else is in the checkpoint cannot be told.
            self._report.problems.append(Problem("index", error))
            return self._report
        sound = [name for name in names if self._measure(name)]
        for name in sound:
            self._verify_tensor(name)
        self._verify_shards()
        return self._report

    def _measure(self, name: str) -> bool:
        try:
            self._total += self._reader.info(name).num_bytes
        except SaverError as error:
            self._report.problems.append(Problem(name, error))
            return False
        return True

    def _verify_tensor(self, name: str) -> None:
        self._report.num_tensors += 1
        try:
            for size in self._reader.implementation.verify_tensor(name):
                self._done += size
                if self._progress is not None:
                    self._progress(self._done, self._total)
        except (SaverError, OSError) as error:
            self._report.problems.append(Problem(name, error))
        else:
            self._report.num_bytes += self._reader.info(name).num_bytes

    def _verify_shards(self) -> None:
        """Every data shard that the header counts must exist: TensorFlow opens one even for a tensor without elements."""
        bundle = self._reader.implementation
        if not isinstance(bundle, BundleReader):
            return
        errors = (problem.error for problem in self._report.problems)
        reported = {path for error in errors if isinstance(error, CheckpointNotFoundError) for path in error.looked_for}
        for shard_id in range(bundle.header.num_shards):
            path = bundle.data_path(shard_id)
            if path not in reported and not file_io.exists(path):
                self._report.problems.append(Problem(path, bundle.missing_shard(shard_id)))
