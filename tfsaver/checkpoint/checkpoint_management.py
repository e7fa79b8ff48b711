"""Checkpoints in a directory: finding the newest, asking whether one is there, removing one.

A checkpoint is named by its prefix, and what files that stands for depends on its format::

    V2    prefix.index  prefix.data-00000-of-00002  ...  prefix.meta
    V1    prefix                                         prefix.meta        one file
    V1    prefix-00000-of-00002  ...                     prefix.meta        several, named by prefix-?????-of-00002

A prefix may hold the very characters that patterns are made of (``run[1]/model``), so a file of exactly that name comes
first, and only where there is none is the prefix taken as a pattern. Removing goes further: there only the numbers of shards
are a pattern, so that removing ``model[1]`` never takes ``model1`` with it.
"""

from __future__ import annotations

import fnmatch
import logging
import math
import os
import re
from collections.abc import Iterable

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_state import (
    generate_checkpoint_state_proto,
    get_checkpoint_state,
    path_or_empty,
    state_file_path,
    update_checkpoint_state,
)
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io

__all__ = [
    "checkpoint_exists",
    "generate_checkpoint_state_proto",
    "get_checkpoint_mtimes",
    "get_checkpoint_state",
    "latest_checkpoint",
    "matching_files",
    "meta_graph_filename",
    "remove_checkpoint",
    "update_checkpoint_state",
]

_logger = logging.getLogger(__name__)

# The end of a V1 checkpoint in several files, and of any one of its files.
_SHARD_SUFFIX = re.compile(r"-[\d?]+-of-\d+\Z")


def latest_checkpoint(checkpoint_dir: file_io.PathLike, latest_filename: file_io.PathLike | None = None) -> str | None:
    """The newest checkpoint of a directory, as its state file names it.

    When what the state file names is gone, a checkpoint of the same name beside the state file takes its place: that is
    what is left after a directory was moved, copied or renamed, or came from another machine. An older checkpoint never
    does, since a program would train on from it without a word.

    Args:
        checkpoint_dir: The directory of the checkpoints; empty for the working directory.
        latest_filename: The name of the state file, if it is not `checkpoint`.

    Returns:
        A prefix, or the pattern of a V1 checkpoint in several files. None when there is no state file that can be read, or,
        with a warning in the log, when the checkpoint it names is nowhere.

    Raises:
        InvalidArgumentError: The state file names no checkpoint, or one whose name no file can have.
    """
    state = get_checkpoint_state(checkpoint_dir, latest_filename)
    if state is None:
        return None
    recorded = state.model_checkpoint_path
    if checkpoint_exists(recorded):
        return recorded
    directory = path_or_empty(checkpoint_dir)
    looked_for = [recorded]
    for name in _last_parts(recorded):
        candidate = file_io.join(directory, name)
        if candidate in looked_for:
            continue
        looked_for.append(candidate)
        if not file_io.is_directory(candidate) and checkpoint_exists(candidate):
            _logger.info("%s is not there; using %s, beside the state file that names it", recorded, candidate)
            return candidate
    _logger.warning(
        "%s names a checkpoint that is not there: looked for %s",
        state_file_path(directory, latest_filename),
        " or ".join(f"{path}.index or {path}" for path in looked_for),
    )
    return None


def checkpoint_exists(checkpoint_prefix: file_io.PathLike) -> bool:
    """Whether there is a checkpoint of that prefix.

    Its index file makes a V2 checkpoint; a file of exactly that name, or one that matches it as a pattern, is taken for a V1
    checkpoint without a look inside.
    """
    return bool(_identifying_files(checkpoint_prefix))


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
            mtimes += [float(math.floor(file_io.modification_time(path))) for path in _identifying_files(prefix)[:1]]
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

    What makes it a checkpoint goes first: a removal that is interrupted leaves files that nobody takes for one.

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
    if checkpoint_format_version == schemas.SaverDef.V2:
        file_io.remove(f"{prefix}.index")
        directory, name = file_io.split(prefix)
        paths = _files_named(directory, rf"{re.escape(name)}\.data-\d{{5,}}-of-\d{{5,}}")
    else:
        paths = _v1_files(prefix)
    for path in paths:
        file_io.remove(path)
    file_io.remove(meta_graph_filename(prefix, meta_graph_suffix))


def meta_graph_filename(checkpoint_filename: file_io.PathLike, meta_graph_suffix: str = "meta") -> str:
    """The path of the meta graph that belongs to a checkpoint.

    Shards share one meta graph, so the end of a shard's name falls away.

    Example:
        >>> meta_graph_filename("model.ckpt-7-?????-of-00002")
        'model.ckpt-7.meta'
    """
    return f"{_SHARD_SUFFIX.sub('', file_io.as_path(checkpoint_filename))}.{meta_graph_suffix}"


def matching_files(pattern: file_io.PathLike) -> list[str]:
    """The paths that a pattern stands for, sorted.

    A file or directory of exactly that name is the only match where there is one. Otherwise `*`, `?` and `[...]` match in
    the last part of the path, and in no other: the directory is always taken literally.
    """
    path = path_or_empty(pattern)
    if not path:
        return []
    if file_io.exists(path):
        return [path]
    directory, name = file_io.split(path)
    if not any(character in name for character in "*?["):
        return []
    return _files_named(directory, fnmatch.translate(name))


def _identifying_files(prefix: file_io.PathLike) -> list[str]:
    """The index file of a V2 checkpoint or the files of a V1 checkpoint; empty when there is neither."""
    path = path_or_empty(prefix)
    return (matching_files(f"{path}.index") or matching_files(path)) if path else []


def _files_named(directory: str, expression: str) -> list[str]:
    """The paths in a directory whose names match a regular expression as a whole, sorted."""
    matches = re.compile(expression, re.DOTALL).fullmatch
    return [file_io.join(directory, name) for name in file_io.list_directory(directory) if matches(name)]


def _v1_files(prefix: str) -> list[str]:
    """The files of a V1 checkpoint."""
    directory, name = file_io.split(prefix)
    suffix = _SHARD_SUFFIX.search(name)
    if suffix is None or "?" not in suffix[0]:
        return [prefix]
    return _files_named(directory, re.escape(name[: suffix.start()]) + suffix[0].replace("?", r"\d"))


def _last_parts(path: str) -> list[str]:
    """What the file name in a recorded path may be: after the last slash, and after the last backslash of a Windows path."""
    names = (path.rsplit("/", 1)[-1], re.split(r"[/\\]", path)[-1])
    return [name for name in dict.fromkeys(names) if name not in ("", ".", "..")]
