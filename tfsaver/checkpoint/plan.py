"""An edit of checkpoints: which tensors there are, and where each comes from.

    source     a  b  c  d           a checkpoint
    select     a  b     d           a plan: names, and for each the name that it has in the source
    rename     x  b     d           another plan
    cast       x* b*    d           and another, whose changed tensors have recipes

A plan is a source of tensors itself: it reads when somebody reads from it. Builders are functions from plans to a plan, and
do not change the plans that they are given. Names are columns, and only changed tensors hold a recipe, so that a million
untouched ones cost no more than their names.

Two tensors do not belong to a model, but describe the others, and every edit keeps them true:

    _CHECKPOINTABLE_OBJECT_GRAPH    the objects that TensorFlow restores: a builder changes it along with the tensors
    _TFSAVER_TREE                   the nest that `tfsaver.load` gives back: it stays while all tensors keep their names, and
                                    the objects say what is there without it
"""

from __future__ import annotations

import array
import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tfsaver import schemas
from tfsaver.checkpoint.losses import Losses
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS, OBJECT_GRAPH_KEY, TREE_KEY, read_object_graph
from tfsaver.checkpoint.recipes import Recipe, Take
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import TensorNotFoundError, nearest_names
from tfsaver.framework import dtypes
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_info import TensorForm, TensorInfo
from tfsaver.framework.tensor_shape import num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib.sorted_names import positions
from tfsaver.tensor_bundle import strings


class Plan(TensorSource):
    """Tensors and where they come from.

    Args:
        sources: What the plan stands on; closed with it.
        names: The names of the tensors, sorted.
        origins: For each of them its name in the source; the same list where they are the same.
        owners: For each of them the number of its source; all of the first source when None.
        recipes: How changed tensors are made, by name.
        graph: The objects that the tensors belong to; None for tensors by name.
        tree: The nest that `tfsaver.save` noted; None where there is none, or it is no longer true.
    """

    def __init__(
        self,
        sources: Sequence[TensorSource],
        names: list[str],
        origins: list[str],
        *,
        owners: Sequence[int] | None = None,
        recipes: Mapping[str, Recipe] | None = None,
        graph: schemas.TrackableObjectGraph | None = None,
        tree: Array | None = None,
    ) -> None:
        self.sources = tuple(sources)
        self.tensor_names = names
        self.graph = graph
        self.tree = tree
        self._origins = origins
        self._owners = owners
        self._recipes = dict(recipes or {})
        self._descriptions: dict[str, Array] = {}
        if graph is not None:
            self._descriptions[OBJECT_GRAPH_KEY] = _scalar(graph.SerializeToString(deterministic=True))
        if tree is not None:
            self._descriptions[TREE_KEY] = tree

    # What builders ask.

    def _origin(self, name: str) -> tuple[TensorSource, str]:
        """The source of a tensor that has no recipe, and its name there.

        Raises:
            TensorNotFoundError: There is no such tensor.
        """
        number = self._number(name)
        return self.sources[0 if self._owners is None else self._owners[number]], self._origins[number]

    def recipe(self, name: str) -> Recipe:
        """How a tensor is made, if only by taking it."""
        return self._recipes.get(name) or Take(*self._origin(name))

    def is_changed(self, name: str) -> bool:
        """Whether a tensor is made by a recipe."""
        return name in self._recipes

    def with_names(
        self,
        names: Mapping[str, str],
        *,
        graph: schemas.TrackableObjectGraph | None,
        recipes: Mapping[str, Recipe] | None = None,
    ) -> Plan:
        """The same tensors, or some of them, under other names.

        Args:
            names: For each new name the name in this plan.
            graph: The objects that they then belong to.
            recipes: How tensors are made that change besides, or that this plan does not have, by new name.
        """
        recipes = recipes or {}
        ordered = sorted([*names, *(name for name in recipes if name not in names)])
        olds = [names.get(name, "") for name in ordered]
        return self.with_columns(ordered, olds, graph=graph, recipes=recipes)

    def with_columns(
        self,
        names: list[str],
        olds: list[str],
        *,
        graph: schemas.TrackableObjectGraph | None,
        recipes: Mapping[str, Recipe] | None = None,
    ) -> Plan:
        """The same as `with_names`, of columns: a dict of a million names takes longer than all the rest.

        Args:
            names: The new names, sorted, each once.
            olds: For each of them the name in this plan; anything for one that only a recipe makes.
            graph: The objects that the tensors then belong to.
            recipes: See `with_names`.
        """
        recipes = recipes or {}
        numbers = array.array("q", positions(self.tensor_names, olds))
        if -1 in numbers:
            for name, old, number in zip(names, olds, numbers, strict=True):
                if number < 0 and name not in recipes:
                    raise self._not_found(old)
        kept = {}
        if self._recipes:
            kept = {name: self._recipes[old] for name, old in zip(names, olds, strict=True) if old in self._recipes}
        return Plan(
            self.sources,
            names,
            ["" if number < 0 else self._origins[number] for number in numbers],
            owners=self._owners and array.array("L", [0 if number < 0 else self._owners[number] for number in numbers]),
            recipes={**kept, **recipes},
            graph=graph,
            tree=self.tree if names == self.tensor_names else None,
        )

    def with_recipes(self, recipes: Mapping[str, Recipe]) -> Plan:
        """The same names, of which some tensors are made in another way."""
        return Plan(
            self.sources,
            self.tensor_names,
            self._origins,
            owners=self._owners,
            recipes={**self._recipes, **recipes},
            graph=self.graph,
            tree=self.tree,
        )

    def standing_on(self, others: Sequence[Plan]) -> Plan:
        """The same tensors, on the sources of other plans too, which recipes are to read from."""
        before = [source for plan in others for source in plan.sources]
        owners = itertools.repeat(0, len(self.tensor_names)) if self._owners is None else self._owners
        return Plan(
            [*before, *self.sources],
            self.tensor_names,
            self._origins,
            owners=array.array("L", [len(before) + owner for owner in owners]),
            recipes=self._recipes,
            graph=self.graph,
            tree=self.tree,
        )

    # What a plan is to others.

    @property
    def inputs(self) -> tuple[TensorSource, ...]:
        return tuple(dict.fromkeys(each for source in self.sources for each in source.inputs))

    def losses(self) -> Iterator[tuple[str, Losses]]:
        return ((name, losses) for name, recipe in self._recipes.items() for losses in recipe.losses())

    def is_stable(self, name: str) -> bool:
        if name in self._descriptions or name in self._recipes:
            return False
        source, origin = self._origin(name)
        return source.is_stable(origin)

    @property
    def prefix(self) -> str | None:
        """The checkpoints that the plan stands on, for people; None where it stands on none."""
        return ", ".join(dict.fromkeys(source.prefix for source in self.sources if source.prefix)) or None

    @property
    def names(self) -> list[str]:
        return sorted([*self.tensor_names, *self._descriptions]) if self._descriptions else list(self.tensor_names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._descriptions or self._find(name) is not None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def info(self, name: str) -> TensorInfo:
        if name in self._descriptions:
            return TensorInfo(name, dtypes.STRING, (), strings.stored_size([self._descriptions[name].item()]), ())
        recipe = self._recipes.get(name)
        if recipe is None:
            source, origin = self._origin(name)
            return source.info(origin)._replace(name=name)
        if isinstance(recipe, Take):
            return recipe.source.info(recipe.name)._replace(name=name)
        return TensorInfo(name, recipe.dtype, recipe.shape, num_elements(recipe.shape) * recipe.dtype.size, ())

    def forms(self, names: Sequence[str]) -> Iterator[TensorForm]:
        numbers = array.array("q", positions(self.tensor_names, names))
        taken: list[list[str]] = [[] for _ in self.sources]
        for name, number in zip(names, numbers, strict=True):
            if number >= 0 and name not in self._recipes:
                taken[0 if self._owners is None else self._owners[number]].append(self._origins[number])
        columns = [iter(source.forms(origins)) for source, origins in zip(self.sources, taken, strict=True)]
        for name, number in zip(names, numbers, strict=True):
            if number >= 0 and name not in self._recipes:
                yield next(columns[0 if self._owners is None else self._owners[number]])
            else:
                info = self.info(name)
                yield TensorForm(info.dtype, tuple(info.shape), bool(self.slices(name)))

    def slices(self, name: str) -> tuple[TensorSlice, ...]:
        if name in self._descriptions:
            return ()
        recipe = self._recipes.get(name)
        if recipe is not None:
            return recipe.slices()
        source, origin = self._origin(name)
        return source.slices(origin)

    def read(self, name: str, region: Region | None = None) -> Array:
        if name in self._descriptions:
            if region is not None:
                as_tensor_slice(region, (), name)
            description: Array = self._descriptions[name].copy()
            return description
        recipe = self._recipes.get(name)
        if recipe is None:
            source, origin = self._origin(name)
            return source.read(origin, region)
        if region is None:
            return recipe.make(TensorSlice.full(len(recipe.shape)).resolve(recipe.shape))
        part, dropped = as_tensor_slice(region, recipe.shape, name)
        made: Array = recipe.make(part.resolve(recipe.shape, repr(name))).squeeze(dropped)
        return made

    def read_tensors(self, names: Iterable[str]) -> dict[str, Array]:
        wanted = list(names)
        found: dict[str, Array] = {}
        # What one source has as it is, it reads together.
        taken: dict[TensorSource, dict[str, list[str]]] = {}
        for name in wanted:
            if name in self._descriptions or name in self._recipes:
                found[name] = self.read(name)
            else:
                source, origin = self._origin(name)
                taken.setdefault(source, {}).setdefault(origin, []).append(name)
        for source, names_of in taken.items():
            arrays = source.read_tensors(names_of)
            for origin, (first, *others) in names_of.items():
                found[first] = arrays[origin]
                # Each array belongs to the caller alone.
                found.update((name, arrays[origin].copy()) for name in others)
        return {name: found[name] for name in wanted}

    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        if name in self._descriptions:
            return iter([self._descriptions[name].reshape(1)])
        recipe = self._recipes.get(name)
        if recipe is not None:
            return recipe.pieces(stored)
        source, origin = self._origin(name)
        return source.pieces(origin, stored)

    def close(self) -> None:
        for source in self.sources:
            source.close()

    def __repr__(self) -> str:
        return f"<Plan of {', '.join(map(repr, self.sources))}>"

    def _find(self, name: str) -> int | None:
        number = bisect.bisect_left(self.tensor_names, name)
        return number if number < len(self.tensor_names) and self.tensor_names[number] == name else None

    def _number(self, name: str) -> int:
        number = self._find(name)
        if number is None:
            raise self._not_found(name)
        return number

    def _numbers(self, names: Sequence[str]) -> array.array[int]:
        """The numbers of tensors, in the order of their names; raises as `_origin` does."""
        numbers = array.array("q", positions(self.tensor_names, names))
        if -1 in numbers:
            raise self._not_found(names[numbers.index(-1)])
        return numbers

    def _not_found(self, name: str) -> TensorNotFoundError:
        return TensorNotFoundError(name, checkpoint=repr(self), near=nearest_names(name, self.tensor_names))


def as_plan(source: TensorSource) -> Plan:
    """All tensors of a source, as they are.

    Raises:
        DataLossError: What the source says of its objects cannot be read.
    """
    if isinstance(source, Plan):
        return source
    names = sorted(tensor_names(source))
    return Plan([source], names, names, graph=object_graph_of(source), tree=_tree_of(source))


def joined(
    plans: Sequence[Plan],
    names_of: Sequence[list[str]],
    *,
    graph: schemas.TrackableObjectGraph | None,
    tree: Array | None = None,
) -> Plan:
    """Tensors of several plans as one.

    Args:
        plans: The plans.
        names_of: Of each plan the names of the tensors that are taken, sorted; no name of two plans.
        graph: The objects that the tensors belong to.
        tree: The nest that the names belong to.
    """
    names = sorted(itertools.chain.from_iterable(names_of))
    numbers_of = [plan._numbers(taken) for plan, taken in zip(plans, names_of, strict=True)]
    first_sources = list(itertools.accumulate((len(plan.sources) for plan in plans), initial=0))
    origins: list[str] = []
    owners = array.array("L")
    # A merge: of each plan the next name, with the plan's number and what comes after that name.
    rests = [zip(taken, numbers, strict=True) for taken, numbers in zip(names_of, numbers_of, strict=True)]
    heads = {}
    for which, rest in enumerate(rests):
        for head, number in itertools.islice(rest, 1):
            heads[head] = which, number
    for name in names:
        which, number = heads.pop(name)
        plan = plans[which]
        origins.append(plan._origins[number])
        owners.append(first_sources[which] + (0 if plan._owners is None else plan._owners[number]))
        for head, number in rests[which]:
            heads[head] = which, number
            break
    recipes = {
        name: plan._recipes[name]
        for plan, taken in zip(plans, names_of, strict=True)
        if plan._recipes
        for name in taken
        if name in plan._recipes
    }
    sources = [source for plan in plans for source in plan.sources]
    return Plan(sources, names, origins, owners=owners, recipes=recipes, graph=graph, tree=tree)


def tensor_names(source: TensorSource) -> list[str]:
    """The names of a source's tensors without those that describe the others."""
    if isinstance(source, Plan):
        return list(source.tensor_names)
    return list(itertools.filterfalse(DESCRIPTIONS.__contains__, source.names))


def object_graph_of(source: TensorSource) -> schemas.TrackableObjectGraph | None:
    """What a checkpoint says of the objects that it was written from, to be edited; None where it was written from names.

    Raises:
        DataLossError: It is not an object graph, or an edge of it leads nowhere.
    """
    if read_object_graph(source) is None:
        return None
    return schemas.TrackableObjectGraph.FromString(source[OBJECT_GRAPH_KEY].item())


def _tree_of(source: TensorSource) -> Array | None:
    if TREE_KEY not in source:
        return None
    info = source.info(TREE_KEY)
    # Anybody may call a tensor so; only this is what `tfsaver.save` writes.
    return source[TREE_KEY] if info.dtype is dtypes.STRING and info.shape == () else None


def _scalar(value: bytes) -> Array:
    array = np.empty((), object)
    array[()] = value
    return array


def same_names(names: Iterable[str]) -> dict[str, str]:
    """Names that stay what they are, as `Plan.with_names` takes them."""
    return {name: name for name in names}
