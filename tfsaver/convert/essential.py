"""Which tensors of a file only training needs: what its `.meta` says, where one lies beside it, and what names say."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.checkpoint.editing.edit import meta_graph_of
from tfsaver.checkpoint.editing.select import SelectedSource
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import DataLossError, UnimplementedError
from tfsaver.graph.essential_variables import TrainingState, find_training_state
from tfsaver.graph.strip import find_state
from tfsaver.lib import file_io


def training_state(source: TensorSource) -> dict[str, str]:
    """The tensors that only training needs, each with the reason; the global step stays.

    Raises:
        DataLossError: The `.meta` beside the checkpoint cannot be read.
    """
    readable = [name for name in source.names if _is_tensor(source, name)]
    tensors = source if len(readable) == len(source.names) else SelectedSource(source, readable)
    return find_state(tensors, _state_of_meta(source))


def _state_of_meta(source: TensorSource) -> TrainingState | None:
    path = meta_graph_of(source)
    if path is None:
        return None
    try:
        return find_training_state(schemas.MetaGraphDef.FromString(file_io.read_file(path)))
    except DecodeError as error:
        raise DataLossError(f"{path}: no MetaGraphDef: {error}") from error


def _is_tensor(source: TensorSource, name: str) -> bool:
    try:
        source.info(name)
    except UnimplementedError:
        return False
    return True
