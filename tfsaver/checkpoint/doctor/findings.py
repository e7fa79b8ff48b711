"""From what lies in a directory and what was read of it to sentences, each with a word for programs."""

from __future__ import annotations

from collections.abc import Iterator

from tfsaver.checkpoint.doctor.damage import listed
from tfsaver.checkpoint.doctor.diagnosis import Diagnosis, Finding
from tfsaver.checkpoint.doctor.directory_survey import DirectorySurvey
from tfsaver.checkpoint.doctor.state_survey import is_newer
from tfsaver.checkpoint.identify import SAVED_MODEL_FILES, identity_of_wrong
from tfsaver.lib import file_io


def of_state_file(diagnosis: Diagnosis) -> Iterator[Finding]:
    """What is wrong with the state file, or will be."""
    state, checkpoints = diagnosis.state, diagnosis.survey.checkpoints
    if not checkpoints:
        yield Finding("no-checkpoint", diagnosis.directory or ".", "no checkpoint is in this directory")
    if not state.is_there:
        if checkpoints:
            yield Finding("state-file-missing", state.path, "is not there: nothing says which checkpoint is the latest")
        return
    if state.error is not None:
        yield Finding("state-file-unreadable", state.path, f"is no sound state file: {state.error}")
    elif not state.is_as_written:
        message = "is not as TensorFlow reads it: another encoding, typographic quotes or single backslashes; --fix mends it"
        yield Finding("state-file-mended", state.path, message)
    for entry in state.recorded:
        is_newest = entry == state.newest
        what = f"names {entry.text!r}{' as the newest' if is_newest else ''}"
        local = entry.name_in(checkpoints)
        if entry.is_there and not entry.is_here:
            beside = f"; {local!r} is also in this directory, which was probably copied" if local else ""
            yield Finding("entry-elsewhere", state.path, f"{what}, which is in another directory{beside}", bool(local))
        elif not entry.is_there and local is not None:
            yield Finding("entry-moved", state.path, f"{what}, which is not there; {local!r} is in this directory")
        elif entry.fault is not None:
            if entry.fault not in str(state.error):
                yield Finding("entry-not-a-prefix", state.path, f"{what}: {entry.fault}")
        elif not entry.is_there:
            yield Finding("entry-missing", state.path, f"{what}, which is not there")
        elif not entry.is_found_by_tensorflow:
            message = f"{what}, where TensorFlow does not find {entry.path}.index; --fix writes './'"
            yield Finding("entry-unnamed", state.path, message)
        elif entry.text.startswith("/"):
            yield Finding("entry-absolute", state.path, f"{what}: wrong as soon as the directory moves", is_problem=False)
    if state.newest is not None and (recorded := checkpoints.get(state.newest.name_in(checkpoints) or "")) is not None:
        listed_names = {entry.name_in(checkpoints) for entry in state.recorded}
        unlisted = [each.found for each in diagnosis.checkpoints if each.is_usable and each.found.name not in listed_names]
        if newer := [found.name for found in unlisted if is_newer(found, recorded)]:
            message = f"names {recorded.name!r} as the newest; newer, and not listed: {listed(newer)}"
            yield Finding("state-file-behind", state.path, message)


def of_saved_model(diagnosis: Diagnosis, directory: str) -> Iterator[Finding]:
    """What there is to say of a SavedModel, which is complete without a state file, and without variables too."""
    for name in SAVED_MODEL_FILES:
        path = file_io.join(directory, name)
        if (wrong := identity_of_wrong(path)) is not None and wrong.kind != "SavedModel":
            yield Finding("saved-model-file", path, f"{wrong.description}; next: {wrong.command}")
    has = "" if diagnosis.survey.checkpoints else " without variables"
    message = f"a SavedModel{has}; `tfsaver saved-model lint {directory}` checks its graph"
    yield Finding("saved-model", directory, message, is_problem=False)


def of_checkpoints(diagnosis: Diagnosis) -> Iterator[Finding]:
    """What is wrong with the checkpoints, and with the files beside them."""
    for each in diagnosis.checkpoints:
        found = each.found
        for damage in each.damage:
            yield Finding("damaged", found.prefix, damage.message)
        if each.error is not None:
            yield Finding("unreadable", found.prefix, str(each.error))
        if found.stray:
            names = listed([file_io.split(path)[1] for path in found.stray])
            yield Finding("stray-data", found.prefix, f"data files that its index does not count: {names}", is_problem=False)
    missing_meta = [each.found.name for each in diagnosis.checkpoints if each.found.meta_graph is None]
    # Where no checkpoint has one, nobody wanted any.
    if missing_meta and len(missing_meta) < len(diagnosis.checkpoints):
        where = diagnosis.directory or "."
        yield Finding("no-meta-graph", where, f"without a .meta file: {listed(missing_meta)}", is_problem=False)


def of_ledger(diagnosis: Diagnosis, path: str) -> Iterator[Finding]:
    """What the retention ledger at `path` has to say."""
    if diagnosis.ledger is None:
        return
    known = diagnosis.survey.checkpoints
    gone = [entry.name for entry in diagnosis.ledger.entries if entry.name not in known]
    pinned = [entry.name for entry in diagnosis.ledger.entries if entry.is_pinned and entry.name in known]
    if gone:
        yield Finding("ledger-behind", path, f"lists what is not there: {listed(gone)}; the next save corrects it", False)
    if pinned:
        yield Finding("pinned", path, f"pinned: {listed(pinned)}", is_problem=False)


def of_other_files(survey: DirectorySurvey) -> Iterator[Finding]:
    """The files that belong to checkpoints and are part of none."""
    for prefix, paths in survey.data_without_index.items():
        names = listed([file_io.split(path)[1] for path in paths])
        yield Finding(
            "data-without-index", prefix, f"{names} without an index: a save was killed before its end, or the index is lost"
        )
    for path in survey.hidden:
        name = file_io.split(path)[1]
        message = f"a V1 checkpoint, hidden by the V2 checkpoint of the same name; to open it: mv {path} {path}-v1"
        yield Finding("hidden-v1", path, message if name else path, is_problem=False)
    for path in survey.lonely_meta_graphs:
        yield Finding("meta-graph-alone", path, "a graph without weights", is_problem=False)
    for prefix, save in survey.pending:
        message = (
            f"the save {save.save_id!r} of {save.world_size} processes is not committed: {len(save.ranks)} have written "
            f"their parts, {len(save.missing)} have not; tfsaver.commit ends it, tfsaver.abandon removes it"
        )
        yield Finding("pending-save", prefix, message, is_problem=False)
    for leftover in survey.leftovers:
        message = f"left by a save that was killed, {leftover.num_bytes} bytes"
        if leftover.upload:
            message = "an upload that was begun and not finished"
        yield Finding("leftover", leftover.path, message, is_problem=False)
