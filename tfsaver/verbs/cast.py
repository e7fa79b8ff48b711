"""`cast`: a checkpoint's tensors in another type."""

from __future__ import annotations

from typing import Any

from tfsaver.checkpoint.checkpoint_target import CheckpointFormat
from tfsaver.checkpoint.editing.cast import as_dtype, casted
from tfsaver.checkpoint.editing.edit import notes_on_saved_model, write_result
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.selection import Select, as_selection, select_of_patterns
from tfsaver.checkpoint.write_report import WriteReport, contents_of
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.verbs.open_source import Checkpoint, open_source


@renamed_options(select_of_patterns, replaces=("include", "exclude"), prefix="target")
@takes_storage_options("checkpoint", "target")
def cast(
    checkpoint: Checkpoint,
    target: file_io.PathLike,
    dtype: Any,
    *,
    select: Select = None,
    allow_overflow: bool = False,
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
    """Writes a checkpoint with its tensors in another type.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        target: The prefix of the checkpoint to write.
        dtype: The type: a numpy type, or TensorFlow's name for one, as in ``bfloat16``.
        select: The tensors to cast, the others stay as they are: a `Selection`, or patterns of which one must occur in a
            name; None for all of the type's kind.
        allow_overflow: Whether numbers out of the type's range become infinite.
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
        InvalidArgumentError: Numbers overflow, or integers would change; says of all tensors how many. Nothing is written.

    Example:
        >>> print(tfsaver.cast("model.ckpt-1000", "half", "bfloat16", select="kernel$"))  # doctest: +SKIP
    """
    with open_source(checkpoint, trusted=trusted) as source:
        # What is wrong is said of all tensors at once, at the end and before anything is visible.
        rules = None if select is None else as_selection(select)
        view = casted(
            source,
            dtype,
            rules.include if rules else (),
            rules.exclude if rules else (),
            allow_overflow=allow_overflow,
            allow_unmatched=rules is not None and rules.allow_unmatched,
            raises=False,
        )
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
        losses = dict(view.losses())
        notes = () if losses else (f"note: there is nothing to cast to {as_dtype(dtype)}",)
        return WriteReport(
            "cast",
            (source.description,),
            written,
            contents_of([source]),
            contents_of([view]),
            losses=losses,
            notes=(*notes, *notes_on_saved_model(source)),
        )
