"""Tensors that a program wants against those that a checkpoint has: what fits, and everything that does not.

    matched      wanted, there, and it fits
    missing      wanted, not there                     with the names there that look most like it
    mismatched   wanted, there, of another dtype or shape
    unexpected   there, and nobody wants it
    withheld     fits, but belongs together with one that does not: the keys of a table without its values

A tensor fits where it has the name, exactly the dtype, and the shape as far as the program knows it. Nothing is cast or cut.
All tensors are looked at before anything is said, and a report says all of it.

A checkpoint that was written from objects names its tensors by paths; there a name is also looked for among what the
variables were called (see `object_graph`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from tfsaver.checkpoint import renames
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.object_graph import OBJECT_GRAPH_KEY, read_object_graph
from tfsaver.errors import InvalidArgumentError, nearest_names
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet

PartialShape: TypeAlias = "tuple[int | None, ...] | None"

# How TensorFlow's runtime spells the dtypes whose names differ from numpy's.
_RUNTIME_NAMES = {"float16": "half", "float32": "float", "float64": "double"}

# Comparing two names costs microseconds; beyond so many pairs of them, a hint is not worth the wait.
_MAX_COMPARISONS = 50_000


@dataclasses.dataclass(frozen=True, eq=False)
class WantedTensor:
    """What a program wants to restore.

    Attributes:
        name: The name to look for.
        dtype: The dtype it must have.
        shape: The shape it must have; None in it and for it where any will do.
        full_shape: The shape of the whole tensor, when only a part is wanted.
        tensor_slice: Which part; None for all of it.
        group: Tensors of one group are restored together or not at all; None for a tensor by itself.
    """

    name: str
    dtype: DType
    shape: PartialShape = None
    full_shape: Shape | None = None
    tensor_slice: TensorSlice | None = None
    group: Hashable = None


class MatchedTensor(NamedTuple):
    """A tensor that fits.

    Attributes:
        wanted: What the program wants.
        key: The tensor's name in the checkpoint.
        shape: The shape of what is read: the tensor's, or the slice's.
        num_bytes: What that takes in memory, strings at what the file stores for them.
        is_stored_sliced: Whether the checkpoint has the tensor in slices.
    """

    wanted: WantedTensor
    key: str
    shape: Shape
    num_bytes: int
    is_stored_sliced: bool

    @property
    def name(self) -> str:
        """The name that the program looks for."""
        return self.wanted.name


class MissingTensor(NamedTuple):
    """A tensor that is wanted and not there.

    Attributes:
        name: The name that was looked for.
        near: Names in the checkpoint that look most like it, best first.
    """

    name: str
    near: tuple[str, ...]


class MismatchedTensor(NamedTuple):
    """A tensor of that name is there, and is another.

    Attributes:
        name: The name that was looked for.
        key: The tensor's name in the checkpoint.
        fact: What differs: ``dtype``, ``shape``, ``full shape`` where a part is wanted, ``size`` of a tensor to reshape, or
            ``slices`` of one that the checkpoint does not have all of.
        wanted: The program's side of it, as text.
        found: The checkpoint's side.
    """

    name: str
    key: str
    fact: str
    wanted: str
    found: str

    def __str__(self) -> str:
        """The sentence, with the words that TensorFlow's runtime has for it."""
        if self.fact == "dtype":
            said = f"expected dtype {self.wanted} does not equal original dtype {self.found}"
        elif self.fact == "full shape":
            said = f"shape in shape_and_slice spec {self.wanted} does not match the shape stored in checkpoint: {self.found}"
        elif self.fact == "slices":
            said = (
                f"Does not have sufficient slices for partitioned tensor: {self.wanted} is wanted, stored are {self.found}"
            )
        elif self.fact == "size":
            said = f"Input to reshape is a tensor with {self.found}, but the requested shape has {self.wanted}"
        else:
            said = (
                f"Assign requires shapes of both tensors to match. lhs shape= {self.wanted} rhs shape= {self.found} "
                "(variable, checkpoint)"
            )
        return f"tensor_name = {self.key}; {said}"


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """What a checkpoint has for a program, and what was or would be restored.

    Attributes:
        checkpoint: The checkpoint's prefix.
        version: Its format, ``V1`` or ``V2``.
        matched: What fits; this is restored.
        missing: What is wanted and not there.
        mismatched: What is there with another dtype or shape.
        unexpected: The names of tensors that nobody wants, sorted.
        withheld: The names of tensors that fit and are not restored, since others of their group do not.
        full_names: What variables were called, by key, when the checkpoint was written from objects; else None.
        mapping: For missing tensors, by name, the unexpected tensor that fits and is most likely meant.
    """

    checkpoint: str
    version: str
    matched: tuple[MatchedTensor, ...]
    missing: tuple[MissingTensor, ...]
    mismatched: tuple[MismatchedTensor, ...]
    unexpected: tuple[str, ...]
    withheld: tuple[str, ...]
    full_names: Mapping[str, str] | None
    mapping: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether all that is wanted is there and fits; what is unexpected does not count."""
        return not (self.missing or self.mismatched)

    @property
    def num_wanted(self) -> int:
        """How many names are wanted."""
        names = {item.name for items in (self.matched, self.missing, self.mismatched) for item in items}
        return len(names.union(self.withheld))

    @property
    def num_bytes(self) -> int:
        """The bytes of what fits."""
        return sum(item.num_bytes for item in self.matched)

    def lines(self) -> Iterator[str]:
        """Everything that is wrong, one fact a line, and at the end what may help."""
        # The two forms in which TensorFlow says it.
        form = 'Tensor name "{}" not found in checkpoint files' if self.version == "V1" else "Key {} not found in checkpoint"
        for missing in self.missing:
            hint = f"; did you mean {', '.join(map(repr, missing.near))}?" if missing.near else ""
            yield f"  {form.format(missing.name)} {self.checkpoint}{hint}"
        for mismatched in self.mismatched:
            yield f"  {mismatched}"
        for name in self.withheld:
            yield f"  {name} fits, and is not restored without what belongs to it"
        if self.full_names is not None and self.missing:
            yield from self._lines_of_full_names(self.full_names)
        if not self.ok and self.unexpected:
            yield f"Not wanted, but in the checkpoint ({len(self.unexpected)}):"
            for name in self.unexpected:
                full_name = self.full_names.get(name) if self.full_names else None
                yield f"  {name}" + (f" ({full_name})" if full_name else "")
        if self.mapping:
            yield "Tensors of these other names would fit (name here: name in the checkpoint):"
            yield "{"
            for name, key in self.mapping.items():
                yield f"    {name!r}: {key!r},"
            yield "}"

    def _lines_of_full_names(self, full_names: Mapping[str, str]) -> Iterator[str]:
        missing = [item.name for item in self.missing]
        found = {item.name for items in (self.matched, self.mismatched) for item in items}.union(self.withheld)
        then = sorted(name for name in set(full_names.values()) if name and name not in found)
        yield "The checkpoint was written from objects; by the names that its variables had:"
        yield f"  Existing variables not in the checkpoint: {', '.join(missing)}"
        yield f"  Variables names when this checkpoint was written which don't exist now: {', '.join(then)}"
        yield f"  ({len(found)} variable name(s) did match)"

    def __str__(self) -> str:
        fitting = len({item.name for item in self.matched})
        counts = [f"{fitting} of {self.num_wanted} tensors fit"]
        counts += [
            f"{len(items)} {word}"
            for items, word in (
                (self.missing, "missing"),
                (self.mismatched, "mismatched"),
                (self.withheld, "withheld"),
                (self.unexpected, "unexpected"),
            )
            if items
        ]
        return "\n".join([f"{self.checkpoint}: {', '.join(counts)}", *self.lines()])


def match_tensors(wanted: Sequence[WantedTensor], reader: CheckpointReader, *, reshape: bool = False) -> RestoreReport:
    """Looks for tensors in a checkpoint; reads nothing but the index and, where names are missing, the object graph.

    Args:
        wanted: What to look for; several may have one name, as parts of it.
        reader: The checkpoint.
        reshape: Whether a tensor with as many elements in another shape fits.

    Raises:
        DataLossError: An entry of the index, or the object graph, is damaged.
    """
    full_names = keys = None
    if any(item.name not in reader for item in wanted) and (graph := read_object_graph(reader)) is not None:
        full_names = {key: name for key, name in graph.full_names_of_keys().items() if key in reader}
        keys = {name: key for name, key in graph.keys_of_full_names().items() if key in reader}
    stored: dict[str, _Stored] = {}
    matched: list[MatchedTensor] = []
    mismatched: dict[str, MismatchedTensor] = {}
    missing: dict[str, WantedTensor] = {}
    used = {OBJECT_GRAPH_KEY}
    for item in wanted:
        key = item.name if item.name in reader else (keys or {}).get(item.name)
        if key is None:
            missing.setdefault(item.name, item)
            continue
        used.add(key)
        if key not in stored:
            stored[key] = _Stored(reader.info(key))
        found = stored[key].compare(item, reshape)
        if isinstance(found, MatchedTensor):
            matched.append(found)
        else:
            mismatched.setdefault(item.name, found)
    broken = {item.group for item in wanted if item.group is not None and item.name in missing.keys() | mismatched.keys()}
    unexpected = tuple(name for name in reader.names if name not in used)
    mapping = _suggest(missing, unexpected, reader, full_names or {}) if missing else {}
    return RestoreReport(
        checkpoint=reader.prefix,
        version=reader.version,
        matched=tuple(item for item in matched if item.wanted.group not in broken),
        missing=tuple(MissingTensor(name, _near(name, reader, keys, mapping, index)) for index, name in enumerate(missing)),
        mismatched=tuple(mismatched.values()),
        unexpected=unexpected,
        withheld=tuple(item.name for item in matched if item.wanted.group in broken),
        full_names=full_names,
        mapping=mapping,
    )


class _Stored:
    """A tensor of the checkpoint; looked up once, however many parts of it are wanted."""

    def __init__(self, info: TensorInfo) -> None:
        self.info = info
        self.slices = TensorSliceSet(info.name, info.shape, info.slices) if info.slices else None

    def compare(self, wanted: WantedTensor, reshape: bool) -> MatchedTensor | MismatchedTensor:
        """The tensor as what is wanted, or what keeps it from being that."""
        info = self.info
        shape = tuple(info.shape)

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
                self.slices.plan(region)
            except InvalidArgumentError:
                return differs("slices", str(region), ", ".join(map(str, info.slices)))
        num_bytes = info.dtype.size * math.prod(region.shape) if info.dtype.has_fixed_size else info.num_bytes
        return MatchedTensor(wanted, info.name, region.shape, num_bytes, self.slices is not None)


def is_compatible(shape: Shape, wanted: PartialShape) -> bool:
    """Whether a shape is the wanted one as far as that is known."""
    if wanted is None:
        return True
    return len(shape) == len(wanted) and all(theirs in (None, ours) for ours, theirs in zip(shape, wanted, strict=True))


def shape_text(shape: PartialShape) -> str:
    """A shape as TensorFlow's runtime prints it."""
    return "<unknown>" if shape is None else f"[{','.join('?' if size is None else str(size) for size in shape)}]"


def _near(
    name: str, reader: CheckpointReader, keys: Mapping[str, str] | None, mapping: Mapping[str, str], index: int
) -> tuple[str, ...]:
    """Names to mention beside a missing one: the tensor that it most likely is, and those that are spelled like it."""
    likely = (mapping[name],) if name in mapping else ()
    if index * len(reader) > _MAX_COMPARISONS:
        return likely
    # What variables were called is what their new names look like, if anything; the paths are the last resort.
    alike = nearest_names(name, keys) if keys else ()
    alike = alike or nearest_names(name, (other for other in reader.names if other != OBJECT_GRAPH_KEY))
    return (*likely, *(other for other in alike if other not in likely))[:3]


def _suggest(
    missing: Mapping[str, WantedTensor], unexpected: Sequence[str], reader: CheckpointReader, full_names: Mapping[str, str]
) -> dict[str, str]:
    """The unexpected tensor that each missing one most likely is: of its dtype and shape, and of a similar name."""
    candidates = {key: full_names.get(key) or key for key in unexpected}
    kinds: dict[tuple[int, Shape], list[str]] = {}
    for key in candidates:
        info = reader.info(key)
        kinds.setdefault((info.dtype.data_type, tuple(info.shape)), []).append(key)
    # One pool for all names of one kind, which it is built and searched for once.
    pools: dict[tuple[int, PartialShape], dict[str, str]] = {}
    fitting: dict[str, dict[str, str]] = {}
    for name, wanted in missing.items():
        kind = (wanted.dtype.data_type, wanted.full_shape if wanted.tensor_slice is not None else wanted.shape)
        if kind not in pools:
            pools[kind] = {
                key: candidates[key]
                for (data_type, stored), keys in kinds.items()
                if data_type == kind[0] and is_compatible(stored, kind[1])
                for key in keys
            }
        fitting[name] = pools[kind]
    return renames.most_likely(fitting)
