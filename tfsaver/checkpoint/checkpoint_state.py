"""The `checkpoint` state file: which checkpoints a directory holds, and which of them is the newest.

A state file is a CheckpointState message in protobuf's text form, beside the checkpoints that it lists::

    model_checkpoint_path: "model.ckpt-3"               the newest
    all_model_checkpoint_paths: "model.ckpt-2"          all that are kept, oldest first;
    all_model_checkpoint_paths: "model.ckpt-3"          the last one is the newest
    all_model_checkpoint_timestamps: 1700000000.25      optional, one per path: seconds since the epoch
    all_model_checkpoint_timestamps: 1700000060.5
    last_preserved_timestamp: 1700000000.25             optional: when a checkpoint was last kept for good

An entry is a prefix, or a pattern such as ``model.ckpt-3-?????-of-00002`` for a V1 checkpoint in several files. A relative
entry is relative to the directory of the state file; an absolute one breaks when the directory moves, which is why
`checkpoint_management.latest_checkpoint` looks beside the state file as well. People edit these files and several protobuf
libraries write them, so everything that protobuf's text form allows is read: either quote, adjacent strings, octal and hex
escapes, comments, lists.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tfsaver import schemas
from tfsaver.checkpoint.identify import STATE_FILE_NAME, advice_on
from tfsaver.checkpoint.state_text import decode_state_text, mended_state_text
from tfsaver.errors import DataLossError, InvalidArgumentError, NotFoundError, PathConflictError, UntrustedPathError
from tfsaver.framework import message_text
from tfsaver.lib import file_io
from tfsaver.lib.confinement import Confinement
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options

__all__ = [
    "STATE_FILE_NAME",
    "RecordedState",
    "format_checkpoint_state",
    "generate_checkpoint_state_proto",
    "get_checkpoint_state",
    "parse_checkpoint_state",
    "recorded_state",
    "update_checkpoint_state",
]

_logger = logging.getLogger(__name__)

# Python's text form escapes both quotes whichever one delimits, and knows short names for three control characters only.
_ESCAPES = {chr(code): f"\\{code:03o}" for code in (*range(32), 127)}
_ESCAPES |= {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "'": "\\'", "\\": "\\\\"}
_ESCAPE_TABLE = str.maketrans(_ESCAPES)


def format_checkpoint_state(state: schemas.CheckpointState) -> str:
    """The text of a state file.

    The form is the one of TensorFlow 2.21, which prints with protobuf 7: characters outside ASCII as they are, numbers as
    Python's `repr` has them. It is spelled out here because older protobuf libraries write such characters as octal
    escapes, and one program must not write two files for one state. Every reader understands both, and of the two this is
    the one that people can read.
    """
    lines = []
    for field, value in state.ListFields():
        for item in [value] if isinstance(value, (str, float)) else value:
            text = f'"{item.translate(_ESCAPE_TABLE)}"' if isinstance(item, str) else repr(item)
            lines.append(f"{field.name}: {text}\n")
    return "".join(lines)


def parse_checkpoint_state(data: bytes) -> schemas.CheckpointState:
    """The message in a state file, its entries as they are written there.

    Raises:
        InvalidArgumentError: The bytes are no CheckpointState in text form, or hold a field that it does not have.
    """
    try:
        # What an editor or another system made of it is undone first; of what TensorFlow wrote this changes nothing.
        data = mended_state_text(decode_state_text(data)).encode()
    except UnicodeError as error:
        raise InvalidArgumentError(f"not a checkpoint state: no text in UTF-8 or UTF-16: {error}") from error
    state = schemas.CheckpointState()
    try:
        # TensorFlow takes the last one of several newest checkpoints.
        message_text.merge_text(data, state, repeats=True)
    except DataLossError as error:
        raise InvalidArgumentError(f"not a checkpoint state: {error}") from error
    return state


def why_unreadable(path: str) -> str | None:
    """Returns why a state file cannot be read as one; None where it can."""
    if file_io.is_directory(path):
        return "it is a directory"
    try:
        parse_checkpoint_state(file_io.read_file(path))
    except (InvalidArgumentError, OSError) as error:
        return advice_on(path) or str(error)
    return None


class RecordedState(NamedTuple):
    """What a state file says, its relative entries joined with the directory, whose name may be any bytes.

    Attributes: Those of a CheckpointState, which holds nothing but UTF-8.
    """

    model_checkpoint_path: str
    all_model_checkpoint_paths: list[str]
    all_model_checkpoint_timestamps: list[float]
    last_preserved_timestamp: float


def recorded_state(
    checkpoint_dir: file_io.PathLike, latest_filename: file_io.PathLike | None = None, *, trusted: bool = True
) -> RecordedState | None:
    """What a directory's state file says; see `get_checkpoint_state`, which makes a message of it."""
    directory = path_or_empty(checkpoint_dir)
    path = state_file_path(directory, latest_filename)
    if not file_io.exists(path):
        return None
    try:
        state = parse_checkpoint_state(file_io.read_file(path))
    except (InvalidArgumentError, OSError) as error:
        _logger.warning("%s is ignored: %s", path, error)
        return None
    if not state.model_checkpoint_path:
        raise InvalidArgumentError(f"Invalid checkpoint state loaded from {directory}: {path} has no model_checkpoint_path")
    _check_entries(Confinement(directory, trusted), path, state)
    return RecordedState(
        file_io.join(directory, state.model_checkpoint_path),
        [file_io.join(directory, entry) for entry in state.all_model_checkpoint_paths],
        list(state.all_model_checkpoint_timestamps),
        state.last_preserved_timestamp,
    )


@takes_storage_options("checkpoint_dir")
def get_checkpoint_state(
    checkpoint_dir: file_io.PathLike,
    latest_filename: file_io.PathLike | None = None,
    *,
    trusted: bool = True,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> schemas.CheckpointState | None:
    """What a directory's state file says, its relative entries joined with the directory.

    The joined paths are not normalised: a caller who passed ``dir/./run`` finds it again in every entry.

    Args:
        checkpoint_dir: The directory of the checkpoints; empty for the working directory.
        latest_filename: The name of the state file, if it is not `checkpoint`.
        trusted: Whether its entries may lead out of the directory, as absolute paths do, or by symbolic links. TensorFlow
            follows them anywhere.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        None when there is no state file, or, with a warning in the log, when it cannot be read or parsed.

    Raises:
        InvalidArgumentError: The state file parses, but names no newest checkpoint; an empty file does that too. Or it is
            not trusted, and an entry leads out of the directory. Or the directory's name is not UTF-8, which a message
            cannot hold.
    """
    state = recorded_state(checkpoint_dir, latest_filename, trusted=trusted)
    if state is None:
        return None
    try:
        message = schemas.CheckpointState(
            model_checkpoint_path=state.model_checkpoint_path,
            all_model_checkpoint_paths=state.all_model_checkpoint_paths,
            all_model_checkpoint_timestamps=state.all_model_checkpoint_timestamps,
        )
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{state.model_checkpoint_path!r} is not UTF-8, as the text of a CheckpointState has to be; latest_checkpoint "
            "returns the path"
        ) from error
    if state.last_preserved_timestamp:
        message.last_preserved_timestamp = state.last_preserved_timestamp
    return message


def generate_checkpoint_state_proto(
    save_dir: file_io.PathLike,
    model_checkpoint_path: file_io.PathLike,
    all_model_checkpoint_paths: Iterable[file_io.PathLike] | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
    *,
    save_relative_paths: bool = False,
) -> schemas.CheckpointState:
    """The message that a state file in `save_dir` must hold.

    A relative path (relative to the working directory) becomes relative to `save_dir` when that is relative as well; a URL
    inside a remote `save_dir` likewise. An absolute path stays absolute unless `save_relative_paths` asks otherwise. A
    relative path in an absolute `save_dir` is taken to be relative to `save_dir` already.

    Args:
        save_dir: The directory of the state file.
        model_checkpoint_path: The newest checkpoint.
        all_model_checkpoint_paths: Every checkpoint that is kept, oldest first; the newest is put last if it is not.
        all_model_checkpoint_timestamps: When each of them was written, in seconds since the epoch.
        last_preserved_timestamp: When a checkpoint was last kept for good.
        save_relative_paths: Makes absolute paths relative to `save_dir`, so that the directory may be moved.

    Raises:
        InvalidArgumentError: There is not one timestamp per path, or a path cannot be written as UTF-8.
    """
    directory = path_or_empty(save_dir)
    newest = file_io.as_path(model_checkpoint_path)
    paths = [file_io.as_path(path) for path in all_model_checkpoint_paths or ()]
    if not paths or paths[-1] != newest:
        paths.append(newest)
    timestamps = list(all_model_checkpoint_timestamps if all_model_checkpoint_timestamps is not None else ())
    if timestamps and len(timestamps) != len(paths):
        counts = f"{len(timestamps)} timestamps, {len(paths)} paths"
        raise InvalidArgumentError(f"Checkpoint timestamps, if provided, must match checkpoint paths: {counts}")
    try:
        return schemas.CheckpointState(
            model_checkpoint_path=_entry(newest, directory, save_relative_paths),
            all_model_checkpoint_paths=[_entry(path, directory, save_relative_paths) for path in paths],
            all_model_checkpoint_timestamps=timestamps,
            last_preserved_timestamp=last_preserved_timestamp,
        )
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"a state file is UTF-8 and cannot hold the path {error.object!r}") from error


def update_checkpoint_state(
    save_dir: file_io.PathLike,
    model_checkpoint_path: file_io.PathLike,
    all_model_checkpoint_paths: Iterable[file_io.PathLike] | None = None,
    latest_filename: file_io.PathLike | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
    *,
    save_relative_paths: bool = False,
    durable: bool = True,
) -> None:
    """Writes a directory's state file, in one atomic step.

    Args:
        save_dir: As for `generate_checkpoint_state_proto`, like the arguments not named here.
        latest_filename: The name of the state file, if it is not `checkpoint`.
        durable: Syncs the file to the disk before the name changes to it.

    Raises:
        InvalidArgumentError: The state file would take the place of the checkpoint itself, or the arguments contradict
            each other.
        NotFoundError: There is no directory `save_dir`.
        WriteError: The system refuses it; the old file is there still.
    """
    directory = path_or_empty(save_dir)
    path = state_file_path(directory, latest_filename)
    state = generate_checkpoint_state_proto(
        directory,
        model_checkpoint_path,
        all_model_checkpoint_paths,
        all_model_checkpoint_timestamps,
        last_preserved_timestamp,
        save_relative_paths=save_relative_paths,
    )
    if _conflicts(path, directory, state.model_checkpoint_path):
        raise PathConflictError(f"{model_checkpoint_path!r} conflicts with path used for checkpoint state")
    try:
        file_io.write_file(path, format_checkpoint_state(state).encode("utf-8"), durable=durable)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        raise NotFoundError(f"no directory {directory!r} for the checkpoint state {path!r}") from error


def _check_entries(confinement: Confinement, path: str, state: schemas.CheckpointState) -> None:
    confinement.check(path)
    for entry in dict.fromkeys([state.model_checkpoint_path, *state.all_model_checkpoint_paths]):
        if not (confinement.admits_name(entry) and confinement.admits(file_io.join(confinement.directory, entry))):
            raise UntrustedPathError(confinement.directory, [entry], source=f"{path}: entry")


def path_or_empty(path: file_io.PathLike) -> str:
    """`file_io.as_path`, but an empty path stays one: as a directory it means the working directory."""
    return "" if isinstance(path, (str, bytes)) and not path else file_io.as_path(path)


def state_file_path(directory: str, latest_filename: file_io.PathLike | None) -> str:
    """Where the state file of a directory is."""
    return file_io.join(directory, STATE_FILE_NAME if latest_filename is None else path_or_empty(latest_filename))


def _entry(path: str, directory: str, save_relative_paths: bool) -> str:
    """A path as the state file in `directory` must spell it."""
    if file_io.is_remote(directory) or file_io.is_remote(path):
        # No store resolves "..", so a URL outside of the directory stays whole.
        inside = directory.rstrip("/") + "/"
        return path[len(inside) :].lstrip("/") if path.startswith(inside) else path
    if save_relative_paths and path.endswith("/") and os.path.isabs(path) == os.path.isabs(directory):
        # A checkpoint without a name of its own, run/.index: TensorFlow adds its suffixes to "./", and finds nothing by ".".
        return os.path.join(os.path.relpath(path, directory or os.curdir), "")
    if os.path.isabs(path):
        return os.path.relpath(path, directory) if save_relative_paths else path
    return path if os.path.isabs(directory) else os.path.relpath(path, directory or os.curdir)


def _conflicts(path: str, directory: str, entry: str) -> bool:
    """Whether a state file at `path` would replace the checkpoint that `entry` names."""
    if path == entry:
        return True
    # The same file under another spelling: harmless for a V2 checkpoint, whose files have suffixes, but a V1 checkpoint is
    # the very file that would be written over.
    checkpoint = file_io.join(directory, entry)
    return os.path.normpath(checkpoint) == os.path.normpath(path) and not file_io.exists(checkpoint + ".index")
