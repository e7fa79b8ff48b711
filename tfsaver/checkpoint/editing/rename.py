"""A checkpoint's tensors under other names, and turned where the new program has them turned.

The mapping goes from the old name to the new one, see `name_map`. In a checkpoint that was written from objects a name is a
path, and the description of the objects changes with it, so that a program whose objects have the new names restores it:

    net/dense/kernel/.ATTRIBUTES/...                     -> model/dense/kernel/.ATTRIBUTES/...
    net/dense/kernel/.OPTIMIZER_SLOT/opt/m/.ATTRIBUTES/  -> follows its variable, unless the mapping speaks of it

A tensor that is turned is read whole, and is no longer in slices; all others stream.
"""

from __future__ import annotations

from typing import NamedTuple

from tfsaver import schemas
from tfsaver.checkpoint.editing import object_graph_renaming
from tfsaver.checkpoint.names.name_map import NameMapLike, NewNames, Renamed, as_name_map
from tfsaver.checkpoint.names.name_steps import raise_problems, split_attribute
from tfsaver.checkpoint.plan import Plan, as_plan
from tfsaver.checkpoint.recipes import Rearrange
from tfsaver.checkpoint.tensor_source import TensorSource


class Renaming(NamedTuple):
    """Tensors under other names.

    Attributes:
        plan: The tensors.
        new_names: What each tensor of the source becomes; the empty tuple for one that is left out.
    """

    plan: Plan
    new_names: NewNames


def renamed(source: TensorSource, name_map: NameMapLike) -> Renaming:
    """A source under other names.

    Args:
        source: The source.
        name_map: From old names to new ones, see `name_map.as_name_map`.

    Raises:
        InvalidArgumentError: Tensors would get one name, names in a dict name nothing, or axes do not fit; says all.
    """
    plan = as_plan(source)
    new_names = as_name_map(name_map).apply(plan.tensor_names)
    if plan.graph is not None:
        _make_keys(plan, plan.graph, new_names)
    changed = new_names.changed
    olds = {target.name: old for old, targets in changed.items() for target in targets}
    names = sorted([*(name for name in plan.tensor_names if name not in changed), *olds])
    turned = {
        target.name: (old, target.transpose)
        for old, targets in changed.items()
        for target in targets
        if target.transpose is not None
    }
    _check_axes(plan, turned)
    graph = None
    if plan.graph is not None:
        plain = {old: tuple(target.name for target in targets) for old, targets in new_names.items()}
        graph = object_graph_renaming.rename_object_graph(plan.graph, plain)
    recipes = {name: Rearrange(plan.recipe(old), axes=axes) for name, (old, axes) in turned.items()}
    # What is not among the changed names keeps its own.
    column = list(map(olds.get, names, names))
    return Renaming(plan.with_columns(names, column, graph=graph, recipes=recipes), new_names)


def _make_keys(plan: Plan, graph: schemas.TrackableObjectGraph, new_names: NewNames) -> None:
    """Gives new names the form that keys have, and slots that of their variables."""
    changed = new_names.changed
    for old, targets in changed.items():
        attribute = split_attribute(old)[1]
        changed[old] = tuple(
            target if split_attribute(target.name)[1] else target._replace(name=target.name + attribute)
            for target in targets
        )
    plain = {old: tuple(target.name for target in targets) for old, targets in new_names.items()}
    problems: list[str] = []
    taken: dict[str, str] = {}
    for old, names in object_graph_renaming.follow_variables(graph, plain).items():
        if names != plain[old]:
            turn = _turn_of_slot(plan, old, new_names)
            changed[old] = tuple(Renamed(name, turn) for name in names)
        problems += [f"{taken[name]!r} and {old!r} both become {name!r}" for name in names if name in taken]
        taken.update(dict.fromkeys(names, old))
    raise_problems("the mapping does not fit the objects", problems)


def _turn_of_slot(plan: Plan, slot: str, new_names: NewNames) -> tuple[int, ...] | None:
    """How a slot is transposed that follows its variable: like it, where it has its shape."""
    path, _, attribute = slot.partition("/.OPTIMIZER_SLOT/")
    variable = path + split_attribute(attribute)[1]
    targets = new_names.get(variable, ())
    if not targets or plan.info(variable).shape != plan.info(slot).shape:
        return None
    return targets[0].transpose


def _check_axes(plan: Plan, turned: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    problems = []
    for old, axes in turned.values():
        if len(axes) != len(shape := plan.info(old).shape):
            problems.append(f"{old!r} of shape {list(shape)} has not the {len(axes)} axes to be transposed")
    raise_problems("the mapping does not fit the shapes", problems)
