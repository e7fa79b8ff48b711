"""`diff`: what two checkpoints differ in."""

from __future__ import annotations

from tfsaver.checkpoint.editing.diff import DiffReport, compared
from tfsaver.checkpoint.execution import Progress
from tfsaver.checkpoint.names.name_map import NameMapLike, as_name_map
from tfsaver.checkpoint.selection import Select, as_selection
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.verbs.open_source import Checkpoint, open_source


@renamed_options(a="checkpoint", b="other", selection="select")
@takes_storage_options("checkpoint", "other")
def diff(
    checkpoint: Checkpoint,
    other: Checkpoint,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    ignore_dtype: bool = False,
    select: Select = None,
    mapping: NameMapLike = None,
    allow_unmatched: bool = False,
    trusted: bool = True,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> DiffReport:
    """Compares two checkpoints, of whatever formats.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        other: What it is compared with, in the same forms.
        rtol: Numbers are equal that differ by at most ``atol + rtol * |other|``; without both, those with the same bytes.
        atol: See `rtol`.
        ignore_dtype: Whether numbers of other types may be equal.
        select: The tensors to compare: a `Selection`, or patterns of which one must occur in a name; None for all.
        mapping: The names that the first one's tensors have in the other, see `name_map`.
        allow_unmatched: Whether it is right that a rule, a table or a name of the mapping, or a pattern, matches nothing.
        trusted: If false, a name in a file that leads out of the file's directory is an error.
        progress: Called with the bytes of the first that are compared and the bytes in all.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        InvalidArgumentError: A tolerance is negative, or the mapping does not fit the names.
        DataLossError: A tensor is damaged.
    """
    with open_source(checkpoint, trusted=trusted) as a, open_source(other, trusted=trusted) as b:
        return compared(
            a,
            b,
            rtol=rtol,
            atol=atol,
            ignore_dtype=ignore_dtype,
            select=None if select is None else as_selection(select, allow_unmatched=allow_unmatched),
            mapping=None if mapping is None else as_name_map(mapping, allow_unmatched=allow_unmatched),
            progress=progress,
        )
