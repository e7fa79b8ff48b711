"""The tensors that the missing variables of a program most likely are: the one place that judges evidence.

    match      dtype, shape, and the name or the scope is the same on both sides     see `names.renames`
               the scope of another variable of the layer: a bias goes where its kernel goes
    recipe     the same evidence, and the shapes differ by axes of size 1, or by one order of the axes alone
    guess      dtype and shape, and names that are merely similar, or nothing else of the dtype and shape on either side
    never      for a variable of an LSTM or GRU layer a tensor of another layout, or of one that nobody knows: one shape, and
               the gates in another order; see `names.recurrent_cells`

Matches and recipes are what a report proposes as a mapping. Guesses stand apart, and only `accept_guesses` takes them. Two
errors cannot be seen from names and shapes: two tensors of one shape whose names were exchanged, and a square matrix that
was stored transposed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from tfsaver.checkpoint.match_report import MismatchedTensor
from tfsaver.checkpoint.names import renames
from tfsaver.checkpoint.names.changes import Spec
from tfsaver.checkpoint.names.name_steps import Infos, Renamed, natural_order
from tfsaver.checkpoint.names.recurrent_cells import (
    LAYOUTS,
    SOURCES,
    Cell,
    From,
    Layer,
    find_cells,
    forget_bias_of,
    has_layout,
    known_layouts,
    layer_of,
)
from tfsaver.checkpoint.optimizers.training_tensors import find_moving_averages
from tfsaver.checkpoint.wanted_tensor import PartialShape, WantedTensor, is_compatible
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape

_NUM_GATES = {"LSTM": 4, "GRU": 3}
# So many axes have 720 orders.
_MAX_AXES = 6


class Proposals:
    """What the missing variables may be.

    Args:
        missing: What is looked for, by name; None where any tensor will do.
        candidates: The keys of the tensors that nobody wants, with the name that each is to be judged by.
        info_of: What a key's tensor is.
        known: Pairs that are decided, from the names wanted to the names of their tensors: a bias follows its kernel.
        labels: What mappings and notes call the names that are missing, where that is another name of the variable.

    Attributes:
        matches: The key for each name for which there is evidence, those with a recipe among them.
        recipes: What some of these need done, by name, as `Renamed` takes it: a transpose, or a reshape where axes of size 1
            are dropped or added.
        guesses: The key for each other name for which there is one and no evidence.
        notes: What is not proposed, and why, in sentences.
    """

    def __init__(
        self,
        missing: Mapping[str, WantedTensor | None],
        candidates: Mapping[str, str],
        info_of: Callable[[str], TensorInfo],
        known: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.matches: dict[str, str] = {}
        self.recipes: dict[str, dict[str, list[int]]] = {}
        self.guesses: dict[str, str] = {}
        self.notes: list[str] = []
        self._labels = labels or {}
        self._of_cells: set[str] = set()
        if not missing or not candidates:
            return
        self._missing, self._candidates, self._info_of = missing, candidates, info_of
        shapes = {name: tensor.shape for name, tensor in missing.items() if tensor is not None}
        layers = {name: layer_of(name, shapes.get) for name in missing}
        self._layers = {name: layer for name, layer in layers.items() if layer is not None}
        self._there = {*candidates.values(), *(known or {}).values()} if self._layers else set()
        self.notes += self._notes_on_cells()
        self._candidates = candidates = {key: name for key, name in candidates.items() if name not in self._of_cells}
        fitting = _fitting(missing, candidates, info_of)
        for name in self._layers:
            fitting[name] = {key: spelling for key, spelling in fitting[name].items() if self._may(name, key)}
        likely = renames.most_likely(fitting)
        scopes = _Scopes(dict(known or {}), {name: candidates[key] for name, key in likely.matches.items()})
        self.matches = {name: key for name, key in likely.matches.items() if scopes.allows(name, candidates[key])}
        self._drop_outranked()
        self._take_recipes()
        self._follow(self.matches, _Scopes(dict(known or {}), self._spelled(self.matches)))
        self.matches = {name: self.matches[name] for name in missing if name in self.matches}
        self._guess(likely.all, _Scopes(dict(known or {}), self._spelled(self.matches)))

    def target(self, name: str) -> str | Renamed:
        """What a mapping says of the tensor of a name."""
        label = self._labels.get(name, name)
        return Renamed(label, **self.recipes[name]) if name in self.recipes else label

    def _spelled(self, keys: Mapping[str, str]) -> dict[str, str]:
        return {name: self._candidates[key] for name, key in keys.items()}

    def _open(self) -> tuple[dict[str, WantedTensor | None], dict[str, str]]:
        """What is missing and what is there beside what is decided."""
        taken = {*self.matches.values(), *self.guesses.values()}
        missing = {
            name: tensor for name, tensor in self._missing.items() if name not in self.matches and name not in self.guesses
        }
        return missing, {key: spelling for key, spelling in self._candidates.items() if key not in taken}

    def _drop_outranked(self) -> None:
        """Drops a match whose name agrees less than that of a tensor that would fit by a recipe: neither is certain."""
        matched = {name: self._missing[name] for name in self.matches}
        pools = self._by_recipes(matched, self._candidates)
        for name, pool in pools.items():
            key = self.matches[name]
            rivals = {**pool, key: self._candidates[key]}
            if pool and renames.most_likely({name: rivals}).matches.get(name) != key:
                del self.matches[name]

    def _by_recipes(
        self, missing: Mapping[str, WantedTensor | None], candidates: Mapping[str, str]
    ) -> dict[str, dict[str, str]]:
        """The candidates of each name that have its role, and fit by a recipe."""
        # Whether there is a recipe depends on dtype and shape alone, so that these are compared and not all pairs.
        alike: dict[object, dict[object, list[str]]] = {}
        for key, spelling in candidates.items():
            info = self._info_of(key)
            group = alike.setdefault((renames.scope_and_role(spelling)[1], *_sizes(info.shape)), {})
            group.setdefault((info.dtype.data_type, tuple(info.shape)), []).append(key)
        pools: dict[str, dict[str, str]] = {}
        for name, tensor in missing.items():
            if tensor is None or tensor.tensor_slice is not None or tensor.shape is None or None in tensor.shape:
                continue
            groups = alike.get((renames.scope_and_role(name)[1], *_sizes(tensor.shape)), {})
            fitting = [keys for keys in groups.values() if recipe_for(self._info_of(keys[0]), tensor) is not None]
            pools[name] = {key: candidates[key] for keys in fitting for key in keys if self._may(name, key)}
        return pools

    def _take_recipes(self) -> None:
        """Names that agree where shapes differ by axes of size 1 or by an order of the axes."""
        pools = self._by_recipes(*self._open())
        scopes = _Scopes({}, self._spelled(self.matches))
        for name, key in renames.most_likely({name: pool for name, pool in pools.items() if pool}).matches.items():
            tensor = self._missing[name]
            found = None if tensor is None else recipe_for(self._info_of(key), tensor)
            if found is not None and scopes.allows(name, self._candidates[key]):
                self.matches[name] = key
                self.recipes[name] = found

    def _follow(self, pairs: dict[str, str], scopes: _Scopes) -> None:
        """Takes what stands beside a variable whose tensor is known: of the same role, dtype and shape."""
        missing, candidates = self._open()
        by_place: dict[tuple[renames.Words, str], list[str]] = {}
        for key, spelling in candidates.items():
            by_place.setdefault(renames.scope_and_role(spelling), []).append(key)
        claims: dict[str, list[str]] = {}
        for name, tensor in missing.items():
            scope, role = renames.scope_and_role(name)
            if (there := scopes.of(scope)) is None or not role:
                continue
            beside = by_place.get((there, role), ())
            keys = [key for key in beside if self._may(name, key) and _fits(self._info_of(key), tensor)]
            if len(keys) == 1:
                claims.setdefault(keys[0], []).append(name)
        pairs.update((names[0], key) for key, names in claims.items() if len(names) == 1)

    def _guess(self, similar: Mapping[str, str], scopes: _Scopes) -> None:
        taken = set(self.matches.values())
        found = {name: key for name, key in similar.items() if name not in self.matches and key not in taken}
        missing, candidates = self._open()
        # A layer that none of these can be is no rival of another variable.
        missing = {name: each for name, each in missing.items() if any(self._may(name, key) for key in candidates)}
        alone = _only_ones(missing, candidates, self._info_of)
        alone = {name: key for name, key in alone.items() if self._may(name, key)}
        found.update((name, key) for name, key in alone.items() if name not in found and key not in found.values())
        found = {name: key for name, key in found.items() if scopes.allows(name, self._candidates[key])}
        # A bias, whose shape says least, goes where its kernel goes, guess or not.
        self.guesses = {name: key for name, key in found.items() if renames.scope_and_role(name)[1] != "bias"}
        scopes = _Scopes({}, self._spelled(self.guesses))
        self._follow(self.guesses, scopes)
        taken = set(self.guesses.values())
        for name, key in found.items():
            if name not in self.guesses and key not in taken and scopes.allows(name, self._candidates[key]):
                self.guesses[name] = key
        self.guesses = {name: self.guesses[name] for name in self._missing if name in self.guesses}

    def _notes_on_cells(self) -> list[str]:
        """How cells of other layouts become layers that lack their variables; the cells' tensors are nobody else's."""
        layers = dict.fromkeys(
            layer._replace(scope=_labelled(layer.scope, name, self._labels))
            for name, layer in self._layers.items()
            if not any(self._may(name, key) and _fits(self._info_of(key), self._missing[name]) for key in self._candidates)
        )
        if not layers:
            return []
        specs = {spelling: self._info_of(key) for key, spelling in self._candidates.items()}
        infos = Infos(list(specs), lambda name: Spec(specs[name].dtype, tuple(specs[name].shape)))
        notes = []
        for layout, kind in dict.fromkeys((layer.layout, layer.kind) for layer in layers):
            wanted = [layer for layer in layers if (layer.layout, layer.kind) == (layout, kind)]
            units = {layer.units for layer in wanted}
            for source in SOURCES:
                if source == layout:
                    continue
                cells = [cell for cell in find_cells(infos, source) if cell.kind == kind and cell.units in units]
                if cells:
                    self._of_cells.update(name for cell in cells for name in cell.words)
                    notes.append(_note_on_cells(source, cells, wanted))
            unknown = [
                spelling
                for spelling, info in specs.items()
                if info.shape and any(info.shape[-1] == size * _NUM_GATES[kind] for size in units)
            ]
            if unknown and not notes:
                notes.append(
                    f"{', '.join(unknown[:3])}: nothing says in which order the gates stand, so that none is proposed for "
                    f"the {kind} {wanted[0].scope}; {known_layouts(layout)}; or say the order yourself, as in "
                    f"mapping={{{unknown[0]!r}: {{'to': ..., 'gates': 'ifco->ifco'}}}}"
                )
        return notes

    def _may(self, name: str, key: str) -> bool:
        """Whether a tensor may be a variable's as far as gates go: those of a layer come only from its own layout."""
        layer = self._layers.get(name)
        return layer is None or has_layout(self._candidates[key], layer.layout, self._there.__contains__)


class _Scopes:
    """Which scope of the checkpoint each scope of the program is.

    Args:
        known: Pairs of names that are certain.
        found: Pairs of names of which a scope's first in the order of roles counts: its kernel, most often.
    """

    def __init__(self, known: Mapping[str, str], found: Mapping[str, str]) -> None:
        self._of: dict[renames.Words, set[renames.Words]] = {}
        for pairs in (known, found):
            these: dict[renames.Words, set[renames.Words]] = {}
            for name, spelling in pairs.items():
                (scope, role), (there, other) = renames.scope_and_role(name), renames.scope_and_role(spelling)
                if scope and there and role == other and role != "bias":
                    these.setdefault(scope, set()).add(there)
            for scope, found_there in these.items():
                self._of.setdefault(scope, found_there)

    def of(self, scope: renames.Words) -> renames.Words | None:
        """The one scope; None where there is none, or several."""
        there = self._of.get(scope, set())
        return next(iter(there)) if len(there) == 1 else None

    def allows(self, name: str, spelling: str) -> bool:
        """Whether a tensor may be a variable's, as far as the other variables of its layer are known."""
        scope, there = renames.scope_and_role(name)[0], renames.scope_and_role(spelling)[0]
        return scope not in self._of or there in self._of[scope]


def mapping_of_shapes(
    mismatched: Iterable[MismatchedTensor], wanted: Mapping[str, WantedTensor], info_of: Callable[[str], TensorInfo]
) -> dict[str, str | Renamed]:
    """The recipes that give tensors of the right names the shapes that are wanted, as a mapping of their keys."""
    mapping: dict[str, str | Renamed] = {}
    for item in mismatched:
        tensor = wanted.get(item.name)
        if item.fact != "shape" or tensor is None or tensor.tensor_slice is not None:
            continue
        if (recipe := recipe_for(info_of(item.key), tensor)) is not None:
            mapping[item.key] = Renamed(item.name, **recipe)
    return mapping


def recipe_for(info: TensorInfo, wanted: WantedTensor) -> dict[str, list[int]] | None:
    """The one way to give a tensor the wanted shape without changing a number; None where there is none, or several.

    Returns:
        What `Renamed` takes: a transpose, or a reshape.
    """
    stored, shape = tuple(info.shape), wanted.shape
    if info.dtype.data_type != wanted.dtype.data_type or shape is None or None in shape or shape == stored or not shape:
        return None
    if _without_units(stored) == _without_units(shape):
        return {"reshape": [size for size in shape if size is not None]}
    if len(stored) != len(shape) or len(shape) > _MAX_AXES or sorted(stored) != sorted(filter(None, shape)):
        return None
    orders = [axes for axes in itertools.permutations(range(len(stored))) if tuple(stored[axis] for axis in axes) == shape]
    return {"transpose": list(orders[0])} if len(orders) == 1 else None


def _without_units(shape: Iterable[int | None]) -> tuple[int | None, ...]:
    """A shape without its axes of size 1."""
    return tuple(size for size in shape if size != 1)


def _sizes(shape: Iterable[int | None]) -> list[int]:
    """The sizes that shapes have in common which axes of size 1 or an order of the axes make equal."""
    return sorted(size for size in shape if size is not None and size != 1)


def _shape_of(tensor: WantedTensor | None) -> PartialShape:
    if tensor is None:
        return None
    return tensor.full_shape if tensor.tensor_slice is not None else tensor.shape


def _fits(info: TensorInfo, tensor: WantedTensor | None) -> bool:
    if tensor is None:
        return True
    return info.dtype.data_type == tensor.dtype.data_type and is_compatible(tuple(info.shape), _shape_of(tensor))


def _fitting(
    missing: Mapping[str, WantedTensor | None], candidates: Mapping[str, str], info_of: Callable[[str], TensorInfo]
) -> dict[str, Mapping[str, str]]:
    """For each name the candidates of its dtype and shape; one mapping for all names of one kind."""
    kinds: dict[tuple[int, Shape], list[str]] = {}
    for key in candidates:
        info = info_of(key)
        kinds.setdefault((info.dtype.data_type, tuple(info.shape)), []).append(key)
    pools: dict[tuple[int, PartialShape], dict[str, str]] = {}
    fitting: dict[str, Mapping[str, str]] = {}
    for name, tensor in missing.items():
        if tensor is None:
            fitting[name] = candidates
            continue
        kind = (tensor.dtype.data_type, _shape_of(tensor))
        if kind not in pools:
            pools[kind] = {
                key: candidates[key]
                for (data_type, stored), keys in kinds.items()
                if data_type == kind[0] and is_compatible(stored, kind[1])
                for key in keys
            }
        fitting[name] = pools[kind]
    return fitting


def _only_ones(
    missing: Mapping[str, WantedTensor | None], candidates: Mapping[str, str], info_of: Callable[[str], TensorInfo]
) -> dict[str, str]:
    """Of each name the tensor, where both are the only ones of their dtype and shape, and that is no scalar's."""
    shapes = {spelling: tuple(info_of(key).shape) for key, spelling in candidates.items()}
    averages = find_moving_averages(shapes)
    keys: dict[tuple[int, Shape], list[str]] = {}
    for key, spelling in candidates.items():
        # An average beside its variable is no rival of it.
        if spelling not in averages:
            keys.setdefault((info_of(key).dtype.data_type, shapes[spelling]), []).append(key)
    names: dict[tuple[int, PartialShape], list[str]] = {}
    for name, tensor in missing.items():
        if tensor is None:
            return {}
        names.setdefault((tensor.dtype.data_type, _shape_of(tensor)), []).append(name)
    vague = [(data_type, shape) for data_type, shape in names if shape is None or None in shape]
    found = {}
    for (data_type, shape), fitting in keys.items():
        wanting = names.get((data_type, shape), ())
        if not shape or len(fitting) != 1 or len(wanting) != 1:
            continue
        if not any(data_type == other and is_compatible(shape, partial) for other, partial in vague):
            found[wanting[0]] = fitting[0]
    return found


def _labelled(scope: str, name: str, labels: Mapping[str, str]) -> str:
    """A layer's scope as a mapping has to call it."""
    label = labels.get(name, name)
    return label.removesuffix(name) + scope if label.endswith(name) else scope


def _note_on_cells(source: From, cells: Sequence[Cell], layers: Sequence[Layer]) -> str:
    """How to restore cells into layers of the same kind and size."""
    cells = sorted(cells, key=lambda cell: natural_order(cell.scope))
    layers = sorted(layers, key=lambda layer: natural_order(layer.scope))
    pairs = ", ".join(f"{cell.scope!r}: {layer.scope!r}" for cell, layer in zip(cells, layers, strict=False))
    layer = layers[0]
    options, more = "", ""
    if layer.kind == "LSTM" and source in ("tf", "sonnet"):
        known = {1.0 if source == "sonnet" else forget_bias_of(cell.scope) for cell in cells}
        number = known.pop() if len(known) == 1 else None
        options = f", forget_bias={'...' if number is None else number}"
        more = (
            "; forget_bias is what the cell adds to the forget gate when it runs, which no checkpoint has: 1.0 unless the "
            "program says otherwise, 0.0 for cuDNN-compatible cells"
        )
    if layer.kind == "GRU" and source == "tf":
        is_cudnn = len(cells[0].words) > 4
        more = f"; the layer must be made with reset_after={is_cudnn}"
    if len(cells) > 1 or len(layers) > 1:
        more += "; cells and layers are paired by their order here, so look at the pairs"
    return (
        f"{', '.join(cell.scope for cell in cells[:3])}: the gates of {'a GRU' if layer.kind == 'GRU' else 'an LSTM'} of "
        f"{LAYOUTS[source]} stand in another order than those of the layer, or its variables are other ones; to restore it: "
        f"mapping=RecurrentCells({source!r}, {layer.layout!r}, cells={{{pairs}}}{options}), from "
        f"tfsaver.checkpoint.names.name_map{more}"
    )
