"""What a state file says, entry by entry, beside what is there; and in what order checkpoints were written.

An entry means one of three things: a checkpoint in the directory of the state file; one elsewhere, by an absolute path or a
path that leads out; or nothing that is there. An entry of the last two kinds whose name is that of a checkpoint in the
directory was most likely written before the directory was moved or copied: it means that one.

The order is the one in which entries are recorded. What nobody recorded is newer only if its step and its time both say so:
times alone change when files are copied, steps alone when a training is started anew in a directory with old checkpoints.
Where nothing is recorded steps decide, and among names without steps, or of different series, times.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_files import checkpoint_beside, checkpoint_exists, last_parts
from tfsaver.checkpoint.checkpoint_location import prefix_of_entry
from tfsaver.checkpoint.checkpoint_state import parse_checkpoint_state, path_or_empty, state_file_path
from tfsaver.checkpoint.doctor.directory_survey import FoundCheckpoint
from tfsaver.checkpoint.state_text import is_as_written
from tfsaver.errors import InvalidArgumentError, SaverError
from tfsaver.lib import file_io
from tfsaver.lib.confinement import Confinement


@dataclass(frozen=True)
class StateEntry:
    """A path in a state file.

    Attributes:
        text: As it is written.
        path: Joined with the directory.
        is_here: Whether it leads into the directory of the state file.
        is_there: Whether there is a checkpoint at `path`.
        names: What a checkpoint of that name in this directory would be called.
        fault: Why it cannot name a checkpoint, as a directory cannot; None for an entry that can.
    """

    text: str
    path: str
    is_here: bool
    is_there: bool
    names: tuple[str, ...]
    fault: str | None = None

    @property
    def is_found_by_tensorflow(self) -> bool:
        """Whether TensorFlow finds what tfsaver does: it adds ``.index`` to the text, also to "." for ``run/.index``."""
        return not self.is_there or not self.path.endswith("/") or self.text.endswith("/")

    def name_in(self, known: Collection[str]) -> str | None:
        """The one of the directory's checkpoints that is meant, if it is one of these."""
        return next((name for name in self.names if name in known), None)


@dataclass
class StateFile:
    """What a directory's state file says.

    Attributes:
        path: The file.
        is_there: Whether there is one.
        error: Why it cannot be read as a state file; what its sound lines say is in the other fields all the same.
        newest: What it says is the newest checkpoint.
        entries: All that it lists, oldest first; `newest` too, if it lists it.
        timestamps: One per entry, or none.
        last_preserved_timestamp: When a checkpoint was last kept for good, if it says so.
        is_as_written: Whether TensorFlow reads it as it is: an editor may have put a byte order mark into it.
    """

    path: str
    is_there: bool = False
    error: Exception | None = None
    newest: StateEntry | None = None
    entries: list[StateEntry] = field(default_factory=list)
    timestamps: list[float] = field(default_factory=list)
    last_preserved_timestamp: float | None = None
    is_as_written: bool = True

    @property
    def recorded(self) -> list[StateEntry]:
        """All entries, the newest last."""
        newest = [] if self.newest is None else [self.newest]
        return [entry for entry in self.entries if entry not in newest] + newest

    def time_of(self, entry: StateEntry) -> float | None:
        """When the file says that an entry was written."""
        return dict(zip(self.entries, self.timestamps, strict=False)).get(entry)


def read_state_file(
    directory: str, latest_filename: file_io.PathLike | None = None, *, trusted: bool = True
) -> StateFile:
    """What a directory's state file says; never an error, since a broken one is a finding.

    Args:
        directory: The directory of the checkpoints; empty for the working directory.
        latest_filename: The name of the state file, if it is not `checkpoint`.
        trusted: Whether to look for what it names in other places, which may be other machines.
    """
    directory = path_or_empty(directory)
    found = StateFile(state_file_path(directory, latest_filename))
    try:
        data = file_io.read_file(found.path)
    except (FileNotFoundError, NotADirectoryError):
        return found
    except OSError as error:
        found.is_there, found.error = True, error
        return found
    found.is_there = True
    found.is_as_written = is_as_written(data)
    try:
        state = parse_checkpoint_state(data)
    except InvalidArgumentError as error:
        found.error = error
        state = _sound_lines(data)
    if not state.model_checkpoint_path and found.error is None:
        found.error = InvalidArgumentError("it names no newest checkpoint")
    confinement = Confinement(directory, trusted)
    texts = {*state.all_model_checkpoint_paths, state.model_checkpoint_path} - {""}
    entries = {text: _entry(confinement, text) for text in texts}
    if found.error is None and (faults := [entry.fault for entry in entries.values() if entry.fault is not None]):
        found.error = InvalidArgumentError(f"it lists what is not a checkpoint: {min(faults)}")
    found.newest = entries.get(state.model_checkpoint_path)
    found.entries = [entries[text] for text in state.all_model_checkpoint_paths if text]
    if len(state.all_model_checkpoint_timestamps) == len(found.entries):
        found.timestamps = list(state.all_model_checkpoint_timestamps)
    found.last_preserved_timestamp = state.last_preserved_timestamp or None
    return found


def in_order_of_age(checkpoints: Iterable[FoundCheckpoint], recorded: Sequence[str] = ()) -> list[FoundCheckpoint]:
    """Checkpoints of one directory, oldest first.

    Args:
        checkpoints: The checkpoints.
        recorded: Names in the order in which they were written, as far as somebody recorded it.
    """
    checkpoints = list(checkpoints)
    newest_of_series: dict[str, float] = {}
    for each in checkpoints:
        newest_of_series[each.series] = max(each.time, newest_of_series.get(each.series, each.time))

    def age(each: FoundCheckpoint) -> tuple[float, str, int, float, str]:
        step = -1 if each.step is None else each.step
        return newest_of_series[each.series], each.series, step, each.time, each.name

    ordered = sorted(checkpoints, key=age)
    # Of a name that comes twice the last place counts.
    places = {name: place for place, name in enumerate(recorded)}
    known = sorted((each for each in ordered if each.name in places), key=lambda each: places[each.name])
    if not known:
        return ordered
    newer = [each for each in ordered if each.name not in places and is_newer(each, known[-1])]
    return [each for each in ordered if each.name not in places and each not in newer] + known + newer


def is_newer(checkpoint: FoundCheckpoint, recorded: FoundCheckpoint) -> bool:
    """Whether a checkpoint that nobody recorded was certainly written after one that was: by its step and by its time."""
    if checkpoint.time < recorded.time:
        return False
    if checkpoint.series != recorded.series:
        # One that is kept beside the others, as the best one is.
        return False
    return checkpoint.step is not None and recorded.step is not None and checkpoint.step > recorded.step


def _entry(confinement: Confinement, text: str) -> StateEntry:
    directory = confinement.directory
    path = file_io.join(directory, text)
    is_there = False
    fault = None
    # A directory that was fetched from a store: what lies here is asked first, and the store may need a password.
    is_beside = file_io.is_remote(path) and checkpoint_beside(directory, path) is not None
    if confinement.admits_name(text) and not is_beside:
        # What names no file that can be looked for is not there.
        with contextlib.suppress(OSError, SaverError, ImportError):
            try:
                path = prefix_of_entry(path)
                is_there = checkpoint_exists(path)
            except InvalidArgumentError as error:
                fault = str(error)
    parent, name = file_io.split(path)
    # The name of a checkpoint is empty if its index is called .index.
    is_here = (bool(name) or is_there) and "\0" not in text and _is_same_directory(parent, directory)
    names = tuple(dict.fromkeys([name] * is_here + last_parts(text)))
    return StateEntry(text, path, is_here, is_there, names, fault)


def _is_same_directory(a: str, b: str) -> bool:
    if a.rstrip("/") == b.rstrip("/"):
        return True
    if file_io.is_remote(a) or file_io.is_remote(b):
        return False
    return os.path.realpath(a or os.curdir) == os.path.realpath(b or os.curdir)


def _sound_lines(data: bytes) -> schemas.CheckpointState:
    """What the lines of a damaged state file say that can be read one by one."""
    state = schemas.CheckpointState()
    for line in data.splitlines():
        try:
            state.MergeFrom(parse_checkpoint_state(line))
        except InvalidArgumentError:
            continue
    return state
