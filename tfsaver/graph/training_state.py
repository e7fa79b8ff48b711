"""A checkpoint without what only training needs: mostly a third of its size.

What goes is told from two sides. The `.meta` beside the checkpoint, where there is one, says which variables its optimizers
change besides those that they train. Names and structure say it for the others, and are all there is without a `.meta`; see
`training_tensors`. What the graph says is trained, or an average, stays, whatever its name.

The global step stays: it says which step the weights are of, evaluation reads it, and a program that restores all of its
variables misses it; it takes eight bytes. Moving averages stay too: they are weights, and often the better ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from tfsaver.checkpoint.editing.edit import meta_graph_of
from tfsaver.checkpoint.editing.select import selected
from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.checkpoint.optimizers.training_tensors import GraphEvidence, TrainingTensor, find_training_tensors
from tfsaver.checkpoint.plan import tensor_names
from tfsaver.checkpoint.selection import Select, Selection
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import SaverError, UnimplementedError
from tfsaver.framework.tensor_info import TensorInfo
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
    return find_state(tensors, None if path is None else load_training_state(path)).reasons


def training_state_for(source: TensorSource, select: Select) -> dict[str, str] | None:
    """What `training_state` gives, where a selection asks for it; else None.

    Raises:
        DataLossError: The `.meta` beside the checkpoint cannot be read.
    """
    return training_state(source) if isinstance(select, Selection) and select.without_optimizer else None


def _is_tensor(source: TensorSource, name: str) -> bool:
    try:
        source.info(name)
    except UnimplementedError:
        return False
    return True


class StateFound(NamedTuple):
    """What of a checkpoint only training needs.

    Attributes:
        tensors: What each such tensor is.
        reasons: Why it is left out, in words.
        inferred: Of these the tensors of which structure alone says it.
        questions: Tensors that stay and may be slots; see `TrainingTensors`.
    """

    tensors: dict[str, TrainingTensor]
    reasons: dict[str, str]
    inferred: tuple[str, ...]
    questions: dict[str, tuple[str, ...]]


def find_state(source: TensorSource, state: TrainingState | None, *, without_global_step: bool = False) -> StateFound:
    """The tensors of a source that only training needs.

    Args:
        source: The source.
        state: What the graph says; None for names alone.
        without_global_step: Whether the global step is such a tensor.
    """
    graph = read_object_graph(source)
    infos = {name: source.info(name) for name in tensor_names(source)}
    found = find_state_among(infos, None if graph is None else graph.full_names_of_keys(), state)
    if without_global_step:
        for step in {_GLOBAL_STEP, *(state.global_steps if state else ())} & infos.keys():
            found.reasons[step] = "the global step"
    return found


def find_state_among(
    infos: Mapping[str, TensorInfo], full_names: Mapping[str, str] | None, state: TrainingState | None
) -> StateFound:
    """The tensors that only training needs among those given; the global step stays.

    Args:
        infos: What the index says of the tensors.
        full_names: For an object-based checkpoint what `object_graph.full_names_of_keys` gives.
        state: What the graph says; None for names alone.
    """
    shapes = {name: info.shape for name, info in infos.items()}
    dtypes = {name: info.dtype.name for name, info in infos.items()}
    known = {name: why for name, why in (state.reasons if state else {}).items() if name in shapes}
    found, questions = find_training_tensors(shapes, full_names, dtypes=dtypes, evidence=evidence_of(state, shapes))
    for step in {_GLOBAL_STEP, *(state.global_steps if state else ())}:
        found.pop(step, None)
        known.pop(step, None)
    reasons = {name: known.get(name) or found[name].reason for name in shapes if name in known or name in found}
    inferred = tuple(name for name, tensor in found.items() if tensor.is_inferred and name not in known)
    tensors = {name: found.get(name) or _by_graph(name, state) for name in reasons}
    return StateFound(
        {name: tensor._replace(is_inferred=tensor.is_inferred and name not in known) for name, tensor in tensors.items()},
        reasons,
        inferred,
        questions,
    )


def graph_state(source: TensorSource) -> TrainingState | None:
    """What the `.meta` next to a checkpoint says; None where there is none, or none that can be read.

    For readers, which need it only to know better; `strip` says what is wrong with a `.meta`.
    """
    path = meta_graph_of(source)
    try:
        return None if path is None else load_training_state(path)
    except (SaverError, OSError):
        return None


def evidence_of(state: TrainingState | None, names: Collection[str]) -> GraphEvidence | None:
    """What a graph says, as evidence about a checkpoint's tensors of these names."""
    if state is None:
        return None
    return GraphEvidence(state.trained, frozenset(name for name in state.reasons if name in names), state.averages)


def _by_graph(name: str, state: TrainingState | None) -> TrainingTensor:
    optimizer = None if state is None else state.optimizers.get(name)
    slot = name.rpartition("/")[2]
    return TrainingTensor(optimizer or name, slot, None, role="metric" if optimizer is None else "optimizer")
