"""The newest checkpoint of a directory of which every byte is right.

What the state file names is asked first: that is what a program finished writing. Where it is damaged, gone, or not named at
all, the checkpoints that are there are read from the newest to the oldest until one is sound. All of each is read, as by a
restore.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tfsaver.checkpoint.checkpoint_location import prefix_of_entry
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.checkpoint_state import path_or_empty, state_file_path
from tfsaver.checkpoint.doctor.damage import describe_damage
from tfsaver.checkpoint.doctor.directory_survey import FoundCheckpoint, survey_directory
from tfsaver.checkpoint.doctor.state_survey import StateFile, in_order_of_age, read_state_file
from tfsaver.checkpoint.untrusted import reason_against
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import DataLossError, InvalidArgumentError, SaverError
from tfsaver.framework.tensor_slice_set import TensorSliceSet
from tfsaver.lib import file_io
from tfsaver.lib.confinement import Confinement

_logger = logging.getLogger(__name__)

_OF_THE_PROCESS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

# Called with the checkpoint that is read, the bytes done and the bytes there are.
Progress = Callable[[str, int, int], None]


class Skipped(NamedTuple):
    """A checkpoint that is not used: its prefix, and why."""

    prefix: str
    reason: str


class LatestVerified(NamedTuple):
    """What was found.

    Attributes:
        prefix: The newest sound checkpoint, as `load_checkpoint` takes it; None where there is none.
        skipped: Those that are newer, or that the state file names, from the newest to the oldest.
    """

    prefix: str | None
    skipped: list[Skipped]


def latest_verified_checkpoint(
    checkpoint_dir: file_io.PathLike,
    latest_filename: file_io.PathLike | None = None,
    *,
    progress: Progress | None = None,
    trusted: bool = True,
) -> LatestVerified:
    """The newest checkpoint of a directory that verifies, and what was skipped for it.

    A directory without a state file, or with one that cannot be read or names what is not there, is looked through: unlike
    `latest_checkpoint` this finds a checkpoint wherever there is a sound one.

    Args:
        checkpoint_dir: The directory of the checkpoints; empty for the working directory.
        latest_filename: The name of the state file, if it is not `checkpoint`.
        progress: Called as bytes are read.
        trusted: Whether a checkpoint may be outside of the directory; one that is not read is skipped.

    Raises:
        OSError: The process lacks memory or descriptors to read them.
    """
    return newest_usable(checkpoint_dir, lambda prefix: why_not(prefix, progress), latest_filename, trusted=trusted)


def newest_usable(
    checkpoint_dir: file_io.PathLike,
    why_not_usable: Callable[[str], str | None],
    latest_filename: file_io.PathLike | None = None,
    *,
    trusted: bool = True,
    after: str | None = None,
) -> LatestVerified:
    """The newest checkpoint of a directory that somebody can use, who reads it anyway.

    Args:
        checkpoint_dir: The directory of the checkpoints; empty for the working directory.
        why_not_usable: Tries a checkpoint; returns why it cannot be used, or None when it can.
        latest_filename: The name of the state file, if it is not `checkpoint`.
        trusted: Whether a checkpoint may be outside of the directory.
        after: A checkpoint of the directory: only those are tried that would be after it.
    """
    directory = path_or_empty(checkpoint_dir)
    confinement = Confinement(directory, trusted)
    order = _in_order(directory, latest_filename, trusted)
    if after is not None:
        order = iter(_behind(list(order), after))
    while True:
        tried: list[str] = []
        skipped: list[Skipped] = []
        for prefix in order:
            tried.append(prefix)
            reason = reason_against(confinement, prefix) or _why_no_prefix(prefix) or why_not_usable(prefix)
            if reason is None:
                return LatestVerified(prefix, skipped)
            skipped.append(Skipped(prefix, reason))
        # A training that keeps few checkpoints may have removed all of these meanwhile, and saved others.
        now = [] if after is not None else list(_in_order(directory, latest_filename, trusted))
        if after is not None or now == tried:
            return LatestVerified(None, skipped)
        order = iter(now)


def _in_order(directory: str, latest_filename: file_io.PathLike | None, trusted: bool) -> Iterator[str]:
    """The checkpoints of a directory, the first choice first; mostly it is the only one that anybody looks at."""
    state = read_state_file(directory, latest_filename, trusted=trusted)
    first = None
    if state.newest is not None and state.newest.is_here and state.newest.is_there:
        name = state.newest.names[0]
        first = file_io.join(directory, name) if name else state.newest.path
        yield first
    state_file_name = file_io.split(state_file_path(directory, latest_filename))[1]
    hints = [name for entry in state.recorded for name in entry.names]
    for prefix in candidates(state, survey_directory(directory, state_file_name, hints).checkpoints):
        if prefix != first:
            yield prefix


def _behind(order: list[str], prefix: str) -> list[str]:
    """Those behind a checkpoint, by its name; none when it is not among them."""
    names = [file_io.split(each)[1] for each in order]
    name = file_io.split(prefix)[1]
    return order[names.index(name) + 1 :] if name in names else []


def candidates(state: StateFile, found: dict[str, FoundCheckpoint]) -> Iterator[str]:
    """The checkpoints that a program may want to go on with, the first choice first.

    What the state file names is the first even when it is not there: the caller is told so. Of what it lists in other
    directories only what it names as the newest is one: a program asks for this directory's.
    """
    first = None
    if state.newest is not None:
        here = state.newest.name_in(found)
        is_elsewhere = state.newest.is_there and not state.newest.is_here
        first = state.newest.path if here is None or is_elsewhere else found[here].prefix
        yield first
    recorded = [name for entry in state.recorded if (name := entry.name_in(found)) is not None]
    for checkpoint in reversed(in_order_of_age(found.values(), recorded)):
        if checkpoint.prefix != first:
            yield checkpoint.prefix


def _why_no_prefix(prefix: str) -> str | None:
    """Why an entry of the state file cannot name a checkpoint of this directory; None when it can."""
    # Any other error comes again when the checkpoint is tried, and how bad it is is for the caller to say.
    with contextlib.suppress(SaverError, OSError):
        try:
            prefix_of_entry(prefix)
        except InvalidArgumentError as error:
            return str(error)
    return None


def why_not(prefix: str, progress: Progress | None = None) -> str | None:
    """Why a checkpoint cannot be used; None when it can.

    Raises:
        OSError: The process lacks memory or descriptors, which says nothing about the checkpoint.
    """
    try:
        report = verify_checkpoint(prefix, progress=progress and (lambda done, total: progress(prefix, done, total)))
    except SaverError as error:
        return str(error)
    except OSError as error:
        if is_of_the_process(error):
            raise
        return f"cannot be read: {error}"
    damage = describe_damage(report)
    if not damage:
        return None
    more = f" (and {len(damage) - 1:,} more problems)" if len(damage) > 1 else ""
    return f"{damage[0]}{more}"


def why_not_whole(prefix: str) -> str | None:
    """Why a checkpoint is only a part of one, as far as its index says that: it lacks slices of its tensors.

    Such is what each rank writes of a model that is cut among them, before the parts are merged. What cannot be opened is no
    part: what is wrong with it shows when it is read.
    """
    with contextlib.suppress(SaverError, OSError), load_checkpoint(prefix) as reader:
        names = reader.names
        for name, form in zip(names, reader.forms(names), strict=True):
            if not form.is_sliced:
                continue
            try:
                TensorSliceSet(name, form.shape, reader.slices(name)).check_coverage()
            except DataLossError as error:
                return f"a part of a checkpoint: tensor {name!r}: {error}"
    return None


def is_of_the_process(error: OSError) -> bool:
    """Whether an error is about what the process may use, and not about a file: an older checkpoint would not help."""
    return error.errno in _OF_THE_PROCESS


def warn_of_skipped(latest: LatestVerified) -> None:
    """Says in the log which checkpoints were skipped, and why, and what is taken instead."""
    for prefix, reason in latest.skipped:
        _logger.warning("%s is skipped: %s", prefix, reason)
    if latest.skipped and latest.prefix is not None:
        _logger.warning("%s is the newest checkpoint that is whole", latest.prefix)
