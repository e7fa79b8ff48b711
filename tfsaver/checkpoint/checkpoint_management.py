"""Checkpoints in a directory: finding the newest, asking whether one is there, removing one.

What files a prefix stands for, and how far it is a pattern, is in `checkpoint_files`. Removing goes further: there only the
numbers of shards are a pattern, so that removing ``model[1]`` never takes ``model1`` with it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_files import (
    checkpoint_exists,
    files_named,
    identifying_files,
    matching_files,
    recorded_checkpoint,
)
from tfsaver.checkpoint.checkpoint_state import (
    generate_checkpoint_state_proto,
    get_checkpoint_state,
    path_or_empty,
    recorded_state,
    update_checkpoint_state,
)
from tfsaver.checkpoint.latest_verified import LatestVerified, Progress, latest_verified_checkpoint, warn_of_skipped
from tfsaver.checkpoint.untrusted import check_files
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io
from tfsaver.lib.confinement import Confinement
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options

__all__ = [
    "LatestVerified",
    "checkpoint_exists",
    "generate_checkpoint_state_proto",
    "get_checkpoint_mtimes",
    "get_checkpoint_state",
    "latest_checkpoint",
    "latest_verified_checkpoint",
    "matching_files",
    "meta_graph_filename",
    "remove_checkpoint",
    "update_checkpoint_state",
]

# The end of a V1 checkpoint in several files, and of any one of its files.
_SHARD_SUFFIX = re.compile(r"-[\d?]+-of-\d+\Z")


@takes_storage_options("checkpoint_dir")
def latest_checkpoint(
    checkpoint_dir: file_io.PathLike,
    latest_filename: file_io.PathLike | None = None,
    *,
    verified: bool = False,
    trusted: bool = True,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> str | None:
    """The newest checkpoint of a directory, as its state file names it, or the newest that is sound.

    When what the state file names is gone, a checkpoint of the same name beside the state file takes its place: that is
    what is left after a directory was moved, copied or renamed, or came from another machine. An older checkpoint never
    does unless `verified` asks for it, since a program would train on from it without a word.

    Args:
        checkpoint_dir: The directory of the checkpoints; empty for the working directory.
        latest_filename: The name of the state file, if it is not `checkpoint`.
        verified: Reads every byte of the checkpoint, and falls back to the newest that is sound where that one is not, or
            where no state file says which it is. What is skipped is logged with the reason as a warning;
            `latest_verified_checkpoint` returns it.
        trusted: Whether a checkpoint may be outside of the directory, by what the state file says or by symbolic links.
            TensorFlow goes where it says. With `verified`, such a checkpoint is skipped as a damaged one is.
        progress: With `verified`, called for each checkpoint with the bytes read and the bytes in all.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        A prefix, or the pattern of a V1 checkpoint in several files. None when there is no state file that can be read, or,
        with a warning in the log, when the checkpoint it names is nowhere; with `verified`, when no checkpoint is sound.
        A directory, if the state file names one, as TensorFlow returns it; never with `verified`.

    Raises:
        InvalidArgumentError: The state file names no checkpoint, or one whose name no file can have, or, when it is not
            trusted, one outside of the directory; not with `verified`.
    """
    if not verified:
        if not trusted:
            recorded_state(checkpoint_dir, latest_filename, trusted=False)
        recorded = recorded_checkpoint(checkpoint_dir, latest_filename)
        if recorded is not None:
            check_files(Confinement(path_or_empty(checkpoint_dir), trusted), recorded)
        return recorded
    latest = latest_verified_checkpoint(checkpoint_dir, latest_filename, trusted=trusted, progress=progress)
    warn_of_skipped(latest)
    return latest.prefix


def get_checkpoint_mtimes(checkpoint_prefixes: Iterable[file_io.PathLike]) -> list[float]:
    """When checkpoints were last written, in whole seconds since the epoch.

    A checkpoint that is not there has no place in the list, which is then shorter than `checkpoint_prefixes`.

    Raises:
        InvalidArgumentError: `checkpoint_prefixes` is a single path.
    """
    if isinstance(checkpoint_prefixes, (str, bytes, os.PathLike)):
        raise InvalidArgumentError(f"checkpoint_prefixes must be a list of paths, not the path {checkpoint_prefixes!r}")
    mtimes = []
    for prefix in checkpoint_prefixes:
        try:
            mtimes += [float(math.floor(file_io.modification_time(path))) for path in identifying_files(prefix)[:1]]
        except FileNotFoundError:
            # Removed by another process since it was found.
            continue
    return mtimes


def remove_checkpoint(
    checkpoint_prefix: file_io.PathLike,
    checkpoint_format_version: int = schemas.SaverDef.V2,
    meta_graph_suffix: str = "meta",
) -> None:
    """Removes a checkpoint's files and its meta graph; files that are gone already are no error.

    The meta graph goes first, then what makes it a checkpoint, the index of a local one by way of a temporary name: a
    removal that is interrupted leaves a checkpoint, or files that nobody takes for one and that the next save cleans up.

    Args:
        checkpoint_prefix: The prefix, or the pattern of a V1 checkpoint in several files. Its `?` for the numbers of shards
            are the only ones that match anything but themselves.
        checkpoint_format_version: A SaverDef.CheckpointFormatVersion; `LEGACY` means V1.
        meta_graph_suffix: How the name of the meta graph ends.

    Raises:
        InvalidArgumentError: There is no such format version.
    """
    prefix = file_io.as_path(checkpoint_prefix)
    if checkpoint_format_version not in schemas.SaverDef.CheckpointFormatVersion.values():
        raise InvalidArgumentError(f"{checkpoint_format_version!r} is no SaverDef.CheckpointFormatVersion")
    file_io.remove(meta_graph_filename(prefix, meta_graph_suffix))
    if checkpoint_format_version == schemas.SaverDef.V2:
        index = _put_aside(prefix + ".index")
        directory, name = file_io.split(prefix)
        paths = [*files_named(directory, rf"{re.escape(name)}\.data-\d{{5,}}-of-\d{{5,}}"), index]
    else:
        paths = _v1_files(prefix)
    for path in paths:
        file_io.remove(path)


def _put_aside(path: str) -> str:
    """Gives a file a temporary name, and returns it; on a store, where that would be a copy, the file goes at once."""
    if file_io.is_remote(path):
        file_io.remove(path)
        return path
    aside = file_io.temporary_name(path)
    try:
        file_io.replace(path, aside)
    except OSError:
        # It is gone already, or the disk is so full that nothing can be renamed: then all the more it must go.
        file_io.remove(path)
        return path
    return aside


def meta_graph_filename(checkpoint_filename: file_io.PathLike, meta_graph_suffix: str = "meta") -> str:
    """The path of the meta graph that belongs to a checkpoint.

    Shards share one meta graph, so the end of a shard's name falls away.

    Example:
        >>> meta_graph_filename("model.ckpt-7-?????-of-00002")
        'model.ckpt-7.meta'
    """
    path = file_io.as_path(checkpoint_filename)
    shard = _SHARD_SUFFIX.search(path)
    return (path[: shard.start()] if shard else path) + f".{meta_graph_suffix}"


def _v1_files(prefix: str) -> list[str]:
    """The files of a V1 checkpoint."""
    directory, name = file_io.split(prefix)
    suffix = _SHARD_SUFFIX.search(name)
    if suffix is None or "?" not in suffix[0]:
        return [prefix]
    return files_named(directory, re.escape(name[: suffix.start()]) + suffix[0].replace("?", r"\d"))
