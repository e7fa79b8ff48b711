"""The same tensors in other files: more or fewer shards, whole tensors in the place of slices, another format.

    partitioned tensors    stay in their slices, each in the shard that has least; or become whole, which every program
                           that knows them in parts restores too
    V1 and V2              either way, as far as V1 has the types
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfsaver.checkpoint.editing.edit import Checkpoint, copy_meta_graph, describe, open_sources, write_result
from tfsaver.checkpoint.report import count
from tfsaver.checkpoint.write_report import WriteReport, contents_of
from tfsaver.lib import file_io

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tfsaver.checkpoint.editing.edit import WriteOptions


def reshard(
    checkpoint: Checkpoint,
    prefix: file_io.PathLike,
    *,
    merge_slices: bool = False,
    with_meta: bool = False,
    **options: Unpack[WriteOptions],
) -> WriteReport:
    """Writes a checkpoint's tensors, unchanged, in files of another number or format.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        prefix: The checkpoint to write.
        merge_slices: Whether partitioned tensors become whole ones.
        with_meta: Whether the `.meta` beside the checkpoint is copied too: it fits the same tensors in other files.
        **options: See `WriteOptions`; among them are `num_shards` and `format`.

    Raises:
        InvalidArgumentError: The result would lie over its source.
        UnimplementedError: V1 cannot hold one of the tensors; says which.

    Example:
        >>> tfsaver.reshard("model.ckpt-1000", "one_file", num_shards=1, merge_slices=True)  # doctest: +SKIP
    """
    with open_sources([checkpoint]) as [source]:
        num_sliced = sum(bool(source.slices(name)) for name in source.names)
        written = write_result(source, prefix, keep_slices=not merge_slices, **options)
        files = f"{count(options.get('num_shards', 1), 'data file')}, format {options.get('format', 'v2')}"
        notes = [f"result:    {files}"]
        if num_sliced:
            what = "made whole" if merge_slices else "left in their slices"
            notes.append(f"slices:    {count(num_sliced, 'partitioned tensor')} {what}")
        if with_meta:
            notes.append(copy_meta_graph(source, written, durable=options.get("durable", True)))
        contents = contents_of([source])
        return WriteReport("reshard", (describe(source),), written, contents, contents, notes=tuple(notes))
