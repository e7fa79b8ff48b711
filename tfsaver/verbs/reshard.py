"""`reshard`: the same tensors in more or fewer files, whole instead of in slices, or in the other format."""

from __future__ import annotations

from tfsaver.checkpoint.checkpoint_target import CheckpointFormat
from tfsaver.checkpoint.editing.edit import copy_meta_graph, notes_on_saved_model, write_result
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.report import count
from tfsaver.checkpoint.selection import Select
from tfsaver.checkpoint.write_report import WriteReport, contents_of
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.verbs.open_source import Checkpoint, choose, open_source


@renamed_options(prefix="target")
@takes_storage_options("checkpoint", "target")
def reshard(
    checkpoint: Checkpoint,
    target: file_io.PathLike,
    *,
    merge_slices: bool = False,
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
    """Writes a checkpoint's tensors, unchanged, in files of another number or format.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        target: The prefix of the checkpoint to write.
        merge_slices: Whether partitioned tensors become whole ones.
        with_meta: Whether the `.meta` beside the checkpoint is copied too: it fits the same tensors in other files.
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
        InvalidArgumentError: The result would lie over its source.
        UnimplementedError: V1 cannot hold one of the tensors; says which.

    Example:
        >>> tfsaver.reshard("model.ckpt-1000", "one_file", num_shards=1, merge_slices=True)  # doctest: +SKIP
    """
    with open_source(checkpoint, trusted=trusted) as opened:
        source = choose(opened, select)
        num_sliced = sum(bool(source.slices(name)) for name in source.names)
        written = write_result(
            source,
            target,
            keep_slices=not merge_slices,
            format=format,
            num_shards=num_shards,
            overwrite=overwrite,
            dry_run=dry_run,
            durable=durable,
            progress=progress,
        )
        files = f"{count(num_shards, 'data file')}, format {format}"
        notes = [f"result:    {files}"]
        if num_sliced:
            what = "made whole" if merge_slices else "left in their slices"
            notes.append(f"slices:    {count(num_sliced, 'partitioned tensor')} {what}")
        if with_meta:
            notes.append(copy_meta_graph(opened, written, durable=durable))
        contents = contents_of([source])
        notes += notes_on_saved_model(opened)
        return WriteReport("reshard", (opened.description,), written, contents, contents, notes=tuple(notes))
