"""`strip`: a checkpoint without what only training needs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from tfsaver.checkpoint.checkpoint_target import CheckpointFormat
from tfsaver.checkpoint.editing.edit import meta_graph_of, write_result
from tfsaver.checkpoint.editing.select import report_of_selected, report_of_selection, selected
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.report import count
from tfsaver.checkpoint.selection import Select, as_selection, occurrence_of, select_of_patterns
from tfsaver.checkpoint.write_report import WriteReport
from tfsaver.graph.essential_variables import load_training_state
from tfsaver.graph.training_state import StateFound, find_state
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.verbs.open_source import Checkpoint, open_source


@renamed_options(select_of_patterns, replaces=("exclude",), prefix="target")
@takes_storage_options("checkpoint", "target", "meta")
def strip(
    checkpoint: Checkpoint,
    target: file_io.PathLike,
    *,
    meta: file_io.PathLike | bool = True,
    select: Select = None,
    keep: str | Sequence[str] = (),
    without_global_step: bool = False,
    format: CheckpointFormat = "V2",  # noqa: A002 - the word every saver uses for it
    num_shards: int = 1,
    overwrite: bool = False,
    dry_run: DryRun = False,
    durable: bool = True,
    trusted: bool = True,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> WriteReport:
    """Writes a checkpoint without optimizer slots and other training state.

    The `.meta` is not written along: its Saver asks for the tensors that are gone.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        target: The prefix of the checkpoint to write.
        meta: The path of a `.meta` that knows the variables; True for the one next to the checkpoint, if there is one; False
            for names alone.
        select: The tensors to take, of which training state is then left out: a `Selection`, or patterns of which one must
            occur in a name; None for all.
        keep: Patterns; tensors in whose names one occurs stay, whatever they are.
        without_global_step: Whether the global step goes too.
        format: ``V2``, or ``V1`` for programs that read nothing newer.
        num_shards: The number of data files.
        overwrite: Whether an existing checkpoint may be replaced; a source is never replaced.
        dry_run: If true, nothing is written: the report comes from metadata and from values that a cast could lose.
            ``"values"`` reads all other values too.
        durable: Whether to fsync before returning.
        trusted: If false, a name in a file that leads out of the file's directory is an error.
        progress: Called with the bytes done and the bytes in all.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        InvalidArgumentError: Nothing would be left, or the result would lie over its source.
        DataLossError: The `.meta` that was given cannot be read.

    Example:
        >>> print(tfsaver.strip("model.ckpt-1000", "stripped"))  # doctest: +SKIP
    """
    with open_source(checkpoint, trusted=trusted) as source:
        path = meta_graph_of(source) if isinstance(meta, bool) else file_io.as_path(meta)
        state = None
        if path is not None and meta is not False:
            state = load_training_state(path)
        found = find_state(source, state, without_global_step=without_global_step)
        left_out = found.reasons
        if keep:
            kept = [occurrence_of(pattern) for pattern in as_selection(keep).include]
            left_out = {name: why for name, why in left_out.items() if not any(is_in(name) for is_in in kept)}
        selection = report_of_selection(source, select, left_out, found.reasons)
        plan = selected(source, selection.kept)
        written = write_result(
            plan,
            target,
            format=format,
            num_shards=num_shards,
            overwrite=overwrite,
            dry_run=dry_run,
            durable=durable,
            progress=progress,
        )
        report = report_of_selected("strip", source, selection, plan, written)
        known = "names alone" if state is None else f"{path} and names"
        nothing = () if report.left_out else ("nothing to strip: no tensor is known to be for training alone",)
        doubts = _notes_on_inferences(found, left_out, set(selection.kept))
        return dataclasses.replace(report, notes=(f"told from: {known}", *nothing, *doubts, *report.notes))


def _notes_on_inferences(found: StateFound, left_out: Mapping[str, str], kept: Collection[str]) -> Iterator[str]:
    """What was inferred, and what was not; each with the option that says otherwise."""
    inferred = [name for name in found.inferred if name in left_out]
    if inferred:
        yield (
            f"inferred, not known: {count(len(inferred), 'tensor')}, such as {inferred[0]}, by names, dtypes and shapes; "
            "keep=PATTERN (--keep) keeps them"
        )
    for suffix, names in found.questions.items():
        if staying := [name for name in names if name in kept]:
            pattern = f"/{re.escape(suffix)}$"
            yield (
                f"kept, though they may be slots: {count(len(staying), 'tensor')}, such as {staying[0]}, which may be "
                f"averages; if they are slots, select=Selection(exclude={pattern!r}) (--exclude) leaves them out"
            )
