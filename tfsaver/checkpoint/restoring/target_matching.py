"""The variables of a program against the tensors of a checkpoint, where neither knows the other's names for sure.

A variable has several names: what its program calls it (a key in a dict, ``dense/kernel``), and the path on which its
object is reached (``layers/0/kernel``). A tensor has its names, see `tensor_names`. Who belongs to whom is asked in rounds;
what one round has decided is out of the next:

    1  mapping    the tensors that the caller's mapping speaks of
    2  objects    the object on the same path, when the checkpoint was written from objects (the caller has found it)
    3  name       a tensor of the program's name
    4  path       a tensor that is called like the path
    5  crosswise  in a checkpoint written from objects, names among the paths and paths among the names
    6  slot       an optimizer's slot for a variable whose tensor is known; before 2 to 5, since slots are often numbered
    -  shape      in the place of 2 to 6 when asked for

In no round is anything guessed: a name that several variables have, a tensor that several variables lay claim to, and
several tensors of one name decide nothing, unless a single one has the dtype and shape. What is then left over is ambiguous,
and the report says between what.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from tfsaver.checkpoint.match_report import AmbiguousTensor, MatchedTensor, MismatchedTensor
from tfsaver.checkpoint.names.recurrent_cells import Layer, To, has_layout, known_layouts, layer_of
from tfsaver.checkpoint.names.tensor_names import TensorNames, path_of
from tfsaver.checkpoint.optimizers.optimizer_state import OptimizerState
from tfsaver.checkpoint.optimizers.training_tensors import find_moving_averages
from tfsaver.checkpoint.restoring.matching import StoredTensor
from tfsaver.checkpoint.wanted_tensor import PartialShape, WantedTensor
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape

GLOBAL_STEP = "global_step"
# How a counter of steps was found that is made of other numbers.
STEPS = "the steps that were taken"
# How Nadam's product of momenta was found that is made of the steps.
MOMENTUM_CACHE = "the momenta of the steps that were taken"

_FLOATS = frozenset({"bfloat16", "float16", "float32", "float64", *(f"float8_{kind}" for kind in ("e5m2", "e4m3fn"))})
_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
# A mapping that takes tensors apart knows what stands where.
_CHANGES_OF_GATES = ("gates", "concatenated", "stacked", "summed", "split")
# One kind of optimizer is mostly everywhere the same: a few variables say it.
_MAX_NOTES = 3
_DIGITS = re.compile(r"(\d+)")


@dataclasses.dataclass(frozen=True, eq=False)
class WantedSlot:
    """Of which variable a wanted one is a slot, and what checkpoints call such a slot.

    Attributes:
        owner: The variable.
        spellings: The spellings of `optimizer_state` that mean this slot.
        known: The spellings of all slots of an optimizer of this kind: one that keeps others is of another kind.
    """

    owner: WantedVariable
    spellings: tuple[str, ...]
    known: frozenset[str]


@dataclasses.dataclass(frozen=True, eq=False)
class WantedVariable:
    """A variable, or a part of one, that is to get its value from a checkpoint.

    Attributes:
        tensor: Its dtype and shape, and the name by which a report speaks of it.
        identity: The same for the parts of one variable, and for nothing else.
        names: What its program calls it.
        paths: The paths to its object.
        keys: The tensors that the objects of the checkpoint have in its place.
        slot: What it is to an optimizer.
        counts: ``steps``, ``adam steps``, ``rate`` or ``momentum cache`` for an optimizer's numbers.
        is_optional: Whether it may keep its value when the checkpoint has none for it.
    """

    tensor: WantedTensor
    identity: Hashable
    names: tuple[str, ...]
    paths: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    slot: WantedSlot | None = None
    counts: str | None = None
    is_optional: bool = False


class Found(NamedTuple):
    """The tensor that a variable gets.

    Attributes:
        key: The tensor.
        how: By what it was found.
    """

    key: str
    how: str


class Matching:
    """Which tensor each variable gets.

    Args:
        wanted: The variables.
        names: The checkpoint's tensors.
        state: What of them belongs to optimizers.
        by: ``name`` or ``shape``.
        cast: Whether numbers of another dtype fit.

    Attributes:
        state: See above.
        found: The tensor of each variable for which there is one, whether or not it fits.
        ambiguous: Of the others, those for which there may be one.
        notes: What a report should mention.
    """

    def __init__(
        self, wanted: Sequence[WantedVariable], names: TensorNames, state: OptimizerState, *, by: str, cast: bool = False
    ) -> None:
        self._names = names
        self._cast = cast
        self.state = state
        self._wanted = wanted
        self._keys = set(names.keys)
        self._available = self._keys.difference(names.mapped)
        self._stored: dict[str, StoredTensor] = {}
        self.found: dict[WantedVariable, Found] = {}
        self.ambiguous: dict[WantedVariable, AmbiguousTensor] = {}
        self.notes: list[str] = []
        self._spelled: set[str] = set()
        self._doubts: dict[WantedVariable, AmbiguousTensor] = {}
        self._by_name = _index(wanted, lambda item: item.names)
        self._by_path = _index(wanted, lambda item: item.paths)
        self._match_mapped()
        plain = [item for item in wanted if item.slot is None]
        if by == "shape":
            self._match_shapes(plain)
        else:
            self._match_in_rounds(plain)
        self._refuse_unknown_gates()
        self._match_slots([item for item in wanted if item.slot is not None])
        if by == "name":
            self._match_in_rounds([item for item in wanted if item.slot is not None])
        self._match_counters()
        self.ambiguous.update((item, doubt) for item, doubt in self._doubts.items() if item not in self.found)

    def compare(self, item: WantedVariable) -> MatchedTensor | MismatchedTensor:
        """The tensor that was found, as what is wanted, or what keeps it from being that."""
        found = self.found[item]
        if found.how in (STEPS, MOMENTUM_CACHE):
            # Not the tensor itself: the number is made of it.
            return MatchedTensor(item.tensor, found.key, (), item.tensor.dtype.size, False, (), found.how)
        result = self._compared(item, found.key)
        if isinstance(result, MatchedTensor):
            return result._replace(wanted=item.tensor, changes=self._names.changes.get(found.key, ()), how=found.how)
        return result

    def _compared(self, item: WantedVariable, key: str) -> MatchedTensor | MismatchedTensor:
        wanted = item.tensor
        if self._cast and can_cast(dtype := self._names.info(key).dtype, wanted.dtype):
            wanted = dataclasses.replace(wanted, dtype=dtype)
        return self._stored_tensor(key).compare(wanted)

    def _stored_tensor(self, key: str) -> StoredTensor:
        if key not in self._stored:
            self._stored[key] = StoredTensor(self._names.info(key))
        return self._stored[key]

    def _fits(self, item: WantedVariable, key: str) -> bool:
        return isinstance(self._compared(item, key), MatchedTensor)

    def _is_open(self, item: WantedVariable) -> bool:
        return item not in self.found and item not in self.ambiguous

    def _doubt(self, item: WantedVariable, keys: Iterable[str], reason: str) -> None:
        self._doubts.setdefault(item, AmbiguousTensor(item.tensor.name, tuple(dict.fromkeys(keys)), reason))

    def _match_mapped(self) -> None:
        offered: dict[WantedVariable, list[str]] = {}
        for key, targets in self._names.mapped.items():
            for target in targets:
                owners = self._by_name.get(target.name) or self._by_path.get(target.name) or []
                if len({item.identity for item in owners}) > 1:
                    for item in owners:
                        self._doubt(item, [key], f"{_count(owners)} variables have the name {target.name!r}")
                    continue
                for item in owners:
                    offered.setdefault(item, []).append(key)
        for item, offers in offered.items():
            if len(offers) == 1:
                self.found[item] = Found(offers[0], "mapping")
            else:
                reason = "the mapping has several tensors for it"
                self.ambiguous[item] = AmbiguousTensor(item.tensor.name, tuple(offers), reason)

    def _match_in_rounds(self, items: Sequence[WantedVariable]) -> None:
        names = self._names
        rounds: list[tuple[str, Callable[[WantedVariable], Iterable[tuple[str, list[str]]]], bool]] = [
            ("object", lambda item: ((key, [key]) for key in item.keys if key in self._available), False),
            ("name", lambda item: ((name, names.by_name.get(name, [])) for name in item.names), True),
            ("path", lambda item: ((path, names.by_path.get(path, [])) for path in item.paths), True),
        ]
        if names.full_names is not None:
            rounds += [
                ("name", lambda item: ((name, names.by_path.get(name, [])) for name in item.names), True),
                ("path", lambda item: ((path, names.by_name.get(path, [])) for path in item.paths), True),
            ]
        for how, candidates, is_named in rounds:
            owners = self._by_path if how == "path" else self._by_name
            self._match_round([item for item in items if self._is_open(item)], how, candidates, owners if is_named else {})

    def _match_round(
        self,
        items: Sequence[WantedVariable],
        how: str,
        candidates: Callable[[WantedVariable], Iterable[tuple[str, list[str]]]],
        owners: Mapping[str, list[WantedVariable]],
    ) -> None:
        taken = {found.key: item for item, found in self.found.items()}
        claims: dict[str, list[WantedVariable]] = {}
        for item in items:
            keys: dict[str, None] = {}
            for name, there in candidates(item):
                sharing = owners.get(name, ())
                if there and len({other.identity for other in sharing}) > 1:
                    self._doubt(item, there, f"{_count(sharing)} variables have the name {name!r}")
                    continue
                keys.update(dict.fromkeys(there))
            free = [key for key in keys if key not in taken or taken[key].identity == item.identity]
            if len(free) > 1:
                free = self._without_copies([key for key in free if self._fits(item, key)] or free)
            if len(free) == 1:
                claims.setdefault(free[0], []).append(item)
            elif free:
                self._doubt(item, free, f"several tensors have its {how}")
            elif keys:
                key = next(iter(keys))
                self._doubt(item, keys, f"found by its {how}, but belongs to {taken[key].tensor.name}")
        for key, claiming in claims.items():
            if len({item.identity for item in claiming}) == 1:
                self.found.update((item, Found(key, how)) for item in claiming)
                continue
            for item in claiming:
                others = ", ".join(other.tensor.name for other in claiming if other is not item)
                self._doubt(item, [key], f"also found for {others}")

    def _without_copies(self, keys: list[str]) -> list[str]:
        """The tensors without copies, as Keras 3's export has them: equal in name, dtype, shape and every bit."""
        full_names = self._names.full_names or {}
        if len(keys) < 2 or not full_names.get(keys[0]) or len({full_names.get(key) for key in keys}) > 1:
            return keys
        first = self._names.source[keys[0]]
        for key in keys[1:]:
            value = self._names.source[key]
            if value.dtype != first.dtype or value.shape != first.shape or value.tobytes() != first.tobytes():
                return keys
        return keys[:1]

    def _refuse_unknown_gates(self) -> None:
        """Takes back what was found for LSTM and GRU layers and has its gates in an order that nothing tells."""
        shapes: dict[str, PartialShape] = {}
        for item in self._wanted:
            shapes.update(dict.fromkeys((*item.names, *item.paths), item.tensor.full_shape or item.tensor.shape))
        layouts: dict[To, dict[str, None]] = {}
        for item, found in list(self.found.items()):
            layers = filter(None, (layer_of(name, shapes.get) for name in (*item.names, *item.paths)))
            layer = next(layers, None)
            if layer is None or self._knows_gates(found.key, layer):
                continue
            del self.found[item]
            reason = f"nothing says that its gates stand in the order of the {layer.kind} of {layer.layout}"
            self.ambiguous[item] = AmbiguousTensor(item.tensor.name, (found.key,), reason)
            entry = f"{found.key!r}: {{'to': {item.tensor.name!r}, 'gates': 'ifco->ifco'}}"
            layouts.setdefault(layer.layout, {})[entry] = None
        for layout, entries in layouts.items():
            self.notes.append(
                f"libraries differ in the order of the gates of recurrent cells: {known_layouts(layout)}; or say the order "
                f"in the mapping, as in {{{next(iter(entries))}}}"
            )

    def _knows_gates(self, key: str, layer: Layer) -> bool:
        if any(change.startswith(_CHANGES_OF_GATES) for change in self._names.changes.get(key, ())):
            return True
        spellings = (key, (self._names.full_names or {}).get(key) or key)
        return any(has_layout(name, layer.layout, self._is_there) for name in spellings)

    def _is_there(self, name: str) -> bool:
        if not self._spelled:
            full_names = (self._names.full_names or {}).values()
            self._spelled = {path_of(key) for key in self._names.original} | set(full_names)
        return name in self._spelled

    def _match_slots(self, items: Sequence[WantedVariable]) -> None:
        # A mapping that renames a variable may rename its slots with it, to names that are no variable's: they are free all
        # the same.
        free = self._keys.difference(found.key for found in self.found.values())
        for item in items:
            slot = item.slot
            if slot is None or not self._is_open(item) or (owner := self.found.get(slot.owner)) is None:
                continue
            there = self.state.slots.get(owner.key, {})
            if other := [spelling for spelling in there if spelling not in slot.known]:
                note = f"{owner.key} has slots of another kind of optimizer: {', '.join(sorted(other))}"
                if note not in self.notes and len(self.notes) < _MAX_NOTES:
                    self.notes.append(note)
                continue
            keys = [key for spelling in slot.spellings for key in there.get(spelling, ()) if key in free]
            if len(keys) == 1:
                told = ", by inference" if keys[0] in self.state.inferred else ""
                self.found[item] = Found(keys[0], f"slot of {owner.key}{told}")
            elif keys:
                self._doubt(item, keys, f"several optimizers have this slot for {owner.key}")

    def _match_counters(self) -> None:
        rates = [item for item in self._wanted if item.counts == "rate" and self._is_open(item)]
        steps = [item for item in self._wanted if item.counts in ("steps", "adam steps") and self._is_open(item)]
        caches = [item for item in self._wanted if item.counts == "momentum cache" and self._is_open(item)]
        rounds = ((rates, self.state.rates), (steps, self.state.counters), (caches, self.state.caches))
        for items, there in rounds:
            taken = {found.key for found in self.found.values()}
            free = [key for key in there if key in self._keys and key not in taken]
            if len(items) == len(free) == 1:
                self.found[items[0]] = Found(free[0], "optimizer")
        for item in steps:
            if item in self.found:
                continue
            if len(steps) == 1 and item.counts == "adam steps" and self.state.beta_powers is not None:
                self.found[item] = Found(self.state.beta_powers[0], STEPS)
            elif GLOBAL_STEP in self._keys:
                self.found[item] = Found(GLOBAL_STEP, STEPS)
        counted = [item for item in self._wanted if item.counts == "adam steps"]
        for item in caches:
            if item not in self.found and len(caches) == len(counted) == 1 and counted[0] in self.found:
                self.found[item] = Found(self.found[counted[0]].key, MOMENTUM_CACHE)

    def _match_shapes(self, items: Sequence[WantedVariable]) -> None:
        """Pairs variables and tensors by dtype and shape, several of one by their order, where there are as many of both."""
        names = self._names
        shapes = {key: tuple(names.info(key).shape) for key in names.keys}
        passed_over = self.state.tensors | find_moving_averages(shapes).keys()
        tensors: dict[tuple[int, Shape], list[str]] = {}
        for key in sorted(names.keys, key=lambda key: _natural(names.spelling(key))):
            if key not in names.mapped and key not in passed_over:
                tensors.setdefault((names.info(key).dtype.data_type, shapes[key]), []).append(key)
        groups: dict[tuple[int, Shape], list[WantedVariable]] = {}
        for item in items:
            if self._is_open(item) and item.counts is None:
                shape = item.tensor.full_shape or item.tensor.shape or ()
                known = tuple(-1 if size is None else size for size in shape)
                groups.setdefault((item.tensor.dtype.data_type, known), []).append(item)
        for kind, group in groups.items():
            keys = tensors.get(kind, [])
            members = list(dict.fromkeys(item.identity for item in group))
            if keys and len(keys) != len(members):
                for item in group:
                    self._doubt(item, keys, f"{len(members)} variables and {len(keys)} tensors have this dtype and shape")
                continue
            place = {identity: index for index, identity in enumerate(members)}
            how = "shape" if len(keys) == 1 else "shape and order"
            if keys:
                self.found.update((item, Found(keys[place[item.identity]], how)) for item in group)


def can_cast(stored: DType, wanted: DType) -> bool:
    """Whether numbers of the one dtype may be made numbers of the other when asked: no fractions cut, no signs lost."""
    return (wanted.name in _FLOATS and stored.name in _FLOATS | _INTEGERS) or {stored.name, wanted.name} <= _INTEGERS


def _index(
    wanted: Iterable[WantedVariable], names_of: Callable[[WantedVariable], Iterable[str]]
) -> dict[str, list[WantedVariable]]:
    index: dict[str, list[WantedVariable]] = {}
    for item in wanted:
        for name in dict.fromkeys(names_of(item)):
            index.setdefault(name, []).append(item)
    return index


def _natural(name: str) -> tuple[tuple[str, int], ...]:
    """By which names sort as people count: layer_2 before layer_10."""
    parts = _DIGITS.split(name)
    return tuple((text, int(number or 0)) for text, number in zip(parts[::2], [*parts[1::2], "0"], strict=True))


def _count(items: Iterable[WantedVariable]) -> int:
    return len({item.identity for item in items})
