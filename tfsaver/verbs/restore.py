"""`restore` and `compare`: a checkpoint's tensors and the variables of a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.checkpoint.names.name_map import NameMapLike, as_name_map
from tfsaver.checkpoint.restoring.program import Program
from tfsaver.checkpoint.selection import Select, Selection, as_selection, select_of_patterns
from tfsaver.compat._restart import restore_newest
from tfsaver.compat.v2.targets import Target
from tfsaver.errors import CheckpointNotFoundError, InvalidArgumentError
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.targets.comparison import Comparison
from tfsaver.targets.programs import program_of
from tfsaver.targets.restoring import By, compare_source, restore_source
from tfsaver.verbs.open_source import Checkpoint, open_source


@renamed_options(select_of_patterns, replaces=("include", "exclude"))
@takes_storage_options("checkpoint")
def restore(
    target: Any,
    checkpoint: Checkpoint,
    *,
    mapping: NameMapLike = None,
    allow_unmatched: bool = False,
    by: By = "name",
    scope: str | tuple[str, str] | None = None,
    select: Select = None,
    cast: bool = False,
    accept_guesses: bool = False,
    strict: bool = True,
    dry_run: DryRun = False,
    verified: bool = False,
    trusted: bool = True,
    progress: Progress | None = None,
    session: Any = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> MatchReport:
    """Gives the variables of a program the values that a checkpoint has for them: all of them, or none.

    Args:
        target: A `tf.Module`, a Keras model or layer, an optimizer, a variable, or a list or dict of these; also nested.
            Models and optimizers must be built. Without TensorFlow: a `torch.nn.Module`, or a Keras model or layer on the
            backend of JAX or PyTorch.
        checkpoint: A path (V1, V2, a SavedModel's directory, a file of another format), an open source, or arrays by name.
        mapping: From names in the checkpoint to names in the target: a dict, rules, a file, the name of a ready table, or a
            function; see `tfsaver.checkpoint.names.name_map`. What it does not speak of keeps its name.
        allow_unmatched: Whether it is right that a rule, a table or a name of the mapping, or a pattern, matches nothing.
        by: ``name``, or ``shape``: by dtype and shape, and by order where several have the same.
        scope: Words in front of the names in the checkpoint, which the target's do not have; or the words there and the
            words here. What is outside of it is left out. A mapping sees the names after this.
        select: The variables of the target to restore: a `Selection`, or patterns of which one must occur in a name; None
            for all.
        cast: Whether numbers of another dtype are converted.
        accept_guesses: Whether tensors are taken that fit and whose names are merely similar, or that are the only ones of
            their dtype and shape: the `guesses` of a report.
        strict: Whether it is an error that something is missing, ambiguous or of another dtype or shape. Otherwise the rest
            is restored.
        dry_run: If true, nothing is assigned: the report comes from metadata and from values that a cast could lose.
            ``"values"`` reads all other values too.
        verified: For a directory: restores the newest checkpoint in it that is whole, where it otherwise has to be the one
            that the state file names. What is skipped is logged as a warning, with the reason; the report says what was
            taken. What does not fit is an error all the same.
        trusted: If false, a name in a file that leads out of the file's directory is an error.
        progress: Called with the bytes done and the bytes in all; what is read twice counts twice.
        session: The session that has the values of graph variables; None for eager ones, and for the default session.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        What was, or would be, restored, and what was not.

    Raises:
        RestoreError: When strict: something does not fit; says all of it, and has the report. Nothing has changed.
        CheckpointNotFoundError: There is none.
        DataLossError: The checkpoint is damaged. Nothing has changed.
        InvalidArgumentError: The arguments contradict each other, or the target has nothing to restore.
        UnimplementedError: The variables are those of a graph, and there is no session.

    Example:
        >>> report = restore(model, "old/model.ckpt-1000", strict=False)  # doctest: +SKIP
        >>> report.missing  # doctest: +SKIP
        ()
    """

    def restore_from(given: Checkpoint) -> MatchReport:
        with open_source(given, trusted=trusted) as source:
            return restore_source(
                _program_of(target, session),
                source,
                mapping=as_name_map(mapping, allow_unmatched=allow_unmatched),
                by=by,
                scope=scope,
                select=_rules(select, allow_unmatched=allow_unmatched),
                cast=cast,
                accept_guesses=accept_guesses,
                strict=strict,
                dry_run=dry_run,
                progress=progress,
            )

    if not verified:
        return restore_from(checkpoint)
    if isinstance(checkpoint, Mapping) or not file_io.is_directory(file_io.as_path(checkpoint)):
        raise InvalidArgumentError(f"verified=True is for a directory of checkpoints, which {checkpoint!r} is not")
    _, report = restore_newest(checkpoint, restore_from, trusted=trusted)
    if report is None:
        directory = file_io.as_path(checkpoint)
        raise CheckpointNotFoundError(directory, looked_for=[f"a checkpoint in {directory}"], found="it has none")
    return report


@renamed_options(select_of_patterns, replaces=("include", "exclude"))
@takes_storage_options("checkpoint")
def compare(
    target: Any,
    checkpoint: Checkpoint,
    *,
    mapping: NameMapLike = None,
    allow_unmatched: bool = False,
    by: By = "name",
    scope: str | tuple[str, str] | None = None,
    select: Select = None,
    cast: bool = False,
    accept_guesses: bool = False,
    trusted: bool = True,
    progress: Progress | None = None,
    session: Any = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> Comparison:
    """Whether every variable of a program is now what a checkpoint says, to the bit; nothing is assigned.

    The arguments are those of `restore`, and are to be the same.

    Args:
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        The report, and which values differ, and how much; true in a condition when all is there and nothing differs.

    Raises:
        SaverError: As `restore`, but for the RestoreError: what is missing is in the report.
    """
    with open_source(checkpoint, trusted=trusted) as source:
        return compare_source(
            _program_of(target, session),
            source,
            mapping=as_name_map(mapping, allow_unmatched=allow_unmatched),
            by=by,
            scope=scope,
            select=_rules(select, allow_unmatched=allow_unmatched),
            cast=cast,
            accept_guesses=accept_guesses,
            progress=progress,
        )


def _program_of(target: Any, session: Any) -> Program:
    """The variables of what a caller gives."""
    return program_of(target) or Target(target, session)


def _rules(select: Select, *, allow_unmatched: bool) -> Selection | None:
    return None if select is None else as_selection(select, allow_unmatched=allow_unmatched)
