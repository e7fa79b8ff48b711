"""From checkpoints through a plan to a checkpoint: what all verbs that write have in common."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tfsaver.checkpoint.checkpoint_management import meta_graph_filename
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.checkpoint.checkpoint_target import CheckpointTarget
from tfsaver.checkpoint.execution import DryRun, Execution, Progress
from tfsaver.checkpoint.objects.object_graph import TREE_KEY
from tfsaver.checkpoint.tensor_source import TensorSource, as_source
from tfsaver.errors import InvalidArgumentError
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
            dry_run: Whether to write nothing and give the report alone. All is checked that is known without reading values,
                and the values that a cast may not hold; ``"values"`` reads all others too.
            progress: Called with how many bytes are done and how many there are.
        """

        format: str
        num_shards: int
        durable: bool
        overwrite: bool
        dry_run: DryRun
        progress: Progress | None


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
    plan: TensorSource,
    prefix: file_io.PathLike,
    *,
    keep_slices: bool = True,
    overwrite: bool = False,
    dry_run: DryRun = False,
    progress: Progress | None = None,
    **options: Any,
) -> str | None:
    """Writes a plan as a checkpoint.

    Args:
        plan: What to write.
        prefix: Where to.
        keep_slices: Whether tensors that a source has in slices stay in them.
        overwrite: See `WriteOptions`, as for the others.

    Returns:
        The checkpoint's name as `load_checkpoint` takes it; None for a dry run.

    Raises:
        SaverError: See `CheckpointTarget` and `Execution`.
    """
    replaces: Literal["nothing", "others"] = "others" if overwrite else "nothing"
    target = CheckpointTarget(prefix, keep_slices=keep_slices, replaces=replaces, **options)
    Execution(plan, target, progress=progress).run(dry_run=dry_run)
    return None if dry_run else target.path


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
