"""Opens what a path means, whatever the format: TensorFlow's `load_checkpoint` for all files that `convert` reads."""

from __future__ import annotations

from typing import Any

from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.verbs.open_source import open_path


@renamed_options(path="checkpoint")
@takes_storage_options("checkpoint")
def load_checkpoint(
    checkpoint: file_io.PathLike,
    *,
    trusted: bool = True,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> TensorSource:
    """Opens a checkpoint of either format, a SavedModel's variables, or a file of another program's weights.

    Args:
        checkpoint: A prefix, a directory with a state file, a SavedModel's directory, a V1 pattern, or any of a
            checkpoint's files; local, or a URL that fsspec knows. Or a local file or directory of a format that `convert`
            reads: what it is is told from its content.
        trusted: Whether a state file's entry, or a symbolic link, may lead out of the directory that is given, or that a
            prefix is in.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        A `CheckpointReader` for a checkpoint, another source with the same names for other formats.

    Raises:
        CheckpointNotFoundError: There is none; names what was looked for and what is there.
        InvalidArgumentError: It is not trusted, and leads out of its directory; names what does.
        CheckpointReplacedError: It is replaced again and again.
        DataLossError: What is there is no checkpoint, or its index is damaged. The error says what the file is instead.
        MissingExtraError: The library of its format is not installed.
    """
    return open_path(file_io.as_path(checkpoint), trusted=trusted)


@renamed_options(path="checkpoint")
@takes_storage_options("checkpoint")
def list_variables(
    checkpoint: file_io.PathLike,
    *,
    trusted: bool = True,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> list[tuple[str, list[int]]]:
    """The name and the shape of every tensor, sorted by name; the arguments and errors are those of `load_checkpoint`.

    Args:
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.
    """
    with load_checkpoint(checkpoint, trusted=trusted) as source:
        return sorted(source.get_variable_to_shape_map().items())


@renamed_options(path="checkpoint")
@takes_storage_options("checkpoint")
def load_variable(
    checkpoint: file_io.PathLike,
    name: str,
    *,
    trusted: bool = True,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> Any:
    """Reads one tensor as TensorFlow gives it; a ``:0`` at the end of its name is dropped.

    Args:
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        TensorNotFoundError: The checkpoint does not have it; names the nearest.
        SaverError: See `load_checkpoint`.
    """
    with load_checkpoint(checkpoint, trusted=trusted) as source:
        return source.get_tensor(name.removesuffix(":0"))
