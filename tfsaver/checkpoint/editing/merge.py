"""Several checkpoints as one: the parts of a model, or a trunk and a new head.

Slices of one partitioned tensor may be spread over the checkpoints, as ranks write them: together they are the tensor.

A name that several have is a conflict unless its tensors are the same, bit for bit. Conflicts are an error that lists all of
them, or the caller says whose tensor is taken: the first's or the last's. What checkpoints that were written from objects
say of these is merged too, root with root. Their counts of saves are nobody's weights: the last one's is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from tfsaver import schemas
from tfsaver.checkpoint.editing.comparing import ValueDifference
from tfsaver.checkpoint.editing.object_graph_merging import merge_object_graphs
from tfsaver.checkpoint.editing.object_graph_parts import TensorsOfKeys
from tfsaver.checkpoint.editing.select import SAVE_COUNTER
from tfsaver.checkpoint.plan import Plan, as_plan, joined
from tfsaver.checkpoint.recipes import Gather, Recipe
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import DataLossError, InvalidArgumentError, OptionError, raise_problems
from tfsaver.framework.tensor_slice import TensorSlice

OnConflict: TypeAlias = "Literal['error', 'first', 'last']"
_CHOICES = ("error", "first", "last")


class Merging(NamedTuple):
    """The tensors of several sources.

    Attributes:
        plan: The tensors.
        replaced: Of each source, by number, the names whose tensors another source has given, with that source's number.
    """

    plan: Plan
    replaced: dict[tuple[int, str], int]


def merged(sources: Sequence[TensorSource], on_conflict: OnConflict = "error") -> Merging:
    """The tensors of several sources as one.

    Args:
        sources: The sources.
        on_conflict: What to do about names that several have with different tensors: ``error``, ``first``, ``last``.

    Raises:
        InvalidArgumentError: There are conflicts and nobody said whose tensors to take; says all.
    """
    if on_conflict not in _CHOICES:
        raise OptionError(f"on_conflict is {on_conflict!r}, known are {', '.join(map(repr, _CHOICES))}")
    if not sources:
        raise InvalidArgumentError("there are no checkpoints to merge")
    merging = _Merging([as_plan(source) for source in sources], on_conflict)
    for number in range(len(sources)):
        merging.add(number)
    graph = merging.merge_graphs()
    raise_problems("the checkpoints conflict", merging.problems)
    recipes = merging.gathered()
    tree = merging.plans[0].tree if len(sources) == 1 else None
    plan = joined(merging.plans, merging.names(), graph=graph, tree=tree).with_recipes(recipes)
    return Merging(plan, merging.replaced)


class _Merging:
    def __init__(self, plans: Sequence[Plan], on_conflict: str) -> None:
        self.plans = plans
        self.replaced: dict[tuple[int, str], int] = {}
        self.problems: list[str] = []
        self._on_conflict = on_conflict
        every = sorted(itertools.chain.from_iterable(plan.tensor_names for plan in plans))
        self._shared = {name for name, other in zip(every, itertools.islice(every, 1, None), strict=False) if name == other}
        # Of names that several plans have, whose tensor is taken.
        self._owners: dict[str, int] = {}
        # Names of values that have another key in the result.
        self._dropped: set[str] = set()
        # Of tensors whose slices are in several sources, which sources these are.
        self._partitioned: dict[str, list[int]] = {}

    def add(self, number: int) -> None:
        """Adds the tensors of a plan."""
        owners = self._owners
        shared: dict[int, list[str]] = {}
        for name in self._shared and filter(self._shared.__contains__, self.plans[number].tensor_names):
            owner = owners.setdefault(name, number)
            if owner != number:
                shared.setdefault(owner, []).append(name)
        sliced = {
            name
            for owner, names in shared.items()
            for name in self._sliced_in_both(owner, number, names)
            if self._has_other_slices(name, owner, number)
        }
        # In the order of the names, whoever has them.
        for name in sorted(itertools.chain.from_iterable(shared.values())):
            self._add_shared(name, number, name in sliced)

    def _add_shared(self, name: str, number: int, has_other_slices: bool) -> None:
        owner = self._owners[name]
        if has_other_slices:
            self._partitioned.setdefault(name, [owner]).append(number)
            return
        takes_last = self._on_conflict == "last" or name == SAVE_COUNTER
        if self._on_conflict == "error" and name != SAVE_COUNTER and (said := self._difference(name, owner, number)):
            self.problems.append(said)
        if takes_last:
            self._owners[name] = number
            self.replaced[owner, name] = number
        else:
            self.replaced[number, name] = owner

    def _sliced_in_both(self, one: int, other: int, names: Sequence[str]) -> list[str]:
        """The names whose tensors have one form in two sources, and are stored in slices."""
        forms = zip(names, self.plans[one].forms(names), self.plans[other].forms(names), strict=True)
        return [name for name, a, b in forms if a == b and a.is_sliced]

    def _has_other_slices(self, name: str, one: int, other: int) -> bool:
        """Whether two sources have different parts of one partitioned tensor, as ranks write them."""
        a, b = self.plans[one], self.plans[other]
        shape = a.info(name).shape
        slices_a, slices_b = ({each.resolve(shape) for each in plan.slices(name)} for plan in (a, b))
        return slices_a.isdisjoint(slices_b)

    def names(self) -> list[list[str]]:
        """Of each plan the names of the tensors that are taken."""
        owners, dropped = self._owners, self._dropped
        if not owners and not dropped:
            return [plan.tensor_names for plan in self.plans]
        return [
            [name for name in plan.tensor_names if owners.get(name, number) == number and name not in dropped]
            for number, plan in enumerate(self.plans)
        ]

    def gathered(self) -> dict[str, Gather]:
        """How tensors are made whose slices are in several sources.

        Raises:
            DataLossError: Slices of a tensor overlap, or all sources together lack some.
        """
        recipes = {}
        for name, numbers in self._partitioned.items():
            stored: list[tuple[TensorSlice, Recipe]] = []
            for number in numbers:
                recipe = self.plans[number].recipe(name)
                stored += [(each.resolve(recipe.shape), recipe) for each in recipe.slices()]
            try:
                recipes[name] = Gather(name, stored)
            except DataLossError as error:
                error.add_context(f"tensor {name!r}")
                raise
        return recipes

    def _difference(self, name: str, one: int, other: int) -> str:
        """What a name's tensors differ in, as a sentence; empty where in nothing."""
        a, b = self.plans[one], self.plans[other]
        info_a, info_b = a.info(name), b.info(name)
        where = f"{name!r} of {_told(a)} and of {_told(b)}"
        if info_a.dtype is not info_b.dtype or tuple(info_a.shape) != tuple(info_b.shape):
            return f"{where}: {info_a.dtype} {list(info_a.shape)} and {info_b.dtype} {list(info_b.shape)}"
        values = ValueDifference()
        for piece_a, piece_b in zip(a.pieces(name), b.pieces(name), strict=True):
            values.add(piece_a, piece_b)
        if not values.num_different:
            return ""
        return f"{where}: {values.num_different:,} of {values.num_elements:,} elements differ"

    def merge_graphs(self) -> schemas.TrackableObjectGraph | None:
        graphs = [(number, plan.graph) for number, plan in enumerate(self.plans) if plan.graph is not None]
        if not graphs:
            return None
        graph, replaced = merge_object_graphs(graphs, takes_last=self._on_conflict == "last")
        tensors = [TensorsOfKeys(plan.tensor_names) for plan in self.plans]
        used = {attribute.checkpoint_key for node in graph.nodes for attribute in node.attributes}
        for item in replaced:
            if self._on_conflict == "error":
                self.problems.append(f"one value has the key {item.key!r} here and {item.by!r} there")
            for name in tensors[item.source].of(item.key):
                is_taken = self._owners.get(name, item.source) == item.source and name not in self._dropped
                if is_taken and item.key not in used:
                    self._dropped.add(name)
                    self.replaced[item.source, name] = next(
                        (number for number, _ in graphs if tensors[number].of(item.by)), item.source
                    )
        return graph


def _told(plan: Plan) -> str:
    return ", ".join(map(repr, plan.sources))
