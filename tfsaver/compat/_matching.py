"""Bindings against a checkpoint: which tensor each variable gets, or everything that is wrong.

A variable fits a tensor of its name, of exactly its dtype, and of its shape as far as the graph knows it. Nothing is cast or
cut. All variables are looked at before the first error is raised, and the error lists every one that does not fit.

A checkpoint that was written from objects names its tensors by the path through the objects, and keeps in one string tensor,
a TrackableObjectGraph, what each variable was called. When names are missing and all of them are found there, the variables
are matched by those.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.compat._binding import Binding, StaticShape
from tfsaver.errors import DataLossError, InvalidArgumentError, NotFoundError, nearest_names

OBJECT_GRAPH_NAME = "_CHECKPOINTABLE_OBJECT_GRAPH"

# Callers look for these sentences of TensorFlow's.
_MISSING = (
    "Restoring from checkpoint failed. This is most likely due to a Variable name or other graph key that is missing from "
    "the checkpoint."
)
_MISMATCH = (
    "Restoring from checkpoint failed. This is most likely due to a mismatch between the current graph and the graph from "
    "the checkpoint."
)

# How TensorFlow's runtime spells the dtypes whose names differ from numpy's.
_RUNTIME_NAMES = {"float16": "half", "float32": "float", "float64": "double"}


@dataclasses.dataclass(frozen=True, eq=False)
class Match:
    """A variable and the tensor it gets.

    Attributes:
        binding: The variable.
        key: The tensor's name in the checkpoint.
        shape: The shape of what is read: the tensor's, or the slice's.
        num_bytes: What that takes in memory, strings at what the file stores for them.
        is_stored_sliced: Whether the checkpoint has the tensor in slices.
    """

    binding: Binding
    key: str
    shape: tuple[int, ...]
    num_bytes: int
    is_stored_sliced: bool


def match(bindings: Sequence[Binding], reader: CheckpointReader, *, reshape: bool = False) -> list[Match]:
    """What each variable gets from a checkpoint.

    Args:
        bindings: The variables.
        reader: The checkpoint.
        reshape: Whether a tensor with as many elements in another shape fits.

    Raises:
        NotFoundError: Tensors are missing; the error lists them with the nearest names, and what else is wrong.
        InvalidArgumentError: Dtypes or shapes differ; the error lists all of them.
    """
    keys = {binding.name: binding.name for binding in bindings}
    missing = [name for name in keys if name not in reader]
    problems: list[str] = []
    if missing:
        renamed = _keys_by_full_name(reader)
        if renamed is not None and all(name in renamed for name in keys):
            keys, missing = {name: renamed[name] for name in keys}, []
        else:
            problems += [_missing_line(name, reader) for name in missing]
            if renamed is not None:
                problems += _object_based_lines(keys, renamed)
    matches = []
    for binding in bindings:
        if binding.name in missing:
            continue
        key = keys[binding.name]
        if problem := _problem(binding, key, reader, reshape):
            problems.append(problem)
            continue
        info = reader.info(key)
        shape = tuple(info.shape) if binding.tensor_slice is None else binding.tensor_slice.shape
        size = info.num_bytes if not info.dtype.has_fixed_size else info.dtype.size * math.prod(shape)
        matches.append(Match(binding, key, shape, size, bool(info.slices)))
    if missing:
        raise NotFoundError("\n".join([f"{_MISSING} {len(missing)} of {len(keys)} tensors are missing:", *problems]))
    if problems:
        raise InvalidArgumentError("\n".join([f"{_MISMATCH} {len(problems)} of {len(keys)} tensors do not fit:", *problems]))
    return matches


def _problem(binding: Binding, key: str, reader: CheckpointReader, reshape: bool) -> str | None:
    """What keeps a variable from taking a tensor that is there; None when it fits."""
    info = reader.info(key)
    if info.dtype.data_type != binding.variable.data_type:
        expected, actual = (_RUNTIME_NAMES.get(dtype.name, dtype.name) for dtype in (binding.dtype, info.dtype))
        return f"  tensor_name = {key}; expected dtype {expected} does not equal original dtype {actual}"
    shape = tuple(info.shape)
    if binding.tensor_slice is not None:
        if shape == binding.full_shape:
            return None
        return (
            f"  tensor_name = {key}; shape in shape_and_slice spec {_shape(binding.full_shape)} does not match the shape "
            f"stored in checkpoint: {_shape(shape)}"
        )
    wanted = binding.variable.shape
    if reshape and wanted is not None and None not in wanted:
        count = math.prod(size for size in wanted if size is not None)
        if math.prod(shape) == count:
            return None
        return (
            f"  tensor_name = {key}; Input to reshape is a tensor with {math.prod(shape)} values, but the requested shape "
            f"has {count}: variable {_shape(wanted)}, checkpoint {_shape(shape)}"
        )
    if _fits(shape, wanted):
        return None
    return (
        f"  tensor_name = {key}; Assign requires shapes of both tensors to match. lhs shape= {_shape(wanted)} "
        f"rhs shape= {_shape(shape)} (variable, checkpoint)"
    )


def _fits(shape: tuple[int, ...], wanted: StaticShape) -> bool:
    if wanted is None:
        return True
    return len(shape) == len(wanted) and all(theirs in (None, ours) for ours, theirs in zip(shape, wanted, strict=True))


def _shape(shape: StaticShape) -> str:
    """A shape as TensorFlow's runtime prints it."""
    return "<unknown>" if shape is None else f"[{','.join('?' if size is None else str(size) for size in shape)}]"


def _missing_line(name: str, reader: CheckpointReader) -> str:
    # The two forms in which TensorFlow says it, for V2 and V1.
    forms = {"V2": f"Key {name} not found in checkpoint", "V1": f'Tensor name "{name}" not found in checkpoint files'}
    near = nearest_names(name, reader.names)
    return f"  {forms[reader.version]} {reader.prefix}" + (f"; did you mean {', '.join(map(repr, near))}?" if near else "")


def _keys_by_full_name(reader: CheckpointReader) -> dict[str, str] | None:
    """The keys of a checkpoint written from objects by what each variable was called; None for any other checkpoint."""
    if OBJECT_GRAPH_NAME not in reader:
        return None
    try:
        graph = schemas.TrackableObjectGraph.FromString(reader.read(OBJECT_GRAPH_NAME).item())
    except (DecodeError, TypeError, ValueError) as error:
        raise DataLossError(f"{OBJECT_GRAPH_NAME} in {reader.prefix}: no TrackableObjectGraph: {error}") from error
    return {attribute.full_name: attribute.checkpoint_key for node in graph.nodes for attribute in node.attributes}


def _object_based_lines(keys: Mapping[str, str], renamed: Mapping[str, str]) -> list[str]:
    found = [name for name in keys if name in renamed]
    return [
        "The checkpoint was written from objects; by the names that its variables had:",
        f"  Existing variables not in the checkpoint: {', '.join(name for name in keys if name not in renamed)}",
        "  Variables names when this checkpoint was written which don't exist now: "
        + ", ".join(sorted(name for name in renamed if name and name not in keys)),
        f"  ({len(found)} variable name(s) did match)",
    ]
