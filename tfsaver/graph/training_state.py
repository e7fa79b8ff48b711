"""A checkpoint without what only training needs: mostly a third of its size.

What goes is told from two sides. The `.meta` beside the checkpoint, where there is one, says which variables its optimizers
change besides those that they train. Names say it for optimizers that every graph spells alike, and that is all there is
without a `.meta`. What the graph says is trained stays, whatever its name.

The global step stays: it says which step the weights are of, evaluation reads it, and a program that restores all of its
variables misses it; it takes eight bytes. Moving averages stay too: they are weights, and often the better ones.
"""

from __future__ import annotations

from tfsaver.checkpoint.editing.edit import meta_graph_of
from tfsaver.checkpoint.editing.select import selected
from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.checkpoint.optimizers.optimizer_slots import find_optimizer_tensors
from tfsaver.checkpoint.plan import tensor_names
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import UnimplementedError
from tfsaver.graph.essential_variables import TrainingState, load_training_state

_GLOBAL_STEP = "global_step"


def training_state(source: TensorSource) -> dict[str, str]:
    """The tensors that only training needs, each with the reason; the global step stays.

    Raises:
        DataLossError: The `.meta` beside the checkpoint cannot be read.
    """
    readable = [name for name in source.names if _is_tensor(source, name)]
    tensors = source if len(readable) == len(source.names) else selected(source, readable)
    path = meta_graph_of(source)
    return find_state(tensors, None if path is None else load_training_state(path))


def _is_tensor(source: TensorSource, name: str) -> bool:
    try:
        source.info(name)
    except UnimplementedError:
        return False
    return True


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
