"""Which index which data files belong to, told by checksums: files of two checkpoints whose names were mixed up.

When all of a checkpoint's values contradict its index, its bytes are rarely damaged: they are another save's, copied or
renamed to its name. An index has the checksum of every tensor, so that one look at another checkpoint's data says whether
they are the right ones.

    model.ckpt-200.index   contradicts   model.ckpt-200.data-00000-of-00001
    model.ckpt-220.index   fits          model.ckpt-200.data-00000-of-00001

A candidate is read whole before anything is said of it, through links in a temporary directory that give it the names that
the index looks for. Only local files are paired.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tfsaver.checkpoint.checkpoint_files import file_size
from tfsaver.checkpoint.verify import VerifyReport, verify_checkpoint
from tfsaver.errors import ChecksumError, InvalidArgumentError, NotFoundError, SaverError, TruncatedError
from tfsaver.lib import file_io
from tfsaver.lib.directory_lock import directory_lock
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.reader import BundleReader

# Where so many candidates are of the right size, most are of one training and will not fit.
_MAX_CANDIDATES = 20
# Zeros and other constants are the same in any two saves of a training.
_MIN_SHARE = 0.5


class Mismatch(NamedTuple):
    """A checkpoint whose data files are those of another save.

    Attributes:
        prefix: The checkpoint.
        num_tensors: How many of its tensors contradict the index.
        data_of: The checkpoint whose index its data files fit; None where there is none.
        right_data: The prefix whose data files fit its index; None where there are none.
    """

    prefix: str
    num_tensors: int
    data_of: str | None
    right_data: str | None

    def __str__(self) -> str:
        said = f"all data contradict the index ({self.num_tensors:,} tensors)"
        if self.data_of is None and self.right_data is None:
            return f"{said}: they are of another save, or damaged throughout; no data files here fit its index"
        fits = "they are of another save" if self.data_of is None else f"they fit {self.data_of}"
        if self.right_data is None:
            return f"{said}; {fits}, and no data files here fit its own index"
        return f"{said}; {fits}, and its own are called {self.right_data}: --re-pair renames them"


class Pairing(NamedTuple):
    """What was renamed: each data file that was put in place, what it was called, and where the one before it is now."""

    path: str
    source: str
    kept_as: str | None


def contradicts(report: VerifyReport) -> int:
    """How many tensors contradict the index, where these are so many that the data files are of another save; else 0."""
    names = {each.where for each in report.problems if isinstance(each.error, (ChecksumError, TruncatedError))}
    is_most = report.num_tensors > 0 and len(names) >= max(1, _MIN_SHARE * report.num_tensors)
    # One tensor that is wrong is damaged; several at once, in the middle and at the end, are not by accident.
    is_several = len(names) > 1 or report.num_tensors == 1
    return len(names) if is_most and is_several else 0


def find_mismatch(prefix: str, num_tensors: int, others: Iterable[str]) -> Mismatch:
    """Says whose data files a checkpoint has, and where its own are.

    Args:
        prefix: The checkpoint, whose data contradict its index.
        num_tensors: How many tensors do.
        others: The prefixes of the other data files in the directory; not all of them need an index.
    """
    candidates = [other for other in others if other != prefix][: 10 * _MAX_CANDIDATES]
    data_of = next((each for each in candidates if _fits(each, prefix)), None)
    right_data = next((each for each in candidates if _fits(prefix, each)), None)
    return Mismatch(prefix, num_tensors, data_of, right_data)


def re_pair(mismatches: Sequence[Mismatch], *, durable: bool = True) -> list[Pairing]:
    """Gives data files the names of the checkpoints whose indexes they fit.

    What had such a name before is kept under another one. Files are only renamed and linked, and no byte is written to.

    Args:
        mismatches: From `find_mismatch`; those without data that fit are left alone.
        durable: Whether to return only once disks have the names.

    Raises:
        NotFoundError: There is nothing to pair.
        InvalidArgumentError: The data do not fit any longer; nothing was renamed.
        OSError: The system refuses it.
    """
    fitting = [each for each in mismatches if each.right_data is not None]
    if not fitting:
        raise NotFoundError("no data files here fit the index of a checkpoint that they do not belong to already")
    for each in fitting:
        if not _fits(each.prefix, str(each.right_data)):
            raise InvalidArgumentError(f"data files of {each.right_data} do not fit the index of {each.prefix} any longer")
    done: list[Pairing] = []
    directory = file_io.split(fitting[0].prefix)[0]
    with directory_lock(directory):
        staged: list[tuple[str, str, str]] = []
        try:
            for each in fitting:
                sources, targets = _data_of(str(each.right_data), each.prefix), _data_of(each.prefix, each.prefix)
                for source, target in zip(sources, targets, strict=True):
                    temporary = file_io.temporary_name(target)
                    _link(source, temporary)
                    staged.append((temporary, source, target))
            # Every file that is to go somewhere has a second name by now, so that two may change places.
            for temporary, source, target in staged:
                kept_as = _free_name(target) if file_io.exists(target) else None
                if kept_as is not None:
                    os.rename(target, kept_as)
                file_io.replace(temporary, target)
                done.append(Pairing(target, source, kept_as))
        finally:
            for temporary, _, _ in staged:
                file_io.remove(temporary)
        if durable:
            file_io.sync_directory(directory or os.curdir, fitting[0].prefix)
    return done


def _fits(index: str, data: str) -> bool:
    """Whether the data files of one prefix are what the index of another has the checksums of."""
    try:
        with _paired(index, data) as prefix:
            return prefix is not None and verify_checkpoint(prefix).ok
    except (SaverError, OSError):
        return False


@contextlib.contextmanager
def _paired(index: str, data: str) -> Iterator[str | None]:
    """The prefix under which an index finds the data files of another; None where their number or sizes already differ."""
    if file_io.is_remote(index) or not file_io.exists(naming.index_path(index)):
        yield None
        return
    wanted = _sizes(index)
    files = [naming.data_path(data, shard_id, len(wanted)) for shard_id in range(len(wanted))]
    if not wanted or not all(map(file_io.exists, files)) or [file_size(path) for path in files] != wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tfsaver-pairing-") as directory:
        prefix = os.path.join(directory, "model")
        _point(naming.index_path(index), naming.index_path(prefix))
        for shard_id, path in enumerate(files):
            _point(path, naming.data_path(prefix, shard_id, len(files)))
        yield prefix


def _sizes(prefix: str) -> list[int]:
    """How many bytes each data file of a checkpoint must have."""
    with BundleReader(prefix) as reader:
        sizes = [0] * reader.header.num_shards
        for name in reader.names:
            for piece in reader.info(name).pieces:
                if piece.shard_id is not None and piece.offset is not None and piece.size is not None:
                    sizes[piece.shard_id] = max(sizes[piece.shard_id], piece.offset + piece.size)
        return sizes


def _data_of(data: str, index: str) -> list[str]:
    num_shards = len(_sizes(index))
    return [naming.data_path(data, shard_id, num_shards) for shard_id in range(num_shards)]


def _point(source: str, target: str) -> None:
    try:
        os.symlink(os.path.abspath(source), target)
    except OSError:
        # Windows, where only some users may make symbolic links.
        _link(source, target)


def _link(source: str, target: str) -> None:
    try:
        file_io.link(source, target)
    except OSError:
        # A file system without links.
        shutil.copyfile(source, target)


def _free_name(path: str) -> str:
    number = 1
    while file_io.exists(name := f"{path}.old" if number == 1 else f"{path}.old{number}"):
        number += 1
    return name
