"""What `inspect` and `report` tell of a checkpoint, from its index and `.meta`; only Keras 3's slots need one tensor read.

A tensor whose entry is damaged does not hide the others: it is kept aside with its error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.identify import identify
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY, full_names_of_keys
from tfsaver.checkpoint.optimizers.training_tensors import TrainingTensor, find_moving_averages
from tfsaver.checkpoint.tensor_slice_reader import TensorSliceReader
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import SaverError, UnimplementedError
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.graph.training_state import find_state_among, graph_state
from tfsaver.lib import file_io


class TensorRow(NamedTuple):
    """One tensor: what the index says of it, and what it is for.

    Attributes:
        info: What the index says of it.
        training: What of training it is; None for what a model is made of.
        average_of: The variable of which it is a moving average.
        reason: Why it counts as what it is, or might; empty where nothing of training is alike.
    """

    info: TensorInfo
    training: TrainingTensor | None
    average_of: str | None
    reason: str = ""

    @property
    def optimizer(self) -> TrainingTensor | None:
        """What of an optimizer it is."""
        return self.training if self.training is not None and self.training.role == "optimizer" else None

    @property
    def is_sliced(self) -> bool:
        """Whether it is stored in slices."""
        return any(piece.tensor_slice is not None for piece in self.info.pieces)

    @property
    def num_parameters(self) -> int:
        """Its elements, if they are numbers."""
        return num_elements(self.info.shape) if self.info.dtype.has_fixed_size else 0


class Totals(NamedTuple):
    """Sums over tensors; `num_bytes` is of their values."""

    num_tensors: int
    num_parameters: int
    num_bytes: int


class OptimizerTotals(NamedTuple):
    """What one optimizer has in a checkpoint: slots of variables, and numbers that belong to no variable."""

    name: str
    num_slots: int
    num_variables: int
    num_others: int
    num_bytes: int


class StoredFile(NamedTuple):
    """One of a checkpoint's files; `shard_id` is None for an index, `size` None where it is missing."""

    path: str
    shard_id: int | None
    size: int | None


@dataclass
class Survey:
    """A checkpoint, or a file of another format, at a glance.

    Attributes:
        prefix: The checkpoint, or the file.
        format: ``V1`` or ``V2``, or the name of the file's format.
        description: The same in words.
        byte_order: Of a V2 checkpoint; None where the format has none of its own.
        num_shards: How many data files there are.
        is_object_based: Whether names are paths of an object graph.
        rows: The tensors.
        damaged: The errors of tensors whose entries are damaged, by name.
        others: What a file of another format holds besides tensors, with the reason.
    """

    prefix: str
    format: str
    description: str
    byte_order: str | None
    num_shards: int
    is_object_based: bool
    rows: list[TensorRow] = field(default_factory=list)
    damaged: dict[str, SaverError] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    @property
    def errors(self) -> list[SaverError]:
        """What is wrong with the entries."""
        return list(self.damaged.values())


def take_survey(reader: TensorSource, path: str | None, *, trusted: bool = True) -> Survey:
    """All that the index says.

    Args:
        reader: The open file.
        path: What the user called it; None for tensors in memory.
        trusted: See `identify`.

    Raises:
        DataLossError: The index is damaged as a whole.
    """
    is_object_based = OBJECT_GRAPH_KEY in reader
    if isinstance(reader, CheckpointReader):
        bundle = reader.implementation
        version, what = reader.version, f"{reader.version} checkpoint"
        if isinstance(bundle, TensorSliceReader):
            survey = Survey(reader.prefix, version, what, None, len(bundle.paths), is_object_based)
        else:
            header = bundle.header
            survey = Survey(reader.prefix, version, what, header.byte_order, header.num_shards, is_object_based)
    elif path is None:
        survey = Survey("", "memory", "tensors in memory", None, 0, is_object_based)
    else:
        identity = identify(path, trusted=trusted)
        survey = Survey(path, identity.format or identity.kind, identity.description, None, 1, is_object_based)
    infos = []
    for name in reader.names:
        try:
            infos.append(reader.info(name))
        except UnimplementedError as error:
            if isinstance(reader, CheckpointReader):
                survey.damaged[name] = error
            else:
                survey.others.append(str(error))
        except SaverError as error:
            survey.damaged[name] = error
    shapes = {info.name: info.shape for info in infos}
    found = find_state_among({info.name: info for info in infos}, _full_names(reader, shapes), graph_state(reader))
    averages = find_moving_averages(shapes)
    reasons = {name: "may be a slot or an average" for names in found.questions.values() for name in names} | found.reasons
    survey.rows = [
        TensorRow(info, found.tensors.get(info.name), averages.get(info.name), reasons.get(info.name, "")) for info in infos
    ]
    return survey


def totals(rows: Iterable[TensorRow]) -> Totals:
    """The sums over tensors."""
    listed = list(rows)
    return Totals(len(listed), sum(row.num_parameters for row in listed), sum(row.info.num_bytes for row in listed))


def optimizer_totals(rows: Iterable[TensorRow]) -> list[OptimizerTotals]:
    """The sums over each optimizer's tensors."""
    groups: dict[str, list[tuple[TrainingTensor, int]]] = {}
    for row in rows:
        if row.optimizer is not None:
            groups.setdefault(row.optimizer.optimizer, []).append((row.optimizer, row.info.num_bytes))
    found = []
    for name, members in sorted(groups.items()):
        variables = [tensor.variable for tensor, _ in members if tensor.variable is not None]
        others = len(members) - len(variables)
        found.append(OptimizerTotals(name, len(variables), len(set(variables)), others, sum(size for _, size in members)))
    return found


def stored_files(reader: TensorSource, path: str) -> list[StoredFile]:
    """The files of a checkpoint and their sizes, the index first; of another format the file, or those in the directory."""
    if not isinstance(reader, CheckpointReader):
        files = [path]
        if file_io.is_directory(path):
            inside = [file_io.join(path, name) for name in file_io.list_directory(path)]
            files = [each for each in inside if not file_io.is_directory(each)]
        return [StoredFile(each, number, _size(each)) for number, each in enumerate(files)]
    num_indexes = 1 if reader.version == "V2" else 0
    return [
        StoredFile(path, None if number < num_indexes else number - num_indexes, _size(path))
        for number, path in enumerate(reader.paths)
    ]


def _size(path: str) -> int | None:
    try:
        file = file_io.open_for_reading(path)
    except FileNotFoundError:
        return None
    try:
        return file.size
    finally:
        file.close()


def _full_names(reader: TensorSource, shapes: dict[str, Shape]) -> dict[str, str] | None:
    if shapes.get(OBJECT_GRAPH_KEY) != () or not any("/_variables/" in name for name in shapes):
        return None
    try:
        return full_names_of_keys(reader[OBJECT_GRAPH_KEY].item())
    except (SaverError, OSError):
        # An index can be listed without its data files, or with damaged ones; `verify` is for those.
        return None


def sorted_rows(rows: Sequence[TensorRow], key: str) -> list[TensorRow]:
    """By ``name``, or by ``size`` with the largest first."""
    if key == "size":
        return sorted(rows, key=lambda row: (-row.info.num_bytes, row.info.name))
    return sorted(rows, key=lambda row: row.info.name)
