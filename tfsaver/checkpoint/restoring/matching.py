"""Tensors that a program wants against those that a checkpoint has.

A tensor fits where it has the name, exactly the dtype, and the shape as far as the program knows it. Nothing is cast or cut.
All tensors are looked at before anything is said, and a report says all of it.

A checkpoint that was written from objects names its tensors by paths; there a name is also looked for among what the
variables were called (see `object_graph`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.match_report import MatchedTensor, MatchReport, MismatchedTensor, MissingTensor
from tfsaver.checkpoint.names.name_steps import Renamed
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS, read_object_graph
from tfsaver.checkpoint.restoring.proposals import Proposals, mapping_of_shapes
from tfsaver.checkpoint.wanted_tensor import PartialShape, WantedTensor, is_compatible
from tfsaver.errors import InvalidArgumentError, nearest_names
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet

# How TensorFlow's runtime spells the dtypes whose names differ from numpy's.
_RUNTIME_NAMES = {"float16": "half", "float32": "float", "float64": "double"}

# Comparing two names costs microseconds; beyond so many pairs of them, a hint is not worth the wait.
MAX_COMPARISONS = 50_000


def match_tensors(wanted: Sequence[WantedTensor], reader: CheckpointReader, *, reshape: bool = False) -> MatchReport:
    """Looks for tensors in a checkpoint; reads nothing but the index and, where names are missing, the object graph.

    Args:
        wanted: What to look for; several may have one name, as parts of it.
        reader: The checkpoint.
        reshape: Whether a tensor with as many elements in another shape fits.

    Raises:
        DataLossError: An entry of the index, or the object graph, is damaged.
    """
    full_names = keys = None
    there = set(reader.names)
    if not all(item.name in there for item in wanted) and (graph := read_object_graph(reader)) is not None:
        full_names = {key: name for key, name in graph.full_names_of_keys().items() if key in there}
        keys = {name: key for name, key in graph.keys_of_full_names().items() if key in there}
    key_of = {item.name: item.name if item.name in there else (keys or {}).get(item.name) for item in wanted}
    keys_there = dict.fromkeys(key for key in key_of.values() if key is not None)
    stored = {info.name: StoredTensor(info) for info in reader.infos(keys_there)}
    matched: list[MatchedTensor] = []
    mismatched: dict[str, MismatchedTensor] = {}
    missing: dict[str, WantedTensor] = {}
    for item in wanted:
        key = key_of[item.name]
        if key is None:
            missing.setdefault(item.name, item)
            continue
        found = stored[key].compare(item, reshape)
        if isinstance(found, MatchedTensor):
            matched.append(found)
        else:
            mismatched.setdefault(item.name, found)
    used = {*keys_there, *DESCRIPTIONS}
    broken = {item.group for item in wanted if item.group is not None and item.name in missing.keys() | mismatched.keys()}
    unexpected = tuple(name for name in reader.names if name not in used)
    spellings = {key: (full_names or {}).get(key) or key for key in unexpected}
    known = {item.name: (full_names or {}).get(item.key) or item.key for item in matched}
    proposals = Proposals(missing, spellings, reader.info, known)
    likely = {**proposals.matches, **proposals.guesses}
    mapping: dict[str, str | Renamed] = {key: proposals.target(name) for name, key in proposals.matches.items()}
    mapping.update(mapping_of_shapes(mismatched.values(), {item.name: item for item in wanted}, reader.info))
    return MatchReport(
        checkpoint=reader.prefix,
        version=reader.version,
        matched=tuple(item for item in matched if item.wanted.group not in broken),
        missing=tuple(MissingTensor(name, _near(name, reader, keys, likely, index)) for index, name in enumerate(missing)),
        mismatched=tuple(mismatched.values()),
        unexpected=unexpected,
        withheld=tuple(item.name for item in matched if item.wanted.group in broken),
        full_names=full_names,
        mapping=mapping,
        guesses={key: name for name, key in proposals.guesses.items()},
        notes=tuple(proposals.notes),
    )


class StoredTensor:
    """A tensor of the checkpoint; looked up once, however many parts of it are wanted."""

    def __init__(self, info: TensorInfo) -> None:
        self.info = info
        self.slices = TensorSliceSet(info.name, info.shape, info.slices) if info.slices else None

    def compare(self, wanted: WantedTensor, reshape: bool = False) -> MatchedTensor | MismatchedTensor:
        """The tensor as what is wanted, or what keeps it from being that."""
        info = self.info
        shape = tuple(info.shape)
        if shape == wanted.shape and wanted.tensor_slice is None and self.slices is None and info.dtype is wanted.dtype:
            # What nearly all tensors are.
            return MatchedTensor(wanted, info.name, shape, info.num_bytes, False)

        def differs(fact: str, expected: str, actual: str) -> MismatchedTensor:
            return MismatchedTensor(wanted.name, info.name, fact, expected, actual)

        if info.dtype.data_type != wanted.dtype.data_type:
            return differs("dtype", *(_RUNTIME_NAMES.get(dtype.name, dtype.name) for dtype in (wanted.dtype, info.dtype)))
        region = TensorSlice(tuple((0, size) for size in shape))
        if wanted.tensor_slice is not None:
            if shape != wanted.full_shape:
                return differs("full shape", shape_text(wanted.full_shape), shape_text(shape))
            region = wanted.tensor_slice
        elif reshape and wanted.shape is not None and None not in wanted.shape:
            count = math.prod(size for size in wanted.shape if size is not None)
            if math.prod(shape) != count:
                both = f"variable {shape_text(wanted.shape)}, checkpoint {shape_text(shape)}"
                return differs("size", f"{count}: {both}", f"{math.prod(shape)} values")
        elif not is_compatible(shape, wanted.shape):
            return differs("shape", shape_text(wanted.shape), shape_text(shape))
        if self.slices is not None:
            try:
                self.slices.parts(region)
            except InvalidArgumentError:
                return differs("slices", str(region), ", ".join(map(str, info.slices)))
        num_bytes = info.dtype.size * math.prod(region.shape) if info.dtype.has_fixed_size else info.num_bytes
        return MatchedTensor(wanted, info.name, region.shape, num_bytes, self.slices is not None)


def shape_text(shape: PartialShape) -> str:
    """A shape as TensorFlow's runtime prints it."""
    return "<unknown>" if shape is None else f"[{','.join('?' if size is None else str(size) for size in shape)}]"


def _near(
    name: str, reader: CheckpointReader, keys: Mapping[str, str] | None, likely: Mapping[str, str], index: int
) -> tuple[str, ...]:
    """Names to mention beside a missing one: the tensor that it most likely is, and those that are spelled like it."""
    first = (likely[name],) if name in likely else ()
    if index * len(reader) > MAX_COMPARISONS:
        return first
    # What variables were called is what their new names look like, if anything; the paths are the last resort.
    alike = nearest_names(name, keys) if keys else ()
    alike = alike or nearest_names(name, (other for other in reader.names if other not in DESCRIPTIONS))
    return (*first, *(other for other in alike if other not in first))[:3]
