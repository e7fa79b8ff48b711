"""`select`: some of a checkpoint's tensors."""

from __future__ import annotations

from tfsaver.checkpoint.checkpoint_target import CheckpointFormat
from tfsaver.checkpoint.editing.edit import write_result
from tfsaver.checkpoint.editing.select import report_of_selected, report_of_selection, selected
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.selection import Select
from tfsaver.checkpoint.write_report import WriteReport
from tfsaver.graph.training_state import training_state_for
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.verbs.open_source import Checkpoint, open_source


@renamed_options(prefix="target", selection="select")
@takes_storage_options("checkpoint", "target")
def select(
    checkpoint: Checkpoint,
    target: file_io.PathLike,
    select: Select = None,
    *,
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
    """Writes some of a checkpoint's tensors.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        target: The prefix of the checkpoint to write.
        select: The tensors to take: a `Selection`, or patterns of which one must occur in a name; None for all.
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
        InvalidArgumentError: A pattern is in no name, nothing is kept, or the result would lie over its source.

    Example:
        >>> print(tfsaver.select("model.ckpt-1000", "bert", "^bert/"))  # doctest: +SKIP
    """
    with open_source(checkpoint, trusted=trusted) as source:
        selection = report_of_selection(source, select, {}, training_state_for(source, select))
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
        return report_of_selected("select", source, selection, plan, written)
