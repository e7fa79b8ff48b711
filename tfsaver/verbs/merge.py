"""`merge`: the tensors of several checkpoints as one."""

from __future__ import annotations

from collections.abc import Sequence

from tfsaver.checkpoint.checkpoint_target import CheckpointFormat
from tfsaver.checkpoint.editing.edit import notes_on_tree, write_result
from tfsaver.checkpoint.editing.merge import OnConflict, merged
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.selection import Select
from tfsaver.checkpoint.write_report import LeftOut, WriteReport, contents_of
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.verbs.open_source import Checkpoint, choose_each, open_sources


@renamed_options(prefix="target")
@takes_storage_options("checkpoints", "target")
def merge(
    checkpoints: Sequence[Checkpoint],
    target: file_io.PathLike,
    *,
    on_conflict: OnConflict = "error",
    select: Select = None,
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
    """Writes the tensors of several checkpoints as one.

    Args:
        checkpoints: Paths, open sources, or arrays by name.
        target: The prefix of the checkpoint to write.
        on_conflict: What to do about names that several have with different tensors: ``error``, ``first``, ``last``.
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
        InvalidArgumentError: There are conflicts, says all; or the result would lie over one of the checkpoints.

    Example:
        >>> tfsaver.merge(["trunk", "head"], "model")  # doctest: +SKIP
    """
    with open_sources(checkpoints, trusted=trusted) as opened:
        sources = choose_each(opened, select)
        view, replaced = merged(sources, on_conflict)
        written = write_result(
            view,
            target,
            format=format,
            num_shards=num_shards,
            overwrite=overwrite,
            dry_run=dry_run,
            durable=durable,
            progress=progress,
        )
        left_out = {
            f"{name} of {opened[number].description}": LeftOut(
                f"taken from {opened[owner].description}", sources[number].info(name).num_bytes
            )
            for (number, name), owner in replaced.items()
        }
        return WriteReport(
            "merge",
            tuple(each.description for each in opened),
            written,
            contents_of(sources),
            contents_of([view]),
            are_inputs=True,
            left_out=left_out,
            notes=notes_on_tree(view, sources),
        )
