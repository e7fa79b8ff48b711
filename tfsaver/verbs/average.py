"""`average`: the mean of several checkpoints of one model."""

from __future__ import annotations

from collections.abc import Sequence

from tfsaver.checkpoint.checkpoint_target import CheckpointFormat
from tfsaver.checkpoint.editing.average import averaged, is_averaged
from tfsaver.checkpoint.editing.edit import copy_meta_graph, write_result
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.report import count
from tfsaver.checkpoint.selection import Select
from tfsaver.checkpoint.write_report import Contents, WriteReport, contents_of
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.verbs.open_source import Checkpoint, choose_each, open_sources


@renamed_options(prefix="target")
@takes_storage_options("checkpoints", "target")
def average(
    checkpoints: Sequence[Checkpoint],
    target: file_io.PathLike,
    *,
    weights: Sequence[float] | None = None,
    with_meta: bool = False,
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
    """Writes the mean of several checkpoints.

    Args:
        checkpoints: Paths, open sources, or arrays by name; of what has no mean, the last one's is taken.
        target: The prefix of the checkpoint to write.
        weights: How much each counts; None for all the same.
        with_meta: Whether the `.meta` beside the last one is copied too: the mean has the same tensors.
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
        InvalidArgumentError: They have not the same tensors, says all; or the result would lie over one of them.

    Example:
        >>> tfsaver.average(["model.ckpt-8000", "model.ckpt-9000", "model.ckpt-10000"], "averaged")  # doctest: +SKIP
    """
    with open_sources(checkpoints, trusted=trusted) as opened:
        sources = choose_each(opened, select)
        view = averaged(sources, weights)
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
        infos = [view.info(name) for name in view.names]
        means = [info for info in infos if is_averaged(info.dtype)]
        rest = [info.name for info in infos if not is_averaged(info.dtype)]
        contents = Contents(len(means), sum(info.num_bytes for info in means))
        notes = [f"averaged:  {contents}, of {count(len(sources), 'checkpoint')}"]
        if rest:
            more = f", and {len(rest) - 3:,} more" if len(rest) > 3 else ""
            notes.append(f"from the last one, {opened[-1].description}: {', '.join(rest[:3])}{more}")
        if with_meta:
            notes.append(copy_meta_graph(opened[-1], written, durable=durable))
        described = tuple(each.description for each in opened)
        return WriteReport("average", described, written, contents_of(sources[-1:]), contents_of([view]), notes=tuple(notes))
