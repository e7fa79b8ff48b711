"""Writes a directory's state file anew, from what is there.

The new file lists, by names that stay right when the directory moves, what the old one listed, or the retention ledger, as
far as it is there and nothing is known that is wrong with it; and the newest sound checkpoint, as the last. What nobody
listed stays unlisted unless it is asked for: what a state file lists belongs to whoever keeps the last five, and a
checkpoint that was to stay for good would be the first to go.

The old file is kept under another name. The new one appears in one step.
"""

from __future__ import annotations

from typing import NamedTuple

from tfsaver.checkpoint.checkpoint_management import get_checkpoint_mtimes
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME, update_checkpoint_state
from tfsaver.checkpoint.doctor.diagnosis import Diagnosis, Examined
from tfsaver.checkpoint.doctor.state_survey import StateEntry
from tfsaver.errors import InvalidArgumentError, NotFoundError
from tfsaver.lib import file_io
from tfsaver.lib.directory_lock import directory_lock


class StateRepair(NamedTuple):
    """What was written.

    Attributes:
        path: The state file.
        newest: The checkpoint that it now names as the newest.
        listed: All that it lists, oldest first.
        dropped: What the old one listed and the new one does not.
        unlisted: Checkpoints that nothing is known to be wrong with and that nobody listed.
        kept_as: Where the old file is now; None where there was none, or where nothing had to be changed.
        is_changed: Whether the file had to be written.
    """

    path: str
    newest: str
    listed: list[str]
    dropped: list[str]
    unlisted: list[str]
    kept_as: str | None
    is_changed: bool


def repair_state_file(
    diagnosis: Diagnosis, *, list_all: bool = False, dry_run: bool = False, durable: bool = True
) -> StateRepair:
    """Writes the state file that a directory should have.

    Args:
        diagnosis: Of the directory, as it is now.
        list_all: Lists the checkpoints too that neither the state file nor the retention ledger knows. A Saver that takes
            up the list may remove the oldest of them.
        dry_run: If true, nothing is written; the report says what would be.
        durable: Whether to return only once the disk has it.

    Raises:
        NotFoundError: No checkpoint of the directory is sound; the state file stays as it is.
        InvalidArgumentError: It is a SavedModel.
    """
    if diagnosis.saved_model is not None:
        raise InvalidArgumentError(f"{diagnosis.saved_model} is a SavedModel, which has no state file")
    newest = _newest(diagnosis)
    entries = _listed(diagnosis, newest, list_all)
    paths = [prefix for prefix, _ in entries]
    known = set(paths)
    state = diagnosis.state
    dropped = [entry.text for entry in state.recorded if _prefix_of(entry, diagnosis) not in known]
    unlisted = [
        each.found.prefix for each in diagnosis.checkpoints if each.is_usable and each.found.prefix not in known
    ]
    latest_filename = file_io.split(state.path)[1]
    if dry_run:
        return StateRepair(state.path, paths[-1], paths, dropped, unlisted, None, _must_change(diagnosis, paths))
    with directory_lock(diagnosis.directory):
        if not _must_change(diagnosis, paths):
            return StateRepair(state.path, paths[-1], paths, dropped, unlisted, None, False)
        kept_as = _keep_old(state.path, durable) if state.is_there else None
        update_checkpoint_state(
            diagnosis.directory,
            paths[-1],
            paths,
            None if latest_filename == STATE_FILE_NAME else latest_filename,
            [time for _, time in entries],
            state.last_preserved_timestamp,
            save_relative_paths=True,
            durable=durable,
        )
    return StateRepair(state.path, paths[-1], paths, dropped, unlisted, kept_as, True)


def _newest(diagnosis: Diagnosis) -> Examined:
    """What the state file must name: what it names already, unless that is unsound, or older than what nobody listed."""
    best = diagnosis.newest_sound
    if best is None:
        raise NotFoundError(f"no checkpoint in {diagnosis.directory or '.'} is sound: there is none to name as the latest")
    state, checkpoints = diagnosis.state, diagnosis.survey.checkpoints
    name = None if state.newest is None else state.newest.name_in(checkpoints)
    named = next((each for each in diagnosis.checkpoints if each.found.name == name), None)
    if named is None or not named.is_sound:
        return best
    is_listed = best.found.name in {entry.name_in(checkpoints) for entry in state.recorded}
    return named if is_listed else best


def _listed(diagnosis: Diagnosis, newest: Examined, list_all: bool) -> list[tuple[str, float]]:
    """The prefixes that the file must list and when each was written, the newest last."""
    state, ledger = diagnosis.state, diagnosis.ledger
    times = {entry.name: entry.time for entry in ledger.entries} if ledger else {}
    recorded = set(times)
    for entry in state.recorded:
        if (name := entry.name_in(diagnosis.survey.checkpoints)) is not None:
            recorded.add(name)
            if (time := state.time_of(entry)) is not None:
                times.setdefault(name, time)
    # What the state file lists in other directories is not this directory's to judge.
    entries = [
        (entry.path, state.time_of(entry) or sum(get_checkpoint_mtimes([entry.path])[:1]))
        for entry in state.recorded
        if entry.is_there and not entry.is_here and entry.name_in(diagnosis.survey.checkpoints) is None
    ]
    for each in diagnosis.checkpoints:
        found = each.found
        if each is not newest and each.is_usable and (list_all or found.name in recorded):
            entries.append((found.prefix, times.get(found.name, found.time)))
    return [*entries, (newest.found.prefix, times.get(newest.found.name, newest.found.time))]


def _prefix_of(entry: StateEntry, diagnosis: Diagnosis) -> str:
    name = entry.name_in(diagnosis.survey.checkpoints)
    return entry.path if name is None else diagnosis.survey.checkpoints[name].prefix


def _must_change(diagnosis: Diagnosis, paths: list[str]) -> bool:
    """Whether the old file says something else than these paths, or says it so that moving breaks it."""
    state = diagnosis.state
    if state.error is not None or state.newest is None or not state.is_as_written:
        return True
    if not all(entry.is_found_by_tensorflow for entry in state.recorded):
        return True
    is_portable = all(
        entry.is_here and entry.is_there and not entry.text.startswith("/")
        for entry in state.recorded
        if entry.name_in(diagnosis.survey.checkpoints) is not None
    )
    old = [_prefix_of(entry, diagnosis) for entry in state.entries]
    return not is_portable or _prefix_of(state.newest, diagnosis) != paths[-1] or (old or paths[-1:]) != paths


def _keep_old(path: str, durable: bool) -> str:
    """Copies a file to a name that is free."""
    number = 1
    while file_io.exists(kept_as := path + (".old" if number == 1 else f".old{number}")):
        number += 1
    file_io.write_file(kept_as, file_io.read_file(path), durable=durable)
    return kept_as
