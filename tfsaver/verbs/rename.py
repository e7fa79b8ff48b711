"""`rename`: a checkpoint's tensors under other names."""

from __future__ import annotations

from tfsaver.checkpoint.checkpoint_target import CheckpointFormat
from tfsaver.checkpoint.editing.edit import casts_of, notes_on_saved_model, notes_on_tree, write_result
from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.names.name_map import NameMapLike
from tfsaver.checkpoint.selection import Select
from tfsaver.checkpoint.write_report import LeftOut, WriteReport, contents_of
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.verbs.open_source import Checkpoint, choose, open_source


@renamed_options(prefix="target")
@takes_storage_options("checkpoint", "target")
def rename(
    checkpoint: Checkpoint,
    target: file_io.PathLike,
    mapping: NameMapLike,
    *,
    select: Select = None,
    allow_unmatched: bool = False,
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
    """Writes a checkpoint's tensors under other names.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        target: The prefix of the checkpoint to write.
        mapping: From old names to new ones: a dict, a list of rules, the name of a table, a path of a .toml or .json file, a
            function; see `name_map`.
        select: The tensors to take: a `Selection`, or patterns of which one must occur in a name; None for all.
        allow_unmatched: Whether it is right that a rule, a table or a name of the mapping, or a pattern, matches nothing.
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
        InvalidArgumentError: The mapping does not fit the names, says all; or the result would lie over its source.

    Example:
        >>> tfsaver.rename("model.ckpt-1000", "renamed", [("/weights$", "/kernel"), ("/biases$", "/bias")])  # doctest: +SKIP
    """
    with open_source(checkpoint, trusted=trusted) as opened:
        source = choose(opened, select, allow_unmatched=allow_unmatched)
        renaming = renamed(source, mapping, allow_unmatched=allow_unmatched)
        view, new_names = renaming
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
        return WriteReport(
            "rename",
            (opened.description,),
            written,
            contents_of([source]),
            contents_of([view]),
            left_out={
                old: LeftOut(why, source.info(old).num_bytes)
                for old, why in renaming.left_out("the mapping says so").items()
            },
            renamed=new_names.renamed(),
            losses=casts_of(view),
            notes=(
                *(f"note: {note}" for note in new_names.notes()),
                *notes_on_tree(view, [source]),
                *notes_on_saved_model(opened),
            ),
        )
