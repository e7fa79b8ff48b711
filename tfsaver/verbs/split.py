"""`split`: one checkpoint as several, each of which gets the tensors that its patterns name."""

from __future__ import annotations

from tfsaver.checkpoint.checkpoint_target import CheckpointFormat
from tfsaver.checkpoint.editing.edit import notes_on_tree, write_result
from tfsaver.checkpoint.editing.select import selected
from tfsaver.checkpoint.editing.split import Rules, deal_out
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.write_report import WriteReport, contents_of
from tfsaver.lib import file_io
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.verbs.open_source import Checkpoint, open_source


@takes_storage_options("checkpoint", "rest", keys="parts")
def split(
    checkpoint: Checkpoint,
    parts: Rules,
    *,
    rest: file_io.PathLike | None = None,
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
    """Writes a checkpoint's tensors as several checkpoints.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        parts: For each prefix to write which tensors it gets: a `Selection` or patterns. The first that fits gets a tensor.
        rest: The prefix for tensors that no part gets; without it, these are an error.
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
        InvalidArgumentError: A pattern is in no name, a part gets nothing, tensors are left and have no place, or a result
            would lie over the checkpoint or over another result.

    Example:
        >>> tfsaver.split("model.ckpt-1000", {"bert": "^bert/", "head": "^cls/"}, rest="training")  # doctest: +SKIP
    """
    with open_source(checkpoint, trusted=trusted) as source:
        shares = deal_out(source, parts, None if rest is None else file_io.as_path(rest))
        plans = {prefix: selected(source, names) for prefix, names in shares.items()}

        def write(prefix: str, dry_run: DryRun) -> str | None:
            return write_result(
                plans[prefix],
                prefix,
                format=format,
                num_shards=num_shards,
                overwrite=overwrite,
                dry_run=dry_run,
                durable=durable,
                progress=progress,
            )

        for prefix in plans:
            write(prefix, True)
        sources, before = (source.description,), contents_of([source])
        reports = {}
        for prefix, plan in plans.items():
            written = write(prefix, dry_run)
            notes = notes_on_tree(plan, [source])
            reports[prefix] = WriteReport("split", sources, written, before, contents_of([plan]), notes=notes)
        return WriteReport("split", sources, None, before, contents_of(plans.values()), parts=reports)
