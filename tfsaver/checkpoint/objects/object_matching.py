"""Tensors of any names against the values of a graph of objects.

A tensor is for a value when its name, after the mapping, is one of these; the first that is found counts:

    net/dense/kernel/.ATTRIBUTES/VARIABLE_VALUE    the value's key
    dense/kernel                                   its full name: what the variable is called in its program
    net/dense/kernel                               its path, as it stands in the key

The full name is what a checkpoint that was written from names and a program of today have in common; where several
variables have one (``Variable``), it says nothing. Where the tensors were written from objects themselves, the names that
their variables had count as well, after the tensors' own, and a mapping may speak of them. Nothing is read but dtypes and
shapes.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from tfsaver.checkpoint.match_report import AmbiguousTensor, MatchedTensor, MatchReport, MismatchedTensor, MissingTensor
from tfsaver.checkpoint.names.mapped_tensors import MappedTensors, infos_of
from tfsaver.checkpoint.names.name_map import NameMapLike, NewNames, as_name_map
from tfsaver.checkpoint.names.name_steps import Renamed, Targets
from tfsaver.checkpoint.objects.object_graph import (
    DESCRIPTIONS,
    VARIABLE_VALUE,
    Attribute,
    ObjectGraph,
    read_object_graph,
)
from tfsaver.checkpoint.restoring.matching import shape_text
from tfsaver.checkpoint.restoring.proposals import Proposals
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.checkpoint.wanted_tensor import WantedTensor, is_compatible
from tfsaver.errors import nearest_names
from tfsaver.framework.tensor_info import TensorInfo

_SUFFIX = f"/.ATTRIBUTES/{VARIABLE_VALUE}"

# Comparing two names costs microseconds; beyond so many pairs of them, a hint is not worth the wait.
_MAX_COMPARISONS = 50_000


class ObjectMatch(NamedTuple):
    """What came of a comparison.

    Attributes:
        dropped: The keys of the graph's values that have no tensor that fits.
        report: Which tensor is for which value.
        source: The tensors that the report speaks of: those that were given, as the mapping changes them.
    """

    dropped: frozenset[str]
    report: MatchReport
    source: TensorSource


def match_objects(
    source: TensorSource,
    graph: ObjectGraph,
    name_map: NameMapLike = None,
    *,
    defaults: Set[str] = frozenset(),
    allow_unused: bool = False,
) -> ObjectMatch:
    """Finds a tensor for each value of a graph of objects.

    Args:
        source: The tensors.
        graph: The objects.
        name_map: What the tensors' names become before they are compared; see `name_map`.
        defaults: The keys that have a value already, in case the source has none.
        allow_unused: Whether the report takes tensors that no value gets for right.

    Raises:
        InvalidArgumentError: The mapping does not fit the names.
        DataLossError: An entry of the source's index, or its object graph, is damaged.
    """
    offers = _Offers(source, name_map)
    source = offers.source
    counts = Counter(attribute.full_name for attribute in graph.attributes)
    known = sorted(graph.tensors)
    matched: list[MatchedTensor] = []
    given: list[str] = []
    missing: dict[str, Attribute] = {}
    ambiguous: dict[tuple[str, str], list[str]] = {}
    mismatched: list[MismatchedTensor] = []
    dropped: set[str] = set()
    # Tensors of values whose names are known by their beginnings alone. Where keys begin with each other, looking at these
    # again for each would be many times the graph's size.
    seen: set[str] = set()
    for attribute in {(item.key, item.name == VARIABLE_VALUE and item): item for item in graph.attributes}.values():
        names = _tensors_of(attribute, known, offers)
        if attribute.name != VARIABLE_VALUE:
            names = [name for name in names if name not in seen]
            seen.update(names)
        for name in names:
            full_name = attribute.full_name if name == attribute.key else ""
            is_unique = counts[full_name] == 1
            origin = offers.find(name, full_name if is_unique else "")
            if origin is None and full_name and not is_unique and (several := offers.find("", full_name)):
                ambiguous.setdefault((several, full_name), []).append(name)
                dropped.add(attribute.key)
            elif origin is None and name in defaults:
                given.append(name)
            elif origin is None:
                missing[name] = attribute
                dropped.add(attribute.key)
            else:
                found = _compare(name, source.info(origin), graph.tensors.get(name), offers.changes.get(origin, ()))
                if isinstance(found, MatchedTensor):
                    matched.append(found)
                else:
                    mismatched.append(found)
                    dropped.add(attribute.key)
    spoken_of = {item.key for items in (matched, mismatched) for item in items}
    spoken_of |= {name for name, _ in ambiguous} | offers.left_out | DESCRIPTIONS
    unused = [name for name in source.names if name not in spoken_of]
    mapping, guesses = _suggest(missing, unused, source, offers.full_names, graph.tensors)
    likely = {target if isinstance(target, str) else target.name: name for name, target in {**mapping, **guesses}.items()}
    report = MatchReport(
        checkpoint=str(getattr(source, "prefix", None) or "the tensors"),
        version=None,
        matched=tuple(matched),
        missing=tuple(_missing(missing, unused, offers.full_names, likely)),
        mismatched=tuple(mismatched),
        unexpected=tuple(unused),
        withheld=(),
        full_names=None,
        mapping=mapping,
        guesses=guesses,
        ambiguous=tuple(
            AmbiguousTensor(key, (name,), f"it is one of {len(keys)} variables called {full_name!r}")
            for (name, full_name), keys in ambiguous.items()
            for key in keys
        ),
        defaults=tuple(given),
        is_unexpected_wrong=not allow_unused,
        notes=offers.notes,
    )
    return ObjectMatch(frozenset(dropped), report, source)


class _Offers:
    """The tensors of a source by the names that the mapping gives them."""

    def __init__(self, source: TensorSource, name_map: NameMapLike) -> None:
        objects = read_object_graph(source)
        names = [name for name in source.names if name not in DESCRIPTIONS]
        there = set(names)
        full_names = {} if objects is None else objects.full_names_of_keys()
        self.full_names = {key: name for key, name in full_names.items() if name and key in there}
        counts = Counter(self.full_names.values())
        keys = {name: key for key, name in self.full_names.items() if counts[name] == 1 and name not in there}
        renamed = as_name_map(name_map).apply(infos_of(source, [*names, *keys], keys))
        # What a mapping says of a variable by what it was called is as good as if it said it by its key.
        changed: dict[str, Targets] = {}
        left_out: set[str] = set()
        for name, targets in renamed.changed.items():
            key = keys.get(name, name)
            changed[key] = (*changed.get(key, ()), *targets)
            left_out |= set() if targets else {key}
        # A variable that is left out by what it was called is left out.
        changed.update(dict.fromkeys(left_out, ()))
        named = frozenset(keys.get(name, name) for name in renamed.named)
        new_names = NewNames(names, changed, renamed.added, renamed.counts, named, renamed.own_notes)
        mapped = MappedTensors(source, new_names, self.full_names)
        self.left_out = set(new_names.left_out())
        self.source, self.changes, self.notes = mapped.source, mapped.changes, mapped.notes
        # Tensors by the names that they are offered under, and by what their variables were called.
        self._exact = {target.name: key for key, targets in mapped.targets.items() for target in targets}
        self._exact.update((name, name) for name in names if name not in changed)
        self._called: dict[str, str] = {}
        for name, key in keys.items():
            if name not in renamed.changed and key not in self.left_out and key in self.source:
                self._called[name] = key
        for name, key in self._exact.items():
            self._called.setdefault(name.removesuffix(_SUFFIX), key)
        self._sorted = sorted(self._exact)

    def find(self, key: str, full_name: str) -> str | None:
        """The tensor that is for the value of this key and full name; either may be empty."""
        for name in (key, full_name):
            if name and name in self._exact:
                return self._exact[name]
        path = key.removesuffix(_SUFFIX)
        if path != key and path in self._exact:
            return self._exact[path]
        return self._called.get(full_name) if full_name else None

    def beginning_with(self, key: str) -> list[str]:
        """The names offered that begin so, where the key itself is none."""
        return [] if key in self._exact else _beginning_with(self._sorted, key)


def _tensors_of(attribute: Attribute, known: Sequence[str], offers: _Offers) -> Sequence[str]:
    """The names of a value's tensors: its key, or names that begin with it, as far as anybody knows them."""
    if attribute.name == VARIABLE_VALUE:
        return (attribute.key,)
    return _beginning_with(known, attribute.key) or offers.beginning_with(attribute.key) or (attribute.key,)


def _beginning_with(names: Sequence[str], text: str) -> list[str]:
    start = bisect.bisect_left(names, text)
    end = start
    while end < len(names) and names[end].startswith(text):
        end += 1
    return list(names[start:end])


def _compare(
    name: str, info: TensorInfo, wanted: WantedTensor | None, changes: tuple[str, ...]
) -> MatchedTensor | MismatchedTensor:
    """The tensor as what the value needs, or what keeps it from being that."""
    shape = tuple(info.shape)
    if wanted is None:
        wanted = WantedTensor(name, info.dtype, shape)
    if info.dtype.data_type != wanted.dtype.data_type:
        return MismatchedTensor(name, info.name, "dtype", wanted.dtype.name, info.dtype.name)
    if not is_compatible(shape, wanted.shape):
        return MismatchedTensor(name, info.name, "shape", shape_text(wanted.shape), shape_text(shape))
    return MatchedTensor(wanted, info.name, shape, info.num_bytes, bool(info.slices), changes, "object")


def _suggest(
    missing: Mapping[str, Attribute],
    unused: Sequence[str],
    source: TensorSource,
    full_names: Mapping[str, str],
    tensors: Mapping[str, WantedTensor],
) -> tuple[dict[str, str | Renamed], dict[str, str]]:
    """The unused tensors that missing values are by evidence, as a mapping, and those that may be guessed, by key."""
    words = {name: full_names.get(name) or name for name in unused}
    key_of_label: dict[str, str] = {}
    wanted: dict[str, WantedTensor | None] = {}
    for key, attribute in missing.items():
        # Two variables of one name are judged by their paths.
        label = attribute.full_name if attribute.full_name not in key_of_label and attribute.full_name else key
        key_of_label[label] = key
        wanted[label] = tensors.get(key)
    proposals = Proposals(wanted, words, source.info, labels=key_of_label)
    mapping = {name: proposals.target(label) for label, name in proposals.matches.items()}
    return mapping, {name: key_of_label[label] for label, name in proposals.guesses.items()}


def _missing(
    missing: Mapping[str, Attribute], unused: Sequence[str], full_names: Mapping[str, str], mapping: Mapping[str, str]
) -> Iterator[MissingTensor]:
    """The missing values, with names to mention beside them."""
    for index, (key, attribute) in enumerate(missing.items()):
        likely = (mapping[key],) if key in mapping else ()
        near: tuple[str, ...] = ()
        if index * len(unused) <= _MAX_COMPARISONS:
            words = {full_names.get(name) or name.removesuffix(_SUFFIX): name for name in unused}
            near = nearest_names(attribute.full_name or key.removesuffix(_SUFFIX), words)
            near = tuple(words[word] for word in near)
        yield MissingTensor(key, (*likely, *(name for name in near if name not in likely))[:3], attribute.full_name)
