"""From whatever a caller names to a checkpoint's prefix and format.

People pass a prefix, a directory, one of the checkpoint's files, the state file, a V1 pattern or a SavedModel's directory,
and each of them says clearly enough what is meant. What is looked for, in this order:

    path.index                                       V2
    path is a directory: a SavedModel's              its variables/variables
                         with a state file           the checkpoint that is its latest
                         with one checkpoint         that
                         with a file .index          V2, of the prefix path/
    path is x.index, x.data-00000-of-00001, x.meta   x
    path is x-00000-of-00002                         V1, all of x-?????-of-00002
    path is a state file, or a SavedModel's .pb      as its directory; a state file may have any name
    path is a file                                   V1
    path is a pattern, or x of x-00000-of-00002      V1, the files that match

An error says what was looked for and what is there instead.

An entry of a state file names a checkpoint's prefix. It does not lead on to another state file: `prefix_of_entry` refuses a
directory, a state file and a SavedModel, so that state files that name each other end in one error.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from tfsaver.checkpoint import checkpoint_files
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME, recorded_state, why_unreadable
from tfsaver.checkpoint.identify import SAVED_MODEL_FILES, identify_directory, identify_file
from tfsaver.checkpoint.saved_tensor_slices import shard_path, shard_pattern
from tfsaver.errors import CheckpointNotFoundError, DataLossError, InvalidArgumentError, nearest_names
from tfsaver.lib import file_io
from tfsaver.tensor_bundle import naming

_INDEX = naming.INDEX_NAME
_DATA = naming.DATA_NAME
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
        return _of_entry(latest, directory, directory)
    state_file = file_io.join(directory, STATE_FILE_NAME)
    prefixes = _prefixes_in(directory)
    if len(prefixes) == 1 and STATE_FILE_NAME not in names:
        location = _at_prefix(file_io.join(directory, prefixes[0]))
        if location is not None:
            return location
    unnamed = file_io.join(directory, "")
    if file_io.exists(naming.index_path(unnamed)):
        return CheckpointLocation(unnamed, "V2")
    raise CheckpointNotFoundError(
        directory, looked_for=[state_file, index], found=_describe_directory(directory, STATE_FILE_NAME in names)
    )


def prefix_of_entry(path: str) -> str:
    """The prefix that an entry of a state file names.

    Args:
        path: The entry, joined with the directory of the state file. It need not exist.

    Raises:
        InvalidArgumentError: It is a directory, a state file or a SavedModel: which checkpoint that means is for its own
            state file to say, and that may name this one again.
    """
    if file_io.exists(naming.index_path(path)):
        return path
    if file_io.is_directory(path):
        # save(session, "run/") writes run/.index, and the entry of that is ".".
        unnamed = file_io.join(path, "")
        if file_io.exists(naming.index_path(unnamed)):
            return unnamed
        raise InvalidArgumentError(f"{_abridged(path)!r} is a directory, not a checkpoint's prefix")
    if file_io.split(path)[1] in SAVED_MODEL_FILES and file_io.exists(path):
        raise InvalidArgumentError(f"{_abridged(path)!r} is a SavedModel, not a checkpoint's prefix")
    if _is_state_file(path):
        raise InvalidArgumentError(f"{_abridged(path)!r} is a state file, not a checkpoint's prefix")
    return path


def _of_entry(entry: str, path: str, directory: str) -> CheckpointLocation:
    """The checkpoint that an entry of a state file names.

    Args:
        entry: The entry, joined with the directory.
        path: What the caller of `locate_checkpoint` named.
        directory: The directory of the state file.
    """
    try:
        prefix = prefix_of_entry(entry)
    except InvalidArgumentError as error:
        found = f"{error}{_advice(entry, directory)}"
        raise CheckpointNotFoundError(path, looked_for=["the checkpoint that its state file names"], found=found) from error
    if file_io.exists(naming.index_path(prefix)):
        return CheckpointLocation(prefix, "V2")
    return _of_file(prefix) if file_io.exists(prefix) else _of_missing(prefix)


def _advice(entry: str, directory: str) -> str:
    """What to pass instead of a directory whose state file has an entry that is not a prefix."""
    if prefixes := _prefixes_in(directory):
        fix = f"let `tfsaver doctor {directory or '.'} --fix` correct the state file"
        return f"; pass one of the checkpoints {_listed(prefixes)}, or {fix}"
    if not file_io.is_directory(entry):
        return ""
    if prefixes := _prefixes_in(entry):
        return f"; pass that directory, or one of the checkpoints in it: {_listed(prefixes)}"
    if any(name in SAVED_MODEL_FILES for name in file_io.list_directory(entry)):
        return "; pass that directory to open the SavedModel in it"
    return ", and it holds no checkpoints"


def _at_prefix(prefix: str) -> CheckpointLocation | None:
    """The checkpoint of exactly that prefix, of either format; None where there is none."""
    if file_io.exists(naming.index_path(prefix)):
        return CheckpointLocation(prefix, "V2")
    if file_io.exists(prefix) and not file_io.is_directory(prefix):
        return CheckpointLocation(prefix, "V1", (prefix,))
    counts = _shard_counts(prefix)
    return _v1_shards(prefix, counts[-1]) if counts else None


def _describe_directory(directory: str, has_state_file: bool) -> str:
    prefixes = _prefixes_in(directory)
    reason = why_unreadable(file_io.join(directory, STATE_FILE_NAME)) if has_state_file else None
    state = "a state file that names a checkpoint which is not there"
    if reason:
        state = f"a state file that cannot be read ({reason})"
    if not prefixes:
        if has_state_file:
            return f"a directory without checkpoints but with {state if reason else 'a state file'}"
        # Whatever else is in it: files of another format, versions of a SavedModel.
        found = identify_directory(directory, trusted=False)
        return "a directory without checkpoints" if found.is_nothing else f"{found.description}; next: {found.command}"
    state = state if has_state_file else "no state file"
    return f"a directory with {state}, and the checkpoints {_listed(prefixes)}: pass one of them"


def _prefixes_in(directory: str) -> list[str]:
    names = file_io.list_directory(directory)
    v2 = {match[1] for name in names if (match := _INDEX.match(name))}
    v1 = {match[1] for name in names if (match := _V1_SHARD.match(name)) and not _DATA.match(name)}
    return sorted(prefix for prefix in v2 | v1 if prefix and not file_io.is_temporary_name(prefix))


def _listed(names: list[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(repr, names[:limit])) + more


def _of_file(path: str) -> CheckpointLocation:
    directory = file_io.split(path)[0]
    if match := _INDEX.match(path):
        return CheckpointLocation(path[: match.end(1)], "V2")
    if match := _DATA.match(path):
        # The index is where the tensors' names are: without it a data shard is bytes that nobody can read.
        return _v2(path[: match.end(1)], f"the data shard {path!r} is, without its index")
    if match := _META.match(path):
        return _of_meta_graph(path, path[: match.end(1)])
    if file_io.split(path)[1] in SAVED_MODEL_FILES:
        return _in_directory(directory or ".")
    if _is_state_file(path):
        return _of_state_file(path)
    if match := _V1_SHARD.match(path):
        return _v1_shards(path[: match.end(1)], int(match[3]))
    return CheckpointLocation(path, "V1", (path,))


def _v2(prefix: str, found: str) -> CheckpointLocation:
    index = naming.index_path(prefix)
    if not file_io.exists(index):
        raise CheckpointNotFoundError(prefix, looked_for=[index], found=found)
    return CheckpointLocation(prefix, "V2")


def _of_meta_graph(path: str, prefix: str) -> CheckpointLocation:
    location = _at_prefix(prefix)
    if location is None:
        raise CheckpointNotFoundError(
            prefix, looked_for=[naming.index_path(prefix), prefix], found=f"the meta graph {path!r} is, without weights"
        )
    return location


def _abridged(path: str) -> str:
    """A path of ordinary length as it is; of "./././" a thousand times, both ends."""
    return path if len(path) <= 300 else f"{path[:150]}...{path[-100:]}"


def _is_state_file(path: str) -> bool:
    """Whether a file is a state file, or text that has the name of one; a V1 checkpoint may have that name too."""
    if not file_io.exists(path) or file_io.is_directory(path):
        return False
    kind = identify_file(path).kind
    return kind == "state file" or (file_io.split(path)[1] == STATE_FILE_NAME and kind in ("text", "json", "empty"))


def _of_state_file(path: str) -> CheckpointLocation:
    directory, name = file_io.split(path)
    latest = checkpoint_files.recorded_checkpoint(directory, name)
    if latest is not None:
        return _of_entry(latest, path, directory)
    if recorded_state(directory, name) is None:
        raise DataLossError(f"{path} is a state file that cannot be read as one: {why_unreadable(path)}")
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
        return _v1_shards(path[: match.end(1)], int(match[3]))
    # Before V1: a pattern that matches an index matches its data files too.
    if indexes := checkpoint_files.matching_files(naming.index_path(path)):
        return _v2_pattern(path, indexes)
    if paths := [item for item in checkpoint_files.matching_files(path) if not file_io.is_directory(item)]:
        shards = {(item[: match.end(1)], int(match[3])) for item in paths if (match := _V1_SHARD.match(item))}
        if len(shards) == 1:
            return _v1_shards(*shards.pop())
        return CheckpointLocation(path, "V1", tuple(paths))
    if counts := _shard_counts(path):
        return _v1_shards(path, counts[-1])
    directory, base = file_io.split(path)
    for known in (_INDEX, _DATA, _META):
        if (match := known.match(path)) and file_io.exists(naming.index_path(path[: match.end(1)])):
            return CheckpointLocation(path[: match.end(1)], "V2")
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
