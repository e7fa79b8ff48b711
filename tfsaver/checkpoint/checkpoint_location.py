"""From whatever a caller names to a checkpoint's prefix and format.

People pass a prefix, a directory, one of the checkpoint's files, the state file, a V1 pattern or a SavedModel's directory,
and each of them says clearly enough what is meant. What is looked for, in this order:

    path.index                                       V2
    path is a directory: a SavedModel's              its variables/variables
                         with a state file           the checkpoint that is its latest
                         with one checkpoint         that
    path is x.index, x.data-00000-of-00001, x.meta   x
    path is x-00000-of-00002                         V1, all of x-?????-of-00002
    path is a state file, or a SavedModel's .pb      as its directory
    path is a file                                   V1
    path is a pattern, or x of x-00000-of-00002      V1, the files that match

An error says what was looked for and what is there instead.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from tfsaver.checkpoint import checkpoint_files
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME, get_checkpoint_state
from tfsaver.checkpoint.saved_tensor_slices import shard_path, shard_pattern
from tfsaver.errors import CheckpointNotFoundError, DataLossError, nearest_names
from tfsaver.lib import file_io
from tfsaver.tensor_bundle import naming

SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")

_INDEX = re.compile(r"(.+)\.index\Z", re.DOTALL)
_DATA = re.compile(r"(.*)\.data-\d{5,}-of-\d{5,}\Z", re.DOTALL)
_META = re.compile(r"(.+)\.meta\Z", re.DOTALL)
_V1_SHARD = re.compile(r"(.*)-(\d{5,}|\?{5,})-of-(\d{5,})\Z", re.DOTALL)


class CheckpointLocation(NamedTuple):
    """Where a checkpoint is: `version` is ``V1`` or ``V2``, and only a V1 checkpoint needs its `paths` listed."""

    prefix: str
    version: str
    paths: tuple[str, ...] = ()


def absolute(location: CheckpointLocation) -> CheckpointLocation:
    """The same location for a process with another working directory."""
    every = (location.prefix, *location.paths)
    prefix, *paths = (path if file_io.is_remote(path) else os.path.abspath(path) for path in every)
    return CheckpointLocation(prefix, location.version, tuple(paths))


def locate_checkpoint(path: file_io.PathLike) -> CheckpointLocation:
    """The checkpoint that a path means.

    Raises:
        CheckpointNotFoundError: It means none; names what was looked for and what is there.
        DataLossError: It is a state file that cannot be read.
    """
    text = file_io.as_path(path)
    if file_io.exists(naming.index_path(text)):
        return CheckpointLocation(text, "V2")
    if file_io.is_directory(text):
        return _in_directory(text)
    if file_io.exists(text):
        return _of_file(text)
    return _of_missing(text)


def _in_directory(directory: str) -> CheckpointLocation:
    variables = file_io.join(file_io.join(directory, "variables"), "variables")
    index = naming.index_path(variables)
    if file_io.exists(index):
        return CheckpointLocation(variables, "V2")
    names = file_io.list_directory(directory)
    if any(name in SAVED_MODEL_FILES for name in names):
        if file_io.exists(variables):
            return CheckpointLocation(variables, "V1", (variables,))
        raise CheckpointNotFoundError(directory, looked_for=[index], found="a SavedModel without variables")
    latest = checkpoint_files.recorded_checkpoint(directory)
    if latest is not None:
        return locate_checkpoint(latest)
    state_file = file_io.join(directory, STATE_FILE_NAME)
    prefixes = _prefixes_in(directory)
    if len(prefixes) == 1 and STATE_FILE_NAME not in names:
        return locate_checkpoint(file_io.join(directory, prefixes[0]))
    raise CheckpointNotFoundError(
        directory, looked_for=[state_file, index], found=_describe_directory(directory, STATE_FILE_NAME in names)
    )


def _describe_directory(directory: str, has_state_file: bool) -> str:
    prefixes = _prefixes_in(directory)
    if not prefixes:
        return "a directory without checkpoints" + (" but with a state file" if has_state_file else "")
    state = "a state file that names a checkpoint which is not there" if has_state_file else "no state file"
    return f"a directory with {state}, and the checkpoints {_listed(prefixes)}: pass one of them"


def _prefixes_in(directory: str) -> list[str]:
    names = file_io.list_directory(directory)
    v2 = {match[1] for name in names if (match := _INDEX.match(name))}
    v1 = {match[1] for name in names if (match := _V1_SHARD.match(name)) and not _DATA.match(name)}
    return sorted(prefix for prefix in v2 | v1 if not file_io.is_temporary_name(prefix))


def _listed(names: list[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(repr, names[:limit])) + more


def _of_file(path: str) -> CheckpointLocation:
    directory, name = file_io.split(path)
    if match := _INDEX.match(path):
        return CheckpointLocation(match[1], "V2")
    if match := _DATA.match(path):
        # The index is where the tensors' names are: without it a data shard is bytes that nobody can read.
        return _v2(match[1], f"the data shard {path!r} is, without its index")
    if match := _META.match(path):
        return _of_meta_graph(path, match[1])
    if name in SAVED_MODEL_FILES:
        return _in_directory(directory or ".")
    if name == STATE_FILE_NAME and _is_text(path):
        return _of_state_file(path)
    if match := _V1_SHARD.match(path):
        return _v1_shards(match[1], int(match[3]))
    return CheckpointLocation(path, "V1", (path,))


def _v2(prefix: str, found: str) -> CheckpointLocation:
    index = naming.index_path(prefix)
    if not file_io.exists(index):
        raise CheckpointNotFoundError(prefix, looked_for=[index], found=found)
    return CheckpointLocation(prefix, "V2")


def _of_meta_graph(path: str, prefix: str) -> CheckpointLocation:
    if not file_io.exists(naming.index_path(prefix)) and not file_io.exists(prefix) and not _shard_counts(prefix):
        raise CheckpointNotFoundError(
            prefix, looked_for=[naming.index_path(prefix), prefix], found=f"the meta graph {path!r} is, without weights"
        )
    return locate_checkpoint(prefix)


def _is_text(path: str) -> bool:
    file = file_io.open_for_reading(path)
    try:
        return b"\0" not in file.read(0, 4096)
    finally:
        file.close()


def _of_state_file(path: str) -> CheckpointLocation:
    directory, name = file_io.split(path)
    latest = checkpoint_files.recorded_checkpoint(directory, name)
    if latest is not None:
        return locate_checkpoint(latest)
    if get_checkpoint_state(directory, name) is None:
        raise DataLossError(f"{path} is a state file that cannot be read as one")
    raise CheckpointNotFoundError(
        path, looked_for=["the checkpoint that it names"], found=_describe_directory(directory or ".", True)
    )


def _shard_counts(prefix: str) -> list[int]:
    """The numbers of shards for which a V1 checkpoint of that prefix has files."""
    directory, base = file_io.split(prefix)
    matches = (_V1_SHARD.match(name) for name in file_io.list_directory(directory))
    return sorted({int(match[3]) for match in matches if match and match[1] == base})


def _v1_shards(prefix: str, num_shards: int) -> CheckpointLocation:
    wanted = [shard_path(prefix, shard_id, num_shards) for shard_id in range(num_shards)]
    missing = [path for path in wanted if not file_io.exists(path)]
    pattern = shard_pattern(prefix, num_shards)
    if missing:
        raise CheckpointNotFoundError(
            pattern, looked_for=missing[:3], found=f"{num_shards - len(missing)} of its {num_shards} shards are"
        )
    return CheckpointLocation(pattern, "V1", tuple(wanted))


def _of_missing(path: str) -> CheckpointLocation:
    if (match := _V1_SHARD.match(path)) and "?" in match[2]:
        return _v1_shards(match[1], int(match[3]))
    # Before V1: a pattern that matches an index matches its data files too.
    if indexes := checkpoint_files.matching_files(naming.index_path(path)):
        return _v2_pattern(path, indexes)
    if paths := checkpoint_files.matching_files(path):
        shards = {(match[1], int(match[3])) for item in paths if (match := _V1_SHARD.match(item))}
        if len(shards) == 1:
            return _v1_shards(*shards.pop())
        return CheckpointLocation(path, "V1", tuple(paths))
    if counts := _shard_counts(path):
        return _v1_shards(path, counts[-1])
    directory, base = file_io.split(path)
    for known in (_INDEX, _DATA, _META):
        if (match := known.match(path)) and file_io.exists(naming.index_path(match[1])):
            return CheckpointLocation(match[1], "V2")
    raise CheckpointNotFoundError(
        path, looked_for=[naming.index_path(path), path, f"{path}-?????-of-?????"], found=_describe_missing(directory, base)
    )


def _v2_pattern(path: str, indexes: list[str]) -> CheckpointLocation:
    if len(indexes) > 1:
        raise CheckpointNotFoundError(
            path, looked_for=[naming.index_path(path)], found=f"{_listed(indexes)} all match it; name one of them"
        )
    return CheckpointLocation(indexes[0].removesuffix(".index"), "V2")


def _describe_missing(directory: str, base: str) -> str:
    if directory and not file_io.is_directory(directory):
        return f"the directory {directory!r} does not exist"
    names = file_io.list_directory(directory)
    if any((match := _DATA.match(name)) and match[1] == base for name in names):
        return "its data shards are there, its index is not"
    prefixes = _prefixes_in(directory)
    if near := nearest_names(base, prefixes):
        return f"nothing of that name is there, but {_listed(list(near))}"
    return f"nothing of that name is there{f', but {_listed(prefixes)}' if prefixes else ''}"
