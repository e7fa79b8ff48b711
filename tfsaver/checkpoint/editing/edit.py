"""What the verbs that write a checkpoint share: writing a plan, and what its report says of the sources."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from tfsaver.checkpoint.checkpoint_management import meta_graph_filename
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.checkpoint_target import CheckpointFormat, CheckpointTarget
from tfsaver.checkpoint.execution import DryRun, Execution, Progress
from tfsaver.checkpoint.losses import Losses
from tfsaver.checkpoint.objects.object_graph import TREE_KEY
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.lib import file_io

_SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")


def write_result(
    plan: TensorSource,
    target: file_io.PathLike,
    *,
    format: CheckpointFormat,  # noqa: A002 - the word every saver uses for it
    num_shards: int,
    overwrite: bool,
    dry_run: DryRun,
    durable: bool,
    progress: Progress | None,
    keep_slices: bool = True,
) -> str | None:
    """Writes a plan as a checkpoint.

    Args:
        plan: The tensors to write.
        target: The prefix of the checkpoint.
        format: See the verbs in `tfsaver.verbs`, as for the others.
        keep_slices: Whether tensors that a source has in slices stay in them.

    Returns:
        The checkpoint's name as `load_checkpoint` takes it; None for a dry run.

    Raises:
        SaverError: See `CheckpointTarget` and `Execution`.
    """
    replaces: Literal["nothing", "others"] = "others" if overwrite else "nothing"
    to = CheckpointTarget(
        target, format=format, num_shards=num_shards, keep_slices=keep_slices, replaces=replaces, durable=durable
    )
    Execution(plan, to, progress=progress).run(dry_run=dry_run)
    return None if dry_run else to.path


def copy_meta_graph(source: TensorSource, written: str | None, *, durable: bool = True) -> str:
    """Copies the `.meta` beside a checkpoint to a result that has the same tensors; returns what to say of it."""
    path = meta_graph_of(source)
    if path is None:
        return f"note: there is no .meta with {source.description}"
    if written is not None:
        file_io.write_file(meta_graph_filename(written), file_io.read_file(path), durable=durable)
    return f"copied:    {path}"


def meta_graph_of(source: TensorSource) -> str | None:
    """The path of the `.meta` beside a checkpoint; None where there is none."""
    if not isinstance(source, CheckpointReader):
        return None
    path = meta_graph_filename(source.prefix)
    return path if file_io.exists(path) else None


def casts_of(view: TensorSource) -> dict[str, Losses]:
    """What each tensor of another dtype than before has lost, by name."""
    return {name: losses for name, losses in view.losses() if losses.source is not losses.target}


def notes_on_tree(view: TensorSource, sources: Iterable[TensorSource]) -> tuple[str, ...]:
    """What to say where a result has no longer the structure that `tfsaver.save` notes beside tensors."""
    if TREE_KEY in view or not any(TREE_KEY in source for source in sources):
        return ()
    return ("note: the structure that tfsaver.save noted fits no longer and went; load gives dicts and lists of arrays",)


def notes_on_saved_model(source: TensorSource) -> tuple[str, ...]:
    """What to say where the source is a SavedModel's checkpoint: the result is no SavedModel."""
    if not isinstance(source, CheckpointReader):
        return ()
    folder = file_io.split(source.prefix)[0]
    directory, name = file_io.split(folder)
    if name != "variables" or not any(file_io.exists(file_io.join(directory, each)) for each in _SAVED_MODEL_FILES):
        return ()
    return (
        f"note: {directory} is a SavedModel, and the result is a bare checkpoint of its variables, which no server loads; "
        f"`tfsaver saved-model edit {directory} NEW --variables CHECKPOINT` makes a SavedModel with other values, "
        f"`tfsaver saved-model export {directory} NEW` one without what serving does not need",
    )
