"""Looks at a directory of checkpoints as a doctor does: what is there, what is wrong with it, what can be done.

A diagnosis changes nothing: `state_repair` mends the state file, `leftovers` removes what killed saves left, `salvage` puts
what is left of a damaged checkpoint into a new one.
"""

from __future__ import annotations

from tfsaver.checkpoint.checkpoint_state import path_or_empty, state_file_path
from tfsaver.checkpoint.doctor.damage import Damage, describe_damage
from tfsaver.checkpoint.doctor.data_pairing import contradicts, find_mismatch
from tfsaver.checkpoint.doctor.diagnosis import Diagnosis, Examined, Finding
from tfsaver.checkpoint.doctor.directory_survey import DirectorySurvey, survey_directory
from tfsaver.checkpoint.doctor.findings import (
    of_checkpoints,
    of_ledger,
    of_other_files,
    of_saved_model,
    of_state_file,
)
from tfsaver.checkpoint.doctor.state_survey import in_order_of_age, read_state_file
from tfsaver.checkpoint.identify import SAVED_MODEL_FILES, saved_model_of
from tfsaver.checkpoint.latest_verified import Progress, is_of_the_process
from tfsaver.checkpoint.retention_file import LEDGER_SUFFIX, read_ledger
from tfsaver.checkpoint.untrusted import refuse_directory
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import PathNotFoundError, SaverError
from tfsaver.lib import file_io
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options

# Of a checkpoint whose data are of another save, or damaged throughout, one line says more than one for each tensor.
_MAX_LINES = 3


@takes_storage_options("directory")
def diagnose(
    directory: file_io.PathLike,
    latest_filename: file_io.PathLike | None = None,
    *,
    verify_all: bool = False,
    trusted: bool = True,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> Diagnosis:
    """Says what is in a directory of checkpoints and what is wrong with it; nothing is changed.

    Of a SavedModel the variables are looked at, which have no state file.

    Checkpoints are read from the newest to the oldest, every byte, until one is sound.

    Args:
        directory: The directory.
        latest_filename: The name of the state file, if it is not `checkpoint`.
        verify_all: Reads the older checkpoints too.
        trusted: If false, a state file's entry or a symbolic link that leads out of the directory is an error.
        progress: Called with the checkpoint that is read, the bytes done and the bytes there are.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        PathNotFoundError: There is no such directory.
        OSError: The process lacks memory or descriptors to read it.
    """
    directory = path_or_empty(directory)
    if directory and not file_io.is_directory(directory):
        raise PathNotFoundError(directory, what="directory")
    if not trusted:
        refuse_directory(directory, latest_filename)
    saved_model = _saved_model(directory)
    if saved_model is not None:
        directory = file_io.join(saved_model, "variables")
    state = read_state_file(directory, latest_filename)
    ledger_path = f"{state_file_path(directory, latest_filename)}{LEDGER_SUFFIX}"
    ledger, findings = None, []
    try:
        ledger = read_ledger(ledger_path)
    except (SaverError, OSError) as error:
        findings.append(Finding("ledger-unreadable", ledger_path, f"nobody knows what is pinned: {error}"))
    hints = [name for entry in state.recorded for name in entry.names]
    if ledger is not None:
        hints += [entry.name for entry in ledger.entries]
    survey = survey_directory(directory, file_io.split(state.path)[1], hints)
    diagnosis = Diagnosis(directory, survey, state, ledger, findings=findings, saved_model=saved_model)
    recorded = [entry.name for entry in ledger.entries] if ledger else []
    recorded += [name for entry in state.recorded if (name := entry.name_in(survey.checkpoints)) is not None]
    diagnosis.checkpoints = [Examined(found) for found in in_order_of_age(survey.checkpoints.values(), recorded)]
    _examine(diagnosis, verify_all, progress)
    diagnosis.findings += of_state_file(diagnosis) if saved_model is None else of_saved_model(diagnosis, saved_model)
    diagnosis.findings += of_checkpoints(diagnosis)
    diagnosis.findings += of_ledger(diagnosis, ledger_path)
    diagnosis.findings += of_other_files(survey)
    return diagnosis


def _examine(diagnosis: Diagnosis, verify_all: bool, progress: Progress | None) -> None:
    """Reads checkpoints from the newest to the oldest, and the one that the state file names whatever its age."""
    names = diagnosis.survey.checkpoints
    newest = None if diagnosis.state.newest is None else diagnosis.state.newest.name_in(names)
    has_sound = False
    for each in reversed(diagnosis.checkpoints):
        if verify_all or not has_sound or each.found.name == newest:
            _read(each, diagnosis.survey, progress)
            has_sound = has_sound or each.is_sound
        else:
            each.damage += [Damage(path, None, None, (), f"{path} is missing") for path in each.found.missing]


def _saved_model(directory: str) -> str | None:
    """The SavedModel that a directory is, or whose variables it is; None for other directories."""
    if set(file_io.list_directory(directory)).isdisjoint(SAVED_MODEL_FILES):
        return saved_model_of(directory)
    return directory or "."


def _read(each: Examined, survey: DirectorySurvey, progress: Progress | None) -> None:
    prefix = each.found.prefix
    try:
        report = verify_checkpoint(prefix, progress=progress and (lambda done, total: progress(prefix, done, total)))
    except (SaverError, OSError) as error:
        if isinstance(error, OSError) and is_of_the_process(error):
            raise
        missing = [Damage(path, None, None, (), f"{path} is missing") for path in each.found.missing]
        each.damage, each.error = missing, None if missing else error
        return
    each.is_read = True
    each.damage = describe_damage(report)
    if each.found.version == "V2" and not each.found.missing and (num_tensors := contradicts(report)):
        prefixes = [found.prefix for found in survey.checkpoints.values() if found.version == "V2"]
        each.mismatch = find_mismatch(prefix, num_tensors, [*prefixes, *survey.data_without_index])
        is_sure = each.mismatch.data_of is not None or each.mismatch.right_data is not None
        # Without a file that fits it may be damage after all, of which each line says a part.
        if is_sure or len(each.damage) > _MAX_LINES:
            each.damage = [Damage(None, None, None, (), str(each.mismatch))]
    each.num_tensors = report.num_tensors
