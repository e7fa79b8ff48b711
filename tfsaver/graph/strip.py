"""A checkpoint without what only training needs: mostly a third of its size.

What goes is told from two sides. The `.meta` beside the checkpoint, where there is one, says which variables its optimizers
change besides those that they train. Names say it for optimizers that every graph spells alike, and that is all there is
without a `.meta`. What the graph says is trained stays, whatever its name.

The global step stays: it says which step the weights are of, evaluation reads it, and a program that restores all of its
variables misses it; it takes eight bytes. Moving averages stay too: they are weights, and often the better ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfsaver.checkpoint.editing.edit import Checkpoint, meta_graph_of, open_sources
from tfsaver.checkpoint.editing.select import select
from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.checkpoint.optimizers.optimizer_slots import find_optimizer_tensors
from tfsaver.checkpoint.plan import tensor_names
from tfsaver.checkpoint.selection import Selection, occurs_in
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.checkpoint.write_report import WriteReport
from tfsaver.graph.essential_variables import TrainingState, load_training_state
from tfsaver.lib import file_io

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tfsaver.checkpoint.editing.edit import WriteOptions

_GLOBAL_STEP = "global_step"


def strip(
    checkpoint: Checkpoint,
    prefix: file_io.PathLike,
    *,
    meta: file_io.PathLike | bool = True,
    exclude: str | Sequence[str] = (),
    keep: str | Sequence[str] = (),
    without_global_step: bool = False,
    **options: Unpack[WriteOptions],
) -> WriteReport:
    """Writes a checkpoint without optimizer slots and other training state.

    The `.meta` is not written along: its Saver asks for what went.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        prefix: The checkpoint to write.
        meta: The path of a `.meta` that knows the variables; True for the one beside the checkpoint, if there is one; False
            for names alone.
        exclude: Patterns; tensors in whose names one occurs go too.
        keep: Patterns; tensors in whose names one occurs stay, whatever they are.
        without_global_step: Whether the global step goes too.
        **options: See `WriteOptions`.

    Raises:
        InvalidArgumentError: Nothing would be left, or the result would lie over its source.
        DataLossError: The `.meta` that was given cannot be read.

    Example:
        >>> print(tfsaver.strip("model.ckpt-1000", "stripped"))  # doctest: +SKIP
    """
    with open_sources([checkpoint]) as [source]:
        path = meta_graph_of(source) if isinstance(meta, bool) else file_io.as_path(meta)
        state = None
        if path is not None and meta is not False:
            state = load_training_state(path)
        left_out = find_state(source, state, without_global_step=without_global_step)
        kept = Selection(include=keep).include if keep else ()  # type: ignore[arg-type]
        left_out = {name: why for name, why in left_out.items() if not any(occurs_in(item, name) for item in kept)}
        selection = Selection(exclude=exclude) if exclude else None  # type: ignore[arg-type]
        report = select(source, prefix, selection, verb="strip", left_out=left_out, **options)
        known = "names alone" if state is None else f"{path} and names"
        nothing = () if report.left_out else ("nothing to strip: no tensor is known to be for training alone",)
        return dataclasses.replace(report, notes=(f"told from: {known}", *nothing, *report.notes))


def find_state(source: TensorSource, state: TrainingState | None, *, without_global_step: bool = False) -> dict[str, str]:
    """The tensors of a source that only training needs, each with the reason.

    Args:
        source: The source.
        state: What the graph says; None for names alone.
        without_global_step: Whether the global step is such a tensor.
    """
    graph = read_object_graph(source)
    shapes = {name: source.info(name).shape for name in tensor_names(source)}
    reasons = {name: why for name, why in (state.reasons if state else {}).items() if name in shapes}
    for name, found in find_optimizer_tensors(shapes, None if graph is None else graph.full_names_of_keys()).items():
        if state is None or name not in state.trained:
            reasons.setdefault(name, f"state of the optimizer {found.optimizer}")
    for step in {_GLOBAL_STEP, *(state.global_steps if state else ())}:
        reasons.pop(step, None)
        if without_global_step and step in shapes:
            reasons[step] = "the global step"
    return {name: reasons[name] for name in shapes if name in reasons}
