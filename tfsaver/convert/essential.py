"""Which tensors of a file only training needs: what its `.meta` says, where one lies beside it, and what names say."""

from __future__ import annotations

from tfsaver.checkpoint.editing.edit import meta_graph_of
from tfsaver.checkpoint.editing.select import selected
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import UnimplementedError
from tfsaver.graph.essential_variables import load_training_state
from tfsaver.graph.strip import find_state


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
