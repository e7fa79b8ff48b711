"""From checkpoints through a view to a checkpoint: what all verbs that write have in common.

A result is never written over one of its sources: a checkpoint of the same number of shards has the same files, which
change one after the other, and whoever stops in between has neither. Nor over another checkpoint, unless asked to.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tfsaver.checkpoint import saved_tensor_slices
from tfsaver.checkpoint.checkpoint_management import meta_graph_filename
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.checkpoint.editing.write import check_writable, write_source
from tfsaver.checkpoint.objects.object_graph import TREE_KEY
from tfsaver.checkpoint.tensor_source import TensorSource, as_source
from tfsaver.errors import AlreadyExistsError, InvalidArgumentError
from tfsaver.lib import file_io

if TYPE_CHECKING:
    from typing_extensions import TypedDict

    class WriteOptions(TypedDict, total=False):
        """How a result is written; the same for all verbs.

        Attributes:
            format: ``v2``, or ``v1`` for programs that know nothing newer.
            num_shards: How many data files there are.
            durable: Whether to return only once disks have the bytes.
            overwrite: Whether a checkpoint that is there already may be replaced; never a source of the result.
            dry_run: Whether to write nothing and give the report alone.
            progress: Called with how many bytes are done and how many there are.
        """

        format: str
        num_shards: int
        durable: bool
        overwrite: bool
        dry_run: bool
        progress: Callable[[int, int], None] | None


# What is taken for a checkpoint: whatever `load_checkpoint` takes, an open source, or arrays by name.
Checkpoint: TypeAlias = "file_io.PathLike | TensorSource | Mapping[str, Any]"


@contextlib.contextmanager
def open_sources(checkpoints: Iterable[Checkpoint]) -> Iterator[list[TensorSource]]:
    """The checkpoints, open; those that were given as paths are closed at the end.

    Raises:
        InvalidArgumentError: They are one path: its letters are not checkpoints.
    """
    if isinstance(checkpoints, (str, bytes, os.PathLike, Mapping)):
        raise InvalidArgumentError(f"a list of checkpoints is needed, not {type(checkpoints).__name__}: [{checkpoints!r}]")
    with contextlib.ExitStack() as stack:
        yield [
            as_source(item) if isinstance(item, Mapping) else stack.enter_context(load_checkpoint(item))
            for item in checkpoints
        ]


def describe(source: TensorSource) -> str:
    """What to call a source in a report."""
    return source.prefix if isinstance(source, CheckpointReader) else f"<{type(source).__name__}>"


def write_result(
    view: TensorSource,
    prefix: file_io.PathLike,
    sources: Sequence[TensorSource],
    *,
    check: Callable[[], None] | None = None,
    keep_slices: bool = True,
    format: str = "v2",  # noqa: A002 - the word every saver uses for it
    num_shards: int = 1,
    durable: bool = True,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> str | None:
    """Writes what a view shows.

    Args:
        view: What to write.
        prefix: Where to.
        sources: What the view stands on.
        check: Called when all was read and nothing is visible yet; an error of it prevents that.
        keep_slices: Whether tensors that a source has in slices stay in them.
        format: See `WriteOptions`, as for the others.

    Returns:
        The checkpoint's name as `load_checkpoint` takes it; None for a dry run.

    Raises:
        InvalidArgumentError: The result would lie over one of its sources.
        AlreadyExistsError: There is a checkpoint already.
        UnimplementedError: The format cannot hold one of the tensors.
    """
    path = file_io.as_path(prefix)
    refuse_overwriting(path, sources, overwrite=overwrite, format=format, num_shards=num_shards)
    if not dry_run:
        return write_source(
            view,
            path,
            format=format,
            num_shards=num_shards,
            keep_slices=keep_slices,
            durable=durable,
            progress=progress,
            check=check,
        )
    check_writable(view, path, format=format, num_shards=num_shards, keep_slices=keep_slices)
    if check is not None:
        read_all(view, progress)
        check()
    return None


def read_all(view: TensorSource, progress: Callable[[int, int], None] | None = None) -> None:
    """Reads every tensor and keeps none: what a view only knows after that, it then knows."""
    total = sum(view.info(name).num_bytes for name in view.names)
    done = 0
    for name in view.names:
        for piece in view.pieces(name):
            done += piece.nbytes
            if progress is not None:
                progress(min(done, total), total)


def refuse_overwriting(
    prefix: str,
    sources: Iterable[TensorSource],
    *,
    overwrite: bool = False,
    format: str = "v2",  # noqa: A002
    num_shards: int = 1,
    **_others: Any,
) -> None:
    """See `write_result`."""
    target = resolved(prefix)
    shard = saved_tensor_slices.shard_path(target, 0, num_shards)
    for source in sources:
        if not isinstance(source, CheckpointReader):
            continue
        occupied = {resolved(path) for path in (source.prefix, *source.paths)}
        if {target, f"{target}.index", shard} & occupied:
            raise InvalidArgumentError(
                f"{prefix!r} is the checkpoint that is read: a result goes to another prefix, since whoever stops a "
                "checkpoint being replaced by itself has neither the old one nor the new one"
            )
    is_there = file_io.exists(f"{prefix}.index") or (file_io.exists(prefix) and not file_io.is_directory(prefix))
    if not overwrite and (is_there or (format == "v1" and file_io.exists(shard))):
        raise AlreadyExistsError(f"{prefix!r}: there is a checkpoint already, and overwriting it was not asked for")


def copy_meta_graph(source: TensorSource, written: str | None, *, durable: bool = True) -> str:
    """Copies the `.meta` beside a checkpoint to a result that has the same tensors; returns what to say of it."""
    path = meta_graph_of(source)
    if path is None:
        return f"note: there is no .meta with {describe(source)}"
    if written is not None:
        file_io.write_file(meta_graph_filename(written), file_io.read_file(path), durable=durable)
    return f"copied:    {path}"


def meta_graph_of(source: TensorSource) -> str | None:
    """The path of the `.meta` beside a checkpoint; None where there is none."""
    if not isinstance(source, CheckpointReader):
        return None
    path = meta_graph_filename(source.prefix)
    return path if file_io.exists(path) else None


def notes_on_tree(view: TensorSource, sources: Iterable[TensorSource]) -> tuple[str, ...]:
    """What to say where a result has no longer the structure that `tfsaver.save` notes beside tensors."""
    if TREE_KEY in view or not any(TREE_KEY in source for source in sources):
        return ()
    return ("note: the structure that tfsaver.save noted fits no longer and went; load gives dicts and lists of arrays",)


def resolved(path: str) -> str:
    """One spelling for all of a path's."""
    return path if file_io.is_remote(path) else os.path.realpath(path)
