"""A checkpoint's tensors under other names, and changed where the new program has them otherwise.

The mapping goes from the old name to the new one, see `name_map`. In a checkpoint that was written from objects a name is a
path, and the description of the objects changes with it, so that a program whose objects have the new names restores it:

    net/dense/kernel/.ATTRIBUTES/...                     -> model/dense/kernel/.ATTRIBUTES/...
    net/dense/kernel/.OPTIMIZER_SLOT/opt/m/.ATTRIBUTES/  -> follows its variable, unless the mapping speaks of it

The slots of a changed variable follow it, or are left out with a reason; see `mapped_tensors`.

Changed tensors are made in pieces, and are no longer in slices; see `recipes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tfsaver import schemas
from tfsaver.checkpoint.editing import object_graph_renaming
from tfsaver.checkpoint.names.changes import Joined
from tfsaver.checkpoint.names.mapped_tensors import follow_with_slots, infos_of
from tfsaver.checkpoint.names.name_map import NameMapLike, NewNames, Renamed, as_name_map
from tfsaver.checkpoint.names.name_steps import split_attribute
from tfsaver.checkpoint.objects.object_graph import full_names_of_keys
from tfsaver.checkpoint.plan import Plan, as_plan
from tfsaver.checkpoint.recipes import Recipe
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import InvalidArgumentError, raise_problems

_SLOT = "/.OPTIMIZER_SLOT/"


class Renaming(NamedTuple):
    """Tensors under other names.

    Attributes:
        plan: The tensors.
        new_names: What each tensor of the source becomes; the empty tuple for one that is left out.
    """

    plan: Plan
    new_names: NewNames

    def left_out(self, reason: str) -> dict[str, str]:
        """The tensors that are left out, and why.

        Args:
            reason: What to say where the mapping itself says so.
        """
        return {name: why or reason for name, why in self.new_names.left_out().items()}


def renamed(
    source: TensorSource,
    name_map: NameMapLike,
    *,
    keys: Mapping[str, str] | None = None,
    full_names: Mapping[str, str] | None = None,
    allow_unmatched: bool = False,
) -> Renaming:
    """A source under other names.

    Args:
        source: The source.
        name_map: From old names to new ones, see `name_map.as_name_map`.
        allow_unmatched: Whether what matches nothing is no error.
        keys: Of tensors of objects under the names that people read: what the checkpoint calls them, which says whose slots
            they are.
        full_names: What the variables were called, by key.

    Raises:
        InvalidArgumentError: Tensors would get one name, something matches nothing, or changes do not fit; says all.
    """
    plan = as_plan(source)
    infos = infos_of(plan)
    new_names = as_name_map(name_map, allow_unmatched=allow_unmatched).apply(infos)
    if plan.graph is not None:
        _make_keys(plan.graph, new_names)
    if not new_names.is_renaming:
        if full_names is None:
            full_names = {} if plan.graph is None else full_names_of_keys(plan.graph.SerializeToString())
        follow_with_slots(infos, new_names, full_names, keys)
        raise_problems("the mapping does not fit the names", new_names.collisions())
    made = new_names.made()
    names = sorted([*(name for name in plan.tensor_names if name not in new_names.changed), *made])
    recipes: dict[str, Recipe] = {}
    olds: dict[str, str] = {}
    problems: list[str] = []
    for name, each in made.items():
        if not each.is_changed:
            olds[name] = each.inputs[0]
            continue
        olds[name] = ""
        try:
            recipes[name] = each.recipe(plan.recipe)
        except InvalidArgumentError as error:
            problems.append(f"{', '.join(map(repr, each.inputs)) or 'a constant'}, to become {name!r}: {error}")
    raise_problems("the mapping does not fit the shapes", problems)
    graph = None
    if plan.graph is not None:
        graph = object_graph_renaming.rename_object_graph(
            plan.graph, _plain(new_names), [name for name, each in made.items() if not each.inputs]
        )
    # What is not among the changed names keeps its own.
    column = list(map(olds.get, names, names))
    return Renaming(plan.with_columns(names, column, graph=graph, recipes=recipes), new_names)


def _plain(new_names: NewNames) -> dict[str, tuple[str, ...]]:
    """The new names alone. What several tensors become belongs to the first of them."""

    def name_of(target: Renamed) -> str | None:
        return None if any(join.index for join in target.changes if isinstance(join, Joined)) else target.name

    return {
        old: tuple(dict.fromkeys(name for target in targets if (name := name_of(target)) is not None))
        for old, targets in new_names.items()
    }


def _make_keys(graph: schemas.TrackableObjectGraph, new_names: NewNames) -> None:
    """Gives new names the form that keys have, and slots that of their variables."""
    changed = new_names.changed
    for old, targets in changed.items():
        attribute = split_attribute(old)[1]
        changed[old] = tuple(
            target if split_attribute(target.name)[1] else target._replace(name=target.name + attribute)
            for target in targets
        )
    plain = {old: tuple(target.name for target in targets) for old, targets in new_names.items()}
    joined = {
        split_attribute(target.name)[0]
        for targets in changed.values()
        for target in targets
        if any(isinstance(change, Joined) for change in target.changes)
    }
    problems: list[str] = []
    taken: dict[str, str] = {}
    for old, names in object_graph_renaming.follow_variables(graph, plain).items():
        if names != plain[old]:
            changed[old] = tuple(map(Renamed, names))
        # What several tensors become has their slots together.
        alone = [name for name in names if split_attribute(name)[0].partition(_SLOT)[0] not in joined]
        problems += [f"{taken[name]!r} and {old!r} both become {name!r}" for name in alone if name in taken]
        taken.update(dict.fromkeys(alone, old))
    raise_problems("the mapping does not fit the objects", problems)
