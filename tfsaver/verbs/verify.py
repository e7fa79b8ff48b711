"""Verifies a file of any format, as far as its format allows.

    V1, V2, SavedModel        every byte of index and data, against its checksum
    npz, .keras, torch        every member of the archive, against its CRC-32
    safetensors, HDF5, Orbax  names, types and sizes against the file, and that all values can be read; the format has no
                              checksums of values, so that a flipped bit of one cannot be seen
    anything else             nothing: the report says what it is

Where values cannot be verified the report says so in `unverified`: it is neither sound nor damaged.
"""

from __future__ import annotations

import contextlib
import zipfile

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.identify import Identity, identify
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.checkpoint.verify import Problem, Progress, VerifyReport, verify_checkpoint
from tfsaver.errors import (
    CheckpointNotFoundError,
    DataLossError,
    InvalidArgumentError,
    MissingExtraError,
    SaverError,
    UnimplementedError,
)
from tfsaver.formats.file_source import OpenFile, library_errors
from tfsaver.formats.registry import Format, format_of_source
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.tensor_bundle import naming
from tfsaver.verbs.open_source import open_path

_CHUNK = 1 << 20


@renamed_options(path="checkpoint")
@takes_storage_options("checkpoint")
def verify(
    checkpoint: file_io.PathLike | CheckpointReader,
    *,
    quick: bool | int = False,
    part: tuple[int, int] | None = None,
    trusted: bool = True,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> VerifyReport:
    """Reads all of a checkpoint's index and data in bounded memory and compares every checksum that the format has.

    Args:
        checkpoint: A path as `load_checkpoint` takes it, or an open reader, which stays open.
        quick: If true, a sample of the values is read, and of a checkpoint everything else: see `verify_checkpoint`.
        part: ``(k, n)`` reads the values of the k-th of n parts, 1 to n; the report says what was not read.
        trusted: If false, a name in a file that leads out of the file's directory is an error.
        progress: Called with the bytes read and the bytes in all.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        A report; damage is in its `problems`, not raised. What cannot be verified is in `unverified`. It is `ok` if nothing
        is wrong in what was to be read; `is_complete` says whether that was everything.

    Raises:
        SaverError: See `verify_checkpoint`.
        InvalidArgumentError: A file of another format is to be verified in part.
        OSError: The system does not read a file. That says nothing about its bytes, so it is not a problem in the report.
    """
    if isinstance(checkpoint, CheckpointReader):
        return verify_checkpoint(checkpoint, quick=quick, part=part, progress=progress)
    path = file_io.as_path(checkpoint)
    if file_io.is_remote(path) and file_io.exists(naming.index_path(path)):
        # What else the name might mean would be a request each.
        return verify_checkpoint(path, quick=quick, part=part, trusted=trusted, progress=progress)
    try:
        identity = identify(path, trusted=trusted)
    except CheckpointNotFoundError:
        return verify_checkpoint(path, quick=quick, part=part, trusted=trusted, progress=progress)
    row = format_of_source(path, trusted=trusted)
    if not row.is_checkpoint:
        if quick or part is not None:
            raise InvalidArgumentError(f"{path} is {identity.description}: quick= and part= are for checkpoints alone")
        return _verify_foreign(path, row, identity, progress)
    # A checkpoint may be damaged so that its file is like nothing.
    is_other = identity.format is None and identity.kind not in ("unknown", "directory") and not _is_checkpoint(path)
    if is_other:
        return VerifyReport(path, unverified=f"{identity.description}; next: {identity.command}")
    try:
        return verify_checkpoint(path, quick=quick, part=part, trusted=trusted, progress=progress)
    except CheckpointNotFoundError:
        if identity.kind != "SavedModel":
            raise
        why = f"SavedModel without variables; next: tfsaver saved-model lint {identity.command.rpartition(' ')[2]}"
        return VerifyReport(path, unverified=why)


def _is_checkpoint(path: str) -> bool:
    """Whether a path is a prefix, or a directory, whose own error says more."""
    return not file_io.exists(path) or file_io.is_directory(path) or file_io.exists(naming.index_path(path))


def _verify_foreign(path: str, row: Format, identity: Identity, progress: Progress | None) -> VerifyReport:
    report = VerifyReport(path)
    # Legacy files of torch and those of HDF5 are no archives.
    is_archive = identity.kind in ("npz", "torch", "keras") or (row.name == "npz" and identity.kind == "zip")
    is_archive = is_archive and not file_io.is_remote(path)
    try:
        if is_archive:
            _verify_members(path)
        with open_path(path, row.name) as source:
            _read_all(source, report, progress)
    except MissingExtraError as error:
        if not is_archive:
            report.unverified = str(error)
    except UnimplementedError as error:
        report.unverified = str(error)
    except DataLossError as error:
        report.problems.append(Problem(path, error))
    if not is_archive and not report.problems and report.unverified is None:
        can_be_read = f"all {report.num_tensors} tensors can be read"
        report.unverified = f"{identity.description}: {can_be_read}, but the format has no checksums of their values"
    return report


def _read_all(source: TensorSource, report: VerifyReport, progress: Progress | None) -> None:
    sizes: dict[str, int] = {}
    for name in source.names:
        # What is not a tensor is no damage.
        with contextlib.suppress(UnimplementedError):
            sizes[name] = source.info(name).num_bytes
    done, total = 0, sum(sizes.values())
    for name, size in sizes.items():
        try:
            source.read(name)
        except OSError as error:
            if not isinstance(error, SaverError):
                raise
            report.problems.append(Problem(name, error))
        except SaverError as error:
            report.problems.append(Problem(name, error))
        else:
            report.num_bytes += size
        report.num_tensors += 1
        done += size
        if progress is not None:
            progress(done, total)


def _verify_members(path: str) -> None:
    """Reads every member of an archive, whose end compares its CRC-32.

    Raises:
        DataLossError: One of them does not match, or the archive is damaged.
    """
    file = OpenFile(path, "archive")
    try:
        with library_errors(f"{path} is a damaged archive", file), zipfile.ZipFile(file.stream()) as archive:
            for member in archive.infolist():
                with archive.open(member) as stream:
                    while stream.read(_CHUNK):
                        pass
    finally:
        file.close()
